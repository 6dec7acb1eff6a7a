"""The kernels of attention on the simulated device with checks, against the float64 reference and its bounds.

Compiling an instantiation for the simulator takes seconds, so there are few: shapes that share one, and one with all
options for each of the ways in which scores lie in registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import cupysoft
from cupysoft import simulator
from tests.attention_calls import AttentionCall
from tests.attention_reference import EPSILON, naive

Array = np.ndarray[Any, Any]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# Architecture, dtype, precision, and the kernel that is meant.
FMA = ("sm_75", np.dtype("f4"), "ieee", "attention_fma<float")
FMA_DOUBLE = ("sm_75", np.dtype("f8"), None, "attention_fma<double")
FMA_BFLOAT16 = ("sm_75", BFLOAT16, None, "attention_fma<Bfloat16")
HALF = ("sm_80", np.dtype("f2"), None, "attention_half<Float16")
HALF_BFLOAT16 = ("sm_90", BFLOAT16, None, "attention_half<Bfloat16")
WIDE = ("sm_90", np.dtype("f4"), "tf32x3", "attention_wide<Tf32<3>")
# The matrix instructions of float64 are others before sm_90.
WIDE_DOUBLES = [(arch, np.dtype("f8"), None, "attention_wide<Float64") for arch in ("sm_80", "sm_90")]
# One of each source; and those that differ from one of these only in the type.
SOURCES = [FMA, HALF, WIDE]
FAMILIES = [*SOURCES, FMA_DOUBLE, HALF_BFLOAT16, *WIDE_DOUBLES]


def kernel_of(family: tuple[Any, ...]) -> str:
    """Name a family."""
    return f"{family[3]}, {family[0]}"


class Family:
    """Calls that a family of kernels computes, with head_dim and value_dim up to 24."""

    def __init__(self, arch: str, dtype: np.dtype[Any], precision: str | None, kernel: str) -> None:
        self.arch, self.dtype, self.precision, self.kernel = arch, dtype, precision, kernel
        self.rng = np.random.default_rng(0)

    def array(self, *shape: int) -> Array:
        """Normal numbers; rows begin at multiples of 24 elements, however long they are, and NaN lies between them."""
        wide = self.rng.normal(size=(*shape[:-1], 24)).astype(self.dtype)
        wide[..., shape[-1] :] = np.nan
        return wide[..., : shape[-1]]

    def call(self, q: tuple[int, ...], k: tuple[int, ...], value_dim: int, **options: Any) -> AttentionCall:
        """Make a call of these shapes."""
        if self.precision:
            options["precision"] = self.precision
        return AttentionCall(self.array(*q), self.array(*k), self.array(*k[:-1], value_dim), options)

    def device(self, **options: Any) -> simulator.Device:
        """Make the device."""
        return simulator.Device(arch=self.arch, check=True, **options)

    def came(self, device: simulator.Device) -> None:
        """See that its kernels ran, and no others but the merging of parts."""
        names = [name for name in device.report.kernels if not name.startswith("attention_merge")]
        assert names
        assert all(name.startswith(self.kernel) for name in names), names


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Family:
    return Family(*request.param)


@pytest.fixture
def device(family: Family) -> Iterator[simulator.Device]:
    with family.device() as made:
        yield made
    family.came(made)


each_source = pytest.mark.parametrize("family", SOURCES, indirect=True, ids=kernel_of)
each_family = pytest.mark.parametrize("family", FAMILIES, indirect=True, ids=kernel_of)


def bits(*arrays: Array) -> bytes:
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


# Queries, keys, head_dim, value_dim: tiles and one more or less, odd numbers, one of each.
SIZES = [(1, 1, 1, 1), (5, 33, 7, 24), (64, 63, 24, 9), (65, 64, 24, 24), (129, 65, 16, 3), (17, 200, 24, 24)]
PLACES: list[dict[str, Any]] = [
    {}, {"causal": True}, {"causal": "top-left"}, {"window": (9, 4)}, {"window": (None, -0), "causal": "top-left"},
    {"causal": True, "window": (20, None), "kv_lengths": np.array(30)},
]  # fmt: skip


@each_family
def test_sizes_and_places(family: Family, device: simulator.Device) -> None:
    for (queries, keys, head_dim, value_dim), places in zip(SIZES, PLACES, strict=True):
        if family.kernel == HALF_BFLOAT16[3] and queries > 64:
            continue  # another instantiation, which differs from that of float16 in the type alone
        lengths = {"kv_lengths": np.minimum(places["kv_lengths"], keys)} if "kv_lengths" in places else {}
        family.call((queries, head_dim), (keys, head_dim), value_dim, **{**places, **lengths}).check()


@pytest.mark.parametrize("family", [FMA_BFLOAT16], indirect=True, ids=kernel_of)
def test_types_of_16_bits_without_matrix_units(family: Family, device: simulator.Device) -> None:
    family.call((5, 7), (33, 7), 24).check()


@each_source
def test_all_options_at_once(family: Family, device: simulator.Device) -> None:
    """Groups of heads, broadcast batches, repeated bias, queries without a key, and lengths down to 0.

    What a bias of -inf takes out may be NaN; a bound that float32 does not hold is none.
    """
    rng = family.rng
    placed = {"scale": -0.4, "causal": True, "kv_lengths": np.array([[69], [0]]), "softcap": 1e300}
    for keys, more in ((70, {}), (69, placed)):
        options: dict[str, Any] = {
            "mask": rng.random((2, 1, 33, keys)) < 0.5,
            "bias": rng.normal(size=(4, 1, keys)).astype("f4"),
            "softcap": 2.0,
        }
        options["mask"][0, :, 5] = False
        options["bias"][..., 3:6] = -np.inf
        call = family.call((2, 4, 33, 24), (2, 2, keys, 24), 20, **{**options, **more})
        call.k[..., 3, 5], call.k[..., 4, 7], call.v[..., 5, 2] = np.nan, np.inf, np.nan
        call.check()


@pytest.mark.parametrize("family", SOURCES[1:], indirect=True, ids=kernel_of)
def test_mask_and_bias_are_read_two_keys_at_once(family: Family, device: simulator.Device) -> None:
    """Where their rows begin at even places; elsewhere one by one, for the same bits."""
    rng = family.rng
    wide_mask, wide_bias = rng.random((64, 130)) < 0.5, rng.normal(size=(64, 130)).astype("f4")
    mask, bias = wide_mask[:, :128], wide_bias[:, :128]
    call = family.call((64, 24), (128, 24), 24, softcap=2.0)
    seen, requests = [], []
    for start in (0, 1):
        wide_mask[:, start : start + 128], wide_bias[:, start : start + 128] = mask.copy(), bias.copy()
        views = {"mask": wide_mask[:, start : start + 128], "bias": wide_bias[:, start : start + 128]}
        device.report.clear()
        seen.append(bits(call.run(**views)))
        (kernel,) = device.report.kernels.values()
        requests.append(kernel.memory["global read"].requests)
    assert seen[0] == seen[1]
    # 4 warps have 16 rows each, of which a request of 32 lanes reads 8 by 4: keys, or pairs of these.
    in_pairs = 4 * 16 * 128 // (2 * 32)
    assert requests[1] - requests[0] == 2 * in_pairs


@each_family
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(family: Family, device: simulator.Device, number: float) -> None:
    """It does not leak from keys that a query does not attend to, not one bit; where it is attended to, it shows."""
    for keys in (70, 140) if np.isnan(number) else (70,):  # even and odd numbers of tiles
        call = family.call((40, 24), (keys, 24), 24, causal=True)
        clean, level = call.run(), keys - 40
        call.v[level + 20, 3] = number
        call.k[level + 30, 5] = np.nan
        seen = call.run()
        assert bits(seen[:20]) == bits(clean[:20])
        assert bits(seen[20:30, :3], seen[20:30, 4:]) == bits(clean[20:30, :3], clean[20:30, 4:])
        np.testing.assert_array_equal(seen[20:30, 3].astype("f8"), number)
        assert np.isnan(seen[30:].astype("f8")).all()
        call.k[level + 30, 5] = 0
        call.k[level + 35, 5] = number
        call.check()


@each_source
def test_infinity_times_a_weight_that_vanishes(family: Family, device: simulator.Device) -> None:
    """It is still infinity: beside keys of another tile, and of another part, that lead by far."""
    for keys in (70, 1100):
        call = family.call((3, 24), (keys, 24), 24, scale=1.0, causal=True)
        call.q[...], call.k[...] = 1, 0
        call.k[5], call.k[-9:] = -8, 8
        call.v[5, 3], call.v[5, 7], call.v[6, 4] = np.inf, np.nan, -np.inf
        np.testing.assert_array_equal(call.run()[:, [3, 7, 4]].astype("f8"), [[np.inf, np.nan, -np.inf]] * 3)


@pytest.mark.parametrize("family", [*SOURCES, WIDE_DOUBLES[1]], indirect=True, ids=kernel_of)
def test_columns_that_lie_apart(family: Family, device: simulator.Device) -> None:
    """Turned, reversed, and every second one: read where they are."""
    turned, reversed_, second = (
        family.array(24, 40).copy().T[:, :20],
        family.array(70, 20).copy()[::-1, ::-1],
        family.array(70, 24)[:, ::2],
    )
    options = {"precision": family.precision} if family.precision else {}
    AttentionCall(turned, reversed_, second, options).check()


@each_source
def test_parts(family: Family, device: simulator.Device) -> None:
    """Few queries and many keys: blocks share the keys out."""
    call = family.call((3, 24), (2100, 24), 24, causal=True)
    call.check()
    assert any(name.startswith("attention_merge") for name in device.report.kernels)


@pytest.mark.parametrize("family", WIDE_DOUBLES[1:], indirect=True, ids=kernel_of)
def test_parts_of_very_many_keys(family: Family, device: simulator.Device) -> None:
    """Weights that are alike, added one tile after the other, would all err to the same side."""
    call = family.call((65, 24), (17_000, 24), 24, scale=0.01)
    call.v[:, :8], call.v[::2, 8:16] = 0.7, 0.3
    call.check()
    assert any(name.startswith("attention_merge") for name in device.report.kernels)


@pytest.mark.parametrize("family", [HALF], indirect=True, ids=kernel_of)
def test_one_query_a_head(family: Family, device: simulator.Device) -> None:
    """Heads that share keys are rows of one tile: keys are read once for all, and no bit differs."""
    call = family.call((2, 6, 1, 24), (2, 2, 1100, 24), 24, causal=True)
    call.check()
    device.report.clear()
    whole = call.run()
    (arguments,) = [each.arguments for name, each in device.report.kernels.items() if name.startswith(family.kernel)]
    # The report counts an array once for each head that it is broadcast to.
    assert arguments["k"].walks_read == arguments["v"].walks_read == pytest.approx(1 / 3)
    k, v = (np.repeat(array, 3, axis=1) for array in (call.k, call.v))
    assert bits(whole) == bits(AttentionCall(call.q, k, v, call.options).run())


@each_source
def test_an_answer_does_not_know_its_batch(family: Family, device: simulator.Device) -> None:
    for keys in (70, 1100):
        call = family.call((3, 20, 24), (3, keys, 24), 24)
        whole = call.run()
        assert bits(whole) == bits(call.run())
        for i in range(3):
            options: dict[str, Any] = {"precision": family.precision} if family.precision else {}
            assert bits(cupysoft.attention(call.q[i : i + 1], call.k[i : i + 1], call.v[i : i + 1], **options)) == bits(
                whole[i]
            )


@each_source
def test_a_query_does_not_know_how_many_there_are(family: Family, device: simulator.Device) -> None:
    """Up to as many keys as a part has: alone, among few and among many the same bits."""
    call = family.call((70, 24), (200, 24), 24)
    whole = call.run()
    for rows in (slice(5, 6), slice(3, 60)):
        assert bits(AttentionCall(call.q[rows], call.k, call.v, call.options).run()) == bits(whole[rows])


def test_a_query_of_128_columns_does_not_know_how_many_there_are() -> None:
    """Whose tiles are others where registers are scarce: one stage, two bands of queries, 48 keys."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(n, 128)).astype("f2") for n in (66, 150, 150))
    with simulator.Device(arch="sm_80", check=True) as device:
        call = AttentionCall(q, k, v, {})
        call.check()
        whole = call.run()
        assert bits(AttentionCall(q[64:], k, v, {}).run()) == bits(whole[64:])
    shapes = [name.split("None>, 1, ")[1] for name in device.report.kernels]
    assert shapes == ["128, 128, 4, 2, 48, 1, 8>", "128, 128, 4, 1, 48, 2, 8>"]


