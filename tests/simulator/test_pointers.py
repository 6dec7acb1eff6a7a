"""Calls through pointers to functions, and virtual ones."""

from __future__ import annotations

import pytest

from cupysoft import simulator
from cupysoft.errors import TrapError
from tests.simulator.devices import every_device, ints, launch

POINTERS = """struct Pair { double a; int b[3]; };
__device__ __noinline__ int twice(int x, Pair p) { return 2 * x + p.b[x % 3]; }
__device__ __noinline__ int square(int x, Pair p) { p.b[x % 3] += 1; return x * x + (int)p.a + p.b[x % 3]; }
__device__ __noinline__ int other(int x) { return x - 1000; }
typedef int (*Of)(int, Pair);
__device__ Of table[3] = {twice, nullptr, square};
struct Shape { __device__ virtual int area(int x) const = 0; };
struct Square : Shape { __device__ int area(int x) const override { return x * x; } };
struct Strip : Shape {
    int w;
    __device__ Strip(int w) : w(w) {}
    __device__ int area(int x) const override { return x * w; }
};
"""


@every_device
def test_functions_called_through_pointers(device: simulator.Device) -> None:
    """From a table, each lane its own; stored in memory; and virtual ones."""
    y = ints(4, 32)
    body = """int i = threadIdx.x; __shared__ Of kept[32]; Pair p = {3.5, {i, 7, -i}};
    y[i] = table[i & 2](i, p);
    kept[i] = i < 5 ? square : twice; __syncwarp(); y[32 + i] = kept[31 - i](i, p);
    int (*single)(int) = other; if (y[0] != 0) single = nullptr; y[64 + i] = single(i);
    Square a; Strip b(i + 1); const Shape* s = i % 3 ? (const Shape*)&a : &b; y[96 + i] = s->area(i);"""
    launch(device, body, [y], before=POINTERS)
    pairs = [[i, 7, -i] for i in range(32)]
    twice = [2 * i + pairs[i][i % 3] for i in range(32)]
    square = [i * i + 3 + pairs[i][i % 3] + 1 for i in range(32)]
    assert y[0].tolist() == [square[i] if i & 2 else twice[i] for i in range(32)]
    assert y[1].tolist() == [square[i] if i > 26 else twice[i] for i in range(32)]
    assert y[2].tolist() == [i - 1000 for i in range(32)]
    assert y[3].tolist() == [i * i if i % 3 else i * (i + 1) for i in range(32)]


def test_a_pointer_to_no_function_names_the_thread() -> None:
    body = "Pair p = {}; int i = threadIdx.x; y[i] = table[i == 9](i, p);"
    with pytest.raises(TrapError, match=r"(?s)pointer to no function.*\(9, 0, 0\)"):
        launch(simulator.Device(), body, [ints(32)], before=POINTERS)
