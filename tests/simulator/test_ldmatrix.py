"""Tiles of 8 by 8 elements of 16 bits: loads, stores, transposition, and what the checks say of them."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import InitcheckError, MemcheckError, RacecheckError, SynccheckError, UnknownInstructionError
from tests.simulator.devices import every_device, launch, unchecked
from tests.simulator.harness import Array

#: Shared memory of 64 rows of 8 elements; each lane takes a row from the array `rows`.
SETUP = """__shared__ __align__(16) unsigned short s[64 * 8]; int i = threadIdx.x;
for (int k = i; k < 512; k += 32) s[k] = x[k];
__syncwarp(); unsigned p = __cvta_generic_to_shared(s) + 16 * rows[i]; unsigned r[4] = {};"""
PARAMETERS = "const unsigned short* x, const int* rows, unsigned* y"


def assembly(opcode: str, count: int, options: str, address: str = "p", constraint: str = "r") -> str:
    """Return the line that loads into, or stores from, ``r``."""
    registers = ", ".join(f"%{k}" for k in range(count))
    name = f"{opcode}.sync.aligned.m8n8.x{count}{options}.b16"
    if opcode == "ldmatrix":
        outputs = ", ".join(f'"=r"(r[{k}])' for k in range(count))
        return (
            f'asm volatile("{name} {{{registers}}}, [%{count}];" : {outputs} : "{constraint}"({address}) : "memory");'
        )
    inputs = ", ".join(f'"r"(r[{k}])' for k in range(count))
    return f'asm volatile("{name} [%{count}], {{{registers}}};" : : {inputs}, "{constraint}"({address}) : "memory");'


def fragments(tiles: Array) -> Array:
    """Return what the registers of 32 lanes hold of tiles (count, 8, 8): (lanes, count)."""
    pairs = np.ascontiguousarray(tiles).reshape(len(tiles), 32, 2).astype(np.uint32)
    return (pairs[..., 0] | pairs[..., 1] << 16).T


def operands(seed: int = 0) -> tuple[Array, Array]:
    """Return contents of shared memory, and the row that each lane names."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << 16, (64, 8)).astype(np.uint16), rng.permutation(64)[:32].astype(np.int32)


@every_device
@pytest.mark.parametrize("options", [".shared", ".trans.shared", "", ".trans", ".shared::cta"])
def test_loads(device: simulator.Device, options: str) -> None:
    """One, two and four tiles; rows from anywhere, each tile's from eight lanes; only these lanes' addresses count."""
    x, rows = operands()
    y = np.zeros((3, 32, 4), np.uint32)
    place, constraint = ("p", "r") if ".shared" in options else ("(char*)s + 16 * rows[i]", "l")
    body = SETUP
    for number, count in enumerate((1, 2, 4)):
        body += assembly("ldmatrix", count, options, f"{place} + (i < {8 * count} ? 0 : 1 << 20)", constraint)
        body += f"for (int k = 0; k < {count}; k++) y[{128 * number} + 4 * i + k] = r[k];"
    launch(device, body, [x, rows, y], parameters=PARAMETERS)
    for number, count in enumerate((1, 2, 4)):
        tiles = x[rows[: 8 * count]].reshape(count, 8, 8)
        want = fragments(tiles.transpose(0, 2, 1) if "trans" in options else tiles)
        assert np.array_equal(y[number, :, :count], want)


@every_device
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("options", [".shared", ".trans"])
def test_stores(device: simulator.Device, count: int, options: str) -> None:
    """Registers go to the rows that lanes name, and nowhere else."""
    x, rows = operands(1)
    tiles = np.random.default_rng(2).integers(0, 1 << 16, (count, 8, 8)).astype(np.uint16)
    given = np.zeros((32, 4), np.uint32)
    given[:, :count] = fragments(tiles)
    result = np.zeros((64, 8), np.uint16)
    named = rows.copy()
    named[8 * count :] = 1 << 20
    address, constraint = ("p", "r") if "shared" in options else ("(char*)s + 16 * rows[i]", "l")
    body = SETUP + "for (int k = 0; k < 4; k++) r[k] = y[4 * i + k];"
    body += "__syncwarp();" + assembly("stmatrix", count, options, address, constraint)
    body += "__syncwarp(); for (int k = i; k < 512; k += 32) z[k] = s[k];"
    launch(device, body, [x, named, given, result], parameters=PARAMETERS + ", unsigned short* z")
    want = x.copy()
    want[rows[: 8 * count]] = (tiles.transpose(0, 2, 1) if "trans" in options else tiles).reshape(-1, 8)
    assert np.array_equal(result, want)


