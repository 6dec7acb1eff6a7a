"""What integer instructions of PTX compute, in Python's integers, from the text of the manual."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["compare", "compute", "signed"]


def signed(x: int, width: int) -> int:
    """Read bits as a two's complement number."""
    return x - (1 << width) if x >> (width - 1) & 1 else x


def compute(parts: Sequence[str], kind: str, width: int, arguments: Sequence[int]) -> int:
    """Return the result of an instruction, not yet cut to its width; `arguments` are bits of the type `kind`."""
    count = 2 if "wide" in parts else _SIGNED.get(parts[0], len(arguments))
    if kind[0] == "s":
        arguments = [*(signed(x, width) for x in arguments[:count]), *arguments[count:]]
    return _TABLE[parts[0]](parts, kind, width, *arguments)


def _limits(kind: str, width: int) -> tuple[int, int]:
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if kind[0] == "s" else (0, (1 << width) - 1)


def saturated(x: int, kind: str, width: int) -> int:
    """Return the nearest number that the type holds."""
    low, high = _limits(kind, width)
    return min(max(x, low), high)


def compare(name: str, a: int, b: int) -> bool:
    """Compare numbers; `name` is one of PTX's comparisons of integers."""
    name = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}.get(name, name)
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[name]


def _sum(parts: Sequence[str], kind: str, width: int, a: int, b: int) -> int:
    total = a + b if parts[0] == "add" else a - b
    return saturated(total, kind, width) if "sat" in parts else total


def _product(parts: Sequence[str], kind: str, width: int, a: int, b: int, c: int = 0) -> int:
    product = a * b
    if "hi" in parts:
        total = (product >> width) + c
        return saturated(total, kind, width) if "sat" in parts else total
    if "wide" in parts and kind[0] == "s":  # the addend has twice the width and was not read as signed yet
        c = signed(c, 2 * width)
    return product + c


def _product24(parts: Sequence[str], kind: str, width: int, a: int, b: int, c: int = 0) -> int:
    a, b = ((signed(x & 0xFFFFFF, 24) if kind[0] == "s" else x & 0xFFFFFF) for x in (a, b))
    total = (a * b >> 16 if "hi" in parts else signed(a * b & 0xFFFFFFFF, 32) if kind[0] == "s" else a * b) + c
    return saturated(total, kind, width) if "sat" in parts else total


def _quotient(parts: Sequence[str], kind: str, width: int, a: int, b: int) -> int:
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if parts[0] == "div" else a - quotient * b


def _shift(parts: Sequence[str], kind: str, width: int, a: int, amount: int) -> int:
    amount = min(amount, width)
    return a << amount if parts[0] == "shl" else a >> amount


def _funnel(parts: Sequence[str], kind: str, width: int, low: int, high: int, amount: int) -> int:
    amount = amount & 31 if "wrap" in parts else min(amount, 32)
    wide = high << 32 | low
    return wide << amount >> 32 if "l" in parts else wide >> amount


def _highest(parts: Sequence[str], kind: str, width: int, a: int) -> int:
    magnitude = ~a if a < 0 else a
    if not magnitude:
        return 0xFFFFFFFF
    place = magnitude.bit_length() - 1
    return width - 1 - place if "shiftamt" in parts else place


def _extract(parts: Sequence[str], kind: str, width: int, a: int, start: int, length: int) -> int:
    start, length = start & 255, length & 255
    sign = a >> min(start + length - 1, width - 1) & 1 if kind[0] == "s" and length else 0
    result = 0
    for k in range(width):
        result |= (a >> start + k & 1 if k < length and start + k < width else sign) << k
    return result


def _insert(parts: Sequence[str], kind: str, width: int, a: int, b: int, start: int, length: int) -> int:
    start, length = start & 255, length & 255
    mask = (1 << length) - 1 << start & (1 << width) - 1
    return b & ~mask | a << start & mask


