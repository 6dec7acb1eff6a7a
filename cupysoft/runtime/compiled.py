"""One compilation as a value, and as an entry of the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cupysoft.errors import MissingDependencyError
from cupysoft.runtime.cache import cache
from cupysoft.runtime.parameters import Parameter
from cupysoft.runtime.resources import Resources, resources

__all__ = ["Compiled", "Kind", "packed", "unpacked"]

Kind = Literal["ptx", "cubin"]


@dataclass(frozen=True)
class Compiled:
    """One compilation.

    Parameters
    ----------
    arch : str
        Architecture it was compiled for, such as ``"sm_90"``; lower than asked where NVRTC does not know that one.
    kind : {"ptx", "cubin"}
        What `code` is; PTX instead of a cubin where the architecture is unknown, for the driver to translate.
    code : bytes
        The PTX text or the ELF image.
    names : mapping
        Name expression to the name in `code`.
    log : str
        What the compiler said; with a cubin, the resources that every kernel takes.
    key : str
        Hash of what went in; stem of the file in the cache.
    parameters : mapping
        Lowered name of each kernel to its parameters.
    nvrtc : tuple of two ints
        Version of the compiler.
    shared : int
        Bytes of static shared memory.
    assemble : callable, optional
        Compiles the same source to a cubin.
    """

    arch: str
    kind: Kind
    code: bytes
    names: Mapping[str, str]
    log: str
    key: str
    parameters: Mapping[str, tuple[Parameter, ...]] = field(default_factory=dict)
    nvrtc: tuple[int, int] = (0, 0)
    shared: int = 0
    assemble: Callable[[], Compiled] | None = field(default=None, repr=False, compare=False)

    def resources(self, name: str) -> Resources | None:
        """What a kernel takes of a processor, by its lowered name; None where NVRTC is not there to assemble it."""
        try:
            assembled = self if self.kind == "cubin" or self.assemble is None else self.assemble()
        except MissingDependencyError:
            return None
        return resources(assembled.log).get(name) if assembled.kind == "cubin" else None

    @property
    def path(self) -> Path | None:
        """A file that holds `code` and nothing else; None where no file can be written."""
        return cache().file(self.key, f".{self.kind}", self.code)


def packed(compiled: Compiled) -> bytes:
    """An entry: one line of JSON, then the code."""
    head = {
        "arch": compiled.arch,
        "kind": compiled.kind,
        "names": dict(compiled.names),
        "log": compiled.log,
        "nvrtc": compiled.nvrtc,
        "shared": compiled.shared,
        "parameters": {
            kernel: [[each.type, each.size, each.align, each.offset] for each in listed]
            for kernel, listed in compiled.parameters.items()
        },
    }
    return json.dumps(head).encode() + b"\n" + compiled.code


def unpacked(key: str, data: bytes) -> Compiled | None:
    """The compilation in an entry; None where another version of this package wrote something else there."""
    line, _, code = data.partition(b"\n")
    try:
        head = json.loads(line)
        listed = {kernel: tuple(Parameter(*each) for each in params) for kernel, params in head["parameters"].items()}
        major, minor = head["nvrtc"]
        return Compiled(
            head["arch"], head["kind"], code, head["names"], head["log"], key, listed, (major, minor), head["shared"]
        )
    except (ValueError, KeyError, TypeError):
        return None
