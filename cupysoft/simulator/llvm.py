"""LLVM, through llvmlite: text to an object file, object files into memory."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..errors import MissingDependencyError

__all__ = ["available", "binding", "compile_text", "identity", "link"]

#: The oldest llvmlite that will do: the one in setup.cfg.
_OLDEST = 0, 50


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


def identity() -> str:
    """Everything beside a text that shapes its machine code: the version of llvmlite and the CPU."""
    llvm = binding()
    import llvmlite

    return f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {_features()}"


@cache
def _features() -> str:
    return str(binding().get_host_cpu_features().flatten())


@cache
def _target_machine(haste: bool) -> Any:
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


#: Numbers of the libraries that were loaded: a linker's libraries need names of their own.
_NUMBERS = itertools.count()

#: LLVM's objects are not safe to use from several threads at once.
_LOCK = threading.Lock()


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


def link(code: bytes, name: str, imports: Mapping[str, int]) -> tuple[int, Any]:
    """Load an object file.

    Parameters
    ----------
    code : bytes
        The object file.
    name : str
        A function in it.
    imports : mapping of str to int
        Where the functions are that it calls and does not have.

    Returns
    -------
    address : int
        Where the function `name` is.
    keeper : object
        The code is in memory for as long as this object lives.
    """
    with _LOCK:
        # JITLink puts an object into memory in one piece. MCJIT lets arrays of gigabytes come to lie between code and
        # constants, which the small code model cannot reach across: it then ends the process.
        builder = binding().JITLibraryBuilder().add_object_img(code).add_current_process().export_symbol(name)
        for imported, address in imports.items():
            builder.import_symbol(imported, address)
        tracker = builder.link(_linker(), f"library {next(_NUMBERS)}")
    return tracker[name], tracker
