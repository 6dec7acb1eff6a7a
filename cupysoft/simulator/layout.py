"""Where a kernel's registers, variables and parameters live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import SimulatorError
from .code import LANES
from .ptx import SIZES, Function, Parameter, Variable

__all__ = ["HEADER_BYTES", "Layout", "StateOffset", "place"]


class StateOffset:
    """Byte offsets in the header of a warp's state."""

    COUNTERS = 0  # program counter of each lane, i32
    LIVE = 128  # lanes that have not exited, i32
    FAVOURED = 132  # lanes that go first after a yield, i32
    LAST = 136  # block that was dispatched last, i32
    STATUS = 140  # what the last step returned, i32
    FORCED = 144  # lanes let through a meeting though some that it names are elsewhere, i32
    SYNC_EPOCH = 148  # free for the checks, i32
    TOGETHER = 152  # lanes that waited at warp barriers when these were let through, i32
    MASKS = 192  # member mask that each lane brought to the warp barrier where it waits, i32
    REFUSED = 156  # block at which the fast version did not take the warp back, -1 none, -2 not to be tried, i32


#: Bytes before the first register in a warp's state.
HEADER_BYTES = 320


@dataclass(slots=True)
class Layout:
    """The places of everything in a kernel that has one.

    Attributes
    ----------
    registers : dict
        PTX type of each register.
    offsets : dict
        Byte offset in the warp's state of each register that lives across blocks.
    shared, local : dict
        Byte offset of each variable of these spaces.
    shared_sizes : dict
        Bytes of each variable in shared memory; 0 for dynamic memory.
    symbols : dict
        Index, in the table of symbols, of each global and constant variable.
    parameters : dict
        The kernel's parameters.
    """

    registers: dict[str, str]
    parameters: dict[str, Parameter]
    offsets: dict[str, int] = field(default_factory=dict)
    state_bytes: int = HEADER_BYTES
    shared: dict[str, int] = field(default_factory=dict)
    shared_bytes: int = 0
    shared_sizes: dict[str, int] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)
    local_bytes: int = 0
    symbols: dict[str, int] = field(default_factory=dict)


def place(kernel: Function, module_variables: dict[str, Variable], crossing: Iterable[str]) -> Layout:
    """Lay out `kernel`; `crossing` are the registers that live across blocks."""
    layout = Layout(kernel.registers, {each.name: each for each in kernel.parameters})
    offset = HEADER_BYTES
    for name in sorted(crossing, key=lambda name: (-SIZES[kernel.registers[name]], name)):
        layout.offsets[name] = offset
        predicate = kernel.registers[name] == "pred"
        offset += LANES // 8 if predicate else LANES * SIZES[kernel.registers[name]]
    layout.state_bytes = -(-offset // 64) * 64
    variables = {**module_variables, **kernel.variables}
    layout.shared, layout.shared_bytes = _pack(variables, "shared")
    layout.shared_sizes = {name: variables[name].size for name in layout.shared}
    layout.local, size = _pack(variables, "local")
    layout.local_bytes = -(-size // 16) * 16
    for name, variable in variables.items():
        if variable.space in ("global", "const"):
            layout.symbols[name] = len(layout.symbols)
    return layout


def _pack(variables: dict[str, Variable], space: str) -> tuple[dict[str, int], int]:
    """Give each variable of `space` an offset; those of unknown size share the end."""
    offsets, end = {}, 0
    chosen = [variable for variable in variables.values() if variable.space == space]
    for variable in chosen:
        if variable.size:
            offsets[variable.name] = end = -(-end // variable.align) * variable.align
            end += variable.size
    dynamic = [variable for variable in chosen if not variable.size]
    if dynamic:
        if space != "shared":
            raise SimulatorError(f"variable {dynamic[0].name} in {space} memory has no size")
        end = -(-end // 16) * 16
        end = -(-end // max(each.align for each in dynamic)) * max(each.align for each in dynamic)
        offsets.update((variable.name, end) for variable in dynamic)
    return offsets, end
