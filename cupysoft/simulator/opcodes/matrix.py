"""Products of matrices and moves of their tiles, by all lanes of a warp together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import address, space_of
from ..code import LANES
from ..context import Slot
from ..lanes import load_buffer, store_buffer
from ..literals import llvm_type
from ..matrix import Form, form_of, product
from ..matrix.tiles import TILE_BYTES, TILE_ROWS, gather_tiles, scatter_tiles, transpose_tile
from ..ptx import Instruction, Operand, Vector
from ..seam import Access
from . import opcode, unknown

if TYPE_CHECKING:
    from ..emitter import Emitter, Value

__all__: list[str] = []


@opcode("mma")
def multiply(e: Emitter, instruction: Instruction) -> None:
    """``mma.sync``: ``D = A B + C`` in the arithmetic of the architecture's matrix unit."""
    form = form_of(instruction.modifiers)
    if form is None:
        raise unknown(instruction, "only products of f16, bf16, tf32 and f64 are known, row by column")
    _since(e, instruction, form.since)
    d, a, b, c = (_items(operand) for operand in instruction.operands[:4])
    if (len(a), len(b), len(c), len(d)) != (*form.registers, form.registers[2]):
        raise unknown(instruction, f"A, B, C and D of {form.name} have {form.registers} registers")
    e.checks.whole_warp(e)
    places = [_store(e, f"matrix.{name}", each, form) for name, each in (("a", a), ("b", b), ("c", c))]
    type_ = _type(form, "d")
    places.append(e.buffer("matrix.d", LANES * len(d) * (8 if type_ == "b64" else 4)))
    given = ", ".join(f"ptr {place}" for place in places)
    seed = e.slot(Slot.VALUES)
    e.code.effect(f"call void {product(e.module, form)}({given}, i64 {seed})")
    for number, item in enumerate(d):
        e.write(item, load_buffer(e, "matrix.d", llvm_type(type_), number), type_)


def _type(form: Form, matrix: str) -> str:
    """Return the type of the registers of a matrix, as bits."""
    return "b64" if (form.kind if matrix in "ab" else form.total) == "f64" else "b32"


def _store(e: Emitter, name: str, items: tuple[Operand, ...], form: Form) -> str:
    """Put the registers of a matrix into scratch memory, one after the other."""
    type_, place = _type(form, name[-1]), ""
    for number, item in enumerate(items):
        place = store_buffer(e, name, e.read(item, type_), llvm_type(type_), number, len(items))
    return place


def _items(operand: Operand) -> tuple[Operand, ...]:
    return operand.items if isinstance(operand, Vector) else (operand,)


def _since(e: Emitter, instruction: Instruction, architecture: int) -> None:
    """Refuse an instruction that the kernel's architecture does not have."""
    own = e.module.architecture
    if own < architecture:
        raise unknown(instruction, f"it came with sm_{architecture}, and the kernel is compiled for sm_{own}")


@opcode("ldmatrix")
def load_matrix(e: Emitter, instruction: Instruction) -> None:
    """``ldmatrix``: tiles of 8 rows; lane i gives the address of the i-th of them all, 16 bytes long."""
    _since(e, instruction, 75)
    count = _tiles(instruction, _items(instruction.operands[0]))
    host, given = _rows(e, instruction, instruction.operands[1], count, loading=True)
    tiles = e.buffer("tiles", TILE_BYTES * count)
    helper = e.runtime(*gather_tiles(count, instruction.has("trans")))
    e.code.effect(f"call void {helper}(ptr {host}, i32 {given}, ptr {tiles})")
    for number, item in enumerate(_items(instruction.operands[0])):
        e.write(item, load_buffer(e, "tiles", "i32", number), "b32")


@opcode("stmatrix")
def store_matrix(e: Emitter, instruction: Instruction) -> None:
    """``stmatrix``: the way back."""
    _since(e, instruction, 90)
    items = _items(instruction.operands[1])
    count = _tiles(instruction, items)
    for number, item in enumerate(items):
        store_buffer(e, "tiles", e.read(item, "b32"), "i32", number, count)
    host, given = _rows(e, instruction, instruction.operands[0], count, loading=False)
    helper = e.runtime(*scatter_tiles(count, instruction.has("trans")))
    e.code.effect(f"call void {helper}(ptr {host}, i32 {given}, ptr %tiles)")


def _tiles(instruction: Instruction, items: tuple[Operand, ...]) -> int:
    """Return the number of tiles that an instruction moves."""
    count = next((number for number in (1, 2, 4) if instruction.has(f"x{number}")), 0)
    if not instruction.has("m8n8") or not instruction.has("b16") or len(items) != count:
        raise unknown(instruction, "only tiles m8n8 of b16 are known, as .x1, .x2 and .x4")
    return count


def _rows(e: Emitter, instruction: Instruction, operand: Operand, count: int, *, loading: bool) -> tuple[str, str]:
    """Check the rows' addresses; return where they are, and the lanes that gave one as a scalar mask."""
    e.checks.whole_warp(e)
    active: Value = e.active()
    if count * TILE_ROWS < LANES:
        first = e.lanes("i1", [int(lane < count * TILE_ROWS) for lane in range(LANES)])
        active = e.map("and <W x i1> {0}, {1}", active, first)
    access = Access(address(e, operand), active, 16, space_of(instruction), "load" if loading else "store")
    host = store_buffer(e, "addresses", e.checks.access(e, access), "i64")
    return host, e.bits(active)


@opcode("movmatrix")
def move_matrix(e: Emitter, instruction: Instruction) -> None:
    """``movmatrix``: transpose a tile in its registers."""
    _since(e, instruction, 75)
    if not (instruction.has("m8n8") and instruction.has("trans") and instruction.has("b16")):
        raise unknown(instruction, "only tiles m8n8 of b16 are known")
    e.checks.whole_warp(e)
    target, source = instruction.operands
    place = store_buffer(e, "tiles", e.read(source, "b32"), "i32")
    helper = e.runtime(*transpose_tile())
    e.code.effect(f"call void {helper}(ptr {place})")
    e.write(target, load_buffer(e, "tiles", "i32"), "b32")