def _permute(parts: Sequence[str], kind: str, width: int, a: int, b: int, selector: int) -> int:
    whole = (b << 32 | a).to_bytes(8, "little")
    modes = {
        "f4e": lambda k, c: (k + c) & 7,
        "b4e": lambda k, c: (c - k) & 7,
        "rc8": lambda k, c: c,
        "ecl": lambda k, c: max(k, c),
        "ecr": lambda k, c: min(k, c),
        "rc16": lambda k, c: (c & 1) * 2 + (k & 1),
    }
    result = 0
    for k in range(4):
        if parts[-1] in modes:
            byte = whole[modes[parts[-1]](k, selector & 3)]
        else:
            choice = selector >> 4 * k & 15
            byte = whole[choice & 7]
            byte = (255 if byte & 128 else 0) if choice & 8 else byte
        result |= byte << 8 * k
    return result


def _logic3(parts: Sequence[str], kind: str, width: int, a: int, b: int, c: int, table: int) -> int:
    result = 0
    for k in range(32):
        result |= (table >> ((a >> k & 1) << 2 | (b >> k & 1) << 1 | (c >> k & 1)) & 1) << k
    return result


def _nth(parts: Sequence[str], kind: str, width: int, mask: int, base: int, offset: int) -> int:
    offset = signed(offset, 32)
    if not offset:
        return base if mask >> base & 1 else 0xFFFFFFFF
    places = range(base, 32) if offset > 0 else range(base, -1, -1)
    found = [place for place in places if mask >> place & 1]
    return found[abs(offset) - 1] if len(found) >= abs(offset) else 0xFFFFFFFF


def _dot(parts: Sequence[str], kind: str, width: int, a: int, b: int, c: int) -> int:
    size = 8 if parts[0] == "dp4a" else 16
    first = 2 if "hi" in parts else 0
    for k in range(32 // size):
        x, y = a >> size * k & (1 << size) - 1, b >> 8 * (k + first) & 255
        c += (signed(x, size) if parts[-2][0] == "s" else x) * (signed(y, 8) if parts[-1][0] == "s" else y)
    return c


def _pack(parts: Sequence[str], kind: str, width: int, a: int, b: int, c: int = 0) -> int:
    target = parts[3]
    size = int(target[1:])
    a, b = (saturated(signed(x, 32), target, size) & (1 << size) - 1 for x in (a, b))
    return c << 2 * size | a << size | b


#: Operands that are numbers of a signed type; those behind them are amounts.
_SIGNED = {"shr": 1, "shl": 1, "bfe": 1, "dp4a": 0, "dp2a": 0, "cvt": 0}
_BITS: dict[str, Callable[[int, int], int]] = {
    "not": lambda a, width: ~a,
    "cnot": lambda a, width: int(a == 0),
    "popc": lambda a, width: a.bit_count(),
    "clz": lambda a, width: width - a.bit_length(),
    "brev": lambda a, width: int(f"{a:0{width}b}"[::-1], 2),
    "neg": lambda a, width: -a,
    "abs": lambda a, width: abs(a),
}
_PAIRS: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "min": min,
    "max": max,
}
_TABLE: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("mul", "mad"), _product),
    **dict.fromkeys(("mul24", "mad24"), _product24),
    **dict.fromkeys(("div", "rem"), _quotient),
    **dict.fromkeys(("shl", "shr"), _shift),
    **dict.fromkeys(_BITS, lambda parts, kind, width, a: _BITS[parts[0]](a, width)),
    **dict.fromkeys(_PAIRS, lambda parts, kind, width, a, b: _PAIRS[parts[0]](a, b)),
    "sad": lambda parts, kind, width, a, b, c: c + abs(a - b),
    "shf": _funnel,
    "bfind": _highest,
    "bfe": _extract,
    "bfi": _insert,
    "prmt": _permute,
    "lop3": _logic3,
    "fns": _nth,
    "dp4a": _dot,
    "dp2a": _dot,
    "cvt": _pack,
}
