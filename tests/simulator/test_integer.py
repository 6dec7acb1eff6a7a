"""Integer instructions against Python's integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.devices import every_device, launch
from tests.simulator.harness import Form
from tests.simulator.python_integers import WIDTH, check, clamp, signed, truncated


def test_sums_and_products() -> None:
    cases: dict[str, Callable[..., int]] = {}
    for letter, width in WIDTH.items():
        three, four = 3 * letter, 4 * letter
        cases[f"{three} add.s{width}"] = lambda a, b: a + b
        cases[f"{three} sub.u{width}"] = lambda a, b: a - b
        cases[f"{three} mul.lo.u{width}"] = lambda a, b: a * b
        cases[f"{three} mul.hi.u{width}"] = lambda a, b, w=width: a * b >> w
        cases[f"{three} mul.hi.s{width}"] = lambda a, b, w=width: signed(a, w) * signed(b, w) >> w
        cases[f"{four} mad.lo.s{width}"] = lambda a, b, c: a * b + c
        cases[f"{four} mad.hi.u{width}"] = lambda a, b, c, w=width: (a * b >> w) + c
        cases[f"{four} mad.hi.s{width}"] = lambda a, b, c, w=width: (signed(a, w) * signed(b, w) >> w) + c
        cases[f"{three} min.s{width}"] = lambda a, b, w=width: min(signed(a, w), signed(b, w))
        cases[f"{three} max.u{width}"] = max
        cases[f"{three} max.s{width}"] = lambda a, b, w=width: max(signed(a, w), signed(b, w))
        cases[f"{three} min.u{width}"] = min
        cases[f"{2 * letter} neg.s{width}"] = lambda a: -a
        cases[f"{2 * letter} abs.s{width}"] = lambda a, w=width: abs(signed(a, w))
        cases[f"{four} sad.u{width}"] = lambda a, b, c: c + abs(a - b)
        cases[f"{four} sad.s{width}"] = lambda a, b, c, w=width: c + abs(signed(a, w) - signed(b, w))
    for narrow, wide in ("hr", "rl"):
        width = WIDTH[narrow]
        cases[f"{wide}{narrow}{narrow} mul.wide.u{width}"] = lambda a, b: a * b
        cases[f"{wide}{narrow}{narrow} mul.wide.s{width}"] = lambda a, b, w=width: signed(a, w) * signed(b, w)
        cases[f"{wide}{narrow}{narrow}{wide} mad.wide.u{width}"] = lambda a, b, c: a * b + c
        four = f"{wide}{narrow}{narrow}{wide}"
        cases[f"{four} mad.wide.s{width}"] = lambda a, b, c, w=width: signed(a, w) * signed(b, w) + c
    cases["rrr add.sat.s32"] = lambda a, b: clamp(signed(a, 32) + signed(b, 32), -(2**31), 2**31 - 1)
    cases["rrr sub.sat.s32"] = lambda a, b: clamp(signed(a, 32) - signed(b, 32), -(2**31), 2**31 - 1)
    cases["rrrr mad.hi.sat.s32"] = lambda a, b, c: clamp(
        (signed(a, 32) * signed(b, 32) >> 32) + signed(c, 32), -(2**31), 2**31 - 1
    )
    check(cases)


def test_division() -> None:
    cases: dict[str, Callable[..., int]] = {}
    for letter, width in WIDTH.items():
        three = 3 * letter

        def quotient(a: int, b: int, w: int = width) -> int:
            return truncated(signed(a, w), signed(b, w)) if b else -1

        def remainder(a: int, b: int, w: int = width) -> int:
            x, y = signed(a, w), signed(b, w)
            return x - y * truncated(x, y) if y else x

        cases[f"{three} div.u{width}"] = lambda a, b: a // b if b else -1
        cases[f"{three} rem.u{width}"] = lambda a, b: a % b if b else a
        cases[f"{three} div.s{width}"] = quotient
        cases[f"{three} rem.s{width}"] = remainder
    check(cases)


def test_carry() -> None:
    """128 bits out of 32- and 64-bit pieces, carried through the condition register."""
    forms: dict[str, Form] = {}
    cases: dict[str, Callable[..., int]] = {}
    for letter, width in (("r", 32), ("l", 64)):
        low = (1 << width) - 1
        for name, sign in (("add", 1), ("sub", -1)):
            asm = (
                f"{{ .reg .b{width} x, y; {name}.cc.u{width} x, %1, %2; {name}c.cc.u{width} y, %3, %4;"
                f" {name}c.u{width} %0, x, y; }}"
            )

            def reference(a: int, b: int, c: int, d: int, s: int = sign, w: int = width, m: int = low) -> int:
                x = a + s * b
                y = c + s * d + s * (not 0 <= x <= m)
                return (x & m) + s * (y & m) + s * (not 0 <= y <= m)

            forms[f"{name} {width}"] = Form(asm, 5 * letter)
            cases[f"{name} {width}"] = reference
    asm = (
        "{ .reg .b32 x, y; mad.lo.cc.u32 x, %1, %2, %3; madc.hi.cc.u32 y, %1, %2, %4;"
        " addc.u32 y, y, 0; xor.b32 %0, x, y; }"
    )

    def product(a: int, b: int, c: int, d: int) -> int:
        x = (a * b & 0xFFFFFFFF) + c
        y = (a * b >> 32) + d + (x >> 32)
        return x ^ (y + (y >> 32))

    borrow = "{ .reg .b32 x; sub.cc.u32 x, %1, %2; addc.u32 %0, %3, 0; }"
    forms["no borrow"], cases["no borrow"] = Form(borrow, "rrrr"), lambda a, b, c: c + (a >= b)
    forms["mad"], cases["mad"] = Form(asm, "rrrrr"), product
    check(cases, forms)


@every_device
def test_the_carry_outlives_guards_branches_and_accesses(device: simulator.Device) -> None:
    """A long addition, limb by limb in a loop that lanes leave at different times; some take the carry back."""
    rng = np.random.default_rng(5)
    x = rng.choice(np.array([0, 1, 2**31, 2**32 - 1], np.uint32), (2, 6, 32))
    y = np.zeros((7, 32), np.uint32)
    body = """int i = threadIdx.x; unsigned zero = 0, s;
    asm volatile("add.cc.u32 %0, %1, %1;" : "=r"(s) : "r"(zero));
    #pragma unroll 1
    for (int k = 0; k <= i % 6; k++) {
        asm volatile("addc.cc.u32 %0, %1, %2;" : "=r"(s) : "r"(x[k * 32 + i]), "r"(x[192 + k * 32 + i]));
        y[k * 32 + i] = s;
    }
    asm volatile("{ .reg .pred p; setp.gt.s32 p, %1, 20; @p add.cc.u32 %0, %2, %2; addc.u32 %0, %2, %2; }"
                 : "=r"(s) : "r"(i), "r"(zero));
    y[192 + i] = s;"""
    launch(device, body, [x, y], parameters="const unsigned* x, unsigned* y")
    for i in range(32):
        limbs = [sum(int(each[k, i]) << 32 * k for k in range(i % 6 + 1)) for each in x]
        total = sum(limbs)
        assert [int(each) for each in y[: i % 6 + 1, i]] == [total >> 32 * k & 0xFFFFFFFF for k in range(i % 6 + 1)]
        assert y[6, i] == (total >> 32 * (i % 6 + 1) if i <= 20 else 0)


def halves(function: Callable[[int, int], int], width: int = 16, signs: bool = True) -> Callable[[int, int], int]:
    """Return a function that works on each part of 32 bits."""

    def both(a: int, b: int) -> int:
        result = 0
        for start in range(0, 32, width):
            x, y = (v >> start & ((1 << width) - 1) for v in (a, b))
            if signs:
                x, y = signed(x, width), signed(y, width)
            result |= (function(x, y) & ((1 << width) - 1)) << start
        return result

    return both


def test_parts_of_a_word() -> None:
    cases: dict[str, Callable[..., int]] = {
        "rrr add.u16x2": halves(lambda a, b: a + b),
        "rrr min.u16x2": halves(min, signs=False),
        "rrr max.s16x2": halves(max),
        "rrr max.relu.s16x2": halves(lambda a, b: max(a, b, 0)),
        "rrr mul24.lo.u32": lambda a, b: (a & 0xFFFFFF) * (b & 0xFFFFFF),
        "rrr mul24.hi.u32": lambda a, b: (a & 0xFFFFFF) * (b & 0xFFFFFF) >> 16,
        "rrr mul24.lo.s32": lambda a, b: signed(a, 24) * signed(b, 24),
        "rrr mul24.hi.s32": lambda a, b: signed(a, 24) * signed(b, 24) >> 16,
        "rrrr mad24.lo.s32": lambda a, b, c: signed(a, 24) * signed(b, 24) + c,
    }
    for name, left, right in (("u32.u32", 0, 0), ("s32.u32", 1, 0), ("u32.s32", 0, 1), ("s32.s32", 1, 1)):

        def pick(x: int, k: int, width: int, sign: int) -> int:
            part = x >> (k * width) & ((1 << width) - 1)
            return signed(part, width) if sign else part

        def dp4a(a: int, b: int, c: int, s: int = left, t: int = right, pick: Callable[..., int] = pick) -> int:
            return c + sum(pick(a, k, 8, s) * pick(b, k, 8, t) for k in range(4))

        def dp2a(a: int, b: int, c: int, s: int = left, t: int = right, pick: Callable[..., int] = pick) -> int:
            return c + sum(pick(a, k, 16, s) * pick(b, k, 8, t) for k in range(2))

        cases[f"rrrr dp4a.{name}"] = dp4a
        cases[f"rrrr dp2a.lo.{name}"] = dp2a
        cases[f"rrrr dp2a.hi.{name}"] = lambda a, b, c, f=dp2a: f(a, b >> 16, c)
    check(cases)


@pytest.mark.parametrize("count", [2, 4])
def test_video(count: int) -> None:
    width = 32 // count
    top = (1 << width) - 1
    references: dict[str, tuple[Callable[[int, int], int], bool]] = {
        f"vadd{count}.s32.s32.s32.sat": (lambda a, b: clamp(a + b, -(top // 2) - 1, top // 2), True),
        f"vsub{count}.u32.u32.u32": (lambda a, b: a - b, False),
        f"vavrg{count}.s32.s32.s32": (lambda a, b: (a + b + (a + b >= 0)) >> 1, True),
        f"vmin{count}.s32.s32.s32": (min, True),
        f"vmax{count}.u32.u32.u32": (max, False),
        f"vabsdiff{count}.u32.s32.s32": (lambda a, b: abs(a - b), True),
    }
    cases: dict[str, Callable[..., int]] = {}
    for name, (function, signs) in references.items():
        both = halves(function, width, signs)
        cases[f"rrrr {name}"] = lambda a, b, c, both=both: both(a, b)

    def total(a: int, b: int, c: int) -> int:
        parts = halves(lambda x, y: abs(x - y), width, False)(a, b)
        return c + sum(parts >> start & top for start in range(0, 32, width))

    cases[f"rrrr vabsdiff{count}.u32.u32.u32.add"] = total
    check(cases)
