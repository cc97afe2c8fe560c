"""From margin to severity: monotone, and what it says is what is found."""

from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mriqa.methods.simclr.calibration import Calibration, calibrate


def drawn(n=4000, seed=0, noise=0.1):
    """Clean volumes at 0.5; others lower by their severity."""
    rng = np.random.default_rng(seed)
    severities = np.where(np.arange(n) % 2 == 0, 0.0, rng.uniform(0, 1, n))
    return 0.5 - severities + rng.normal(0, noise, n), severities


def slow_isotonic(values, weights):
    """Pool adjacent violators, falling, one pair at a time."""
    blocks = [[value, weight, 1] for value, weight in zip(values, weights, strict=True)]
    merged = True
    while merged:
        merged = False
        for i in range(len(blocks) - 1):
            if blocks[i][0] < blocks[i + 1][0]:
                (a, w, n), (b, v, m) = blocks[i], blocks.pop(i + 1)
                blocks[i] = [(a * w + b * v) / (w + v), w + v, n + m]
                merged = True
                break
    return [value for value, _, count in blocks for _ in range(count)]


def test_the_fit_goes_through_the_centres_of_the_isotonic_steps():
    margins, severities = drawn(60)
    found = calibrate(margins, severities, 0.8)
    order = np.argsort(margins)
    clean = severities[order] == 0
    weights = np.where(clean, 0.8 / clean.sum(), 0.2 / (~clean).sum())
    levels = np.array(slow_isotonic(severities[order], weights))
    steps = sorted(set(levels.round(9).tolist()), reverse=True)
    assert len(found.margin) == len(steps) > 5
    for level, margin, severity in zip(steps, found.margin, found.severity, strict=True):
        rows = np.isclose(levels, level, atol=1e-8)
        centre = sum(weights[rows] * margins[order][rows]) / sum(weights[rows])
        assert margin == pytest.approx(centre, abs=1e-6)
        assert severity == pytest.approx(level, abs=1e-6)


def test_volumes_that_differ_differ_in_score_between_the_outermost_steps():
    """Steps would call all within one equal, and take the order of severities away."""
    found = calibrate(*drawn(100), 0.8)
    grid = np.linspace(found.margin[0], found.margin[-1], 200)
    assert (np.diff(found.quality(grid)) > 0).all()


def test_what_it_expects_is_what_is_found_where_its_prior_holds():
    margins, severities = drawn()
    found = calibrate(margins, severities, 0.5)
    fresh_margins, fresh = drawn(seed=1)
    expected = 1 - found.quality(fresh_margins)
    for low in np.arange(0, 1, 0.2):
        rows = (expected >= low) & (expected < low + 0.2)
        assert np.mean(fresh[rows]) == pytest.approx(np.mean(expected[rows]), abs=0.05)


def test_more_good_volumes_are_expected_more_good_is_believed():
    margins, severities = drawn()
    few, many = (calibrate(margins, severities, share) for share in (0.5, 0.95))
    grid = np.linspace(-0.4, 0.4, 20)
    assert (many.quality(grid) >= few.quality(grid) - 1e-9).all()
    assert many.quality(0.2) > few.quality(0.2) + 0.05


def test_the_uncertainty_is_the_spread_of_severities():
    rng = np.random.default_rng(0)
    severities = np.where(np.arange(4000) % 2 == 0, 0.0, rng.uniform(0, 1, 4000))
    blind = calibrate(rng.normal(0, 1, 4000), severities, 0.5)
    mean = severities[severities > 0].mean() / 2
    spread = np.sqrt(np.mean((severities - mean) ** 2))
    assert float(blind.quality_sd(0.0)) == pytest.approx(spread, abs=0.05)
    sharp = calibrate(*drawn(noise=0.01), 0.5)
    assert float(sharp.quality_sd(0.0)) < 0.05


def test_beyond_what_was_seen_it_stays_at_its_ends():
    margins, severities = drawn(100)
    found = calibrate(margins, severities, 0.8)
    assert found.quality(9.0) == found.quality(margins.max())
    assert found.quality(-9.0) == found.quality(margins.min())
    assert found.quality_sd(9.0) == found.sd[-1]


def test_it_comes_back_from_json():
    from dataclasses import asdict

    found = calibrate(*drawn(50), 0.8)
    assert Calibration.from_json(asdict(found)) == found


@pytest.mark.parametrize("severity", [0.0, 0.5])
def test_both_kinds_are_needed(severity):
    with pytest.raises(ValueError, match="clean volumes and simulated"):
        calibrate(np.arange(3.0), np.full(3, severity), 0.8)


samples = st.lists(
    st.tuples(st.floats(-1, 1), st.one_of(st.just(0.0), st.floats(0.01, 1))),
    min_size=2,
    max_size=40,
).filter(lambda rows: 0 < sum(row[1] == 0 for row in rows) < len(rows))


@example([(2e-313, 0.0), (-5e-324, 1.0)], 0.5, Random(0))  # so near that their slope overflows
@settings(deadline=None)
@given(samples, st.floats(0.05, 0.95), st.randoms())
def test_it_is_monotone_bounded_and_of_no_order(rows, share, random):
    margins, severities = np.array(rows).T
    found = calibrate(margins, severities, share)
    grid = np.linspace(-2, 2, 81)
    quality, sd = found.quality(grid), found.quality_sd(grid)
    assert (np.diff(quality) >= -1e-12).all()
    assert ((quality >= 0) & (quality <= 1) & (sd >= 0) & (sd <= 1)).all()
    shuffled = list(rows)
    random.shuffle(shuffled)
    again = calibrate(*np.array(shuffled).T, share)
    np.testing.assert_allclose(again.quality(grid), quality, atol=1e-9)
    np.testing.assert_allclose(again.quality_sd(grid), sd, atol=1e-9)
