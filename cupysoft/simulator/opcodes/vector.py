"""Values of a warp with Python's operators, so that an instruction reads like its formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..literals import bits_of, llvm_type
from ..strips import Strips, Value

if TYPE_CHECKING:
    from ..emitter import Emitter
    from ..ptx import Instruction, Operand

__all__ = ["Scalar", "Vector", "halves", "joined", "read", "select", "sources", "write"]

Scalar: TypeAlias = "int | float"


class Vector:
    """One value in each lane, of the LLVM type `type`.

    Integers: ``+ - * & | ^ ~``, ``<<`` and the two right shifts `lshr` and `ashr`.
    Floats: ``+ - * /`` and the methods. A Python number stands for itself in every lane.
    Shifts by the width or more are poison, as in LLVM.
    """

    __slots__ = ("emitter", "type", "value")

    def __init__(self, emitter: Strips, type_: str, value: Value) -> None:
        self.emitter = emitter
        self.type = type_
        self.value = value

    @property
    def bits(self) -> int:
        """Width of a lane."""
        return bits_of(self.type)

    @property
    def floating(self) -> bool:
        """Whether lanes hold floating-point numbers."""
        return self.type in ("half", "bfloat", "float", "double")

    def constant(self, number: Scalar, type_: str = "") -> Vector:
        """Return `number` in every lane, in this vector's type or in `type_`."""
        type_ = type_ or self.type
        if type_ in ("float", "double"):
            number = float(number)
        return Vector(self.emitter, type_, self.emitter.constant(type_, number))

    def _same(self, other: Vector | Scalar) -> Vector:
        return other if isinstance(other, Vector) else self.constant(other)

    def binary(self, name: str, other: Vector | Scalar) -> Vector:
        """Return the LLVM instruction `name` of this and `other`."""
        value = self.emitter.map(f"{name} <W x {self.type}> {{0}}, {{1}}", self.value, self._same(other).value)
        return Vector(self.emitter, self.type, value)

    def _compare(self, name: str, other: Vector | Scalar) -> Vector:
        return Vector(self.emitter, "i1", self.binary(name, other).value)

    def call(self, name: str, *others: Vector | Scalar, trailing: str = "") -> Vector:
        """Return the overloaded intrinsic ``llvm.<name>`` of this and `others`, all of one type."""
        values = [self.value, *(self._same(other).value for other in others)]
        return Vector(self.emitter, self.type, self.emitter.intrinsic(name, self.type, *values, trailing=trailing))

    def __add__(self, other: Vector | Scalar) -> Vector:
        return self.binary("fadd" if self.floating else "add", other)

    def __radd__(self, other: Scalar) -> Vector:
        return self.constant(other) + self

    def __sub__(self, other: Vector | Scalar) -> Vector:
        return self.binary("fsub" if self.floating else "sub", other)

    def __rsub__(self, other: Scalar) -> Vector:
        return self.constant(other) - self

    def __mul__(self, other: Vector | Scalar) -> Vector:
        return self.binary("fmul" if self.floating else "mul", other)

    def __rmul__(self, other: Scalar) -> Vector:
        return self.constant(other) * self

    def __truediv__(self, other: Vector | Scalar) -> Vector:
        return self.binary("fdiv", other)

    def __rtruediv__(self, other: Scalar) -> Vector:
        return self.constant(other) / self

    def __and__(self, other: Vector | Scalar) -> Vector:
        return self.binary("and", other)

    def __or__(self, other: Vector | Scalar) -> Vector:
        return self.binary("or", other)

    def __xor__(self, other: Vector | Scalar) -> Vector:
        return self.binary("xor", other)

    def __invert__(self) -> Vector:
        return self.binary("xor", -1 if self.type != "i1" else 1)

    def __lshift__(self, other: Vector | Scalar) -> Vector:
        return self.binary("shl", other)

    def lshr(self, other: Vector | Scalar) -> Vector:
        """Shift right, zeros come in."""
        return self.binary("lshr", other)

    def ashr(self, other: Vector | Scalar) -> Vector:
        """Shift right, the sign comes in."""
        return self.binary("ashr", other)

    def __neg__(self) -> Vector:
        if not self.floating:
            return 0 - self
        value = self.emitter.map(f"fneg <W x {self.type}> {{0}}", self.value)
        return Vector(self.emitter, self.type, value)

    def abs(self) -> Vector:
        """Absolute value of floats."""
        return self.call("fabs")

    def fma(self, factor: Vector | Scalar, addend: Vector | Scalar) -> Vector:
        """``self * factor + addend``, rounded once."""
        return self.call("fma", factor, addend)

    def horner(self, coefficients: Sequence[float]) -> Vector:
        """The polynomial in this value; `coefficients` from the constant term up."""
        result = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = result.fma(self, coefficient)
        return result

    def copysign(self, sign: Vector) -> Vector:
        """This magnitude with the sign of `sign`."""
        return self.call("copysign", sign)

    def compare(self, condition: str, other: Vector | Scalar) -> Vector:
        """Compare; `condition` as LLVM names it: ``eq``, ``slt``, ``ult``, ``olt``, ``uno``..."""
        return self._compare(f"{'fcmp' if self.floating else 'icmp'} {condition}", other)

    def to(self, type_: str, *, signed: bool = False) -> Vector:
        """Widen or narrow to another integer type."""
        if type_ == self.type:
            return self
        if bits_of(type_) < self.bits:
            return self.cast("trunc", type_)
        return self.cast("sext" if signed else "zext", type_)

    def cast(self, instruction: str, type_: str) -> Vector:
        """Return LLVM's cast `instruction` to `type_`: ``bitcast``, ``fpext``, ``sitofp``..."""
        value = self.emitter.map(f"{instruction} <W x {self.type}> {{0}} to <W x {type_}>", self.value)
        return Vector(self.emitter, type_, value)

    def integer(self) -> Vector:
        """The bits as an integer of the same width."""
        return self if not self.floating else self.cast("bitcast", f"i{self.bits}")

    def real(self) -> Vector:
        """The bits of an integer as a float (32 bits) or double (64 bits)."""
        return self.cast("bitcast", {32: "float", 64: "double"}[self.bits])

    def flushed(self, flush: bool = True) -> Vector:
        """Subnormal floats replaced by zeros of the same sign, when `flush` says so."""
        if not flush or self.type not in ("float", "double"):
            return self
        bits = self.integer()
        exponent = 0x7F800000 if self.type == "float" else 0x7FF << 52
        normal = (bits & exponent).compare("ne", 0)
        return select(normal, bits, bits & (1 << (self.bits - 1))).real()


