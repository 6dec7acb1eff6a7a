"""The last instruction of a block: branches, ends of threads, block barriers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .code import LANES
from .context import BARRIER_FIELDS, BARRIER_IDS, BarrierField, ErrorKind, Slot
from .faults import record_error
from .flow import Flow, is_block_barrier, target_of
from .literals import integer
from .pcs import ID_SHIFT, WAITING, load_counters, store_counters
from .ptx import Immediate, Instruction, Label, Negated, Operand, Symbol
from .strips import Uniform

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = ["arrival", "barrier_record", "chosen_target", "finish", "first_lane"]


def finish(e: Emitter, flow: Flow, number: int) -> bool:
    """Translate the current instruction if it ends the block, and tell whether it did."""
    instruction = e.instruction
    opcode = instruction.opcode
    if opcode == "bra":
        _branch(e, flow, number, target_of(instruction, flow.labels))
    elif opcode in ("ret", "exit"):
        _branch(e, flow, number, len(flow.blocks))
    elif opcode == "brx":
        _branch_by_index(e, flow, number)
    elif opcode == "trap":
        _save(e, flow, number)
        record_error(e, ErrorKind.TRAP, e.active_name)
        e.code.effect("br label %fault")
    elif opcode == "nanosleep":
        _save(e, flow, number)
        e.code.effect("store i32 0, ptr %budget.slot")
        _park(e, number + 1)
    elif is_block_barrier(instruction):
        _barrier(e, flow, number)
    else:
        return False
    return True


def _save(e: Emitter, flow: Flow, number: int) -> None:
    """Store the registers that later blocks read, whatever guards the last instruction."""
    e.store_registers(e.dirty & flow.blocks[number].live_out)


def _park(e: Emitter, target: int) -> None:
    e.code.effect(f"store i32 {target}, ptr %target.slot")
    e.code.effect("br label %park")


def _branch(e: Emitter, flow: Flow, number: int, target: int) -> None:
    """Go to `target`, or to the next block where the guard is false."""
    guard = e.instruction.predicate
    taken = e.active_bits() if guard is not None else ""
    _save(e, flow, number)
    code = e.code
    if not taken or target == number + 1:
        code.effect(f"br label %go{target}")
        return
    code.effect(f"store i32 {taken}, ptr %taken.slot")
    none = code.line(f"icmp eq i32 {taken}, 0")
    code.effect(f"br i1 {none}, label %go{number + 1}, label %some{number}")
    code.label(f"some{number}")
    every = code.line(f"icmp eq i32 {taken}, {e.active_name}")
    code.effect(f"br i1 {every}, label %go{target}, label %both{number}")
    code.label(f"both{number}")
    code.effect(f"store i32 {target}, ptr %target.slot")
    code.effect(f"store i32 {number + 1}, ptr %other.slot")
    code.effect("br label %split")


def _branch_by_index(e: Emitter, flow: Flow, number: int) -> None:
    """Go to the block that a register chooses."""
    where = chosen_target(e, flow)
    _save(e, flow, number)
    store_counters(e, e.select(e.block_mask(), where, load_counters(e), "i32"))
    e.code.effect("br label %dispatch")


def chosen_target(e: Emitter, flow: Flow) -> Value:
    """Return the blocks that a register chooses, in each lane, from a table of labels."""
    index, table = e.instruction.operands
    assert isinstance(table, Symbol | Label)
    chosen = e.read(index, "u32")
    targets = [flow.labels[name] for name in e.branch_targets[table.name]]
    where = e.constant("i32", targets[0])
    for position, target in enumerate(targets[1:], 1):
        here = e.map("icmp eq <W x i32> {0}, {1}", chosen, e.constant("i32", position))
        where = e.select(here, e.constant("i32", target), where, "i32")
    return where


def barrier_record(e: Emitter, number: Operand) -> tuple[str, str]:
    """Return a barrier's number as an ``i32`` scalar and a pointer to its record."""
    if isinstance(number, Immediate):
        name = str(integer(number.text) % BARRIER_IDS)
    else:
        name = first_lane(e, e.read(number, "u32"), "i32")
        name = e.code.line(f"and i32 {name}, {BARRIER_IDS - 1}")
    scaled = e.code.line(f"mul i32 {name}, {BARRIER_FIELDS}")
    index = e.code.line(f"add i32 {scaled}, {int(Slot.BARRIERS)}")
    return name, e.code.line(f"getelementptr i64, ptr %ctx, i32 {index}")


