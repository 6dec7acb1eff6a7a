"""What each statement does to a thread, decoded once."""

from __future__ import annotations

from tests.simulator.oracle.formulas import JOINED, formula_of, kinds_of, relation_of
from tests.simulator.oracle.memory import address_space, atomic, items, load, put, store
from tests.simulator.oracle.reader import Function, Statement, Text, width_of
from tests.simulator.oracle.thread import Arrival, Frame, Step, Thread, operand

__all__ = ["decode"]

_NOTHING = ("membar", "fence", "nanosleep")
_MEETINGS = ("shfl", "vote", "match", "redux")


def decode(statement: Statement, function: Function, module: Text) -> Step:
    """Return what a statement does, guard included."""
    step = _bare(statement, function, module)
    if statement.guard is None:
        return step
    name, wanted = statement.guard
    return lambda thread: step(thread) if thread.registers[name] == wanted else None


def _bare(statement: Statement, function: Function, module: Text) -> Step:
    opcode, widths = statement.parts[0], function.registers
    match opcode:
        case "bra":
            target = function.labels[statement.operands[0]]
            return lambda thread: target
        case "brx":
            index = operand(statement.operands[0], 32)
            table = [function.labels[label] for label in function.tables[statement.operands[1]]]
            return lambda thread: table[index(thread)]
        case "ret":
            return _leave
        case "exit":
            return lambda thread: thread.frames.clear()
        case "call":
            return _call(statement, module)
        case "ld":
            return load(statement, widths)
        case "st":
            return store(statement)
        case "atom" | "red":
            return atomic(statement, widths)
        case "cvta":
            return address_space(statement, widths)
        case "bar" | "barrier":
            return _barrier(statement)
        case _ if opcode in _NOTHING:
            return lambda thread: None
        case _ if opcode in _MEETINGS:
            mask = operand(statement.operands[-1], 32)
            return lambda thread: Arrival(statement, mask(thread))
        case "mov" if "{" in "".join(statement.operands):
            return _move(statement, widths)
        case "setp":
            return _predicate(statement, widths)
    return _compute(statement, widths)


def _leave(thread: Thread) -> None:
    frame = thread.frames.pop()
    for formal, actual in frame.results.items():
        thread.frames[-1].parameters[actual] = frame.parameters[formal]


def _call(statement: Statement, module: Text) -> Step:
    results, name, arguments = statement.operands
    function = module.functions[name]
    given = [each.strip() for each in arguments.strip("()").split(",")]
    wanted = [each.strip() for each in results.strip("()").split(",")]

    def step(thread: Thread) -> None:
        mine = thread.frames[-1].parameters
        passed = {formal: mine[actual] for formal, actual in zip(function.parameters, given, strict=True)}
        thread.frames.append(Frame(function, -1, passed, dict(zip(function.results, wanted, strict=True))))

    return step


def _barrier(statement: Statement) -> Step:
    if "warp" in statement.parts:
        mask = operand(statement.operands[-1], 32)
        return lambda thread: Arrival(statement, mask(thread))
    operands = list(statement.operands)
    if "red" in statement.parts:
        operands = operands[1:-1]
    number = operand(operands[0], 32)
    count = operand(operands[1], 32) if len(operands) > 1 else lambda thread: 0
    return lambda thread: Arrival(statement, barrier=number(thread), count=count(thread))


def _move(statement: Statement, widths: dict[str, int]) -> Step:
    """``mov`` between a register and its equal parts, the lowest first."""
    target, source = statement.operands
    whole = width_of(statement.parts[-1])
    targets, sources = items(target), items(source)
    reads = [operand(text, whole // len(sources)) for text in sources]
    writes = [put(name, widths, f"b{whole // len(targets)}") for name in targets]

    def step(thread: Thread) -> None:
        value = sum(read(thread) << k * whole // len(reads) for k, read in enumerate(reads))
        for k, write in enumerate(writes):
            write(thread, value >> k * whole // len(writes))

    return step


def _predicate(statement: Statement, widths: dict[str, int]) -> Step:
    """``setp``, into one predicate or two."""
    kind = kinds_of(statement)[-1]
    relation = relation_of(statement, kind)
    a, b = (operand(text, width_of(kind)) for text in statement.operands[1:3])
    join = next((JOINED[part] for part in statement.parts if part in JOINED), None)
    third = operand(statement.operands[3], 1) if join else None
    targets = [put(name.strip(), widths, "pred") for name in statement.operands[0].split("|")]

    def step(thread: Thread) -> None:
        outcome = int(relation(a(thread), b(thread)))
        results = [outcome, 1 - outcome]
        if join is not None and third is not None:
            results = [join(result, third(thread)) for result in results]
        for write, result in zip(targets, results, strict=False):
            write(thread, result)

    return step


def _compute(statement: Statement, widths: dict[str, int]) -> Step:
    """Everything that is a function of its operands."""
    types, formula = formula_of(statement)
    reads = [operand(text, width_of(kind)) for text, kind in zip(statement.operands[1:], types[1:], strict=False)]
    target = put(statement.operands[0], widths, types[0])

    def step(thread: Thread) -> None:
        target(thread, formula(thread, [read(thread) for read in reads]))

    return step
