"""The figures of HyS-Net's tables against slow references, and what was to be reached."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from mriqa.config import HysnetLearningSection
from mriqa.evaluation.auc import resample
from mriqa.evaluation.hysnet import networks
from mriqa.evaluation.hysnet.figures import (
    agreement,
    exam_of,
    family_records,
    mae,
    margin,
    over_resamples,
    plcc,
    srocc,
)
from mriqa.evaluation.hysnet.ground import Held
from mriqa.evaluation.hysnet.networks import plan_ablation, plan_comparators, predictions
from mriqa.evaluation.hysnet.noise import upper_of
from mriqa.evaluation.hysnet.settings import HysnetExperiments
from mriqa.evaluation.hysnet.shift import between, mixes, plan_shift
from mriqa.evaluation.hysnet.summary import check_targets
from mriqa.methods.hysnet.target import VolumePrediction
from mriqa.methods.hysnet.volumes import Example

LEARNING = HysnetLearningSection(contrasts=("T1w",))


def held(targets, subjects=None):
    subjects = subjects or range(len(targets))
    return [
        Held(Example(f"s{at}", 0, Path(), float(target)), str(subject), "T1w")
        for at, (target, subject) in enumerate(zip(targets, subjects, strict=True))
    ]


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=30))
def test_correlations_are_those_of_scipy(pairs):
    said, true = np.array(pairs, np.float64).T
    if np.ptp(said) == 0 or np.ptp(true) == 0:
        assert np.isnan(srocc(said, true))
        assert np.isnan(plcc(said, true))
        return
    assert srocc(said, true) == pytest.approx(spearmanr(said, true).statistic, abs=1e-9)
    assert plcc(said, true) == pytest.approx(pearsonr(said, true).statistic, abs=1e-9)


def test_resamples_are_of_whole_subjects():
    rng = np.random.default_rng(0)
    targets, subjects = rng.normal(size=12), [0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 5, 6]
    said = targets + rng.normal(size=12)
    exam = exam_of(held(targets, subjects), 30, 4)
    found = over_resamples(srocc, [said], exam)
    times = resample(7, 30, 4)
    for number in range(31):
        rows = [
            at
            for at, subject in enumerate(subjects)
            for _ in range(int(times[number, subject]))
        ]  # fmt: skip
        expected = spearmanr(said[rows], targets[rows]).statistic
        assert found[number] == pytest.approx(expected, abs=1e-9)


def test_agreement_is_the_mean_over_networks_with_its_ends():
    rng = np.random.default_rng(1)
    targets = rng.normal(size=40)
    said = [targets + rng.normal(size=40) * size for size in (0.1, 0.5, 2.0)]
    found = agreement(said, exam_of(held(targets), 100, 0))
    alone = [spearmanr(one, targets).statistic for one in said]
    assert found["srocc"]["value"] == pytest.approx(np.mean(alone))
    assert (found["srocc"]["lowest"], found["srocc"]["highest"]) == pytest.approx(
        (min(alone), max(alone))
    )
    assert found["srocc"]["low"] < found["srocc"]["value"] < found["srocc"]["high"]
    assert found["mae"]["value"] == pytest.approx(np.mean([mae(one, targets) for one in said]))
    assert (found["n"], found["n_seeds"]) == (40, 3)


def test_volumes_without_a_prediction_are_left_out():
    targets = np.arange(10.0)
    said = targets.copy()
    said[3] = np.nan
    found = agreement([said], exam_of(held(targets), 10, 0))
    assert found["n"] == 9
    assert found["srocc"]["value"] == pytest.approx(1)


def test_the_margin_is_of_the_same_resamples():
    rng = np.random.default_rng(2)
    targets = rng.normal(size=60)
    noise = rng.normal(size=60)
    near, far = targets + 0.8 * noise, targets + 0.9 * noise
    found = margin([near], [far], exam_of(held(targets), 200, 0))["srocc"]
    # what both have in common cancels: the interval is far narrower than either's
    alone = agreement([near], exam_of(held(targets), 200, 0))["srocc"]
    assert found["high"] - found["low"] < (alone["high"] - alone["low"]) / 2
    assert found["value"] == pytest.approx(srocc(near, targets) - srocc(far, targets))
    assert margin([near], [near], exam_of(held(targets), 20, 0))["plcc"]["high"] == 0


def test_families_have_their_own_errors_clean_first():
    targets = np.arange(8.0)
    said = targets + np.array([0, 0, 0, 0, 2, 2, 2, 2.0])
    families = ["none"] * 4 + ["dropout"] * 3 + [None]
    found = family_records([said, said], exam_of(held(targets), 0, 0), families)
    assert [(one["family"], one["n"], one["error"]) for one in found] == [
        ("none", 4, 0.0), ("dropout", 3, 2.0),
    ]  # fmt: skip
    assert found[0]["srocc"] == pytest.approx(1)


def test_all_the_papers_networks_are_planned_once():
    section = HysnetExperiments()
    plans = plan_ablation(LEARNING, section)
    assert len(plans) == len(set(plans)) == 12 + 4
    nets = {(p.learning.net.backbone, p.learning.net.dimensions, p.head) for p in plans}
    assert len(nets) == 12
    main = [p for p in plans if p.learning.net.dimensions == 3 and "18" in p.learning.net.backbone]
    assert sorted(p.seed for p in main) == [0, 0, 1, 1, 2, 2]


def test_comparators_see_slices():
    plans = plan_comparators(LEARNING, HysnetExperiments())
    assert [one.comparator for one in plans] == ["deepiqa", "two_stream", "dbcnn"]
    assert {one.learning.net.dimensions for one in plans} == {2}


def test_a_shift_learns_each_and_all():
    section = HysnetExperiments.model_validate({"shift": {"contrasts": ["a", "b"], "target": "t"}})
    assert mixes(section) == [("a",), ("b",), ("a", "b")]
    for plan in plan_shift(LEARNING, section, ("a",)):
        assert plan.learning.contrasts == ("a",)
        assert plan.learning.target.column == "t"
    assert mixes(HysnetExperiments()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shift": {"contrasts": ["a"]}}, "two or more"),
        ({"shift": {"contrasts": ["a", "a"]}}, "two or more"),
        ({"dimensions": [2]}, "dimensions must hold 3"),
        ({"backbones": []}, "at least one"),
    ],
)
def test_experiments_that_make_no_sense_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        HysnetExperiments.model_validate(changes)


def test_between_is_the_share_of_variance_of_the_groups():
    points = np.array([[0, 0], [0, 2], [10, 0], [10, 2.0]])
    # within: 4 · 1, between: 4 · 25
    assert between(points, ["a", "a", "b", "b"]) == pytest.approx(100 / 104)
    assert between(points, ["a", "b", "a", "b"]) == pytest.approx(4 / 104)
    assert between(points, ["a"] * 4) == 0
    assert between(np.zeros((3, 2)), ["a", "b", "b"]) is None


def test_the_upper_intensity_is_that_of_the_foreground():
    image = np.zeros((10, 20, 20), np.float32)
    image[2:8, 5:15, 5:15] = np.linspace(100, 200, 600).reshape(6, 10, 10)
    assert upper_of(image, 99.9) == pytest.approx(200, rel=0.01)
    assert upper_of(np.zeros((4, 8, 8), np.float32), 99.9) == 0


def content(srocc_value, low, spearman):
    value = {"value": srocc_value, "low": low, "high": 1.0}
    record = {"backbone": "resnet18", "dimensions": 3, "srocc": value, "plcc": value}
    return {
        "settings": {"backbones": ["resnet18"]},
        "ablation": [{**record, "head": head} for head in ("plain", "hyper")],
        "margins": [{**record, "srocc": {"value": 0.01, "low": low, "high": 0.02}}],
        "noise": [{"net": "hyper", "spearman": one} for one in spearman],
    }


def test_what_was_asked_for_stands_beside_what_was_found():
    found = check_targets(content(0.95, -0.01, [-1.0, -0.95]))
    assert [one["met"] for one in found] == [True, True, False, True]
    assert found[-1]["value"] == -0.95
    found = check_targets(content(0.9, 0.01, [-1.0, -0.8]))
    assert [one["met"] for one in found] == [False, False, True, False]
    # a volume of which nothing can be said is no success
    assert check_targets(content(0.9, 0.01, [-1.0, None]))[-1]["met"] is None
    assert len(check_targets(content(0.9, 0.01, []))) == 3


def test_a_volume_whose_file_was_replaced_is_predicted_anew(tmp_path, monkeypatch):
    asked = []

    class Fake:
        def predict(self, volumes, _number):
            asked.append(volumes)
            return VolumePrediction(float(len(asked)), None, 1)

    monkeypatch.setattr(networks, "open_volumes", lambda some, _percentile: some[0].series_id)
    path, before = tmp_path / "kept.parquet", held([1, 2, 3])
    assert predictions(Fake, before, path, 99.9).tolist() == [1, 2, 3]
    assert predictions(Fake, before, path, 99.9).tolist() == [1, 2, 3]
    # the target of another content is another one; nothing else tells it here
    assert predictions(Fake, held([1, 2.5, 3]), path, 99.9).tolist() == [1, 4, 3]
    assert asked == ["s0", "s1", "s2", "s1"]
    assert pq.read_table(path).num_rows == 3  # nothing is kept of what is there no more
