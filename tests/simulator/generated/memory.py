"""Statements that read and write memory in ways that no other thread can disturb."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulator.generated.writer import Place, Writer

__all__ = [
    "INPUTS",
    "LOCAL_BYTES",
    "MENU",
    "OUTPUTS",
    "TYPES",
    "KernelWriter",
    "address",
    "bytes_of",
    "element",
    "sources",
    "store_result",
    "targets",
    "vector",
]

#: Arrays that a kernel reads: parameter, bytes of an element, and elements. What is a float is no integer elsewhere,
#: since the bits of a NaN are the machine's affair.
INPUTS = {"i": (1, 1024), "f": (4, 128), "d": (8, 128), "e": (2, 256), "b": (2, 256)}
#: Arrays that it writes.
OUTPUTS = {"i": 1, "f": 4, "d": 8, "e": 2, "b": 2}
#: Bytes of a thread's local memory for integers, and of that for float32.
LOCAL_BYTES = (64, 32)
TYPES = {
    "h": ("u16", "s16", "b16", "u8", "s8", "b8"),
    "r": ("b32", "u32", "s32", "u16", "s16", "u8", "s8", "b16"),
    "l": ("b64", "u64", "s64", "b32", "u32", "s32", "u16", "s8"),
    "f": ("f32", "b32"),
    "d": ("f64", "b64"),
    "e": ("b16",),
    "b": ("b16",),
    "q": ("b32",),
}
_ARRAYS = {"h": "i", "r": "i", "l": "i", "f": "f", "d": "d", "e": "e", "q": "e", "b": "b"}


@dataclass
class Region:
    """A part of an output array in which each thread has an element of its own."""

    array: str
    start: int
    letter: str
    kind: str
    place: str


@dataclass
class KernelWriter(Writer):
    """Writes a kernel: besides registers there is memory, and there are other threads.

    Attributes
    ----------
    threads, blocks : int
        Threads of a block, and blocks.
    used : dict
        Bytes of each output array that are given away.
    regions : list
        Where threads have stored something of their own.
    readable : bool
        Threads may now read what others have in shared memory, else each may write what it has.
    """

    threads: int = 32
    blocks: int = 1
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTPUTS, 0))
    regions: list[Region] = field(default_factory=list)
    readable: bool = False

    @property
    def all_threads(self) -> int:
        """Threads of the grid."""
        return self.threads * self.blocks

    @property
    def warps_full(self) -> bool:
        """Whether every warp has 32 threads."""
        return self.threads % 32 == 0


def address(w: Writer, index: str, size: int, base: str) -> str:
    """A register with ``base + index * size``."""
    result = w.fresh("a")
    if w.draws.chance(60):
        w.emit(f"mad.wide.u32 {result}, {index}, {size}, {base};")
    else:
        w.emit(f"mul.wide.u32 {result}, {index}, {size};", f"add.s64 {result}, {result}, {base};")
    return result


def element(w: Writer, count: int) -> str:
    """A register with a number below `count`, a power of two, following one of many patterns."""
    result = w.fresh("t")
    tid = w.extra["r"][0]
    step = w.draws.pick((1, 1, 2, 3, 4, 5, 8, 16))
    way = w.draws.pick(("steps", "steps", "steps", "any", "flipped", "alike"))
    if way == "steps":
        w.emit(f"mad.lo.u32 {result}, {tid}, {step}, {w.draws.integer(0, 40)};")
    elif way == "any":
        w.emit(f"mov.b32 {result}, {w.register('r')};")
    elif way == "flipped":
        w.emit(f"sub.u32 {result}, {w.draws.integer(0, 200)}, {tid};")
    else:
        w.emit(f"add.u32 {result}, {w.register('r', calm=True)}, {w.draws.integer(0, 200)};")
    w.emit(f"and.b32 {result}, {result}, {count - 1};")
    return result


def vector(w: Writer, letter: str, size: int) -> int:
    """How many registers one access may move."""
    if w.draws.chance(75):
        return 1
    count = w.draws.pick((2, 4))
    return count if count * size <= 16 and count <= len(w.wild[letter]) else 1


def targets(w: Writer, letter: str, count: int) -> str:
    """Different registers that one access writes."""
    if count == 1:
        return w.target(letter)
    start = w.draws.integer(0, len(w.wild[letter]) - 1)
    names = [w.wild[letter][(start + k) % len(w.wild[letter])] for k in range(count)]
    return f"{{{', '.join(names)}}}" if count > 1 else names[0]


def sources(w: Writer, letter: str, count: int) -> str:
    """Registers that one access writes to memory."""
    names = [w.register(letter) for _ in range(count)]
    return f"{{{', '.join(names)}}}" if count > 1 else names[0]


def bytes_of(kind: str) -> int:
    """Bytes of a type."""
    return int(kind.lstrip("bsuf")) // 8


def load(w: KernelWriter, place: Place) -> None:
    """Read an input array."""
    letter = w.choose("rrhlfdeqb")
    kind = w.draws.pick(TYPES[letter])
    size = bytes_of(kind)
    count = vector(w, letter, size)
    array = _ARRAYS[letter]
    total = INPUTS[array][0] * INPUTS[array][1] // (size * count)
    where = address(w, element(w, total // 2), size * count, f"%in_{array}")
    offset = w.draws.integer(0, total // 2) * size * count
    if offset and w.draws.chance(30):
        w.emit(f"add.s64 {where}, {where}, {2 * offset};")
        offset = -offset
    name = w.draws.pick(("ld.global", "ld.global", "ld.global.nc", "ld.volatile.global", "ld"))
    many = f".v{count}" if count > 1 else ""
    shown = f"+{offset}" if offset or w.draws.chance(10) else ""
    w.simple(f"{name}{many}.{kind} {targets(w, letter, count)}, [{where}{shown}];")


def constant(w: KernelWriter, place: Place) -> None:
    """Read a table of the module."""
    letter = w.choose("rhl")
    kind = w.draws.pick(TYPES[letter])
    where = address(w, element(w, 128 // bytes_of(kind)), bytes_of(kind), w.draws.pick(("%table", "%tables")))
    space = "const" if w.lines[-1].endswith("%table;") else "global"
    w.simple(f"ld.{space}.{kind} {w.target(letter)}, [{where}];")


def _slot(w: KernelWriter, place: str) -> tuple[str, int]:
    """A register with the place of the thread's own element, and how many places there are."""
    index, total = w.fresh("t"), w.all_threads
    if place == "forward":
        return "%own", total
    if place == "backward":
        w.emit(f"sub.u32 {index}, {total - 1}, %own;")
    elif place == "apart":
        w.emit(f"mad.lo.u32 {index}, %own, 3, 1;")
        return index, 3 * total
    elif place == "turned":  # consecutive threads lie far from each other
        rows = -(-total // 8)
        low = w.fresh("t")
        w.emit(f"and.b32 {low}, %own, 7;", f"shr.u32 {index}, %own, 3;", f"mad.lo.u32 {index}, {low}, {rows}, {index};")
        return index, 8 * rows
    return index, total


def _region(w: KernelWriter, letter: str, kind: str) -> Region:
    """Give away a part of an output array, or find one of the same kind again."""
    same = [each for each in w.regions if each.letter == letter and each.kind == kind]
    if same and w.draws.chance(20):
        return w.draws.pick(same)
    array = _ARRAYS[letter]
    region = Region(array, w.used[array], letter, kind, w.draws.pick(("forward", "backward", "apart", "turned")))
    w.used[array] += -(-3 * (w.all_threads + 8) * bytes_of(kind) // 16) * 16
    w.regions.append(region)
    return region


def _own_address(w: KernelWriter, region: Region) -> str:
    slot, _ = _slot(w, region.place)
    return address(w, slot, bytes_of(region.kind), f"%out_{region.array}")


def store_result(w: KernelWriter, letter: str, source: str) -> None:
    """Write a register to where only this thread writes."""
    if letter == "p":
        number = w.fresh("t")
        w.emit(f"selp.u32 {number}, 1, 0, {source};")
        letter, source = "r", number
    region = _region(w, letter, w.draws.pick(TYPES[letter][:6]))
    where = _own_address(w, region)
    name = w.draws.pick(("st.global", "st.global", "st.volatile.global", "st"))
    w.simple(f"{name}.{region.kind} [{where}+{region.start}], {source};")


def store(w: KernelWriter, place: Place) -> None:
    """Write any register to where only this thread writes."""
    letter = w.choose("rrhlfdeqbp")
    store_result(w, letter, w.register(letter))


def reload(w: KernelWriter, place: Place) -> None:
    """Read what this thread may have written, or update it in one step."""
    if not w.regions:
        return
    region = w.draws.pick(w.regions)
    where = _own_address(w, region)
    if region.kind in ("b32", "u32", "b64", "u64") and region.array == "i" and w.draws.chance(60):
        width = region.kind[1:]
        letter = {"32": "r", "64": "l"}[width]
        name = w.draws.pick((f"exch.b{width}", f"cas.b{width}", f"add.u{width}", f"max.s{width}", f"xor.b{width}"))
        name = w.draws.pick((name, "inc.u32", "dec.u32")) if width == "32" else name
        sources = ", ".join(w.read(letter) for _ in range(2 if name.startswith("cas") else 1))
        w.simple(f"atom.global.{name} {w.target(letter)}, [{where}+{region.start}], {sources};")
    else:
        w.simple(f"ld.global.{region.kind} {w.target(region.letter)}, [{where}+{region.start}];")


def local(w: KernelWriter, place: Place) -> None:
    """Read or write the thread's own memory."""
    letter = w.choose("rrhlf")
    kind = w.draws.pick(TYPES[letter]) if letter != "f" else "f32"
    count = vector(w, letter, bytes_of(kind))
    size = bytes_of(kind) * count
    name, total = ("mine_f", LOCAL_BYTES[1]) if letter == "f" else ("mine_i", LOCAL_BYTES[0])
    base, space = w.fresh("a"), ".local"
    w.emit(f"mov.u64 {base}, {name};")
    if w.draws.chance(30):
        w.emit(f"cvta.local.u64 {base}, {base};")
        space = ""
    where = address(w, element(w, total // size), size, base)
    many = f".v{count}" if count > 1 else ""
    if w.draws.chance(50):
        w.simple(f"ld{space}{many}.{kind} {targets(w, letter, count)}, [{where}];")
    else:
        w.simple(f"st{space}{many}.{kind} [{where}], {sources(w, letter, count)};")


MENU = [(8, load), (2, constant), (6, store), (4, reload), (4, local)]
