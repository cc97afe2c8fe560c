"""The T1-weighted head of the graded cohort: its tissues, its noise, its cohort's plan."""

import numpy as np
import pytest

from mriqa.artifacts.graded import SNR, plan_graded
from mriqa.artifacts.phantom import head as module
from mriqa.artifacts.phantom.head import (
    HeadScan,
    acquire_t1w,
    draw_head,
    draw_head_scan,
    tissue_maps,
)


@pytest.fixture(scope="module")
def head():
    return draw_head(5)


def scan(snr, bias=0.0):
    return HeadScan(snr=snr, gain=100.0, bias=bias, seed=1)


def test_tissues_have_about_the_shares_of_a_brain(head):
    maps = tissue_maps(head)
    total = sum(one.sum() for one in maps.values())
    shares = {label: one.sum() / total for label, one in maps.items()}
    # adults: some 15 to 20% fluid, 40 to 50% grey, 35 to 45% white matter
    assert 0.1 < shares["CSF"] < 0.25
    assert 0.33 < shares["GM"] < 0.5
    assert 0.33 < shares["WM"] < 0.53
    assert np.max(sum(maps.values())) <= 1 + 1e-5
    assert 1.0e6 < total * 8 < 2.2e6  # mm³


def test_the_snr_of_white_matter_is_what_was_drawn(head, monkeypatch):
    monkeypatch.setattr(module, "TEXTURE", (0.0, 0.0))
    white = tissue_maps(head)["WM"] > 0.999
    for snr in (10.0, 40.0):
        values = acquire_t1w(head, scan(snr))[white]
        assert values.mean() / values.std() == pytest.approx(snr, rel=0.03)


def test_noise_is_rician_in_the_air(head):
    image = acquire_t1w(head, scan(20.0))
    air = image[:, :6, :6]  # corners beside the head: no signal
    sigma = module.WHITE / 20 * 100
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    assert (air**2).mean() == pytest.approx(2 * sigma**2, rel=0.02)


def test_the_same_seed_gives_the_same_image(head):
    assert np.array_equal(acquire_t1w(head, scan(9, 0.1)), acquire_t1w(draw_head(5), scan(9, 0.1)))


def test_signal_to_noise_ratios_spread_over_the_range():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_head_scan(rng, SNR).snr for _ in range(400)])
    assert SNR[0] <= drawn.min() < 7
    assert 50 < drawn.max() <= SNR[1]
    assert np.median(drawn) == pytest.approx(np.sqrt(SNR[0] * SNR[1]), rel=0.2)


def test_a_bigger_cohort_begins_with_a_smaller_one():
    small, big = plan_graded(3, 4), plan_graded(3, 9)
    assert big.heads[:4] == small.heads
    assert big.abdomens[:4] == small.abdomens
    assert plan_graded(4, 4).heads != small.heads


def test_every_subject_has_both_and_a_third_is_degraded():
    plan = plan_graded(0, 300)
    assert [one.subject for one in plan.heads] == [one.subject for one in plan.abdomens]
    for some in (plan.heads, plan.abdomens):
        degraded = np.mean([one.fault is not None for one in some])
        assert degraded == pytest.approx(1 / 3, abs=0.08)
    ratios = [[one.scan.snr for one in some] for some in (plan.heads, plan.abdomens)]
    assert abs(np.corrcoef(*ratios)[0, 1]) < 0.15  # drawn apart
