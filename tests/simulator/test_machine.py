"""Machine code: kept in a store, loaded without another look at the PTX."""

from __future__ import annotations

from typing import Any

import llvmlite
import numpy as np
import pytest

from cupysoft.errors import MissingDependencyError, SimulatorError, UnknownInstructionError
from cupysoft.simulator import llvm, machine
from cupysoft.simulator.compiled import CompiledKernel
from cupysoft.simulator.context import SLOTS, Slot, Status

PTX = """.version 8.5
.target sm_90
.address_size 64
.const .align 4 .b8 table[8] = {1, 0, 0, 0, 2, 0, 0, 0};
.visible .entry f(.param .u64 .ptr .global .align 4 y, .param .u32 n)
.maxntid 64, 1, 1
{
	.local .align 8 .b8 depot[24];
	.shared .align 16 .b8 tile[100];
	.reg .b32 %r<4>;
	.reg .b64 %rd<3>;
	.file 1 "f.cu"
	.loc 1 7 3
	ld.param.u64 %rd1, [y];
	ld.param.u32 %r1, [n];
	add.u32 %r2, %r1, %r1;
	st.global.u32 [%rd1], %r2;
	mov.u64 %rd2, table;
	ret;
}
"""


class Store(dict[str, bytes]):
    """A store in memory."""

    def put(self, key: str, content: bytes) -> None:
        """Keep `content`."""
        self[key] = content


def refuse() -> Any:
    """Stand for a parser that must not be asked."""
    raise AssertionError("the PTX was parsed again")


def run(kernel: CompiledKernel, number: int) -> int:
    """Run one thread of the kernel and return what it stored."""
    y = np.zeros(1, np.int32)
    parameters = np.array([y.ctypes.data, number], np.int64)
    state = np.zeros(kernel.state_bytes + 64, np.uint8)
    symbols = np.zeros(len(kernel.symbols), np.int64)
    tids = np.zeros((1, 3, 32), np.int32)
    context = np.zeros(SLOTS, np.int64)
    context[Slot.PARAMETERS] = parameters.ctypes.data
    context[Slot.SYMBOLS] = symbols.ctypes.data
    context[Slot.TIDS] = tids.ctypes.data
    context[Slot.STATES] = -(-state.ctypes.data // 64) * 64
    context[[Slot.WARPS, Slot.LAST_WARP_MASK, Slot.BUDGET]] = 1, 1, 100
    context[[Slot.NTID_X, Slot.NTID_Y, Slot.NTID_Z, Slot.NCTAID_X, Slot.NCTAID_Y, Slot.NCTAID_Z]] = 1
    assert kernel.run(context.ctypes.data, 0, 1) == Status.DONE
    return int(y[0])


def test_a_stored_kernel_is_the_same_and_needs_no_parser() -> None:
    """Everything the front asks for comes from the store."""
    store = Store()
    first = machine.build(PTX, "f", store=store)
    second = machine.build(PTX, "f", store=store, parsed=refuse)
    for kernel in (first, second):
        assert run(kernel, 21) == 42
        found = [(each.name, each.offset, each.pointer) for each in kernel.parameters]
        assert found == [("y", 0, True), ("n", 8, False)]
        assert (kernel.shared_bytes, kernel.local_bytes, kernel.parameter_bytes) == (100, 32, 12)
        assert kernel.limits == {"maxntid": (64, 1, 1)}
        assert [(each.name, each.initial) for each in kernel.symbols] == [("table", bytes([1, 0, 0, 0, 2, 0, 0, 0]))]
        assert kernel.shared == {"tile": (0, 100)}
        assert kernel.instructions[2].text == "add.u32 %r2, %r1, %r1"
        assert kernel.instructions[2].location == ("f.cu", 7)


def test_other_text_or_variant_has_another_key() -> None:
    """A changed kernel, or one with checks, is not taken for the stored one."""
    store = Store()
    machine.build(PTX, "f", store=store)
    machine.build(PTX.replace("add.u32", "sub.u32"), "f", store=store)
    machine.build(PTX, "f", variant="checked", store=store)
    assert len(store) == 3


def test_a_kernel_that_is_not_there() -> None:
    """The message lists those that are."""
    with pytest.raises(SimulatorError, match="no kernel 'g'; it has f"):
        machine.build(PTX, "g")


@pytest.mark.parametrize(
    "instruction",
    ["frobnicate.b32 %r1, %r2;", "mov.u32 %r1, %no_such_register;", "vote.all.pred %r1, %r1;"],
)
def test_what_is_not_known_is_named(instruction: str) -> None:
    """Opcodes, forms and special registers alike."""
    with pytest.raises(UnknownInstructionError, match=r"does not know the .*PTX line"):
        machine.build(PTX.replace("ret;", instruction + "\nret;"), "f")


@pytest.mark.parametrize(("version", "fits"), [("0.44.0", False), ("0.50.0", True), ("0.50.0rc1", True), ("1.0", True)])
def test_an_llvmlite_that_is_too_old_is_named(version: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvmlite, "__version__", version)
    monkeypatch.setattr(llvm, "binding", llvm.binding.__wrapped__)
    assert llvm.available() == fits
    if not fits:
        with pytest.raises(MissingDependencyError, match=r"needs llvmlite 0.50 or newer, and 0.44.0 is installed"):
            machine.build(PTX, "f")