def select(condition: Vector, true: Vector | Scalar, false: Vector | Scalar) -> Vector:
    """Choose lane by lane; at least one of the choices is a vector."""
    like = true if isinstance(true, Vector) else false
    if not isinstance(like, Vector):
        raise TypeError("select needs a vector to know the type")
    chosen = [choice if isinstance(choice, Vector) else like.constant(choice) for choice in (true, false)]
    template = f"select <W x i1> {{0}}, <W x {like.type}> {{1}}, <W x {like.type}> {{2}}"
    value = like.emitter.map(template, condition.value, chosen[0].value, chosen[1].value)
    return Vector(like.emitter, like.type, value)


def read(emitter: Emitter, operand: Operand, ptx_type: str) -> Vector:
    """Read an operand as a vector."""
    return Vector(emitter, llvm_type(ptx_type), emitter.read(operand, ptx_type))


def sources(emitter: Emitter, instruction: Instruction, ptx_type: str) -> list[Vector]:
    """Read every operand after the destination as vectors of one type."""
    return [read(emitter, operand, ptx_type) for operand in instruction.operands[1:]]


def write(emitter: Emitter, operand: Operand, vector: Vector, ptx_type: str) -> None:
    """Write a vector to a destination."""
    if llvm_type(ptx_type) != vector.type:
        vector = vector.cast("bitcast", llvm_type(ptx_type))
    emitter.write(operand, vector.value, ptx_type)


def halves(vector: Vector, type_: str) -> tuple[Vector, Vector]:
    """Split integers into their lower and upper halves, each of the LLVM type `type_`."""
    bits = vector.bits // 2
    parts = vector.to(f"i{bits}"), vector.lshr(bits).to(f"i{bits}")
    low, high = (part if part.type == type_ else part.cast("bitcast", type_) for part in parts)
    return low, high


def joined(low: Vector, high: Vector) -> Vector:
    """Put two halves together again as an integer."""
    bits = 2 * low.bits
    return low.integer().to(f"i{bits}") | (high.integer().to(f"i{bits}") << (bits // 2))
