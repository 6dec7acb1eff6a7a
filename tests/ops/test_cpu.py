"""Large NumPy arrays are computed by the kernels on the CPU: the bits of the host, for every layout."""

from __future__ import annotations

import subprocess
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import llvmlite
import numpy as np
import pytest

import cupysoft
from cupysoft.arrays import layout
from cupysoft.ops import cpu, plans_loops
from cupysoft.ops.device import strides
from cupysoft.ops.plans_loops import loops
from cupysoft.runtime.launch import run
from cupysoft.simulator import Device, llvm
from tests.bits import assert_same_bits
from tests.near_ties import NEAR_TIES, subnormal_ties

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
WAYS: tuple[cpu.Way, ...] = ("kernels", "host")


def normal(shape: tuple[int, ...], dtype: str = "f4", scale: float = 4.0) -> Any:
    return np.random.default_rng(3).normal(0, scale, shape).astype(dtype)


def both(function: str, x: Any, **options: Any) -> tuple[Any, Any]:
    """Give the results of the kernels and of the host."""
    results = []
    for way in WAYS:
        with cpu.only(way):
            results.append(getattr(cupysoft, function)(x, **options))
    return results[0], results[1]


LAYOUTS = {
    "short rows": (normal((70, 7)), 1),
    "long rows": (normal((5, 300)), 1),
    "columns": (normal((33, 70)), 0),
    "long columns": (normal((300, 40)), 0),
    "rows of a transposed array": (normal((80, 41)).T, 1),
    "backwards": (normal((40, 90))[::-1, ::-1], 1),
    "every third": (normal((40, 300))[:, ::3], 1),
    "two axes apart": (normal((5, 6, 70)), (0, 2)),
    "all axes": (normal((9, 70)), None),
    "a broadcast row": (np.broadcast_to(normal((1, 90)), (40, 90)), 1),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(function: str, name: str) -> None:
    x, axis = LAYOUTS[name]
    ours, true = both(function, x, axis=axis)
    assert_same_bits(ours, true)


@pytest.mark.parametrize("function", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1])
def test_in_place_and_into_strides(function: str, axis: int) -> None:
    x = normal((66, 80))
    true = both(function, x, axis=axis)[1]
    wide = np.zeros((66, 160), "f4")
    with cpu.only("kernels"):
        call = getattr(cupysoft, function)
        call(x, axis=axis, out=wide[:, ::2])
        assert call(x, axis=axis, out=x) is x
    assert_same_bits(x, true)
    assert_same_bits(wide[:, ::2], true)
    assert not wide[:, 1::2].any()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("columns", [9, 90])
def test_rows_that_are_just_near_and_just_not(dtype: str, columns: int) -> None:
    """Spreads and sizes around the limits; what is infinite, NaN, subnormal; an outlier in the first place."""
    x = normal((24, columns), dtype, 1.0)
    for row, value in enumerate((64, 63.9, 256, 255.9, 700, 745, 800, 1100)):
        x[row, 3] = x[row].max() - np.array(value, dtype)
    x[8, 0], x[9, 0], x[10, 0] = 90, -90, 600
    x[11, 2], x[12, 0], x[13, 5], x[14, 5], x[15, 0] = -np.inf, -np.inf, np.inf, np.nan, np.nan
    x[16] = -np.inf
    x[17] = 0
    for row, exponent in enumerate((-26, -27, -28, -29, -30)):
        x[18 + row, 1] = np.ldexp(np.array(1.37, dtype), exponent)
    x[23, 1] = np.finfo(dtype).smallest_subnormal
    with np.errstate(over="ignore"):
        x = np.concatenate([x, *((x[:1] * np.array(size, "f8")).astype(dtype) for size in (1e3, 1e6, 1e8, 1e16, 1e20))])
    for function in FUNCTIONS:
        for rows in (x, x[:, ::-1].copy()):
            ours, true = both(function, rows, axis=1)
            assert_same_bits(ours, true)


@pytest.mark.parametrize(("dtype", "low"), [("f2", -15), ("f4", -100), ("f8", -744)])
def test_near_ties_of_subnormal_numbers(dtype: str, low: float) -> None:
    ours, true = both("softmax", subnormal_ties(np.dtype(dtype), low), axis=1)
    assert_same_bits(ours, true)


def test_a_difference_that_is_not_a_float64() -> None:
    """A near-tie, found by search: without the low word of x - m it is rounded the wrong way."""
    x = np.array([[float.fromhex("0x1.296d84p-26"), float.fromhex("-0x1.5909f8p+5")]], "f4")
    ours, true = both("softmax", x, axis=1)
    assert_same_bits(ours, true)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [0, 1, (0, 2)])
