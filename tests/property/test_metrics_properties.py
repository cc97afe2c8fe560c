"""Laws that the metrics keep for any volume."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metric_phantoms import SPACING_MM, add_ghost, add_noise, ellipse_body

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics import measure
from mriqa.metrics.columns import BODY_SLICE_COLUMNS, BODY_VOLUME_COLUMNS

SEEDS = st.integers(0, 50)
PER_SLICE = (
    "body_efc",
    "body_fber",
    "body_snr",
    "body_snr_tissue",
    "body_sharpness",
    "body_sharpness_y",
    "body_sharpness_x",
)
some = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def of(volume):
    return measure(np.ascontiguousarray(volume, np.float32), SPACING_MM, upper=99.0)


def scan(seed):
    """A body in noise with a faint ghost."""
    return add_noise(add_ghost(ellipse_body((5, 48, 64), seed), 0.03, 1), 3.0, seed)


def assert_same(one, two, rel=1e-4, absolute=1e-5):
    for name, value in one.volume.items():
        if isinstance(value, float):
            assert two.volume[name] == pytest.approx(value, rel=rel, abs=absolute), name
        else:
            assert two.volume[name] == value, name


# The histogram's bins are 1.6% wide, so that shifting them moves a number by some 1e-3.
BIN = 5e-3


@some
@given(seed=SEEDS, factor=st.floats(1e-3, 1e5))
def test_scaling_the_intensities_changes_nothing(seed, factor):
    volume = scan(seed)
    assert_same(of(volume), of(volume * np.float32(factor)), rel=BIN, absolute=BIN)


@some
@given(seed=SEEDS, axes=st.sets(st.sampled_from([0, 1, 2]), min_size=1))
def test_flips_change_nothing(seed, axes):
    volume = scan(seed)
    one, two = of(volume), of(np.flip(volume, tuple(axes)))
    # Components are labelled on every second block, which a flip moves by one.
    assert_same(one, two, rel=0.02, absolute=0.01)


@some
@given(seed=SEEDS)
def test_transposing_the_plane_swaps_the_axes(seed):
    volume = scan(seed)
    one, two = of(volume).volume, of(volume.transpose(0, 2, 1)).volume
    for name in ("ghosting", "sharpness", "border"):
        for axis, other in (("y", "x"), ("x", "y")):
            expected = one[f"body_{name}_{axis}"]
            assert two[f"body_{name}_{other}"] == pytest.approx(expected, rel=0.02, abs=0.01)
    assert two["body_snr"] == pytest.approx(one["body_snr"], rel=0.02)


@some
@given(seed=SEEDS, order=st.permutations(range(5)))
def test_what_is_said_of_a_slice_alone_moves_with_it(seed, order):
    volume = scan(seed)
    one, two = of(volume), of(volume[list(order)])
    for name in PER_SLICE:
        np.testing.assert_allclose(
            two.slices[name], one.slices[name][list(order)], rtol=BIN, atol=BIN, err_msg=name
        )
    for name in ("body_snr", "body_efc", "body_fber", "body_sharpness", "body_entropy"):
        assert two.volume[name] == pytest.approx(one.volume[name], rel=BIN)


@some
@given(seed=SEEDS)
def test_measuring_twice_gives_the_same_numbers(seed):
    one, two = of(scan(seed)), of(scan(seed))
    assert one.volume == two.volume
    for name, values in one.slices.items():
        np.testing.assert_array_equal(values, two.slices[name])


@some
@given(seed=SEEDS, strips=st.integers(1, 3))
def test_a_moved_body_keeps_its_numbers(seed, strips):
    volume = add_noise(ellipse_body((5, 64, 96), seed, (0.2, 0.2)), 3.0, seed)
    one, two = of(volume), of(np.roll(volume, 4 * strips, axis=2))
    for name in ("body_snr", "body_efc", "body_fber", "body_sharpness", "body_entropy"):
        assert two.volume[name] == pytest.approx(one.volume[name], rel=0.05), name


@many
@given(
    volume=arrays.arrays(
        np.float32,
        st.tuples(st.integers(2, 4), st.integers(8, 12), st.integers(8, 12)),
        elements=st.one_of(
            st.floats(width=32, allow_nan=True, allow_infinity=True),
            st.sampled_from([0.0, 1.0, 100.0]),
        ),
        fill=st.sampled_from([0.0, 1.0, float("nan")]),
    ),
    upper=st.floats(51, 100),
)
def test_any_volume_is_measured_or_has_a_code(volume, upper):
    try:
        measured = measure(volume, SPACING_MM, upper=upper)
    except SeriesError as error:
        assert error.code in (  # noqa: PT017
            ErrorCode.CONSTANT,
            ErrorCode.ALL_NONFINITE,
            ErrorCode.NO_FOREGROUND,
        )
        return
    check_bounds(BODY_VOLUME_COLUMNS, measured.volume)
    for column in BODY_SLICE_COLUMNS:
        values = measured.slices[column.name]
        assert len(values) == len(volume)
        check_bounds([column], {column.name: values[np.isfinite(values)]})
        assert not np.isinf(values).any()


def check_bounds(columns, values):
    for column in columns:
        value = values[column.name]
        if column.kind == "string":
            assert value is None or value in column.levels
        elif value is not None:
            low, high = column.bounds
            assert np.isfinite(value).all(), column.name
            assert low is None or np.min(value, initial=low) >= low, column.name
            assert high is None or np.max(value, initial=high) <= high, column.name
