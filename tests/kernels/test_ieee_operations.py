"""Only IEEE operations and integers decide: floating-point arithmetic names its rounding, no library has a say."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pytest

from cupysoft.ops import plans
from cupysoft.ops.calls import kernels_of
from cupysoft.ops.plans_fast import fast
from cupysoft.ops.warmup_arguments import calls_of
from cupysoft.runtime.ahead import compiled
from cupysoft.runtime.plan import KernelRef
from cupysoft.runtime.sources import listing, source
from tests.kernels.plans_for import contiguous

# Kernels that decide nothing by proof: precision="fast", the lesson, and attention, which has an error bound.
OTHERS = ("softmax/fast.cu", "ladder/", "attention/")

OPERATIONS = "add|sub|mul|fma|mad|div|sqrt|rcp|rsqrt|ex2|lg2|sin|cos|tanh"
ARITHMETIC = re.compile(rf"({OPERATIONS})\.[\w.]*b?f(16|32|64)(x2)?|call.*")
ROUNDED = re.compile(r"(add|sub|mul|fma|div|sqrt|rcp)\.(rn|rz|rm|rp)\.f(32|64)")
# A first guess, which is corrected with a proof.
GUESS = "rcp.approx.ftz.f32"

# With one argument: log() of a state has three.
ARGUMENT = r"\((?:[^(),]|\((?:[^()]|\([^()]*\))*\))*\)"
FUNCTIONS = "exp|exp2|exp10|expm1|log|log1p|log2|log10|tanh|sin|cos|rsqrt"
CALLED = re.compile(rf"(\w+ )?(?<![\w.:>])_{{0,2}}({FUNCTIONS})f?{ARGUMENT}")


def unrounded(kernels: Iterable[KernelRef], arch: str = "sm_90") -> set[str]:
    """Instructions of the PTX that compute with floating-point numbers and are not rounded as IEEE 754 has it."""
    found: set[str] = set()
    for kernel in kernels:
        text = compiled(kernel, arch, "ptx").code.decode()
        found.update(re.findall(r"^\s*(?:@!?%\w+\s+)?([a-z][\w.:]*)", text, re.MULTILINE))
    return {each for each in found if ARITHMETIC.fullmatch(each) and not ROUNDED.fullmatch(each)}


def calls_of_libraries(path: str) -> set[str]:
    """Functions of CUDA's mathematics that a file, with its headers, calls; a definition has a type before its name."""
    code = re.sub(r"//.*", "", source(path))
    return {each[2] for each in CALLED.finditer(code) if each[1] in (None, "return ")}


@pytest.mark.parametrize("path", [path for path in listing() if not path.startswith(OTHERS)])
def test_no_function_of_a_library_is_called(path: str) -> None:
    assert not calls_of_libraries(path)


@pytest.mark.parametrize(
    ("operation", "dtype"),
    [("softmax", "float32"), ("log_softmax", "float64"), ("logsumexp", "float64"), ("SoftmaxState", "float32")],
)
def test_arithmetic_is_rounded_to_nearest_or_in_a_direction(operation: str, dtype: str) -> None:
    weighted = operation == "logsumexp"
    assert not unrounded(kernels_of(calls_of(operation, dtype, 1000, b=weighted, return_sign=weighted)))


@pytest.mark.parametrize(("dtype", "more"), [("float16", {"float32": True}), ("float32", {"integers": True})])
def test_one_first_guess_is_approximate(dtype: str, more: dict[str, bool]) -> None:
    plan = plans.softmax(contiguous(64, 1000), np.dtype(dtype), (16, 16), log=False, **more)
    assert unrounded(plan.kernels) == {GUESS}


def test_what_is_not_rounded_would_be_found() -> None:
    assert calls_of_libraries("softmax/fast.cu") == {"log", "log1p"}
    plan = fast("Softmax", contiguous(64, 1000), np.dtype("f4"), (16, 16))
    assert plan is not None
    assert "ex2.approx.ftz.f32" in unrounded(plan.kernels)