def test_rows_left_open_are_settled(function: str, axis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_plan", partial(loops, all_open=True))
    monkeypatch.setattr(cpu, "_SETTLED_ELEMENTS", 150)
    x = normal((6, 70, 5))
    for rows in (x, x[:, ::-1]):
        ours, true = both(function, rows, axis=axis)
        assert_same_bits(ours, true)
    if function != "logsumexp":
        with cpu.only("kernels"):
            getattr(cupysoft, function)(x, axis=axis, out=x)
        assert_same_bits(x, true[:, ::-1])


@pytest.mark.parametrize(("function", "dtype"), [("softmax", "f4"), ("log_softmax", "f2"), ("logsumexp", "f8")])
def test_long_rows_are_cut_into_parts(function: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans_loops, "_IN_PARTS", 100)
    monkeypatch.setattr(plans_loops, "_PART", 32)
    monkeypatch.setattr(cpu, "_plan", loops)
    x = normal((9, 1300), dtype)
    x[1, 70:] = -np.inf  # all of most parts, but not of the first
    x[2, 500], x[3, 5], x[4, 1200] = np.nan, np.inf, -np.inf
    x[5] *= 100
    x[6] = -np.inf
    x[7, 33] = 60000  # far above all other parts
    x[8] = 3
    ours, true = both(function, x, axis=1)
    assert_same_bits(ours, true)
    settle = Mock(wraps=cpu._settle)
    monkeypatch.setattr(cpu, "_settle", settle)
    for all_open in (False, True) if function != "logsumexp" else ():
        monkeypatch.setattr(cpu, "_plan", partial(loops, all_open=all_open))
        out = x.copy()
        with cpu.only("kernels"):
            getattr(cupysoft, function)(out, axis=1, out=out)
        assert_same_bits(out, true)
        assert [call.args[3].tolist() for call in settle.call_args_list] == [[0, 1, 4, 5, 7, 8]] * all_open


@pytest.mark.parametrize("function", FUNCTIONS)
def test_many_elements_in_doubt_are_left_to_kernels_in_two_words(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_wide(*arguments: Any, **options: Any) -> Any:
        return loops(*arguments, **options, all_open=not options.get("wide"))

    monkeypatch.setattr(cpu, "_plan", only_wide)
    monkeypatch.setattr(cpu, "_WIDE_ELEMENTS", 1)
    x = normal((24, 90), scale=30.0)
    x[3, 1:], x[4, 5], x[5, 7], x[6], x[7] = -np.inf, np.inf, np.nan, -np.inf, 2
    x[8, 5] = x[8].max() - 95  # a subnormal result
    ties = [row for _, name, _, row in NEAR_TIES if name == "float32"]
    for line, row in zip(x[9:], ties, strict=False):
        line[:] = -200  # nothing beside these, and not so far below that rows are not near
        line[: len(row)] = row
    before = cpu._device().report.launches  # type: ignore[union-attr]
    ours, true = both(function, x, axis=1)
    assert cpu._device().report.launches == before + 2  # type: ignore[union-attr]
    assert_same_bits(ours, true)


@pytest.mark.parametrize(("function", "columns"), [("softmax", 5), ("log_softmax", 100)])
def test_nothing_is_wrong_with_the_kernels_under_checks(function: str, columns: int) -> None:
    x = normal((32, columns))
    true = both(function, x, axis=1)[1]
    checked, drawn = Device(), Device(seed=5)
    for device in (checked, drawn):
        out, is_open = np.empty_like(x), np.empty(32, np.int32)
        rows = layout(x.shape, (1,), [strides(x), strides(out)])
        plan = loops("Softmax" if function == "softmax" else "LogSoftmax", rows, x.dtype, device.arch)
        assert plan is not None
        run(plan, {"x": x, "out": out, "open": is_open}, device)
        assert not is_open.any()
        assert_same_bits(out, true)
    (report,) = checked.report.kernels.values()
    # Of 5 elements the first and the last are read once more, for the anchor.
    assert report.arguments["x"].walks_read == (1.4 if function == "softmax" else 3)


def test_large_arrays_go_to_the_kernels_and_small_ones_do_not() -> None:
    device = cpu._device()
    assert device is not None
    before = device.report.launches
    cupysoft.softmax(normal((3, 100)), axis=1)
    assert device.report.launches == before
    x = normal((700, 100))
    large = cupysoft.softmax(x, axis=1)
    assert device.report.launches == before + 1
    assert_same_bits(large, both("softmax", x, axis=1)[1])


@pytest.mark.parametrize("found", ["nothing", "0.44.0"])
def test_without_llvm_the_host_computes(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    """There is none, or only the old one that another package asks for."""
    if found == "nothing":
        monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    else:
        monkeypatch.setattr(llvmlite, "__version__", found)
    monkeypatch.setattr(llvm, "binding", llvm.binding.__wrapped__)
    monkeypatch.setattr(cpu, "_device", cpu._device.__wrapped__)
    assert cpu._device() is None
    x = normal((50, 40))
    ours, true = both("softmax", x, axis=1)
    assert_same_bits(ours, true)


@pytest.mark.parametrize("module", ["cupysoft.simulator", "cupy"])
def test_another_thread_may_be_importing(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a first large array does with the simulator: until that is done the module is there, and empty."""
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    assert cupysoft.softmax(np.zeros(2)).tolist() == [0.5, 0.5]
    assert cupysoft.softmax(array("d", [0, 0])).tolist() == [0.5, 0.5]


AT_THE_END = """
import atexit, threading
import numpy as np, cupysoft
from cupysoft.ops import cpu, plans_loops

def late():
    for way in ("kernels", "host"):
        with cpu.only(way):
            print(int(cupysoft.softmax(x, 1).sum()))

def outlive():
    threading.main_thread().join()
    late()

x = np.full((1024, 512), np.log(np.float32(2)))
cupysoft.softmax(x, 1)
atexit.register(late)
threading.Thread(target=outlive).start()
"""


def test_threads_and_functions_that_outlive_the_main_thread_may_call() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_END], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["1024"] * 4, "")


def test_threads_may_call_at_the_same_time() -> None:
    arrays = [normal((200 + i, 500)) for i in range(12)]
    true = [both("softmax", x, axis=1)[1] for x in arrays]
    with ThreadPoolExecutor(6) as pool:
        ours = list(pool.map(partial(cupysoft.softmax, axis=1), arrays))
    for one, other in zip(ours, true, strict=True):
        assert_same_bits(one, other)
