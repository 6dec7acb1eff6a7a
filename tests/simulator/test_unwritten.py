"""Registers that are read before they are written: reported where they decide something, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import InitcheckError
from tests.simulator.harness import Array

ASM = 'extern "C" __global__ void f(int* x) {{ int t = threadIdx.x, v; {body} }}'


def run(body: str, seed: int | None = None) -> Array:
    """Run a body on 64 threads."""
    x = np.arange(256, dtype=np.int32)
    with simulator.Device(seed=seed):
        simulator.RawKernel(ASM.format(body=body), "f")((2 if "blockIdx" in body else 1,), (64,), (x,))
    return x


def asm(text: str) -> str:
    """Inline PTX with an unwritten register ``u``, a predicate ``p`` (t < 40) and ``%0`` as its result."""
    return (
        'asm volatile("{ .reg .b32 u; .reg .pred p, q; setp.lt.s32 p, %1, 40; '
        + text
        + ' }" : "=r"(v) : "r"(t), "l"(x) : "memory");'
    )


FAULTS = {
    "stored": asm("add.s32 %0, u, 1;") + "x[t] = v;",
    "written in some lanes": asm("@p mov.b32 u, 5; add.s32 %0, u, 1;") + "x[t] = v;",
    "an address": asm(".reg .b64 a; cvt.u64.u32 a, u; add.u64 a, a, %2; ld.global.u32 %0, [a];"),
    "a branch": asm("setp.eq.s32 q, u, 3; mov.b32 %0, 1; @q bra DONE; mov.b32 %0, 2; DONE:") + "x[t] = v;",
    "a guard": asm("setp.eq.s32 q, u, 3; mov.b32 %0, 1; @q st.global.u32 [%2], %0;"),
    "a selection by it": asm("setp.eq.s32 q, u, 3; selp.b32 %0, 1, 2, q;") + "x[t] = v;",
    "all bits of it": asm("and.b32 %0, u, u;") + "x[t] = v;",
    "added to memory": asm("atom.global.add.u32 %0, [%2], u;"),
    "after a loop": asm(
        "mov.b32 %0, 0; AGAIN: add.s32 %0, %0, 1; setp.lt.s32 q, %0, %1; @q mov.b32 u, %0; @q bra AGAIN; mov.b32 %0, u;"
    )
    + "x[t] = v;",
}
HARMLESS = {
    "written in all lanes": asm("mov.b32 u, 7; add.s32 %0, u, 1;") + "x[t] = v;",
    "dropped by a selection": asm("@p mov.b32 u, 5; add.s32 %0, u, 1; selp.b32 %0, %0, 0, p;") + "x[t] = v;",
    "masked out": asm("shl.b32 %0, %1, 8; bfi.b32 %0, %1, u, 0, 32; and.b32 %0, %0, 255;") + "x[t] = v;",
    "never used": asm("add.s32 u, u, 1; mov.b32 %0, 3;") + "x[t] = v;",
    "written where it is stored": asm(
        ".reg .b64 a; mul.wide.u32 a, %1, 4; add.u64 a, a, %2; @p mov.b32 u, 5; @p st.global.u32 [a], u; mov.b32 %0, 0;"
    ),
    "a half of a word": asm(".reg .b16 h, l; mov.b16 l, 3; mov.b32 %0, {l, h}; mov.b32 {l, h}, %0; cvt.u32.u16 %0, l;")
    + "x[t] = v;",
    "from another block": asm("@p mov.b32 u, 5; mov.b32 %0, 5; @p mov.b32 %0, u;")
    + "if (t < 40) x[blockIdx.x * 64 + t] = v;",
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_an_unwritten_register_decides(what: str) -> None:
    with pytest.raises(
        InitcheckError, match=r"(?s)Uninitialized register read.*by thread \(\d+, 0, 0\) in block.*line 1"
    ):
        run(FAULTS[what])


def test_the_lanes_that_did_not_write_are_named() -> None:
    for seed in (None, 1):
        with pytest.raises(InitcheckError, match=r"by thread \((40|4\d|5\d|6\d), 0, 0\)"):
            run(FAULTS["written in some lanes"], seed)


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_not_matter_is_not_reported(what: str) -> None:
    run(HARMLESS[what])


#: Sums over the lanes of a warp by shuffles. The first two read lanes that are not there, the others drop what comes.
SUMS = {
    "a block that is no whole warp": (
        "for (int d = 16; d; d /= 2) v += __shfl_down_sync(~0u, v, d); if (t == 0) x[t] = v;", 20, 20),
    "a mask that does not name them": (
        "if (t < 20) { for (int d = 16; d; d /= 2) v += __shfl_down_sync(m, v, d); x[t] = v; }", 20, 64),
    "of that block, guarded": (
        "for (int d = 16; d; d /= 2) { int w = __shfl_down_sync(~0u, v, d); v += t % 32 + d < n ? w : 0; }"
        " if (t == 0) x[t] = v;", 20, 20),
    "of that mask, guarded": (
        "if (t < n) { for (int d = 1; d < 32; d *= 2) { int w = __shfl_up_sync(m, v, d); if (t >= d) v += w; }"
        " int w = __shfl_down_sync(m, v, 1); if (t == n - 1) x[0] = v; else if (w < 0) x[t] = w; }", 20, 64),
    "of whole warps": (
        "for (int d = 16; d; d /= 2) v += __shfl_down_sync(~0u, v, d); x[t] = v;", 32, 64),
    "of tiles": (
        "for (int d = 2; d; d /= 2) v += __shfl_down_sync(m, v, d, 4); if (t % 4 == 0) x[t] = v;", 4, 20),
}  # fmt: skip


def summed(what: str, device: simulator.Device) -> None:
    body, count, threads = SUMS[what]
    code = f"""extern "C" __global__ void k(int* x, int n) {{ int t = threadIdx.x, v = 1;
        unsigned m = __ballot_sync(~0u, t < n); if (n == 4) m = 0xfu << (t & 28); {body} }}"""
    x = np.zeros(threads, np.int32)
    with device:
        simulator.RawKernel(code, "k")((1,), (threads,), (x, np.int32(count)))
    assert x[0] == count


@pytest.mark.parametrize("what", list(SUMS)[:2])
def test_what_a_shuffle_brings_from_a_lane_that_takes_no_part(what: str) -> None:
    for seed in (None, 1)[: 1 + ("mask" in what)]:
        with pytest.raises(InitcheckError, match=r"(?s)a shuffle brought it.*by thread"):
            summed(what, simulator.Device(seed=seed))
    for device in (simulator.Device(check=False), simulator.Device(check=False, fast=False)):
        with pytest.raises(AssertionError):
            summed(what, device)


@pytest.mark.parametrize("what", list(SUMS)[2:])
def test_a_shuffle_whose_result_is_dropped_there_is_fine(what: str) -> None:
    devices = simulator.Device(), simulator.Device(check=False)
    for device in devices:
        summed(what, device)


PADDED = """struct Mixed { char a; double b; float c; };
extern "C" __global__ void k(float* y, Mixed* z, int n) { int t = threadIdx.x; """
FILLED = "__shared__ float4 s[32]; s[t].x = s[t].y = s[t].z = t; __syncthreads(); float4 v = s[31 - t];"
MIXED = "s[n * t].a = t; s[n * t].b = t / 2.0; s[n * t].c = 3; __syncthreads();"
SHORT = "struct Short { char a; int b; short c; }; __shared__ Short s[64]; Short* out = (Short*) z;" + MIXED
COPIES = {
    "three of four numbers": (FILLED + "y[t] = v.x + v.y + v.z;", None),
    "the fourth of four": (FILLED + "y[t] = v.x + v.w;", "__shared__ memory"),
    "a structure in shared memory": ("__shared__ Mixed s[32];" + MIXED + "z[t] = s[31 - t];", None),
    "one that nobody wrote": ("__shared__ Mixed s[64];" + MIXED + "z[t] = s[63 - t];", "__shared__ memory"),
    "a structure in local memory": (
        "Mixed s[4]; for (int i = 0; i < 4; ++i) { s[i].a = t; s[i].b = i; s[i].c = t; } Mixed v = s[n & 3];"
        " s[t & 3] = v; z[t] = s[(t + n) & 3];", None),
    "one of them unwritten": (
        "Mixed s[4]; for (int i = 0; i < 3; ++i) { s[i].a = t; s[i].b = i; s[i].c = t; } z[t] = s[(t + n) & 3];",
        "__local__ memory"),
    "padding inside a number of four bytes": (SHORT + "out[t] = s[31 - t];", None),
    "one of those that nobody wrote": (SHORT + "out[t] = s[32 + t];", "__shared__ memory"),
}  # fmt: skip


@pytest.mark.parametrize("what", COPIES)
def test_padding_is_taken_along_unwritten(what: str) -> None:
    body, says = COPIES[what]
    kernel = simulator.RawKernel(f"{PADDED}{body} }}", "k")
    mixed = np.dtype([("a", "i1"), ("b", "f8"), ("c", "f4")], align=True)
    args = np.zeros(32, np.float32), np.zeros(32, mixed), np.int32(1)
    with simulator.Device():
        if says is None:
            kernel((1,), (32,), args)
            return
        with pytest.raises(InitcheckError, match=f"Uninitialized {says} read"):
            kernel((1,), (32,), args)


def test_padding_in_global_memory_and_behind_generic_pointers() -> None:
    code = """struct Mixed { char a; double b; float c; };
    extern "C" __global__ void k(Mixed* x, Mixed* y, int n) { int t = threadIdx.x; __shared__ Mixed s[32];
        Mixed* p = n ? s : x; p[t].a = t; p[t].b = 2; if (n < 2) p[t].c = 3; __syncthreads(); y[t] = p[31 - t]; }"""
    kernel = simulator.RawKernel(code, "k")
    mixed = np.dtype([("a", "i1"), ("b", "f8"), ("c", "f4")], align=True)
    for n, says in ((0, None), (1, None), (2, "__shared__ memory read of size 8")):
        with simulator.Device() as made:
            x, y = made.empty(32, mixed), made.empty(32, mixed)
            if says is None:
                kernel((1,), (32,), (x, y, n))
                made.require_written(y)
                if n == 0:
                    made.require_written(x)
                continue
            with pytest.raises(InitcheckError, match=f"Uninitialized {says}"):
                kernel((1,), (32,), (x, y, n))
