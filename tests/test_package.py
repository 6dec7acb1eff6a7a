"""The package as a whole: what importing it costs, its public names, and what goes into a wheel."""

from __future__ import annotations

import configparser
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cupysoft
from cupysoft.simulator import llvm

ROOT = Path(__file__).parent.parent
OPTIONAL = ("cupy", "cupyx", "cuda", "llvmlite", "scipy", "ml_dtypes", "hypothesis", "flint")


def modules() -> list[str]:
    """Every module of the package, by walking its folders."""
    return sorted(found.name for found in pkgutil.walk_packages(cupysoft.__path__, "cupysoft."))


def test_importing_the_package_imports_nothing_optional() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import cupysoft; cupysoft.softmax([1.0, 2.0]);"
        f"print([m for m in set(sys.modules) - before if m.split('.')[0] in {OPTIONAL!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("room", "package"), [("reference", "flint"), ("strategies", "hypothesis")])
def test_what_a_room_for_tests_needs_is_named(room: str, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from cupysoft.testing import {room}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert f"MissingDependencyError: cupysoft.testing.{room} needs" in done.stderr
    assert "pip install" in done.stderr


@pytest.mark.parametrize("name", [name for name in modules() if not name.endswith("__main__")])
def test_every_module_says_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__))
    for each in module.__all__:
        assert hasattr(module, each), f"{name}.__all__ names {each}, which is not there"


def test_the_public_names_are_those_of_all() -> None:
    names = {
        name for name, value in vars(cupysoft).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    exported = {n for n in cupysoft.__all__ if not isinstance(getattr(cupysoft, n), ModuleType)} - {"__version__"}
    assert names == exported


@pytest.mark.parametrize("name", [n for n in cupysoft.__all__ if callable(getattr(cupysoft, n))])
def test_public_docstrings_have_what_a_reader_needs(name: str) -> None:
    public = getattr(cupysoft, name)
    documented = [public]
    if inspect.isclass(public):
        documented += [value for key, value in inspect.getmembers(public, callable) if not key.startswith("_")]
        documented = [] if issubclass(public, Exception) else documented
    for each in documented:
        assert each.__doc__, each
    if documented:
        for section in ("Examples", "Notes"):
            assert section in public.__doc__, f"{name} has no section {section}"


def test_setup_names_every_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "cupysoft").rglob("__init__.py")}
    assert listed == folders | {"cupysoft.kernels"}


def test_setup_asks_for_the_llvmlite_that_the_simulator_needs() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    oldest = ".".join(map(str, llvm._OLDEST))
    assert f"llvmlite>={oldest}" in setup["options.extras_require"]["sim"].split()
