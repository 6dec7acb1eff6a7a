"""NVRTC, NVIDIA's compiler library, behind four calls: its version, its architectures, one compilation, its presence.

Loaded on first use only. It needs no driver.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cupysoft.errors import MissingDependencyError

__all__ = ["Failure", "Output", "architectures", "available", "run", "version"]

_REMEDY = (
    'install it with: pip install cuda-bindings "cuda-toolkit[nvrtc,cudart,cccl]" '
    "(with a GPU, of the major version of its driver: cuda-bindings==13.* or cuda-bindings==12.*)"
)


@dataclass(frozen=True)
class Output:
    """What one successful compilation gave."""

    ptx: bytes
    cubin: bytes
    names: dict[str, str]
    log: str


class Failure(Exception):
    """NVRTC refused: the name of its result, and its log."""

    def __init__(self, result: str, log: str) -> None:
        super().__init__(f"{result}\n{log}")
        self.result = result
        self.log = log


@functools.cache
def _bindings() -> Any:
    try:
        from cuda.bindings import nvrtc
    except ImportError as error:
        raise MissingDependencyError(f"cupysoft: the package cuda-bindings is missing ({error}); {_REMEDY}") from error
    return nvrtc


@functools.cache
def version() -> tuple[int, int]:
    """Major and minor version of the library.

    Raises
    ------
    MissingDependencyError
        If the bindings or the library are not installed.
    """
    nvrtc = _bindings()
    try:  # the library itself is loaded by the first call
        major, minor = _call(nvrtc.nvrtcVersion)
    except Failure:
        raise
    except Exception as error:  # each release of the bindings has an error of its own for this
        raise MissingDependencyError(f"cupysoft: NVIDIA's compiler library NVRTC is missing; {_REMEDY}") from error
    return int(major), int(minor)


def available() -> bool:
    """Tell whether kernels can be compiled here."""
    try:
        version()
    except MissingDependencyError:
        return False
    return True


@functools.cache
def architectures() -> tuple[int, ...]:
    """Compute capabilities that the library compiles for, ascending: ``(75, 80, ...)``."""
    version()
    (numbers,) = _call(_bindings().nvrtcGetSupportedArchs)
    return tuple(sorted(int(number) for number in numbers))


def run(code: str, name: str, options: Sequence[str], names: Sequence[str]) -> Output:
    """Compile once.

    Parameters
    ----------
    code : str
        CUDA C++.
    name : str
        What the code is called in messages.
    options : sequence of str
        Options of NVRTC.
    names : sequence of str
        Name expressions to instantiate.

    Raises
    ------
    Failure
        If NVRTC refuses.
    """
    version()
    nvrtc = _bindings()
    (program,) = _call(nvrtc.nvrtcCreateProgram, code.encode(), name.encode(), 0, [], [])
    try:
        for expression in names:
            _call(nvrtc.nvrtcAddNameExpression, program, expression.encode())
        encoded = [option.encode() for option in options]
        result = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)[0]
        log = (
            _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            .rstrip(b"\0")
            .decode(errors="replace")
        )
        if int(result) != 0:
            raise Failure(result.name, log.strip())
        lowered = {
            expression: _call(nvrtc.nvrtcGetLoweredName, program, expression.encode())[0].decode()
            for expression in names
        }
        ptx = _without_folder(_text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program).rstrip(b"\0"))
        cubin = _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
        return Output(ptx, cubin, lowered, log.strip())
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _call(function: Any, *args: object) -> tuple[Any, ...]:
    """Call and turn a bad result into an exception."""
    result, *values = function(*args)
    if int(result) != 0:
        raise Failure(f"{function.__name__}: {result.name}", "")
    return tuple(values)


def _text(size_of: Any, get: Any, program: Any) -> bytes:
    """Fetch a text whose size is asked for first, as NVRTC has it."""
    (size,) = _call(size_of, program)
    # NVRTC writes into this object. Python shares its one-byte strings with everybody, so it must not be one of them.
    buffer = bytes(size + 2)
    if size:
        _call(get, program, buffer)
    return buffer[:size]


def _without_folder(ptx: bytes) -> bytes:
    """Take the current folder off the names of source files, which NVRTC puts in front of relative ones.

    So a text compiled in one folder and found in the cache from another is the same, and names the file that was meant.
    """
    folder = re.escape(os.getcwd().encode() + b"/")
    return re.sub(rb'(?m)^(\s*\.file\s+\d+\s+")' + folder, rb"\1", ptx)
