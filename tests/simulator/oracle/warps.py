"""What threads do together: warp instructions and block barriers, once everybody who is named has come."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulator.oracle.integers import signed
from tests.simulator.oracle.memory import put
from tests.simulator.oracle.reader import width_of
from tests.simulator.oracle.thread import Arrival, Thread, operand

__all__ = ["exchange", "reduce_block"]

#: What a lane gets from one that is not there. The manual leaves it open, so no result may depend on it.
_UNKNOWN = 0xDEADBEEF


def exchange(arrival: Arrival, threads: dict[int, Thread]) -> None:
    """Let the threads, by lane, execute a warp instruction."""
    statement = arrival.statement
    match statement.parts[0]:
        case "shfl":
            _shuffle(arrival, threads)
        case "vote":
            _vote(arrival, threads)
        case "match":
            _match(arrival, threads)
        case "redux":
            _reduce(arrival, threads)


def _read(arrival: Arrival, threads: dict[int, Thread], place: int, kind: str) -> dict[int, int]:
    source = operand(arrival.statement.operands[place], width_of(kind))
    return {lane: source(thread) for lane, thread in threads.items()}


def _write(arrival: Arrival, threads: dict[int, Thread], kinds: list[str], results: dict[int, list[int]]) -> None:
    for lane, thread in threads.items():
        widths = thread.frames[-1].function.registers
        for name, kind, value in zip(arrival.statement.operands[0].split("|"), kinds, results[lane], strict=False):
            put(name.strip(), widths, kind)(thread, value)


def _shuffle(arrival: Arrival, threads: dict[int, Thread]) -> None:
    values, b, c = (_read(arrival, threads, place, "b32") for place in (1, 2, 3))
    mode = arrival.statement.parts[2]
    results = {}
    for lane in threads:
        step, bound, segment = b[lane] & 31, c[lane] & 31, c[lane] >> 8 & 31
        last = lane & segment | bound & ~segment & 31
        first = lane & segment
        source = {"up": lane - step, "down": lane + step, "bfly": lane ^ step, "idx": first | step & ~segment}[mode]
        inside = source >= last if mode == "up" else source <= last
        results[lane] = [values.get(source, _UNKNOWN) if inside else values[lane], int(inside)]
    _write(arrival, threads, ["b32", "pred"], results)


def _vote(arrival: Arrival, threads: dict[int, Thread]) -> None:
    brought = _read(arrival, threads, 1, "pred")
    ballot = sum(value << lane for lane, value in brought.items())
    every, some = all(brought.values()), any(brought.values())
    results = {"all": every, "any": some, "uni": every or not some, "ballot": ballot}
    mode = arrival.statement.parts[2]
    _write(arrival, threads, [arrival.statement.parts[3]], dict.fromkeys(threads, [int(results[mode])]))


def _match(arrival: Arrival, threads: dict[int, Thread]) -> None:
    values = _read(arrival, threads, 1, arrival.statement.parts[3])
    same = {lane: sum((values[other] == values[lane]) << other for other in threads) for lane in threads}
    if arrival.statement.parts[1] == "all":
        alike = len(set(values.values())) == 1
        same = dict.fromkeys(threads, same[min(threads)] if alike else 0)
    _write(arrival, threads, ["b32", "pred"], {lane: [bits, int(bits != 0)] for lane, bits in same.items()})


_REDUCTIONS: dict[str, Callable[[int, int], int]] = {
    "add": lambda x, y: x + y,
    "min": min,
    "max": max,
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
}


def _reduce(arrival: Arrival, threads: dict[int, Thread]) -> None:
    name, kind = arrival.statement.parts[2:]
    values = _read(arrival, threads, 1, kind)
    first, *rest = (signed(x, 32) if kind[0] == "s" else x for x in values.values())
    for each in rest:
        first = _REDUCTIONS[name](first, each)
    _write(arrival, threads, [kind], dict.fromkeys(threads, [first]))


def reduce_block(waiting: list[Thread]) -> None:
    """Give the threads that met at ``bar.red`` the result; other barriers have none."""
    read = {}
    for thread in waiting:
        assert thread.arrival is not None
        statement = thread.arrival.statement
        if "red" in statement.parts:
            read[thread.number] = operand(statement.operands[-1], 1)(thread)
    true = sum(read.values())
    for thread in waiting:
        assert thread.arrival is not None
        statement = thread.arrival.statement
        if "red" not in statement.parts:
            continue
        result = {"popc": true, "and": int(true == len(read)), "or": int(true > 0)}
        name = next(part for part in statement.parts if part in result)
        widths = thread.frames[-1].function.registers
        put(statement.operands[0], widths, statement.parts[-1])(thread, result[name])