@each_source
def test_not_worse_than_the_naive_computation(family: Family, device: simulator.Device) -> None:
    for keys in (64, 300):
        call = family.call((64, 24), (keys, 24), 24)
        true = call.expected().o
        ours, theirs = (np.abs(o.astype("f8") - true).max() for o in (call.run(), naive(call.q, call.k, call.v)))
        assert ours <= 1.5 * theirs + 2 * EPSILON[family.dtype.name] * np.abs(true).max()


@pytest.mark.parametrize("family", SOURCES[1:], indirect=True, ids=kernel_of)
def test_every_order_of_warps(family: Family) -> None:
    """With a seed warps move as they like, copies come when they like, sums of matrix units are any that is allowed."""
    for seed in (1, 2):
        with family.device(seed=seed):
            family.call((70, 24), (140, 24), 24, causal=True).check()


@each_source
def test_how_often_memory_is_read(family: Family, device: simulator.Device) -> None:
    """Keys and values once a tile of queries, in whole sectors, and no two lanes meet in a bank."""
    q, k, v = (np.ones((n, 32), family.dtype) for n in (16, 256, 256))
    AttentionCall(q, k, v, {"precision": family.precision}).run()
    ((_, kernel),) = device.report.kernels.items()
    for name in ("q", "k", "v"):
        assert kernel.arguments[name].walks_read == 1
    assert kernel.arguments["out"].walks_written == 1
    assert kernel.bank_conflicts == 0
    for direction in ("global read", "global write"):
        assert kernel.memory[direction].excess == 0


