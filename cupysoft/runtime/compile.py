"""Compile CUDA C++ to PTX or to a cubin, once: the result is kept on disk under a hash of everything that went in.

The way is NVRTC's, which needs no driver, so what a GPU would run is compiled, read and simulated on any machine.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from cupysoft.errors import CompileError, MissingDependencyError
from cupysoft.forking import unforked
from cupysoft.runtime import nvrtc
from cupysoft.runtime.cache import cache, digest
from cupysoft.runtime.compiled import Compiled, Kind, packed, unpacked
from cupysoft.runtime.cupy_headers import CupyHeaders, cupy_headers
from cupysoft.runtime.includes import include_folders, included
from cupysoft.runtime.parameters import parameters, static_shared
from cupysoft.runtime.toolchain import toolchain

__all__ = ["OUR_OPTIONS", "Compiled", "Kind", "compile"]

#: Multiplications and additions are fused only where the source says so, subnormals are kept, division and root are
#: rounded correctly: so the PTX is exact to the bit and means the same on every device.
OUR_OPTIONS = (
    "--std=c++17",
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--generate-line-info",
)

_FORMAT = "1"  # of an entry; a change of it leaves old entries behind
_SUFFIX = ".kernel"
_ARCH = re.compile(r"sm_(\d+)([af]?)$")
_ERROR_LINE = re.compile(
    r"^(?P<file>[^\n(]+)\((?P<line>\d+)\): (?:catastrophic )?error\s*(?:#\d+[-\w]*)?: (?P<text>.*)$", re.M
)
_NO_HEADER = re.compile(r'(?:cannot|could not) open source file "([^"]+)"')
_CUDA_HEADER = re.compile(
    r"cuda[/_.]|cuComplex\.h|curand|nv/|cooperative_groups|mma\.h|math_constants|vector_types|cub/|thrust/"
)


_kept: dict[str, Compiled] = {}
_locks: dict[str, threading.Lock] = {}


@unforked()
def compile(
    code: str,
    *,
    name: str = "kernel.cu",
    arch: str,
    names: Sequence[str] = (),
    options: Sequence[str] = (),
    kind: Kind = "ptx",
    our_rules: bool = True,
) -> Compiled:
    """Compile, or fetch from the cache what was compiled before.

    Parameters
    ----------
    code : str
        CUDA C++; of our own sources what `cupysoft.runtime.sources.source` gives.
    name : str
        What the code is called in messages.
    arch : str
        Architecture: ``"sm_90"``, ``"sm_90a"``.
    names : sequence of str
        Name expressions to instantiate, such as ``"softmax_warp<float, 4, 1>"``. None are needed for ``extern "C"``.
    options : sequence of str
        Further options for NVRTC.
    kind : {"ptx", "cubin"}
        What to make.
    our_rules : bool
        Whether to add `OUR_OPTIONS`; without them NVRTC's defaults stay, only line information is added, and headers
        are looked for where CuPy would look.

    Returns
    -------
    Compiled

    Raises
    ------
    CompileError
        If the code does not compile; the message has file, line, options and log.
    MissingDependencyError
        If it is not in the cache and NVRTC or CUDA's headers are not installed.
    """
    if not _ARCH.match(arch):
        raise CompileError(f'compile: arch must look like "sm_90" or "sm_90a", not {arch!r}')
    rules = OUR_OPTIONS if our_rules else ("--generate-line-info",)
    everything = (*rules, *options, *(("--ptxas-options=-v",) if kind == "cubin" else ()))
    headers = () if our_rules else included(code, (str(Path(name).parent), *include_folders(options)))
    request = digest(_FORMAT, code, name, arch, kind, json.dumps([list(names), everything]), *headers)[:40]
    tools = toolchain()
    reach = CupyHeaders("", (), tools.headers) if our_rules else cupy_headers()
    key = f"{request}-{digest(tools.identity, *filter(None, [reach.version]))[:12]}"
    with _locks.setdefault(key, threading.Lock()):
        found = _kept.get(key) or _fetch(key) or (None if tools.identity else _fetch_of_any_compiler(request))
        if found is None:
            found = _run(code, name, arch, names, everything, kind, key, reach)
            cache().put(key, _SUFFIX, packed(found))
        assemble = partial(compile, code, name=name, arch=arch, names=names, options=options, our_rules=our_rules)
        _kept[key] = found = replace(found, assemble=partial(assemble, kind="cubin"))
    return found


def _fetch(key: str) -> Compiled | None:
    data = cache().get(key, _SUFFIX)
    return None if data is None else unpacked(key, data)


def _fetch_of_any_compiler(request: str) -> Compiled | None:
    """Where nothing can be compiled: what was compiled ahead of time, by whichever version."""
    for key in cache().keys(request, _SUFFIX):
        found = _fetch(key)
        if found is not None:
            return found
    return None


def _run(
    code: str,
    name: str,
    arch: str,
    names: Sequence[str],
    options: tuple[str, ...],
    kind: Kind,
    key: str,
    reach: CupyHeaders,
) -> Compiled:
    try:
        used = _known(arch)
    except MissingDependencyError as error:
        raise MissingDependencyError(
            f"{error}. The cache holds no compilation of {name} for {arch} either; "
            f'"python -m cupysoft compile --arch {arch}", run where NVRTC is, makes them ahead of time'
        ) from error
    if used != arch:
        kind = "ptx"  # which a newer device's driver can translate
        options = tuple(option for option in options if option != "--ptxas-options=-v")
    target = used if kind == "cubin" else used.replace("sm_", "compute_")
    before, after = ([f"--include-path={folder}" for folder in each] for each in (reach.before, reach.after))
    full = (f"--gpu-architecture={target}", *before, *options, *after)
    try:
        output = nvrtc.run(code, name, full, names)
    except nvrtc.Failure as failure:
        _refuse(failure, name, full, reach)
    text = output.ptx.decode()
    return Compiled(
        arch=used,
        kind=kind,
        code=output.cubin if kind == "cubin" else output.ptx,
        names=output.names,
        log=output.log,
        key=key,
        parameters=parameters(text),
        nvrtc=nvrtc.version(),
        shared=static_shared(text),
    )


def _known(arch: str) -> str:
    """The architecture itself where NVRTC knows it, else the newest below that it knows."""
    match = _ARCH.match(arch)
    assert match is not None
    number = int(match[1])
    known = nvrtc.architectures()
    if number in known:
        return arch
    below = [each for each in known if each < number]
    if not below:
        major, minor = nvrtc.version()
        raise CompileError(
            f"compile: NVRTC {major}.{minor} compiles for sm_{known[0]} and newer, not for {arch}; "
            'older devices need an older CUDA: pip install "cuda-bindings==12.*" "cuda-toolkit[nvrtc,cudart,cccl]"'
        )
    return f"sm_{below[-1]}"


def _refuse(failure: nvrtc.Failure, name: str, options: Sequence[str], reach: CupyHeaders) -> NoReturn:
    """Say what NVRTC did not like, and what can be done."""
    missing = _NO_HEADER.search(failure.log)
    if missing and missing[1].startswith("cupy/"):
        raise MissingDependencyError(
            f"compile: {name} includes <{missing[1]}>, a header of CuPy, which is not installed; it needs no GPU: "
            'pip install "cupy-cuda13x"'
        )
    if missing and _CUDA_HEADER.match(missing[1]):
        wheels = "curand" if missing[1].startswith("curand") else "cudart,cccl"
        raise MissingDependencyError(
            f"compile: {name} includes <{missing[1]}>, which is not among the CUDA headers found "
            f"({', '.join(map(str, (*reach.before, *reach.after))) or 'none'}); install them with: "
            f'pip install "cuda-toolkit[{wheels}]", or set CUDA_PATH'
        )
    place = _ERROR_LINE.search(failure.log)
    what = f"{place['file']}, line {place['line']}: {place['text']}" if place else f"{name}: {failure.result}"
    raise CompileError(f"compile: {what}\noptions: {' '.join(options)}\nlog:\n{failure.log or failure.result}")
