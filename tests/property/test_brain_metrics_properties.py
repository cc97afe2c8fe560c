"""Laws that follow from the formulas of the brain metrics, for any head."""

from dataclasses import replace

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from brain_phantoms import SPACING_MM, make_head, scan, shading, tissue_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mriqa.errors import SeriesError
from mriqa.metrics.brain import BRAIN_COLUMNS, measure_brain, ratios, smoothness, tissue_of_maps
from mriqa.metrics.brain.fractions import residual_partial_voluming, volume_fractions
from mriqa.metrics.brain.summary import summarise, weigh

few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
positive = st.floats(1e-2, 1e4)
SHAPE = (30, 36, 34)


def drawn(seed, sigma=15.0):
    head = make_head(SHAPE, seed=seed)
    bias = shading(SHAPE, 0.3)
    return scan(head, sigma, bias, seed), tissue_of(head, bias)


def values_of(volume, tissue):
    return measure_brain(volume, SPACING_MM, tissue).values


def assert_same(one, two, rel=1e-3, apart_from=()):
    for name, value in one.items():
        if name.startswith(tuple(apart_from)):
            continue
        if isinstance(value, float):
            assert two[name] == pytest.approx(value, rel=rel, abs=2e-3), name
        else:
            assert two[name] == value, name


@few
@given(seed=st.integers(0, 20), factor=st.floats(1e-3, 1e4))
def test_scaling_the_intensities_changes_nothing(seed, factor):
    volume, tissue = drawn(seed)
    one, two = values_of(volume, tissue), values_of(volume * np.float32(factor), tissue)
    # A voxel on the edge of a whole number may round to the other side: one in a thousandth.
    assert_same(one, two, rel=3e-3)


@few
@given(seed=st.integers(0, 20), factor=st.floats(0.5, 2.0))
def test_a_factor_of_the_bias_field_moves_only_the_field(seed, factor):
    volume, tissue = drawn(seed)
    one = values_of(volume, tissue)
    two = values_of(volume, replace(tissue, bias=tissue.bias * np.float32(factor)))
    assert_same(one, two, rel=3e-3, apart_from=("inu_",))
    for name in ("inu_range", "inu_med"):
        assert two[name] == pytest.approx(factor * one[name], rel=1e-5)


@few
@given(
    seed=st.integers(0, 20), axes=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3)
)
def test_turning_the_head_turns_the_widths(seed, axes, flips):
    volume, tissue = drawn(seed)

    def turned(array):
        return np.ascontiguousarray(
            array.transpose(axes)[tuple(np.s_[:: 1 - 2 * f] for f in flips)]
        )

    maps = []
    for one in tissue.probabilities:
        whole = np.zeros(SHAPE, np.float32)
        whole[tissue.brain] = one
        maps.append(turned(whole))
    moved = tissue_of_maps(
        maps[0].shape,
        maps,
        head=turned(tissue.head),
        air=turned(tissue.air),
        artifacts=turned(tissue.artifacts),
        bias=turned(tissue.bias),
    )
    one, two = values_of(volume, tissue), values_of(turned(volume), moved)
    assert_same(one, two, apart_from=("fwhm_x", "fwhm_y", "fwhm_z"))
    for new, old in enumerate(axes):
        assert two[f"fwhm_{'zyx'[new]}"] == pytest.approx(one[f"fwhm_{'zyx'[old]}"], rel=1e-4)


@few
@given(seed=st.integers(0, 20))
def test_measuring_twice_gives_the_same_numbers(seed):
    volume, tissue = drawn(seed)
    before = volume.copy()
    assert values_of(volume, tissue) == values_of(volume, tissue)
    np.testing.assert_array_equal(volume, before)


@few
@given(seed=st.integers(0, 20))
def test_noise_lowers_what_it_should_lower(seed):
    found = [values_of(*drawn(seed, sigma)) for sigma in (8.0, 24.0, 72.0)]
    for name in ("snr_total", "snrd_total", "cnr", "snr_wm", "fwhm_avg"):
        assert found[0][name] > found[1][name] > found[2][name], name
    for name in ("cjv", "efc", "summary_bg_mad"):
        assert found[0][name] < found[1][name] < found[2][name], name


@few
@given(seed=st.integers(0, 20))
def test_shading_that_is_not_corrected_raises_the_joint_variation(seed):
    head = make_head(SHAPE, seed=seed)
    tissue = tissue_of(head)
    found = [
        values_of(scan(head, 10.0, shading(SHAPE, strength), seed), tissue)["cjv"]
        for strength in (0.0, 0.4, 0.8)
    ]
    assert found[0] < found[1] < found[2]


@few
@given(seed=st.integers(0, 20))
def test_artifacts_in_the_air_raise_qi_1(seed):
    head = make_head(SHAPE, seed=seed)
    marked = [np.zeros(SHAPE, bool) for _ in range(3)]
    for number, mask in enumerate(marked):
        mask.ravel()[np.flatnonzero(head.air)[: 500 * number]] = True
    volume = scan(head)
    found = [values_of(volume, tissue_of(head, artifacts=mask))["qi_1"] for mask in marked]
    assert found[0] == 0
    assert found[0] < found[1] < found[2] < 1