@every_device
def test_transposition_in_registers(device: simulator.Device) -> None:
    tile = np.random.default_rng(3).integers(0, 1 << 16, (1, 8, 8)).astype(np.uint16)
    y = fragments(tile)[:, 0].copy()
    body = 'unsigned r; asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(y[threadIdx.x]));'
    launch(device, body + "y[threadIdx.x] = r;", [y], parameters="unsigned* y")
    assert np.array_equal(y, fragments(tile.transpose(0, 2, 1))[:, 0])


PRODUCT = """__shared__ __align__(16) unsigned short a[16 * 24], b[16 * 8]; int i = threadIdx.x;
for (int k = i; k < 256; k += 32) a[k / 16 * 24 + k % 16] = x[k];
for (int k = i; k < 128; k += 32) b[k] = w[k];
__syncwarp();
unsigned p = __cvta_generic_to_shared(a + i % 16 * 24 + i / 16 * 8), q = __cvta_generic_to_shared(b + i % 16 * 8);
unsigned r[4], t[2]; float d[4] = {};
asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
    : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(p));
asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(t[0]), "=r"(t[1]) : "r"(q));
asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
    : "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]), "r"(t[0]), "r"(t[1]));
for (int k = 0; k < 4; k++) y[(i / 4 + k / 2 * 8) * 8 + i % 4 * 2 + k % 2] = d[k];"""


@every_device
def test_from_shared_memory_to_a_product(device: simulator.Device) -> None:
    """A by rows in a padded tile, B by rows and transposed on the way, as in attention."""
    rng = np.random.default_rng(4)
    a, b = rng.integers(-8, 9, (16, 16)).astype(np.float16), rng.integers(-8, 9, (16, 8)).astype(np.float16)
    y = np.zeros((16, 8), np.float32)
    parameters = "const unsigned short* x, const unsigned short* w, float* y"
    launch(device, PRODUCT, [a.view(np.uint16), b.view(np.uint16), y], parameters=parameters)
    assert np.array_equal(y, a.astype(np.float32) @ b.astype(np.float32))


@pytest.mark.parametrize("opcode", ["ldmatrix", "stmatrix"])
def test_addresses_are_checked_row_by_row(opcode: str) -> None:
    """Behind the end, and not a multiple of 16; the lane that gave the address is named."""
    x, rows = operands()
    y = np.zeros((32, 4), np.uint32)
    verb = "read" if opcode == "ldmatrix" else "write"
    for change, says in (
        ("rows[11] = 64", f"Invalid __shared__ {verb} of size 16 bytes: byte 1024"),
        ("", "misaligned"),
    ):
        wrong = rows.copy()
        if change:
            wrong[11] = 64
        line = assembly(opcode, 2, ".shared", "p" if change else "p + 2 * (i == 11)")
        with pytest.raises(MemcheckError, match=opcode) as caught:
            launch(simulator.Device(), SETUP + line, [x, wrong, y], parameters=PARAMETERS)
        assert says in str(caught.value)
        assert "thread (11, 0, 0)" in str(caught.value)


LOAD = assembly("ldmatrix", 1, ".shared", "(unsigned)__cvta_generic_to_shared(s) + 16 * (i % 8)")
MOVE = 'asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(r[0]));'
STORE = assembly("stmatrix", 1, ".shared", "(unsigned)__cvta_generic_to_shared(s) + 16 * (i % 8)")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(["s[i] = i; s[i + 32] = 0;", LOAD], id="a load after stores"),
        pytest.param(["s[i] = i; s[i + 32] = 0; __syncwarp();" + LOAD, "s[i] = r[0];"], id="a store after a load"),
        pytest.param([STORE, "r[0] = s[i];"], id="a read after a tile's store"),
        pytest.param([STORE, LOAD.replace("i % 8", "i * 3 % 8")], id="a tile's load after its store"),
        pytest.param(["s[i] = i; s[i + 32] = 0;" + MOVE, LOAD], id="a move of registers orders no memory"),
    ],
)
def test_tiles_take_part_in_races(steps: list[str]) -> None:
    """Rows are accesses of the lanes that name them; a matrix instruction orders nothing."""
    y = np.zeros(32, np.uint32)
    start = "__shared__ __align__(16) unsigned short s[64]; int i = threadIdx.x; unsigned r[4] = {};"
    end = "y[i] = r[0];"
    launch(simulator.Device(), start + "__syncwarp();".join(steps) + end, [y], parameters="unsigned* y")
    with pytest.raises(RacecheckError, match="'s'"):
        launch(simulator.Device(), start + "".join(steps) + end, [y], parameters="unsigned* y")


