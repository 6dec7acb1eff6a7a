"""Products of matrices against the published arithmetic in Python's integers, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import SynccheckError, UnknownInstructionError
from tests.simulator.devices import every_device, launch
from tests.simulator.harness import Array
from tests.simulator.matrices import FORMS, HALF, NARROW, Shape, multiply
from tests.simulator.matrix_operands import bits_of, matrices, spread, usual
from tests.simulator.matrix_unit import AMPERE, HOPPER, Unit, chained, published

UNITS = {"sm_75": AMPERE, "sm_80": AMPERE, "sm_89": AMPERE, "sm_90": HOPPER, "sm_100": HOPPER, "sm_120": HOPPER}
F64 = [shape for shape in FORMS if shape.kind == "f64"]
TF32 = Shape(16, 8, "tf32", "f32")


def expected(shape: Shape, unit: Unit, a: Array, b: Array, c: Array) -> Array:
    """Every element of D."""
    d = np.zeros_like(c)
    for place in np.ndindex(c.shape):
        p, i, j = place
        row, column = a[p, i].tolist(), b[p, :, j].tolist()
        d[place] = published(unit, shape.kind, shape.total, row, column, int(c[place]))
    return d


def same(got: Array, want: Array, a: Array, b: Array, c: Array) -> None:
    wrong = np.argwhere(got != want)
    if len(wrong):
        p, i, j = wrong[0]
        raise AssertionError(
            f"{len(wrong)} of {got.size} differ; [{p}, {i}, {j}] is {got[p, i, j]:#x}, expected {want[p, i, j]:#x} "
            f"of {[*map(hex, a[p, i])]}, {[*map(hex, b[p, :, j])]}, {c[p, i, j]:#x}"
        )


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_120"])
@pytest.mark.parametrize("shape", NARROW, ids=str)
def test_every_form_gives_the_published_bits(shape: Shape, arch: str) -> None:
    """Usual numbers, all exponents, cancellation, zeros, infinities, NaNs, overflow: every bit of every element."""
    a, b, c = matrices(shape, 12 if arch == "sm_120" else 24, seed=1)
    d = multiply(simulator.Device(arch=arch, check=False), shape, a, b, c)
    same(d, expected(shape, UNITS[arch], a, b, c), a, b, c)


@pytest.mark.parametrize("arch", ["sm_75", "sm_89", "sm_100"])
def test_other_architectures(arch: str) -> None:
    """Turing and Ada add like Ampere, Blackwell for data centers like Hopper."""
    shape = Shape(16, 8, "f16", "f32")
    a, b, c = matrices(shape, 6, seed=2)
    d = multiply(simulator.Device(arch=arch, check=False), shape, a, b, c)
    same(d, expected(shape, UNITS[arch], a, b, c), a, b, c)


@pytest.mark.parametrize("shape", F64, ids=str)
def test_float64_is_a_chain_of_fused_multiply_adds(shape: Shape) -> None:
    """In the order of the depth; NaNs are one value."""
    rng = np.random.default_rng(shape.depth)
    a, b, c = (
        np.stack([draw(rng, size, "f64") for draw in (usual, spread)])
        for size in ((shape.rows, shape.depth), (shape.depth, 8), (shape.rows, 8))
    )
    c[0, ::2] = 0
    d = multiply(simulator.Device(arch="sm_80" if shape.rows == 8 else "sm_90", check=False), shape, a, b, c)
    numbers = [each.view(np.float64) for each in (a, b, c)]
    want = np.zeros_like(c)
    for place in np.ndindex(c.shape):
        p, i, j = place
        value = chained(numbers[0][p, i].tolist(), numbers[1][p, :, j].tolist(), float(numbers[2][place]))
        want[place] = np.uint64(value & (1 << 64) - 1)
    nan = np.isnan(d.view(np.float64))
    d[nan] = np.uint64((1 << 64) - 1)
    same(d, want, a, b, c)


EDGES = (-120, -91, -89, -63, -58, -46, -44, 0, 44, 46, 58, 63, 89, 91, 120)


@pytest.mark.parametrize("shape", [Shape(16, 16, "bf16", "f32"), TF32], ids=str)
def test_sizes_at_the_edges_of_the_quick_sum(shape: Shape) -> None:
    """Factors of one size, accumulators of another one or zero: float32 must hold all that is in between."""
    rng = np.random.default_rng(7)
    sizes = np.array([(x, y, z) for x in EDGES for y in (-x, 0, x) for z in (*EDGES[::3], -300)], np.float64)

    def draw(which: int, rows: int, columns: int, kind: str) -> Array:
        values = rng.uniform(1, 1.3, (len(sizes), rows, columns)) * rng.choice([-1, 1], (len(sizes), rows, columns))
        return bits_of(values * 2.0 ** sizes[:, which, None, None], kind)

    a, b = draw(0, 16, shape.depth, shape.kind), draw(1, shape.depth, 8, shape.kind)
    c = draw(2, 16, 8, shape.total)
    rows = slice(0, 16, 8)
    for arch in ("sm_80", "sm_90"):
        d = multiply(simulator.Device(arch=arch, check=False), shape, a, b, c)
        want = expected(shape, UNITS[arch], a[:, rows], b[:, :, :2], c[:, rows, :2])
        same(d[:, rows, :2], want, a[:, rows], b[:, :, :2], c[:, rows, :2])


@every_device
@pytest.mark.parametrize("shape", FORMS, ids=str)
def test_every_device_multiplies_small_integers(device: simulator.Device, shape: Shape) -> None:
    """Several products, in several warps; what is exact is the same on every device, also where values are drawn."""
    rng = np.random.default_rng(5)
    numbers = [rng.integers(-4, 5, (6, *size)) for size in ((shape.rows, shape.depth), (shape.depth, 8))]
    c = rng.integers(-50, 51, (6, shape.rows, 8))
    a, b = (bits_of(each * 1.0, shape.kind) for each in numbers)
    d = multiply(device, shape, a, b, bits_of(c * 1.0, shape.total))
    want = numbers[0] @ numbers[1] + c
    assert np.array_equal(d, bits_of(want * 1.0, shape.total))


MMA = """float d[4] = {}; unsigned a = threadIdx.x, b = 1;
GUARD asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4}, {%5}, {%0,%1,%2,%3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a), "r"(b));
y[threadIdx.x] = d[0];"""


@pytest.mark.parametrize(
    ("guard", "block", "says"),
    [
        ("if (threadIdx.x % 32 < 16)", 32, "lanes 16, 17, 18, 19, 20, 21, 22, 23, ... never come"),
        ("if (threadIdx.x == 5) return;", 32, "needs all 32 lanes, and lane 5 is not there"),
        ("", 48, "needs all 32 lanes, and lanes 16, 17"),
    ],
)
def test_a_warp_that_is_not_whole_is_reported(guard: str, block: int, says: str) -> None:
    """A divergent branch, a lane that has left, a block that ends within a warp."""
    y = np.zeros(64, np.float32)
    fine = MMA.replace("GUARD", "if (threadIdx.x / 32 == 0)")
    launch(simulator.Device(), fine, [y], block=64, parameters="float* y")
    body = MMA.replace("GUARD", guard)
    if "%" in guard:
        body = body.replace("y[threadIdx.x] = d[0];", "else d[0] = 1; __syncwarp(); y[threadIdx.x] = d[0];")
    with pytest.raises(SynccheckError, match="mma.sync") as caught:
        launch(simulator.Device(), body, [y], block=block, parameters="float* y")
    assert says in str(caught.value)
    launch(simulator.Device(check=False), body, [y], block=block, parameters="float* y")


def test_lanes_meet_before_a_product() -> None:
    """Both arms of a branch end at one product, after loops of different length."""
    a = np.zeros((16, 8))
    a[np.arange(16), np.arange(16) % 8] = 1
    body = """int i = threadIdx.x; float d[4] = {}; unsigned a[2], b = 0x3c00; int n = 0;
    if (i & 1) for (int k = 0; k < i; k++) n += x[k]; else n = x[i] * i;
    a[0] = n == i ? 0x3c003c00 : 0; a[1] = a[0];
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b));
    for (int k = 0; k < 4; k++) y[4 * i + k] = d[k];"""
    for device in (simulator.Device(), simulator.Device(check=False), simulator.Device(check=False, seed=1)):
        y = np.zeros((32, 4), np.float32)
        launch(device, body, [np.ones(32, np.int32), y], parameters="const int* x, float* y")
        assert (y == 4).all()


@pytest.mark.parametrize(
    ("arch", "says", "instruction"),
    [
        ("sm_90", "only products of", "m8n8k4.row.col.f32.f16.f16.f32 {f,f,f,f,f,f,f,f},{r,r},{r,r},{f,f,f,f,f,f,f,f}"),
        ("sm_90", "only products of", "m16n8k32.row.col.s32.s8.s8.s32 {r,r,r,r},{r,r,r,r},{r,r},{r,r,r,r}"),
        ("sm_90", "only products of", "m16n8k32.row.col.f32.e4m3.e4m3.f32 {f,f,f,f},{r,r,r,r},{r,r},{f,f,f,f}"),
        ("sm_90", "only products of", "m16n8k16.row.col.f32.bf16.f16.f32 {f,f,f,f},{r,r,r,r},{r,r},{f,f,f,f}"),
        ("sm_90", "have (4, 2, 4) registers", "m16n8k16.row.col.f32.f16.f16.f32 {f,f,f,f},{r,r},{r,r},{f,f,f,f}"),
        ("sm_75", "came with sm_80", "m16n8k8.row.col.f32.bf16.bf16.f32 {f,f,f,f},{r,r},{r},{f,f,f,f}"),
        ("sm_80", "came with sm_90", "m16n8k4.row.col.f64.f64.f64.f64 {d,d,d,d},{d,d},{d},{d,d,d,d}"),
    ],
)
def test_other_forms_are_refused(arch: str, says: str, instruction: str) -> None:
    """Volta's tile, integers, eight bits, forms that do not exist, forms of later architectures."""
    refused(arch, says, f"mma.sync.aligned.{instruction}")


@pytest.mark.parametrize(
    "instruction",
    [
        "mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {f,f,f,f},{r,r},{r,r},{f,f,f,f},r,0",
        "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {f,f},{r},{r},{f,f}",
    ],
)
def test_other_instructions_are_refused_by_name(instruction: str) -> None:
    """Sparse matrices; the older interface."""
    refused("sm_90", instruction.split()[0], instruction)


def refused(arch: str, says: str, instruction: str) -> None:
    asm = f"{{ .reg .b32 r; .reg .f32 f; .reg .f64 d; {instruction}; }}"
    with pytest.raises(UnknownInstructionError, match="does not know the instruction") as caught:
        launch(simulator.Device(arch=arch), f'asm volatile("{asm}");', [], parameters="")
    assert says in str(caught.value)


def test_products_are_counted_as_a_class_of_their_own() -> None:
    device = simulator.Device()
    a, b, c = matrices(HALF, 2, seed=0)
    multiply(device, HALF, a, b, c)
    report = device.report.kernels["f"]
    assert report.warp_instructions["matrix"] == 2
    assert report.thread_instructions["matrix"] == 64
