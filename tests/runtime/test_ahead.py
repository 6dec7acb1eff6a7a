"""Compiling ahead of time: what it gives, what it reports, and that it is used afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupysoft.errors import CompileError
from cupysoft.runtime import compile as compile_module
from cupysoft.runtime import nvrtc
from cupysoft.runtime.ahead import Compilation, compile_all, compiled, precompile, resource_report
from cupysoft.runtime.plan import KernelRef
from tests.runtime.sample import MIXED, TWICE

pytestmark = pytest.mark.usefixtures("sample")


def test_kernels_for_several_architectures(cache_folder: Path) -> None:
    told: list[Compilation] = []
    ended = compile_all(["sm_80", "sm_90"], [MIXED, TWICE, MIXED], told.append)
    assert tuple(told) == ended
    assert [(each.done, each.total) for each in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {(each.kernel, each.arch) for each in told} == {(k, a) for k in (MIXED, TWICE) for a in ("sm_80", "sm_90")}
    assert len(list(cache_folder.glob("*.kernel"))) == 4


def test_what_was_compiled_ahead_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    (ahead,) = precompile([MIXED], "sm_90")
    compile_module._kept.clear()
    monkeypatch.setattr(nvrtc, "run", None)
    assert compiled(MIXED, "sm_90", "cubin") == ahead


def test_a_kernel_that_fails_stops_the_rest() -> None:
    with pytest.raises(CompileError, match="nothing"):
        compile_all(["sm_90"], [KernelRef("sample/sample.cu", "nothing<float>"), MIXED])


def test_resources_of_one_kernel() -> None:
    report = resource_report(MIXED, "sm_90")
    assert report.registers > 8
    assert report.shared == 128
    assert not report.spills


def test_no_report_for_an_architecture_that_is_not_assembled_for() -> None:
    with pytest.raises(CompileError, match="does not assemble for sm_999"):
        resource_report(MIXED, "sm_999")
