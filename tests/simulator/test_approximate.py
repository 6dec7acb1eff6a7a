"""The approximate instructions stay inside the bounds of the PTX manual, also where a seed chooses their results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.harness import Array, floats, run

DEVICES = [simulator.Device(), simulator.Device(check=False, seed=1), simulator.Device(seed=2)]


@pytest.fixture(autouse=True, params=DEVICES, ids=["plain", "drawn", "drawn and checked"])
def device(request: pytest.FixtureRequest) -> Iterator[simulator.Device]:
    with request.param as made:
        yield made


TINY = np.float32(2.0**-126)


def samples(low: float, high: float, count: int = 20000) -> Array:
    rng = np.random.default_rng(0)
    return rng.uniform(low, high, count).astype(np.float32)


def magnitudes(count: int = 20000) -> Array:
    """Return positive numbers of every size, subnormal ones too."""
    rng = np.random.default_rng(1)
    return rng.integers(1, 0x7F800000, count, np.uint32).view(np.float32)


def values(name: str, x: Array) -> Array:
    return run([f"ff {name}"], {"f": [x]})[f"ff {name}"].astype(np.float64)


def ulps(got: Array, want: Array) -> Array:
    """Return errors in units of the last place of the float32 nearest to `want`."""
    unit = np.spacing(np.maximum(np.abs(want), TINY).astype(np.float32)).astype(np.float64)
    error: Array = np.abs(got - want) / unit
    return error


@np.errstate(all="ignore")
def test_exponential(device: simulator.Device) -> None:
    x = np.concatenate([samples(-151, 128), samples(-1e-3, 1e-3), np.arange(-149, 128, dtype=np.float32)])
    got = values("ex2.approx.f32", x)
    assert ulps(got, np.exp2(x.astype(np.float64)))[:40000].max() <= 2
    if device.seed is None:
        np.testing.assert_array_equal(got[40000:], np.exp2(x[40000:].astype(np.float64)))
    flushed = values("ex2.approx.ftz.f32", x)
    np.testing.assert_array_equal(flushed, np.where(got < TINY, 0, got))


@np.errstate(all="ignore")
def test_logarithm() -> None:
    near = samples(0.5, 2)
    assert np.abs(values("lg2.approx.f32", near) - np.log2(near.astype(np.float64))).max() <= 2.0**-22
    x = magnitudes()
    x = x[(x <= 0.5) | (x >= 2)]
    want = np.log2(x.astype(np.float64))
    assert (np.abs(values("lg2.approx.f32", x) - want) / np.abs(want)).max() <= 2.0**-22


@np.errstate(all="ignore")
def test_roots_and_reciprocals() -> None:
    x = magnitudes()
    wide = x.astype(np.float64)
    assert (np.abs(values("rsqrt.approx.f32", x) * np.sqrt(wide) - 1)).max() <= 2.0**-22.9
    assert (np.abs(values("sqrt.approx.f32", x) / np.sqrt(wide) - 1)).max() <= 2.0**-23
    usual = (x > 2.0**-126) & (x < 2.0**126)
    assert ulps(values("rcp.approx.f32", x), 1 / wide)[usual].max() <= 1


@np.errstate(all="ignore")
def test_quotients(device: simulator.Device) -> None:
    a, b = floats(np.float32, 2, 20000)
    names = ("div.approx.f32", "div.full.f32", "div.approx.ftz.f32")
    results = run([f"fff {name}" for name in names], {"f": [a, b]})
    want = a.astype(np.float64) / b
    large = np.isfinite(want) & (np.abs(want) > 2.0**-125) & (np.abs(want) < 2.0**127)
    for name in names:
        known = large & (np.abs(a) >= TINY) & (np.abs(b) >= TINY)
        if "approx" in name:
            known &= np.abs(b) <= 2.0**126
        error = ulps(results[f"fff {name}"].astype(np.float64), want)[known]
        assert error.max() <= 2
        assert (error.max() > 1) == (device.seed is not None)


def test_sine_and_cosine() -> None:
    for name, function in (("sin.approx.f32", np.sin), ("cos.approx.f32", np.cos)):
        for turns, bound in ((2, 2.0**-20.5), (100, 2.0**-14.7)):
            x = samples(-turns * np.pi, turns * np.pi)
            assert np.abs(values(name, x) - function(x.astype(np.float64))).max() <= bound
        assert np.abs(values(name, magnitudes())).max() <= 1.0001


def test_hyperbolic_tangent() -> None:
    x = np.concatenate([samples(-10, 10), magnitudes(), -magnitudes()])
    want = np.tanh(x.astype(np.float64))
    assert (np.abs(values("tanh.approx.f32", x) - want) / np.abs(want)).max() <= 2.0**-11


@np.errstate(all="ignore")
def test_double_seeds() -> None:
    """Only the upper words of source and result take part; subnormals count as zero."""
    (x,) = floats(np.float64, 1, 4000)
    upper = (x.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)
    upper = np.where(np.abs(upper) < 2.0**-1022, np.copysign(0.0, upper), upper)
    results = run(["dd rcp.approx.ftz.f64", "dd rsqrt.approx.ftz.f64", "dd rsqrt.approx.f64"], {"d": [x]})
    for name, want in (("rcp", 1 / upper), ("rsqrt", 1 / np.sqrt(upper))):
        got = results[f"dd {name}.approx.ftz.f64"]
        number = ~np.isnan(want)
        assert not (got.view(np.uint64)[number] & np.uint64(0xFFFFFFFF)).any()
        want = np.where(np.abs(want) < 2.0**-1022, np.copysign(0.0, want), want)
        usual = np.isfinite(want) & (want != 0)
        assert (np.abs(got - want)[usual] / np.abs(want[usual])).max() <= 2.0**-20
        np.testing.assert_array_equal(got[~usual], want[~usual])
    positive = (x > 0) & np.isfinite(x)
    exact = 1 / np.sqrt(x[positive].astype(np.longdouble))
    assert (np.abs(results["dd rsqrt.approx.f64"][positive] / exact - 1)).max() <= 2.0**-51


@np.errstate(all="ignore")
def test_special_values(device: simulator.Device) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 2.0**-130, 1.0], np.float32)
    nan, inf = np.nan, np.inf
    table = {
        "ex2.approx.f32": [1, 1, inf, 0, nan, 0.5, 1, 2],
        "lg2.approx.f32": [-inf, -inf, inf, nan, nan, nan, -130, 0],
        "lg2.approx.ftz.f32": [-inf, -inf, inf, nan, nan, nan, -inf, 0],
        "rcp.approx.f32": [inf, -inf, 0, -0.0, nan, -1, inf, 1],
        "rcp.approx.ftz.f32": [inf, -inf, 0, -0.0, nan, -1, inf, 1],
        "rsqrt.approx.f32": [inf, -inf, 0, nan, nan, nan, 2.0**65, 1],
        "rsqrt.approx.ftz.f32": [inf, -inf, 0, nan, nan, nan, inf, 1],
        "sqrt.approx.ftz.f32": [0, -0.0, inf, nan, nan, nan, 0, 1],
    }
    results = run([f"ff {name}" for name in table], {"f": [x]})
    for name, want in table.items():
        got = results[f"ff {name}"]
        fixed = np.array(want, np.float32)
        if device.seed is not None:
            usual = np.isfinite(fixed) & (fixed != 0) & (np.abs(x) >= (TINY if name[:3] == "ex2" else 0)) & (x != 0)
            fixed = np.where(usual, got, fixed)
        np.testing.assert_array_equal(got, fixed, name)
        zero = got == 0
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(np.array(want, np.float32)[zero]), name)
    results = run(["ff sin.approx.f32", "ff cos.approx.f32", "ff tanh.approx.f32", "ff sin.approx.ftz.f32"], {"f": [x]})
    np.testing.assert_array_equal(results["ff sin.approx.f32"][:5], np.array([0, -0.0, nan, nan, nan], np.float32))
    np.testing.assert_array_equal(results["ff cos.approx.f32"][:5], np.array([1, 1, nan, nan, nan], np.float32))
    np.testing.assert_array_equal(results["ff tanh.approx.f32"][:5], np.array([0, -0.0, 1, -1, nan], np.float32))
    assert np.signbit(results["ff sin.approx.f32"][1])
    assert np.signbit(results["ff tanh.approx.f32"][1])
    assert results["ff sin.approx.f32"][6] == x[6]
    assert results["ff sin.approx.ftz.f32"][6] == 0