def test_a_row_that_nobody_wrote() -> None:
    body = """__shared__ __align__(16) unsigned short s[64]; int i = threadIdx.x; unsigned r[4] = {};
    s[i] = 1; if (i != 29) s[i + 32] = 2; __syncthreads();"""
    y = np.zeros(32, np.uint32)
    with pytest.raises(InitcheckError, match=r"(?s)Uninitialized __shared__.*ldmatrix"):
        launch(simulator.Device(), body + LOAD + "y[i] = r[0];", [y], parameters="unsigned* y")


@pytest.mark.parametrize("opcode", ["ldmatrix", "stmatrix"])
@pytest.mark.parametrize(
    ("count", "place", "conflicts"),
    [
        (4, "16 * i", 0),
        (4, "128 * i", 28),
        (4, "144 * i", 0),
        (4, "128 * i + 16 * (i % 8)", 0),
        (4, "64 * i", 12),
        (2, "128 * i", 14),
        (1, "128 * i", 7),
        (1, "0", 0),
    ],
)
def test_conflicts_of_banks(opcode: str, count: int, place: str, conflicts: int) -> None:
    """A tile is one pass where its eight rows lie in different banks: by themselves, padded, or swizzled."""
    if opcode == "stmatrix" and place == "0":
        return  # eight rows in one place are a race
    body = f"""__shared__ __align__(128) unsigned char s[5000]; int i = threadIdx.x; unsigned r[4] = {{}};
    for (int k = i; k < 5000; k += 32) s[k] = 0;
    __syncwarp(); unsigned p = __cvta_generic_to_shared(s) + {place};"""
    device = simulator.Device()
    with_tiles = body + assembly(opcode, count, ".shared") + "if (r[0]) y[i] = 1;"
    launch(device, with_tiles, [np.zeros(32, np.uint32)], parameters="unsigned* y")
    assert device.report.kernels["f"].bank_conflicts == conflicts
    memory = device.report.kernels["f"].memory["shared read" if opcode == "ldmatrix" else "shared write"]
    assert memory.units - memory.ideal == conflicts


def test_lanes_that_do_not_come_are_reported() -> None:
    x, rows = operands()
    y = np.zeros((32, 4), np.uint32)
    for opcode in ("ldmatrix", "stmatrix"):
        line = assembly(opcode, 1, ".shared")
        with pytest.raises(SynccheckError, match=opcode):
            launch(simulator.Device(), SETUP + f"if (i < 8) {{ {line} }}", [x, rows, y], parameters=PARAMETERS)


@unchecked
def test_rows_of_lanes_that_have_exited_are_left_alone(device: simulator.Device) -> None:
    """Without checks their addresses are not used: such a row reads as zeros, and is not written."""
    x, rows = operands()
    rows[20:] = 1 << 24
    y = np.zeros((32, 4), np.uint32)
    body = SETUP + 'asm volatile("" : "+r"(p)); if (i >= 20) return;' + assembly("ldmatrix", 4, ".shared")
    body += assembly("stmatrix", 4, ".shared") + "for (int k = 0; k < 4; k++) y[4 * i + k] = r[k];"
    launch(device, body, [x, rows, y], parameters=PARAMETERS)
    tiles = np.zeros((4, 8, 8), np.uint16)
    tiles.reshape(32, 8)[:20] = x[rows[:20]]
    assert np.array_equal(y[:20], fragments(tiles)[:20])


@pytest.mark.parametrize(
    ("arch", "instruction", "says"),
    [
        ("sm_80", "stmatrix.sync.aligned.m8n8.x1.shared.b16 [r], {r}", "came with sm_90"),
        ("sm_120", "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {r, q}, [r]", "only tiles m8n8"),
        ("sm_90", "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {r}, [r]", "only tiles m8n8"),
    ],
)
def test_other_tiles_are_refused(arch: str, instruction: str, says: str) -> None:
    asm = f"{{ .reg .b32 r; .reg .b32 q; mov.b32 r, 0; {instruction}; }}"
    with pytest.raises(UnknownInstructionError, match=says):
        launch(simulator.Device(arch=arch), f'asm volatile("{asm}");', [], parameters="")
