"""quality_score of hand-made metrics: unusual in a bad direction is bad, nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mriqa.rating.robust import (
    HALF_SCORE_AT,
    Z_LIMIT,
    RatedMetric,
    adverse_z,
    badness_z,
    judge,
)

SNR = RatedMetric("snr", lower_is_bad=True, reason="low_snr")
GHOST = RatedMetric("ghost", lower_is_bad=False, reason="ghosting")
ALL = [np.arange(101)]


def test_badness_z_of_a_normal_sample_is_its_z():
    values = np.random.default_rng(1).normal(5, 2, 200_000)
    z = badness_z(values)
    assert np.median(z) == pytest.approx(0, abs=1e-12)
    assert z.std() == pytest.approx(1, abs=0.02)


def test_a_few_outliers_do_not_move_it():
    values = np.random.default_rng(2).normal(0, 1, 1000)
    wild = np.concatenate([values, [1e9] * 50])
    assert np.abs(badness_z(wild)[:1000] - badness_z(values)).max() < 1


def test_a_long_tail_on_the_bad_side_is_usual():
    """Residual ghosts of good volumes: with the MAD alone a tenth of them would be outliers."""
    tailed = np.random.default_rng(3).exponential(1.0, 5000) ** 2
    mad = 1.4826 * np.median(np.abs(tailed - np.median(tailed)))
    assert ((tailed - np.median(tailed)) / mad > 4).mean() > 0.1
    assert (badness_z(tailed) > 4).mean() < 0.03
    assert badness_z(np.append(tailed, 200.0))[-1] > 20


def test_a_long_tail_on_the_good_side_does_not_matter():
    values = np.concatenate([np.random.default_rng(4).normal(0, 1, 900), -np.arange(100.0)])
    assert badness_z(np.append(values, 8.0))[-1] > 5


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30), st.floats(0.1, 10))
def test_badness_z_has_no_unit(values, factor):
    values = np.array(values)
    one, other = badness_z(values), badness_z(values * factor)
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_no_spread_gives_no_opinion():
    assert np.isnan(badness_z(np.full(20, 3.0))).all()
    assert np.isnan(badness_z(np.full(5, np.nan))).all()


def test_one_that_differs_where_all_others_agree_is_judged():
    """Wrap-around where the provider zeroed the background: every other border is exactly 0."""
    border = RatedMetric("border", lower_is_bad=False, reason="border", least_sigma=0.05)
    values = np.append(np.zeros(16), 0.35)
    z = adverse_z({"border": values}, (border,), [np.arange(17)])
    assert (judge(z).quality_score[:16] == 1).all()
    assert judge(z).quality_score[16] < 0.4


def test_where_all_agree_all_are_usual():
    z = badness_z(np.full(20, 3.0), least_sigma=0.05)
    assert (z == 0).all()


def test_least_sigma_changes_nothing_where_there_is_spread():
    values = np.random.default_rng(6).normal(0, 0.001, 500)
    np.testing.assert_array_equal(badness_z(values, least_sigma=0.05), badness_z(values))


def test_only_the_bad_direction_counts():
    values = np.linspace(-5, 5, 101)
    adverse = adverse_z({"snr": values, "ghost": values}, (SNR, GHOST), ALL)
    assert (adverse[60:, 0] == 0).all()  # high SNR is no fault
    assert (adverse[:40, 1] == 0).all()  # little ghosting is none either
    assert adverse[0, 0] > 0
    assert adverse[0, 0] == pytest.approx(adverse[-1, 1])


def test_strata_do_not_mix():
    values = np.concatenate([np.linspace(10, 12, 50), np.linspace(100, 120, 51)])
    apart = adverse_z({"snr": values}, (SNR,), [np.arange(50), np.arange(50, 101)])
    assert apart.max() < 2
    together = adverse_z({"snr": values}, (SNR,), ALL)
    assert together[:50].max() > together[50:].max()


def test_rows_outside_every_stratum_are_not_judged():
    adverse = adverse_z({"snr": np.arange(10.0)}, (SNR,), [np.arange(5)])
    judgement = judge(adverse)
    assert np.isfinite(judgement.quality_score[:5]).all()
    assert np.isnan(judgement.quality_score[5:]).all()
    assert (judgement.worst[5:] == -1).all()


def test_score_is_one_when_usual_and_half_at_the_stated_distance():
    judgement = judge(np.array([[0.0, 0.0, 0.0], [1.0, HALF_SCORE_AT, 0.0]]))
    np.testing.assert_allclose(judgement.quality_score, [1.0, 0.5])


def test_a_stand_in_counts_only_where_the_other_is_missing():
    stand_in = RatedMetric("tissue", True, "low_snr", stands_in_for="snr")
    tissue = np.linspace(1, 11, 101)
    snr = np.where(np.arange(101) % 2 == 0, 5.0, np.nan)
    adverse = adverse_z({"tissue": tissue, "snr": snr}, (stand_in,), ALL)
    assert np.isnan(adverse[::2, 0]).all()
    assert np.isfinite(adverse[1::2, 0]).all()


def test_missing_metrics_are_left_out_not_counted_as_good():
    known = judge(np.array([[6.0, 6.0, 6.0, 0.0]])).quality_score
    fewer = judge(np.array([[6.0, np.nan, np.nan, np.nan]])).quality_score
    np.testing.assert_allclose(known, fewer)


@given(st.lists(st.floats(0, Z_LIMIT), min_size=1, max_size=8), st.integers(0, 7), st.floats(0, 5))
def test_score_never_rises_with_a_worse_metric(values, position, more):
    before = np.array([values])
    after = before.copy()
    after[0, position % len(values)] += more
    assert judge(after).quality_score[0] <= judge(before).quality_score[0] + 1e-12


def test_worst_names_the_foremost_metric():
    judgement = judge(np.array([[1.0, 7.0, np.nan], [np.nan, 0.5, 3.0]]))
    assert judgement.worst.tolist() == [1, 2]