def first_lane(e: Emitter, value: Value, type_: str) -> str:
    """Return what the lowest active lane has, as a scalar."""
    if isinstance(value, Uniform):
        return value.scalar
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    lane = e.code.line(f"call i32 @llvm.cttz.i32(i32 {e.active_bits()}, i1 true)")
    place = e.code.line(f"and i32 {lane}, {e.W - 1}")
    found = e.code.line(f"extractelement <{e.W} x {type_}> {value[0]}, i32 {place}")
    for strip in range(1, e.strips):
        part = e.code.line(f"extractelement <{e.W} x {type_}> {value[strip]}, i32 {place}")
        within = e.code.line(f"icmp ult i32 {lane}, {strip * e.W}")
        found = e.code.line(f"select i1 {within}, {type_} {found}, {type_} {part}")
    return found


def add_to_field(e: Emitter, record: str, field: BarrierField, count: str) -> None:
    """Add a scalar ``i32`` to a field of a barrier's record."""
    place = e.code.line(f"getelementptr i64, ptr {record}, i64 {field.value}")
    old = e.code.line(f"load i64, ptr {place}")
    more = e.code.line(f"zext i32 {count} to i64")
    e.code.effect(f"store i64 {e.code.line(f'add i64 {old}, {more}')}, ptr {place}")


def set_field(e: Emitter, record: str, field: BarrierField, value: str) -> None:
    """Store a scalar ``i64`` in a field of a barrier's record."""
    place = e.code.line(f"getelementptr i64, ptr {record}, i64 {field.value}")
    e.code.effect(f"store i64 {value}, ptr {place}")


def population(e: Emitter, bits: str) -> str:
    """Count the lanes of a scalar mask."""
    e.module.declare("declare i32 @llvm.ctpop.i32(i32)")
    return e.code.line(f"call i32 @llvm.ctpop.i32(i32 {bits})")


def barrier_operands(instruction: Instruction) -> tuple[Operand, Operand | None, Operand | None]:
    """Return the number, the count and the predicate of a block barrier."""
    operands = list(instruction.operands) or [Immediate("0")]
    predicate = operands.pop() if instruction.has("red") else None
    return operands[0], operands[1] if len(operands) > 1 else None, predicate


def is_aligned(instruction: Instruction) -> bool:
    """Tell whether the lanes of a warp have to come to a block barrier together; then a warp counts for 32 threads."""
    return instruction.opcode == "bar" or instruction.has("aligned")


def threads_of(e: Emitter) -> str:
    """Count the threads that the active lanes stand for at a block barrier, as a scalar ``i32``."""
    return str(LANES) if is_aligned(e.instruction) else population(e, e.active_bits())


def expect(e: Emitter, record: str, count: Operand | None) -> None:
    """Note how many threads the barrier waits for, and which instruction says so."""
    expected = "0"
    if count is not None:
        expected = e.code.line(f"zext i32 {first_lane(e, e.read(count, 'u32'), 'i32')} to i64")
    set_field(e, record, BarrierField.EXPECTED, expected)
    set_field(e, record, BarrierField.INSTRUCTION, str(e.index))
    set_field(e, record, BarrierField.APART, str(int(not is_aligned(e.instruction))))


def _barrier(e: Emitter, flow: Flow, number: int) -> None:
    """Make the active lanes wait; the driver lets them go."""
    target = arrival(e, number)
    _save(e, flow, number)
    e.code.effect(f"store i32 {target}, ptr %target.slot")
    e.code.effect("br label %park")


def arrival(e: Emitter, number: int) -> str:
    """Enter the active lanes at a block barrier, and return the counter of lanes that wait there."""
    name, count, predicate = barrier_operands(e.instruction)
    scalar, record = barrier_record(e, name)
    expect(e, record, count)
    if predicate is not None:
        true = e.read(predicate, "pred")
        if isinstance(predicate, Negated):
            e.code.flush()
        brought = e.bits(e.map("and <W x i1> {0}, {1}", true, e.active()))
        add_to_field(e, record, BarrierField.TRUE, population(e, brought))
    e.checks.barrier(e)
    shifted = e.code.line(f"shl i32 {scalar}, {ID_SHIFT}")
    return e.code.line(f"or i32 {shifted}, {WAITING | (number + 1)}")