@many
@given(median=positive, stdv=positive, n=st.floats(2, 1e7), factor=positive)
def test_ratios_do_not_see_the_scale(median, stdv, n, factor):
    assert ratios.snr(factor * median, factor * stdv, n) == pytest.approx(
        ratios.snr(median, stdv, n)
    )
    args = (median, 2 * median + 1, stdv, 2 * stdv, 3 * stdv)
    assert ratios.cnr(*(factor * a for a in args)) == pytest.approx(ratios.cnr(*args))
    two = (median, 2 * median + 1, stdv, 2 * stdv)
    assert ratios.cjv(*(factor * a for a in two)) == pytest.approx(ratios.cjv(*two))


@many
@given(wm=positive, gm=positive, spread=positive)
def test_white_and_grey_matter_may_change_places(wm, gm, spread):
    assert ratios.cnr(wm, gm, spread, 2.0, 2.0) == ratios.cnr(gm, wm, spread, 2.0, 2.0)
    assert ratios.cjv(wm, gm, spread, spread) == ratios.cjv(gm, wm, spread, spread)


volumes = arrays.arrays(
    np.float32, (3, 9, 8), elements=st.floats(0.125, 1000, width=32), fill=st.just(1.0)
)


@many
@given(volume=volumes, factor=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_efc_sees_neither_scale_nor_order(volume, factor, seed):
    mixed = np.random.default_rng(seed).permutation(volume.ravel()).reshape(volume.shape)
    expected = ratios.efc(volume)
    assert ratios.efc(volume * np.float32(factor)) == pytest.approx(expected, abs=1e-5)
    assert ratios.efc(mixed) == pytest.approx(expected, abs=1e-5)
    assert -1e-5 <= expected <= 1 + 1e-5


@many
@given(volume=volumes, factor=st.floats(0.01, 100), offset=st.floats(0, 1000))
def test_widths_see_neither_scale_nor_offset(volume, factor, offset):
    volume = volume + np.random.default_rng(0).normal(0, 50, volume.shape).astype(np.float32) + 500
    mask = np.ones(volume.shape, bool)
    moved = (volume * np.float32(factor) + np.float32(offset)).astype(np.float32)
    for one, two in zip(smoothness.fwhm(volume, mask), smoothness.fwhm(moved, mask), strict=True):
        assert (one is None) == (two is None)
        assert one is None or two == pytest.approx(one, rel=0.02)


weights = arrays.arrays(np.float32, 60, elements=st.floats(0, 1, width=32))


@many
@given(p=weights, seed=st.integers(0, 99), outside=st.integers(0, 1000))
def test_partial_voluming_sees_no_order_and_counts_what_is_outside(p, seed, outside):
    mixed = np.random.default_rng(seed).permutation(p)
    found = residual_partial_voluming(p, p.size)
    assert (found is None) == (not (p > 0).any())
    if found is not None:
        assert residual_partial_voluming(mixed, p.size) == pytest.approx(found, rel=1e-5)
        more = residual_partial_voluming(p, p.size + outside)
        assert more - found == pytest.approx(outside / (p > 0).sum(), rel=1e-4, abs=1e-4)


@many
@given(n=st.tuples(*[st.floats(0, 1e6)] * 3))
def test_fractions_sum_up_to_one(n):
    found = volume_fractions(n)
    if sum(n) > 0:
        assert sum(found) == pytest.approx(1)
    else:
        assert found == (None, None, None)


@many
@given(
    values=arrays.arrays(np.float32, 60, elements=st.floats(0, 2000, width=32)),
    p=weights,
    seed=st.integers(0, 99),
)
def test_summaries_see_no_order_and_keep_theirs(values, p, seed):
    p = np.maximum(p, np.float32(0.002))
    mixed = np.random.default_rng(seed).permutation(values.size)

    def of(where):
        (weighed,) = weigh(values[where], p[None, where])
        return summarise(weighed, values[where], float(p.sum()), lambda value: value)

    one, two = of(np.arange(values.size)), of(mixed)
    assert (one.median, one.p05, one.p95, one.mad) == (two.median, two.p05, two.p95, two.mad)
    assert (one.mean, one.stdv) == pytest.approx((two.mean, two.stdv), rel=1e-9, abs=1e-9)
    assert one.p05 <= one.median <= one.p95
    assert values.min() - 0.5 <= one.mean <= values.max() + 0.5
    assert np.isnan(one.k) or one.k >= -2 - 1e-3


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    volume=arrays.arrays(
        np.float32,
        (12, 13, 14),
        elements=st.one_of(
            st.floats(width=32, allow_nan=True, allow_infinity=True),
            st.sampled_from([0.0, 1.0, 100.0]),
        ),
        fill=st.sampled_from([0.0, 1.0, float("nan")]),
    ),
    seed=st.integers(0, 99),
)
def test_any_volume_is_measured_or_has_a_code(volume, seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet((0.2, 0.2, 0.2), volume.shape).astype(np.float32)
    masks = rng.random((2, *volume.shape)) < 0.5
    nothing = np.zeros(volume.shape, bool)
    tissue = tissue_of_maps(
        volume.shape,
        tuple(np.moveaxis(shares, -1, 0)),
        head=masks[0],
        air=masks[1],
        artifacts=nothing,
    )
    try:
        values = values_of(volume, tissue)
    except SeriesError:
        return
    for column in BRAIN_COLUMNS:
        value = values[column.name]
        if column.kind == "string":
            assert value is None or value in column.levels
        elif value is not None:
            assert np.isfinite(value), column.name
            low, high = column.bounds
            slack = 1e-5 * max(abs(value), 1)
            assert low is None or value >= low - slack, column.name
            assert high is None or value <= high + slack, column.name
