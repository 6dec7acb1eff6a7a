"""Vector code for the 32 lanes of a warp, one line of LLVM a strip."""

from __future__ import annotations

import re
from functools import cache
from typing import TypeAlias

from .affine import Affine, affine_result
from .code import LANES, Code
from .literals import bits_of, llvm_literal, mangled
from .module_text import ModuleText

__all__ = ["Strips", "Uniform", "Value"]

Value: TypeAlias = tuple[str, ...]


class Uniform(tuple[str, ...]):
    """A value that is the same in every lane: its strips, and the scalar that they repeat.

    What is computed from such values alone is computed once, as a scalar.
    """

    scalar: str

    def __new__(cls, strips: Value, scalar: str) -> Uniform:
        value = super().__new__(cls, strips)
        value.scalar = scalar
        return value


#: Instructions that are the same for a lane and for a vector of lanes.
_LANEWISE = re.compile(
    r"(add|sub|mul|[us]div|[us]rem|and|x?or|shl|[al]shr|f(add|sub|mul|div|neg)|select|[if]cmp"
    r"|[sz]ext|trunc|fpext|fptrunc|[su]itofp|fpto[su]i|bitcast|freeze) "
)
_LANES_OF = re.compile(r"<W x (\w+)>")
_SPLAT = re.compile(r"splat \(\w+ ([^)]+)\)")


@cache
def _of_one_lane(template: str) -> tuple[str, str] | None:
    """Return a template of one lane, and its result's type; None where there is no such thing."""
    match = _LANEWISE.match(template)
    types = _LANES_OF.findall(template)
    scalar = _SPLAT.sub(r"\1", _LANES_OF.sub(r"\1", template))
    if match is None or not types or "<" in scalar or "zeroinitializer" in scalar:
        return None
    name = match[1]
    if name in ("icmp", "fcmp"):
        return scalar, "i1"
    return scalar, types[1] if name == "select" else types[-1]


_WIDENING = re.compile(r"(sext|zext) <W x i(\d+)> \{0\} to <W x i\d+>$")


def _widened(template: str, value: Value) -> int | None:
    """Return what an integer literal is when it is widened; None for anything else."""
    match = _WIDENING.match(template)
    if match is None or not isinstance(value, Uniform) or not re.fullmatch(r"-?\d+", value.scalar):
        return None
    number, end = int(value.scalar), 1 << int(match[2])
    number %= end
    return number - end if match[1] == "sext" and 2 * number >= end else number