def test_one_product_of_tf32() -> None:
    """Only on request: numbers are rounded to 11 bits, which is seen."""
    family = Family("sm_90", np.dtype("f4"), "tf32", "attention_wide<Tf32<1>")
    call = family.call((17, 24), (70, 24), 24)
    true = call.run()
    with family.device() as device:
        error = np.abs(call.run() - true).max()
    family.came(device)
    assert 2.0**-16 < error < 2.0**-8


@pytest.mark.parametrize("family", [WIDE], indirect=True, ids=kernel_of)
def test_numbers_that_would_be_rounded_to_infinity(family: Family, device: simulator.Device) -> None:
    """The largest ones have no tf32 near them that is finite; they count all the same."""
    call = family.call((17, 24), (40, 24), 24, scale=1e-38)
    largest = np.finfo("f4").max
    call.v[3, 5] = -largest
    call.q[:, 2] = np.linspace(-0.9, 0.9, 17)
    call.k[7, 2] = call.k[9, 2] = largest
    call.check()
    assert np.isfinite(call.run()).all()


@each_source
def test_scores_so_large_that_no_digit_is_left(family: Family, device: simulator.Device) -> None:
    """The largest score of a row is not rounded away from itself; a scale that float32 does not hold is no other."""
    q, k, v = (family.array(n, 24) for n in (16, 40, 40))
    q[3] = 0
    leading = v[np.argmax(q.astype("f8") @ k.astype("f8").T, axis=1)].astype("f8")
    leading[3] = v.astype("f8").mean(axis=0)
    for scale in (1e20, 1e60):
        result, lse = cupysoft.attention(q, k, v, scale=scale, return_lse=True)
        np.testing.assert_allclose(result, leading, atol=2.0**-9 if family.dtype.itemsize == 2 else 2.0**-20)
        assert lse[3] == pytest.approx(np.log(40))
    assert np.isposinf(np.delete(lse, 3)).all()
    mean = np.broadcast_to(v.astype("f8").mean(axis=0), result.shape)
    np.testing.assert_allclose(cupysoft.attention(q, k, v, scale=1e-60), mean, atol=2.0**-12)
