"""Bit instructions, comparison and choice against Python's integers."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulator.harness import Form
from tests.simulator.python_integers import WIDTH, check, signed


def test_logic_and_shifts() -> None:
    cases: dict[str, Callable[..., int]] = {}
    for letter, width in WIDTH.items():
        two, three, shifted = 2 * letter, 3 * letter, 2 * letter + "r"
        cases[f"{three} and.b{width}"] = lambda a, b: a & b
        cases[f"{three} or.b{width}"] = lambda a, b: a | b
        cases[f"{three} xor.b{width}"] = lambda a, b: a ^ b
        cases[f"{two} not.b{width}"] = lambda a: ~a
        cases[f"{two} cnot.b{width}"] = lambda a: a == 0
        cases[f"{shifted} shl.b{width}"] = lambda a, b, w=width: a << min(b, w)
        cases[f"{shifted} shr.u{width}"] = lambda a, b, w=width: a >> min(b, w)
        cases[f"{shifted} shr.s{width}"] = lambda a, b, w=width: signed(a, w) >> min(b, w)
        for places in (0, 5, width - 1, width, 100):
            cases[f"{two} shl.b{width} %0, %1, {places}"] = lambda a, n=places: a << n
            cases[f"{two} shr.u{width} %0, %1, {places}"] = lambda a, n=places: a >> n
            cases[f"{two} shr.s{width} %0, %1, {places}"] = lambda a, n=places, w=width: signed(a, w) >> n
    cases["rrrr shf.l.wrap.b32"] = lambda a, b, c: ((b << 32 | a) << (c & 31)) >> 32
    cases["rrrr shf.r.wrap.b32"] = lambda a, b, c: (b << 32 | a) >> (c & 31)
    cases["rrrr shf.l.clamp.b32"] = lambda a, b, c: ((b << 32 | a) << min(c, 32)) >> 32
    cases["rrrr shf.r.clamp.b32"] = lambda a, b, c: (b << 32 | a) >> min(c, 32)
    check(cases)


def test_three_input_logic() -> None:
    cases: dict[str, Callable[..., int]] = {}
    for table in (0x00, 0xFF, 0x80, 0xFE, 0x96, 0xE8, 0xCA, 0x1B, 0x7F, 0xAA, 0xCC, 0xF0, 0x2D):

        def reference(a: int, b: int, c: int, table: int = table) -> int:
            result = 0
            for k in range(32):
                index = (a >> k & 1) << 2 | (b >> k & 1) << 1 | (c >> k & 1)
                result |= (table >> index & 1) << k
            return result

        cases[f"rrrr lop3.b32 %0, %1, %2, %3, {table}"] = reference
    asm = (
        "{ .reg .pred p, q; .reg .b32 d; setp.lt.u32 q, %1, %2; lop3.or.b32 d|p, %1, %2, %3, 0x80, q;"
        " selp.b32 %0, 1, d, p; }"
    )
    cases["predicate"] = lambda a, b, c: 1 if a & b & c or a < b else a & b & c
    check(cases, {"predicate": Form(asm, "rrrr")})


def reverse(a: int, width: int) -> int:
    return int(f"{a:0{width}b}"[::-1], 2)


def nth_bit(mask: int, base: int, offset: int) -> int:
    """Follow the manual's loop."""
    if offset == 0:
        return base if mask >> base & 1 else -1
    step, left = (1, offset) if offset > 0 else (-1, -offset)
    place = base
    while 0 <= place < 32:
        left -= mask >> place & 1
        if left == 0:
            return place
        place += step
    return -1


def test_counting() -> None:
    cases: dict[str, Callable[..., int]] = {}
    for letter, width in (("r", 32), ("l", 64)):
        cases[f"r{letter} popc.b{width}"] = lambda a: a.bit_count()
        cases[f"r{letter} clz.b{width}"] = lambda a, w=width: w - a.bit_length()
        cases[f"{2 * letter} brev.b{width}"] = lambda a, w=width: reverse(a, w)
        cases[f"r{letter} bfind.u{width}"] = lambda a: a.bit_length() - 1
        cases[f"r{letter} bfind.shiftamt.u{width}"] = lambda a, w=width: w - a.bit_length() if a else -1

        def magnitude(a: int, w: int = width) -> int:
            x = signed(a, w)
            return ~x if x < 0 else x

        cases[f"r{letter} bfind.s{width}"] = lambda a, f=magnitude: f(a).bit_length() - 1
    asm = (
        "{ .reg .b32 base, off; and.b32 base, %2, 31; and.b32 off, %3, 15; sub.s32 off, off, 7;"
        " fns.b32 %0, %1, base, off; }"
    )
    cases["fns"] = lambda a, b, c: nth_bit(a, b & 31, (c & 15) - 7)
    check(cases, {"fns": Form(asm, "rrrr")})


def field(a: int, start: int, length: int, width: int, sign: bool) -> int:
    """Follow the manual bit by bit."""
    start, length = start & 0xFF, length & 0xFF
    fill = a >> min(start + length - 1, width - 1) & 1 if sign and length else 0
    bits = [a >> (start + k) & 1 if k < length and start + k < width else fill for k in range(width)]
    return sum(bit << k for k, bit in enumerate(bits))


def inserted(a: int, b: int, start: int, length: int, width: int) -> int:
    start, length = start & 0xFF, length & 0xFF
    mask = sum(1 << (start + k) for k in range(min(length, width)) if start + k < width)
    return b & ~mask | a << start & mask


