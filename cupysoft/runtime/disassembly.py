"""The machine code of a cubin as instructions, through NVIDIA's disassembler, which needs no GPU."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cupysoft.errors import CompileError, MissingDependencyError

__all__ = ["Instruction", "Place", "disassembled", "disassembler"]

#: A line of a source file: the last two parts of its path, and the number.
Place = tuple[str, int]

_SECTION = re.compile(r"^\s*\.section\s+\.text\.(\S+?),")
_LABEL = re.compile(r"^(\.L_x_\d+|\$\S+):")
_PLACE = re.compile(r'//## File "([^"]+)", line (\d+)')
_INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Za-z0-9_.]*)\s*(.*?)\s*;")
_TARGET = re.compile(r"`\(([^)]+)\)")
# Branches on uniform predicates, and on whether lanes have parted, name these before their target.
_CONDITION = re.compile(r"^(!?U?P\d|~?UR\w+|~?R\w+),")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a kernel.

    Attributes
    ----------
    index : int
        Its number in the kernel.
    opcode : str
        With all that follows its dots: ``"LDG.E.128"``.
    guard : str
        The predicate under which it acts, such as ``"@!P0"``, or under which it branches; or nothing.
    target : int or None
        Index of the instruction that it branches to or calls, if that is in the same kernel.
    subroutine : bool
        Whether the target is a function of its own, such as the slow path of a division.
    places : tuple of Place
        The source lines it comes from: where it is written, then where that was inlined, and so on. It may be empty.
    """

    index: int
    opcode: str
    guard: str = ""
    target: int | None = None
    subroutine: bool = False
    places: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """The opcode without what follows its first dot."""
        return self.opcode.partition(".")[0]


def disassembled(code: bytes) -> dict[str, tuple[Instruction, ...]]:
    """Instructions of every kernel of a cubin, by lowered name.

    Raises
    ------
    MissingDependencyError
        If the disassembler is not installed.
    CompileError
        If it refuses the cubin.
    """
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.cubin"
        image.write_bytes(code)
        done = subprocess.run([disassembler(), "-c", "-gi", str(image)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"disassembled: nvdisasm refused the cubin: {done.stderr.strip()}")
    return _read(done.stdout)


@functools.cache
def disassembler() -> str:
    """Path of ``nvdisasm``: of its wheel, on the search path, or in a CUDA toolkit.

    Raises
    ------
    MissingDependencyError
        If it is nowhere.
    """
    spec = importlib.util.find_spec("nvidia")
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    of_wheels = [path for place in places for path in sorted(place.glob("*/bin/nvdisasm*"))]
    toolkits = [
        Path(root) / "bin" / "nvdisasm" for name in ("CUDA_PATH", "CUDA_HOME") if (root := os.environ.get(name))
    ]
    for path in (*of_wheels, *toolkits):
        if path.is_file():
            return str(path)
    found = shutil.which("nvdisasm")
    if found is None:
        raise MissingDependencyError(
            "disassembler: NVIDIA's nvdisasm is not installed; it needs no GPU: pip install nvidia-cuda-nvdisasm"
        )
    return found


def _read(text: str) -> dict[str, tuple[Instruction, ...]]:
    """Parse a listing: sections hold kernels with their subroutines, labels name the next instruction."""
    kernels: dict[str, list[Instruction]] = {}
    labels: dict[str, dict[str, int]] = {}
    targets: dict[str, dict[int, str]] = {}
    kernel = ""
    places: list[Place] = []
    fresh = True  # whether the next place begins a new stack of inlined calls
    for line in text.splitlines():
        if section := _SECTION.match(line):
            kernel, places = section[1], []
            kernels[kernel], labels[kernel], targets[kernel] = [], {}, {}
        elif not kernel:
            continue
        elif label := _LABEL.match(line):
            labels[kernel][label[1]] = len(kernels[kernel])
        elif place := _PLACE.search(line):
            places = [] if fresh else places
            places.append((_short(place[1]), int(place[2])))
            fresh = False
        elif found := _INSTRUCTION.match(line):
            index = len(kernels[kernel])
            if target := _TARGET.search(found[4]):
                targets[kernel][index] = target[1]
            condition = _CONDITION.match(found[4]) if found[3].startswith("BRA") else None
            guard = found[2] or (condition[1] if condition else "")
            kernels[kernel].append(Instruction(index, found[3], guard, places=tuple(places)))
            fresh = True
    return {name: _linked(code, labels[name], targets[name]) for name, code in kernels.items()}


@functools.cache
def _short(path: str) -> str:
    """The last two parts of a path."""
    return "/".join(Path(path).parts[-2:])


def _linked(code: list[Instruction], labels: dict[str, int], targets: dict[int, str]) -> tuple[Instruction, ...]:
    """Put indices in the place of labels. What goes back to the caller names the kernel, and has no target."""
    linked = []
    for each in code:
        label = targets.get(each.index, "")
        called = label.startswith("$")
        linked.append(Instruction(each.index, each.opcode, each.guard, labels.get(label), called, each.places))
    return tuple(linked)
