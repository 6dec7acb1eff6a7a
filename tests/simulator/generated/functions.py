"""Device functions that generated kernels call."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulator.generated import lanes, straight
from tests.simulator.generated.draws import Draws
from tests.simulator.generated.writer import Place, Statement, Writer

__all__ = ["DeviceFunction", "caller", "device_function"]

_TYPES = {"r": "b32", "l": "b64", "f": "f32", "d": "f64"}


@dataclass(frozen=True)
class DeviceFunction:
    """A function: its text, and the kinds of its parameters and of its result."""

    name: str
    parameters: str
    result: str
    text: str


def device_function(draws: Draws, name: str) -> DeviceFunction:
    """Write a function of a few parameters that returns in several places."""
    w = Writer(draws, left=draws.integer(2, 8))
    parameters = "".join(w.choose("rlfd") for _ in range(draws.integer(1, 3)))
    result = w.choose("rlfd")

    def give(w: Writer, place: Place) -> None:
        """Return early."""
        w.emit(f"st.param.{_TYPES[result]} [result], {w.register(result)};", f"@{w.condition()} ret;")

    w.menu = [*straight.MENU, *lanes.MENU, (4, give)]
    for letter in w.letters[1:]:
        for register in w.pool(letter):
            if letter in _TYPES:
                w.emit(f"mov.{_TYPES[letter]} {register}, {w.literal(letter)};")
            else:
                w.emit(f"mov.b{32 if letter == 'q' else 16} {register}, {draws.integer(0, 255)};")
    for register in w.pool("p"):
        w.emit(f"setp.gt.s32 {register}, {w.register('r')}, {w.register('r')};")
    for place, letter in enumerate(parameters):
        w.emit(f"ld.param.{_TYPES[letter]} {w.target(letter)}, [{name}_{place}];")
    w.statements(Place(loops=1), 6)
    w.emit(f"st.param.{_TYPES[result]} [result], {w.register(result)};", "ret;", *w.late)
    formal = ", ".join(f".param .{_TYPES[letter]} {name}_{place}" for place, letter in enumerate(parameters))
    head = f".func (.param .{_TYPES[result]} result) {name}({formal})"
    return DeviceFunction(name, parameters, result, "\n".join([head, "{", *w.declarations(), *w.lines, "}"]))


def caller(function: DeviceFunction) -> Statement:
    """Return the statement that calls a function."""

    def call(w: Writer, place: Place) -> None:
        if not set(w.letters).issuperset(function.parameters + function.result):
            return
        number = w.label().strip("$L")
        given = [f"given{number}_{k}" for k in range(len(function.parameters))]
        w.emit("{", f".param .{_TYPES[function.result]} got{number};")
        for name, letter in zip(given, function.parameters, strict=True):
            w.emit(f".param .{_TYPES[letter]} {name};", f"st.param.{_TYPES[letter]} [{name}], {w.read(letter)};")
        w.emit(f"call (got{number}), {function.name}, ({', '.join(given)});")
        w.emit(f"ld.param.{_TYPES[function.result]} {w.target(function.result)}, [got{number}];", "}")

    return call