def test_fields() -> None:
    cases: dict[str, Callable[..., int]] = {}
    for letter, width in (("r", 32), ("l", 64)):
        # The low six bits of the operands as places and lengths, so that most of them matter.
        for sign in ("u", "s"):
            asm = f"{{ .reg .b32 p, q; and.b32 p, %2, 0x7f; and.b32 q, %3, 0x7f; bfe.{sign}{width} %0, %1, p, q; }}"
            four, s = f"{2 * letter}rr", sign == "s"
            cases[f"{four} {asm}"] = lambda a, b, c, w=width, s=s: field(a, b & 127, c & 127, w, s)
            cases[f"{four} bfe.{sign}{width}"] = lambda a, b, c, w=width, s=s: field(a, b, c, w, s)
        cases[f"{3 * letter}rr bfi.b{width}"] = lambda a, b, c, d, w=width: inserted(a, b, c, d, w)

    def mask(start: int, size: int) -> int:
        return ((1 << min(size, 32)) - 1) << min(start, 32)

    cases["rrr bmsk.clamp.b32"] = mask
    cases["rrr bmsk.wrap.b32"] = lambda a, b: mask(a & 31, b & 31)
    cases["rrr szext.clamp.u32"] = lambda a, b: a & ((1 << min(b, 32)) - 1)
    cases["rrr szext.clamp.s32"] = lambda a, b: signed(a, min(b, 32)) if b else 0
    cases["rrr szext.wrap.s32"] = lambda a, b: signed(a, b & 31) if b & 31 else 0
    check(cases)


MODES: dict[str, list[int]] = {
    "f4e": [0x3210, 0x4321, 0x5432, 0x6543],
    "b4e": [0x5670, 0x6701, 0x7012, 0x0123],
    "rc8": [0x0000, 0x1111, 0x2222, 0x3333],
    "ecl": [0x3210, 0x3211, 0x3222, 0x3333],
    "ecr": [0x0000, 0x1110, 0x2210, 0x3210],
    "rc16": [0x1010, 0x3232, 0x1010, 0x3232],
}


def permuted(a: int, b: int, selector: int) -> int:
    source = (b << 32 | a).to_bytes(8, "little")
    result = 0
    for k in range(4):
        choice = selector >> 4 * k & 15
        byte = source[choice & 7]
        result |= ((0xFF if byte & 0x80 else 0) if choice & 8 else byte) << 8 * k
    return result


def test_permutation_of_bytes() -> None:
    cases: dict[str, Callable[..., int]] = {"rrrr prmt.b32": permuted}
    for selector in (0x3210, 0x7654, 0x5410, 0x7632, 0x0123, 0x4321, 0xBA98, 0xBB99, 0x7770, 0x6420, 0xF8D1, 0x3333):
        cases[f"rrr prmt.b32 %0, %1, %2, {selector}"] = lambda a, b, s=selector: permuted(a, b, s)
    for mode, selectors in MODES.items():
        cases[f"rrrr prmt.b32.{mode}"] = lambda a, b, c, s=selectors: permuted(a, b, s[c & 3])
    check(cases)


COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def test_comparison_and_choice() -> None:
    cases: dict[str, Callable[..., int]] = {}
    forms: dict[str, Form] = {}
    for letter, width in WIDTH.items():
        for name, function in COMPARISONS.items():
            key = f"setp.{name}.s{width}"
            asm = f"{{ .reg .pred p; setp.{name}.s{width} p, %1, %2; selp.u32 %0, 7, 9, p; }}"
            forms[key] = Form(asm, f"r{2 * letter}")
            cases[key] = lambda a, b, f=function, w=width: 7 if f(signed(a, w), signed(b, w)) else 9
            cases[f"r{2 * letter} set.{name}.u32.u{width}"] = lambda a, b, f=function: -f(a, b)
        for name, like in {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}.items():
            cases[f"r{2 * letter} set.{name}.s32.u{width}"] = lambda a, b, f=COMPARISONS[like]: -f(a, b)
    forms["set.f32"] = Form("{ .reg .f32 x; set.ge.f32.s32 x, %1, %2; mov.b32 %0, x; }", "rrr")
    cases["set.f32"] = lambda a, b: 0x3F800000 if signed(a, 32) >= signed(b, 32) else 0
    for name, combined in {
        "and": lambda p, q: p and q,
        "or": lambda p, q: p or q,
        "xor": lambda p, q: p != q,
    }.items():
        forms[name] = Form(
            "{ .reg .pred p, q, r; .reg .b32 x; setp.lt.s32 r, %3, 50; "
            f"setp.lt.{name}.u32 p|q, %1, %2, !r; selp.b32 x, 1, 0, p; selp.b32 %0, 2, 0, q; or.b32 %0, %0, x; }}",
            "rrrr",
        )

        def both(a: int, b: int, c: int, f: Callable[[bool, bool], bool] = combined) -> int:
            third = not signed(c, 32) < 50
            return f(a < b, third) + 2 * f(not a < b, third)

        cases[name] = both
    cases["rrrr slct.b32.s32"] = lambda a, b, c: a if signed(c, 32) >= 0 else b
    cases["lllr slct.u64.s32"] = lambda a, b, c: a if signed(c, 32) >= 0 else b
    check(cases, forms)