class Strips:
    """Writes operations on values: tuples with one operand text a strip.

    Attributes
    ----------
    module : ModuleText
        Takes declarations and helper functions.
    code : Code
        Takes the lines.
    W, strips : int
        Lanes of a strip, and strips of a warp.
    """

    def __init__(self, module: ModuleText) -> None:
        self.module = module
        self.code = Code(module.width)
        self.W = module.width
        self.strips = LANES // module.width

    def map(self, template: str, *values: Value, **words: object) -> Value:
        """Write one LLVM instruction a strip, or one for all lanes that are alike, and return its results."""
        if values and all(isinstance(value, Uniform) for value in values):
            lane = _of_one_lane(template.format(*(f"{{{place}}}" for place in range(len(values))), **words))
            if lane is not None:
                known = _widened(template, values[0])
                if known is not None:
                    return self.constant(lane[1], known)
                text = lane[0].format(*(value.scalar for value in values if isinstance(value, Uniform)))
                return self.splat(lane[1], self.code.scalar(text))
        if any(isinstance(value, Affine) for value in values):
            result = affine_result(self, template, values)
            if result is not None:
                return result
        text = self.wide(template)
        return self.code.each(lambda strip: text.format(*(value[strip] for value in values), **words))

    def wide(self, text: str) -> str:
        """Replace the ``W`` of vector types in `text` by the number of lanes."""
        return text.replace("<W x", f"<{self.W} x")

    def intrinsic(
        self,
        name: str,
        result: str,
        *values: Value,
        types: tuple[str, ...] | None = None,
        overloads: tuple[str, ...] | None = None,
        trailing: str = "",
    ) -> Value:
        """Call ``llvm.<name>`` lane by lane.

        Parameters
        ----------
        name : str
            ``"fma"``, ``"ctpop"``, ``"fptosi.sat"``, ...
        result : str
            LLVM type of a lane of the result.
        types : tuple of str
            Types of a lane of each argument; all like `result` when not given.
        overloads : tuple of str
            Types in the intrinsic's name; just `result` when not given.
        trailing : str
            Last scalar argument with its type, such as ``"i1 false"``.
        """
        types = types or (result,) * len(values)
        alike = [value.scalar for value in values if isinstance(value, Uniform)]
        if len(alike) == len(values):
            name += "".join(f".{mangled(each)}" for each in overloads or (result,))
            given = [f"{type_} {value}" for type_, value in zip(types, alike, strict=True)] + [trailing] * bool(
                trailing
            )
            self.module.declare(f"declare {result} @llvm.{name}({', '.join(each.split()[0] for each in given)})")
            return self.splat(result, self.code.scalar(f"call {result} @llvm.{name}({', '.join(given)})"))
        suffix = "".join(f".v{self.W}{mangled(each)}" for each in overloads or (result,))
        arguments = [f"<{self.W} x {each}>" for each in types]
        formal = ", ".join([*arguments, *([trailing.split()[0]] if trailing else [])])
        self.module.declare(f"declare <{self.W} x {result}> @llvm.{name}{suffix}({formal})")
        actual = [f"{type_} {{{position}}}" for position, type_ in enumerate(arguments)]
        actual += [trailing] if trailing else []
        return self.map(f"call <{self.W} x {result}> @llvm.{name}{suffix}({', '.join(actual)})", *values)

    def select(self, condition: Value, then: Value, otherwise: Value, type_: str) -> Value:
        """Choose lane by lane; `type_` is the LLVM type of a lane."""
        if isinstance(condition, Uniform) and condition.scalar in ("true", "false"):
            return then if condition.scalar == "true" else otherwise
        template = f"select <W x i1> {{0}}, <W x {type_}> {{1}}, <W x {type_}> {{2}}"
        return self.map(template, condition, then, otherwise)

    def cast(self, value: Value, own: str, type_: str) -> Value:
        """Reinterpret a value; a wider type is filled with zeros, a narrower one truncated."""
        have, want = bits_of(own), bits_of(type_)
        if own == type_:
            return value
        if have == want:
            return self.map(f"bitcast <W x {own}> {{0}} to <W x {type_}>", value)
        value = self.cast(value, own, f"i{have}")
        step = "trunc" if have > want else "zext"
        value = self.map(f"{step} <W x i{have}> {{0}} to <W x i{want}>", value)
        return self.cast(value, f"i{want}", type_)

    def constant(self, type_: str, value: int | float) -> Value:
        """Return one constant in every lane; an int is a bit pattern where `type_` is floating."""
        return self._splat_literal(type_, llvm_literal(value, type_))

    def _splat_literal(self, type_: str, text: str) -> Value:
        return Uniform((f"splat ({type_} {text})",) * self.strips, text)

    def lanes(self, type_: str, values: list[int]) -> Value:
        """Return a constant that differs from lane to lane; `values` has one for each of the 32."""
        texts = [f"{type_} {llvm_literal(value, type_)}" for value in values]
        return tuple(f"<{', '.join(texts[start : start + self.W])}>" for start in range(0, LANES, self.W))

    def splat(self, type_: str, scalar: str) -> Value:
        """Return the scalar named `scalar` in every lane."""
        if not scalar.startswith("%"):
            return self._splat_literal(type_, scalar)
        vector = f"<{self.W} x {type_}>"
        first = self.code.scalar(f"insertelement {vector} poison, {type_} {scalar}, i32 0")
        whole = self.code.scalar(f"shufflevector {vector} {first}, {vector} poison, <{self.W} x i32> zeroinitializer")
        return Uniform((whole,) * self.strips, scalar)

    def affine(self, type_: str, base: str, step: int) -> Affine:
        """Return ``base + step * lane``; `base` is a scalar."""
        ramps = self.lanes(type_, [step * lane for lane in range(LANES)])
        first = self.splat(type_, base)
        vectors = self.code.each(lambda strip: f"add <{self.W} x {type_}> {first[strip]}, {ramps[strip]}")
        return Affine(vectors, base, step)

    def assured(self, condition: str) -> bool:
        """Tell whether code may rely on the scalar `condition` from here on; where it is false, others take over."""
        return False

    def mask(self, scalar: str) -> Value:
        """Spread the bits of an ``i32`` over the lanes."""
        if scalar == "-1":
            return self.constant("i1", 1)
        if self.strips == 1:
            return self.map(f"bitcast i32 {scalar} to <W x i1>")
        parts = []
        for strip in range(self.strips):
            bits = scalar
            if strip:
                bits = self.code.strip(strip, f"lshr i32 {bits}, {strip * self.W}")
            bits = self.code.strip(strip, f"trunc i32 {bits} to i{self.W}")
            parts.append(self.code.strip(strip, f"bitcast i{self.W} {bits} to <{self.W} x i1>"))
        return tuple(parts)

    def bits(self, mask: Value) -> str:
        """Gather a value of ``i1`` into a scalar ``i32``. Ends the run of strips."""
        if isinstance(mask, Uniform):
            return "-1" if mask.scalar == "true" else self.code.line(f"sext i1 {mask.scalar} to i32")
        total = ""
        for strip in range(self.strips):
            part = self.code.line(f"bitcast <{self.W} x i1> {mask[strip]} to i{self.W}")
            if self.W < LANES:
                part = self.code.line(f"zext i{self.W} {part} to i32")
            if strip:
                part = self.code.line(f"shl i32 {part}, {strip * self.W}")
                part = self.code.line(f"or i32 {total}, {part}")
            total = part
        return total

    def buffer(self, name: str, size: int) -> str:
        """Return scratch memory of at least `size` bytes, shared by all who use `name`."""
        return self.module.buffer(name, size)

    def runtime(self, name: str, text: str) -> str:
        """Add a function written in IR to the module, once, and return ``@name``."""
        return self.module.function(name, self.wide(text))
