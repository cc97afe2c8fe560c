"""Order statistics of many values are exactly those of sorting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.metrics.brain import order


def drawn(kind, n, seed):
    rng = np.random.default_rng(seed)
    made = {
        "normal": lambda: rng.normal(1000, 50, n),
        "skewed": lambda: rng.gamma(0.3, 100, n),
        "few": lambda: rng.integers(0, 4, n),
        "mostly zero": lambda: rng.normal(10, 1, n) * (rng.random(n) < 0.3),
        "rising": lambda: np.arange(n),
        # Every thinned sample of it is far from the whole.
        "comb": lambda: np.where(np.arange(n) % 7 == 0, 1e4, rng.normal(size=n)),
    }
    return made[kind]().astype(np.float32)


KINDS = ["normal", "skewed", "few", "mostly zero", "rising", "comb"]
kinds = st.sampled_from(KINDS)


@settings(max_examples=60, deadline=None)
@given(kind=kinds, n=st.sampled_from([1, 2, 3, 19_999, 150_001, 400_000]), seed=st.integers(0, 9))
def test_the_median_is_that_of_sorted_values(kind, n, seed):
    values = drawn(kind, n, seed)
    assert order.median(values) == np.median(values.astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(
    kind=kinds,
    n=st.sampled_from([1, 2, 7, 30_000, 300_000]),
    percent=st.sampled_from([0.0, 2.0, 5.0, 50.0, 98.0, 99.95, 100.0]),
)
def test_percentiles_are_numpys(kind, n, percent):
    values = drawn(kind, n, 1)
    exact = np.percentile(values.astype(np.float64), percent)
    assert order.percentile(values, percent) == pytest.approx(exact, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_distances_from_a_centre_have_their_own_median(kind):
    values = drawn(kind, 120_000, 2)
    exact = np.median(np.abs(values - np.float32(990)))
    assert order.median(values, about=990.0) == pytest.approx(float(exact), rel=1e-7)


def test_a_sample_that_misleads_is_found_out():
    values = np.arange(200_000, dtype=np.float32)
    seeker = order.Seeker(np.full(1000, 3.0, np.float32), values.size, 100_000)
    seeker.see(values)
    assert seeker.found() is None
    seeker.widen()
    seeker.see(values)
    assert seeker.found() == (100_000.0, 100_001.0)


def test_a_mask_leaves_values_out():
    rng = np.random.default_rng(3)
    values, inside = drawn("normal", 100_000, 4), rng.random(100_000) < 0.5
    n = int(inside.sum())
    seeker = order.Seeker(values[inside][::7], n, order.middle(n))
    for part in np.array_split(np.arange(values.size), 9):
        seeker.see(values[part], inside[part])
    found = seeker.found()
    assert found is not None
    assert order.middle_mean(found, n) == pytest.approx(float(np.median(values[inside])))
    assert order.middle_mean(found, n, power=2) == pytest.approx(
        float(np.median(values[inside].astype(np.float64) ** 2))
    )
