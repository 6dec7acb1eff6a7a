"""LLVM text to machine code, with a cache on disk."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ..errors import MissingDependencyError
from .compiled import CompiledKernel, described, restored
from .parser import parse
from .seam import Checks
from .translate import translate

__all__ = ["ObjectStore", "available", "binding", "build", "load", "translator_version"]

#: The oldest llvmlite that will do: the one in setup.cfg.
_OLDEST = 0, 50


class ObjectStore(Protocol):
    """Where machine code is kept from one process to the next."""

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, None when it is not there."""

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`."""


@cache
def binding() -> Any:
    """Import and set up llvmlite.

    Raises
    ------
    MissingDependencyError
        If there is none, or one too old: another package may ask for that, and its LLVM refuses the code made here.
    """
    try:
        import llvmlite
        import llvmlite.binding as llvm
    except ImportError as error:
        raise MissingDependencyError(
            f"the simulated device needs llvmlite, which cannot be imported ({error}); "
            "install it with: pip install llvmlite"
        ) from error
    found = re.match(r"(\d+)\.(\d+)", llvmlite.__version__)
    if found and tuple(map(int, found.groups())) < _OLDEST:
        raise MissingDependencyError(
            f"the simulated device needs llvmlite {_OLDEST[0]}.{_OLDEST[1]} or newer, and {llvmlite.__version__} is "
            "installed; update it with: pip install --upgrade llvmlite"
        )
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # The scheduler of the machine code costs time and spills registers that our order of strips keeps.
    llvm.set_option("cupysoft", "-enable-misched=false")
    return llvm


def available() -> bool:
    """Whether there is an llvmlite that will do."""
    try:
        binding()
    except MissingDependencyError:
        return False
    return True


@cache
def _target_machine(haste: bool = False) -> Any:
    llvm = binding()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_features(),
        opt=0 if haste else 2,
        reloc="pic",
        codemodel="small",
        jit=True,
    )


@cache
def _linker() -> Any:
    return binding().create_lljit_compiler(use_jit_link=True)


@cache
def _features() -> str:
    return str(binding().get_host_cpu_features().flatten())


@cache
def translator_version() -> str:
    """Return a hash of the translator's own source and of everything that shapes its code."""
    llvm = binding()
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    import llvmlite

    digest.update(f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {_features()}".encode())
    return digest.hexdigest()


#: Numbers of the loaded kernels: a linker's libraries need names of their own.
_NUMBERS = itertools.count()

#: LLVM's objects are not safe to use from several threads at once.
_LOCK = threading.Lock()


def build(
    ptx: str,
    name: str,
    checks: Checks | None = None,
    variant: str = "",
    store: ObjectStore | None = None,
    parsed: Callable[[], Any] | None = None,
    fast: bool = False,
    linear: bool = False,
    drawn: bool = False,
    haste: bool = False,
) -> CompiledKernel:
    """Return the machine code of kernel `name` of a PTX text.

    Parameters
    ----------
    checks : Checks, optional
        Instrumentation; nothing is checked when it is not given.
    variant : str
        Names the instrumentation and its settings in the cache.
    store : ObjectStore, optional
        The cache on disk.
    parsed : callable, optional
        Gives the parsed module, for a caller that has several kernels of one text.
    fast : bool
        Whether warps that stay together have a version of their own.
    linear : bool
        Whether that is for blocks in which the lanes of every warp lie along the x axis.
    drawn : bool
        Whether a seed decides what the manual leaves open.
    haste : bool
        Whether machine code without a fast version may be made in less than half the time, to run up to one and a half
        times as long; if the store has the better code, it is taken.
    """
    variant += " fast" * fast + " linear" * (fast and linear) + " drawn" * drawn
    keys = {hasty: _key(ptx, name, variant + " hasty" * hasty) for hasty in (False, True)}
    found = _find(store, [keys[False], keys[True]] if haste else [keys[False]])
    if found is not None:
        length = int.from_bytes(found[:8], "little")
        return load(json.loads(found[8 : 8 + length]), found[8 + length :])
    module = parsed() if parsed is not None else parse(ptx)
    translation = translate(module, name, checks, fast=fast, linear=linear, drawn=drawn)
    hasty = haste and not translation.fast
    description = described(module, name, translation) | {"hasty": hasty}
    code = compile_text(translation.text, hasty)
    if store is not None:
        head = json.dumps(description, separators=(",", ":")).encode()
        store.put(keys[hasty], len(head).to_bytes(8, "little") + head + code)
    return load(description, code)


def _key(ptx: str, name: str, variant: str) -> str:
    return hashlib.sha256(f"{translator_version()}\0{name}\0{variant}\0{ptx}".encode()).hexdigest()


def _find(store: ObjectStore | None, keys: list[str]) -> bytes | None:
    """What the store has under the first of these keys that it knows."""
    if store is None:
        return None
    return next((found for found in map(store.get, keys) if found is not None), None)


def compile_text(text: str, haste: bool = False) -> bytes:
    """Compile an LLVM module to an object file; in haste, to slower code."""
    llvm = binding()
    with _LOCK:
        machine = _target_machine(haste)
        module = llvm.parse_assembly(text)
        module.triple = llvm.get_process_triple()
        module.data_layout = str(machine.target_data)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = llvm.create_pass_builder(machine, options)
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.add_dead_code_elimination_pass()
        passes.run(module, builder)
        return bytes(machine.emit_object(module))


def load(description: dict[str, Any], code: bytes) -> CompiledKernel:
    """Load an object file and return the kernel that it holds."""
    llvm = binding()
    with _LOCK:
        # JITLink puts an object into memory in one piece. MCJIT lets arrays of gigabytes come to lie between code and
        # constants, which the small code model cannot reach across: it then ends the process.
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol("run")
        tracker = builder.link(_linker(), f"kernel {next(_NUMBERS)}")
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(tracker["run"])
    return restored(description, function, tracker)
