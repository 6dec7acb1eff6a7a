"""The functions that kernels have in common are compiled once, and kernels find them in memory or in the store."""

from __future__ import annotations

import pytest

from cupysoft.simulator import machine
from cupysoft.simulator.checks import Checked
from cupysoft.simulator.common import divided
from cupysoft.simulator.compiled import CompiledKernel
from cupysoft.simulator.llvm import compile_text
from cupysoft.simulator.parser import parse
from cupysoft.simulator.translate import translate
from tests.simulator.test_machine import PTX, Store, refuse, run


def build(ptx: str, store: Store) -> CompiledKernel:
    return machine.build(ptx, "f", Checked(), "checked", store)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are compiled from now on; nothing is in memory when the test begins."""
    texts: list[str] = []

    def noted(text: str, haste: bool = False) -> bytes:
        texts.append(text)
        return compile_text(text, haste)

    monkeypatch.setattr(machine, "compile_text", noted)
    monkeypatch.setattr(machine, "_common", {})
    return texts


def test_a_second_kernel_compiles_nothing_but_itself(compiled: list[str]) -> None:
    store = Store()
    build(PTX, store)
    first = len(compiled)
    assert first == len(store) > 20
    build(PTX.replace("add.u32", "sub.u32"), store)
    assert len(compiled) == first + 1
    assert "@step(" in compiled[-1]
    assert "define internal i32 @check_" not in compiled[-1]


def test_another_process_finds_them_in_the_store(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    build(PTX, store)
    number = len(compiled)
    monkeypatch.setattr(machine, "_common", {})
    machine.build(PTX, "f", Checked(), "checked", store, parsed=refuse)
    assert len(compiled) == number


def test_what_the_store_has_lost_is_made_again(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, and the kernel with it."""
    whole = Store()
    machine.build(PTX, "f", store=whole)
    kernel = machine._key(PTX, "f", "")
    for lost in whole.keys() - {kernel}:
        store = Store(whole)
        del store[lost]
        monkeypatch.setattr(machine, "_common", {})
        assert run(machine.build(PTX, "f", store=store), 21) == 42
        assert store.keys() == whole.keys()


def test_a_key_changes_with_what_is_called() -> None:
    """Also where the text itself stays the same."""
    text = translate(parse(PTX), "f", Checked()).text
    own, common = divided(text)
    place = next(each for each in common if each.calls)
    called = place.calls[0]
    changed = text.replace(called.text.rsplit("define ", 1)[1], called.text.rsplit("define ", 1)[1] + "; changed\n")
    assert changed != text
    again, others = divided(changed)
    assert again == own
    other = next(each for each in others if each.name == place.name)
    assert other.text == place.text
    assert other.key != place.key
