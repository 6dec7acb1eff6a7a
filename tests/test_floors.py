"""The floors of the house: a room imports only from floors below it, and nothing goes in a circle.

The imports are read from the source, those inside functions too.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cupysoft"

# Floor by floor, from the ground: on each its rooms, in each room its modules, or packages with all that is in them.
FLOORS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("errors", "_version"), ("tables",), ("workers",), ("forking",)),
    (("arrays", "attention_layout"), ("runtime.plan", "runtime.limits")),
    (("runtime",),),
    (("simulator",), ("host",)),
    (("runtime.launch", "runtime.cuda", "runtime.cuda_pointwise", "runtime.fit"),),
    (("ops",),),
    (("",),),
    (("testing",), ("dask",), ("info",)),
    (("demo", "demo_attention"),),
    (("verify", "verify_table"),),
    (("cli", "cli_compile"),),
    (("__main__",),),
)


def module_of(path: Path) -> str:
    """Name of the module in `path`, without the package's own name; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def place(module: str) -> tuple[int, tuple[str, ...]]:
    """Floor and room of a module: of the longest name in the table that it has, or is in."""
    fits = [
        (len(name), floor, room)
        for floor, rooms in enumerate(FLOORS, 1)
        for room in rooms
        for name in room
        if module == name or (name and module.startswith(f"{name}."))
    ]
    assert fits, f"cupysoft.{module} has no place in FLOORS"
    _, floor, room = max(fits)
    return floor, room


class _AtRunTime(ast.NodeTransformer):
    """Drops what only type checkers see."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def imports(module: str, *, for_types: bool = True) -> set[str]:
    """Modules of the package that `module` imports, with or without those imported for type checkers only."""
    found: set[str] = set()
    tree: ast.AST = ast.parse(MODULES[module].read_text())
    for node in ast.walk(tree if for_types else _AtRunTime().visit(tree)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "cupysoft"}
        elif isinstance(node, ast.ImportFrom):
            source = absolute(module, node)
            if source.split(".")[0] == "cupysoft":
                inner = {f"{source}.{alias.name}" for alias in node.names}
                found |= {name for name in inner if name.removeprefix("cupysoft.") in MODULES} or {source}
    return {name.removeprefix("cupysoft").removeprefix(".") for name in found}


def absolute(module: str, node: ast.ImportFrom) -> str:
    """Full name of what ``from ... import`` reads from."""
    if node.level == 0:
        return node.module or ""
    parts = ["cupysoft", *module.split(".")]
    up = node.level - (MODULES[module].name == "__init__.py")
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or "cupysoft")
def test_a_room_imports_only_from_floors_below(module: str) -> None:
    floor, room = place(module)
    for other in imports(module):
        below, elsewhere = place(other)
        assert below < floor or elsewhere == room, (
            f"cupysoft.{module} (floor {floor}) imports cupysoft.{other} (floor {below})"
        )


def test_nothing_goes_in_a_circle() -> None:
    """A package may gather the modules in it, though they use what its own file defines."""
    graph = {
        module: {other for other in imports(module, for_types=False) if not f"{module}.".startswith(f"{other}.")}
        for module in MODULES
    }
    assert list(TopologicalSorter(graph).static_order())
