"""Slices that lack signal, told by the other volumes of their shell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mriqa.metrics.diffusion import (
    LEAST_LACKING,
    LEAST_VOLUMES,
    OUTLIER_Z,
    compare_shell,
    slice_signal,
)

SIGNALS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(LEAST_VOLUMES, 9), st.integers(1, 8)),
    elements=st.floats(1, 1000),
)


def shell(n=30, slices=20, spread=0.02, seed=0):
    """Signals of volumes of different level, whose slices vary by `spread`."""
    rng = np.random.default_rng(seed)
    profile, level = rng.uniform(50, 200, slices), rng.uniform(0.8, 1.25, (n, 1))
    return profile * level * np.exp(rng.normal(0, spread, (n, slices)))


def slow(signal):
    """As the docstring says, value by value."""
    v, z = signal.shape
    logs = np.log(signal)
    less = np.zeros_like(signal)
    for i in range(v):
        for j in range(z):
            less[i, j] = logs[i, j] - np.median(logs[i])
    for j in range(z):
        less[:, j] -= np.median(less[:, j])
    mads = [1.4826 * np.median(np.abs(less[:, j])) for j in range(z)]
    sigma = [max(one, np.median(mads)) for one in mads]
    lacking = 1 - np.exp(less)
    outlier = [
        [less[i, j] < -OUTLIER_Z * sigma[j] and lacking[i, j] >= LEAST_LACKING for j in range(z)]
        for i in range(v)
    ]
    return lacking, np.array(outlier)


@given(SIGNALS)
def test_it_is_what_the_definition_says(signal):
    found = compare_shell(signal)
    lacking, outlier = slow(signal)
    np.testing.assert_allclose(found.lacking, lacking, atol=1e-9)
    assert (found.is_outlier == outlier).all()


@given(SIGNALS, st.randoms(use_true_random=False))
def test_the_order_of_volumes_changes_nothing(signal, random):
    order = list(range(len(signal)))
    random.shuffle(order)
    found, shuffled = compare_shell(signal), compare_shell(signal[order])
    np.testing.assert_allclose(shuffled.lacking, found.lacking[order], atol=1e-9)
    assert (shuffled.is_outlier == found.is_outlier[order]).all()


@given(SIGNALS, hnp.arrays(np.float64, 9, elements=st.floats(0.5, 2)))
def test_a_volume_that_is_brighter_as_a_whole_is_no_other(signal, levels):
    brighter = signal * levels[: len(signal), None]
    lacking = compare_shell(signal).lacking
    np.testing.assert_allclose(compare_shell(brighter).lacking, lacking, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.7])
def test_a_slice_lacks_what_was_taken_from_it(kept):
    signal = shell()
    signal[4, 11] *= kept
    found = compare_shell(signal)
    assert found.lacking[4, 11] == pytest.approx(1 - kept, abs=0.05)
    assert np.argwhere(found.is_outlier).tolist() == [[4, 11]]


def test_end_slices_and_neighbours_that_lack_signal_together_are_found():
    signal = shell()
    signal[7, :4] *= 0.4
    assert np.argwhere(compare_shell(signal).is_outlier).tolist() == [
        [7, 0],
        [7, 1],
        [7, 2],
        [7, 3],
    ]


def test_a_slice_that_varies_by_its_nature_is_no_outlier():
    signal = shell()
    signal[:, 3] *= np.exp(np.random.default_rng(1).normal(0, 0.2, len(signal)))
    assert compare_shell(signal).is_outlier[:, 3].sum() <= 1


def test_hardly_any_good_slice_is_an_outlier():
    shares = [compare_shell(shell(spread=0.08, seed=seed)).is_outlier.mean() for seed in range(20)]
    assert np.mean(shares) < 0.002


def test_nobody_judges_by_too_few_volumes_or_without_a_body():
    few = compare_shell(shell(n=LEAST_VOLUMES - 1))
    assert np.isnan(few.lacking).all()
    assert not few.is_outlier.any()
    signal = shell()
    signal[:, 5] = np.nan
    signal[3, 6] = 0
    found = compare_shell(signal)
    assert np.isnan(found.lacking[:, 5:7]).all()
    assert np.isfinite(np.delete(found.lacking, [5, 6], axis=1)).all()
    assert np.isnan(compare_shell(np.full((6, 4), np.nan)).lacking).all()


def test_signal_is_the_mean_over_the_body():
    rng = np.random.default_rng(0)
    mean = rng.uniform(1, 2, (4, 6, 5)).astype(np.float32)
    body = rng.random((4, 6, 5)) < 0.6
    body[2] = False
    found = slice_signal(mean, body)
    for z in (0, 1, 3):
        assert found[z] == pytest.approx(mean[z][body[z]].mean(), rel=1e-6)
    assert np.isnan(found[2])
    assert np.isnan(slice_signal(mean, np.zeros_like(body))).all()
