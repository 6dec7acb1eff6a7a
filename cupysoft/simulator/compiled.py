"""A kernel ready to run: what the front needs to know of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from .classes import Where, class_of
from .ptx import Instruction, Lines, Module, Parameter, Relocation, Variable

if TYPE_CHECKING:
    from .translate import Translation

__all__ = ["CompiledKernel", "Where", "described", "restored"]


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel's machine code and its needs.

    Attributes
    ----------
    name : str
        Lowered name.
    parameters : tuple of Parameter
        With offsets in parameter memory; `pointer` is set where the PTX says so.
    parameter_bytes : int
        Size of parameter memory.
    shared_bytes : int
        Static shared memory; dynamic shared memory follows it.
    local_bytes : int
        Local memory of one thread.
    state_bytes : int
        State of one warp (``Slot.STATE_STRIDE``).
    barriers : bool
        Whether a block can wait at a barrier.
    symbols : tuple of Variable
        Global and constant variables, in the order of the table ``Slot.SYMBOLS``, with
        their initial contents; relocations name other symbols of the module.
    starts : tuple of int
        Number of the first instruction of each basic block.
    shared, local : dict of str to (offset, size)
        The variables of these spaces, for reports.
    limits : dict
        ``maxntid``, ``reqntid`` and the like, as the PTX gives them.
    table : str
        The instructions as JSON, which is read when somebody asks for them: a process may hold thousands of kernels.
    care : float
        About how many seconds it takes to make better machine code.
    hasty : bool
        Whether the machine code was made in haste: it took less time, and takes longer.
    run : callable
        ``run(context, first, last)`` executes blocks `first` to `last` - 1 and returns a
        `context.Status`: DONE, ERROR or STOPPED. It may run in several threads at once,
        each with a context of its own, and leaves the interpreter's lock free.
    """

    name: str
    parameters: tuple[Parameter, ...]
    parameter_bytes: int
    shared_bytes: int
    local_bytes: int
    state_bytes: int
    barriers: bool
    starts: tuple[int, ...]
    symbols: tuple[Variable, ...]
    shared: dict[str, tuple[int, int]]
    local: dict[str, tuple[int, int]]
    limits: dict[str, tuple[int, ...]]
    table: str
    care: float
    hasty: bool
    run: Callable[[int, int, int], int]
    engine: Any

    @property
    def instructions(self) -> tuple[Where, ...]:
        """The instructions in the order that ``Slot.ERROR_INSTRUCTION`` counts them."""
        return _instructions(self.table)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The class of each instruction."""
        return tuple(map(class_of, self.instructions))


@lru_cache(maxsize=8)
def _instructions(table: str) -> tuple[Where, ...]:
    read = json.loads(table)
    sources = [
        (tuple(location) if location else None, tuple((file, tuple(lines)) for file, lines in callers))
        for location, callers in read["sources"]
    ]
    return tuple(
        Where(opcode, tuple(modifiers), text, line, *sources[source])
        for opcode, modifiers, text, line, source in read["rows"]
    )


def described(module: Module, name: str, translation: Translation, characters: int) -> dict[str, Any]:
    """Return everything about a translated kernel but how its machine code is made, fit for JSON.

    `characters`: the length of the text that is compiled for this kernel alone.
    """
    kernel = module.functions[name]
    layout = translation.layout
    variables = {**module.variables, **translation.variables}
    end = max((each.offset + each.size for each in kernel.parameters), default=0)
    return {
        "name": name,
        "parameters": [asdict(each) for each in kernel.parameters],
        "parameter_bytes": end,
        "shared_bytes": layout.shared_bytes,
        "local_bytes": layout.local_bytes,
        "state_bytes": layout.state_bytes,
        "barriers": translation.barriers,
        "starts": translation.starts,
        "symbols": [_packed(variables[each]) for each in layout.symbols],
        "shared": {each: (offset, variables[each].size) for each, offset in layout.shared.items()},
        "local": {each: (offset, variables[each].size) for each, offset in layout.local.items()},
        "limits": kernel.directives,
        "table": _table(translation.instructions),
        "care": _care(characters),
    }


def _care(characters: int) -> float:
    """About how many seconds LLVM takes with a text, measured from 0.2 to 7 million characters: 0.25 to 9 seconds."""
    millions = 1e-6 * characters
    return 0.45 * millions * (1 + millions / 3)


def _table(instructions: Sequence[Instruction]) -> str:
    """The instructions as JSON: a row for each, and the lines that they come from, with those of the calls, once."""
    numbers: dict[tuple[tuple[str, int] | None, tuple[Lines, ...]], int] = {}
    rows = []
    for each in instructions:
        number = numbers.setdefault((each.location, each.callers), len(numbers))
        rows.append([each.opcode, each.modifiers, each.text, each.line, number])
    return json.dumps({"rows": rows, "sources": list(numbers)}, separators=(",", ":"))


def _packed(variable: Variable) -> dict[str, Any]:
    packed = asdict(variable)
    packed["initial"] = base64.b64encode(variable.initial).decode()
    return packed


def _unpacked(packed: dict[str, Any]) -> Variable:
    relocations = tuple(Relocation(**each) for each in packed["relocations"])
    return Variable(**{**packed, "initial": base64.b64decode(packed["initial"]), "relocations": relocations})


def restored(description: dict[str, Any], run: Callable[[int, int, int], int], engine: Any) -> CompiledKernel:
    """Return the kernel that a description and its loaded code make."""
    fields = dict(description)
    fields["parameters"] = tuple(Parameter(**each) for each in fields["parameters"])
    fields["symbols"] = tuple(_unpacked(each) for each in fields["symbols"])
    fields["shared"] = {name: tuple(each) for name, each in fields["shared"].items()}
    fields["local"] = {name: tuple(each) for name, each in fields["local"].items()}
    fields["starts"] = tuple(fields["starts"])
    fields["limits"] = {name: tuple(each) for name, each in fields["limits"].items()}
    return CompiledKernel(run=run, engine=engine, **fields)
