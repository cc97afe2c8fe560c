"""The parts of the hierarchy's experiments whose answers are known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from hierarchy_exam import people, said, volumes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from mriqa.config.methods import SLICE_FAMILIES
from mriqa.errors import ConfigError
from mriqa.evaluation.about import about_run
from mriqa.evaluation.auc import interval
from mriqa.evaluation.hierarchy.figures import (
    FAIL,
    PASS,
    QUESTIONABLE,
    accuracies,
    auc_against_pass,
    contested_record,
    rated,
    sampling_of,
)
from mriqa.evaluation.hierarchy.lessons import Labels, draw_labels
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.settings_file import load_settings
from mriqa.methods.hierarchy.rounds import UNLABELLED

CLASSES = st.lists(st.integers(0, 2), min_size=1, max_size=60).map(np.array)


@given(CLASSES, st.floats(0.01, 1), st.floats(0, 1), st.integers(0, 99))
def test_as_many_labels_and_wrong_ones_as_asked_for(truth, fraction, noise, seed):
    made = draw_labels(truth, fraction, noise, seed)
    n_labels = max(1, round(fraction * len(truth)))
    assert np.count_nonzero(made.classes != UNLABELLED) == n_labels
    assert np.count_nonzero(made.wrong) == round(noise * n_labels)
    labelled = made.classes != UNLABELLED
    assert set(made.classes[labelled].tolist()) <= {0, 1, 2}
    assert (made.classes[labelled & ~made.wrong] == truth[labelled & ~made.wrong]).all()


@given(CLASSES, st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), st.integers(0, 99))
def test_more_labels_hold_the_fewer(truth, fractions, seed):
    few, many = (draw_labels(truth, one, 0, seed).classes for one in sorted(fractions))
    assert (many[few != UNLABELLED] == few[few != UNLABELLED]).all()
    noisy = draw_labels(truth, min(fractions), 0.5, seed).classes
    assert ((noisy != UNLABELLED) == (few != UNLABELLED)).all()


@given(CLASSES, st.tuples(st.floats(0, 1), st.floats(0, 1)), st.integers(0, 99))
def test_more_wrong_labels_hold_the_fewer(truth, noises, seed):
    few, many = (draw_labels(truth, 0.8, one, seed) for one in sorted(noises))
    assert (many.classes[few.wrong] == few.classes[few.wrong]).all()
    assert many.wrong[few.wrong].all()


def test_wrong_labels_are_each_other_rating_as_often():
    truth = np.repeat([0, 1, 2], 1000)
    made = draw_labels(truth, 1.0, 1.0, 0)
    counts = np.array([np.bincount(made.classes[truth == one], minlength=3) for one in range(3)])
    assert (np.diag(counts) == 0).all()
    assert (counts + 1000 * np.eye(3) > 440).all()


def test_seeds_label_other_volumes_and_other_ones_wrong():
    truth = np.arange(90) % 3
    one, other = (draw_labels(truth, 0.2, 0.3, seed) for seed in (0, 1))
    assert ((one.classes != UNLABELLED) != (other.classes != UNLABELLED)).any()
    assert draw_labels(truth, 0.2, 0.3, 0).classes.tolist() == one.classes.tolist()


def test_networks_are_told_the_labels_and_nothing_of_the_truth():
    made = volumes([0, 1, 2, 2], ["p", "p", "q", "q"])
    told = Labels(np.array([0, UNLABELLED, 2, 1]), made.truth).given(made)
    assert told.shares.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert told.weights.tolist() == [1, 0, 1, 1]
    assert told.classes.tolist() == [0, UNLABELLED, 2, 1]
    assert told.subjects.tolist() == ["p", "p", "q", "q"]
    assert [one.series_id for one in told.targets] == [one.key for one in made.items]
    assert not told.sure.any()


def slow_accuracy(found, truth, times):
    """Balanced accuracy of rows that are there so many `times`, row by row."""
    recalls = []
    for one in range(3):
        rows = [row for row in range(len(truth)) for _ in range(int(times[row]))
                if truth[row] == one]  # fmt: skip
        if rows:
            recalls.append(sum(found[row] == one for row in rows) / len(rows))
    return sum(recalls) / len(recalls)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_accuracy_is_balanced_in_the_data_and_in_every_resample(seed):
    rng = np.random.default_rng(seed)
    made = people(rng, n_subjects=4)
    found = np.where(rng.random(40) < 0.6, made.truth, rng.integers(0, 3, 40))
    sampling = sampling_of(made, 15, seed)
    told = accuracies(found, made.truth, sampling)
    assert told[0] == pytest.approx(balanced_accuracy_score(made.truth, found))
    times = sampling.drawn[:, sampling.subject]
    assert told == pytest.approx([slow_accuracy(found, made.truth, one) for one in times])


def test_resamples_are_of_whole_subjects():
    made = volumes([0, 1, 2, 0], ["p", "q", "p", "q"])
    sampling = sampling_of(made, 50, 0)
    times = sampling.drawn[:, sampling.subject]
    assert (times[:, [0, 1]] == times[:, [2, 3]]).all()
    assert (times[:, 0] + times[:, 1] == 2).all()
    assert set(times[1:, 0].tolist()) == {0, 1, 2}


def test_an_interval_is_the_middle_of_the_resamples():
    told = interval(np.array([0.5, *np.linspace(0, 1, 41)]))
    assert told == {"value": 0.5, "low": pytest.approx(0.025), "high": pytest.approx(0.975)}


def test_without_resamples_there_is_no_interval():
    made = people(np.random.default_rng(0))
    told = rated(said(made.truth), made, sampling_of(made, 0, 0))
    assert told["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert told["auc_fail"] == {"value": 1.0, "low": None, "high": None}


def test_a_single_subject_is_drawn_again_and_again():
    made = volumes([0, 1, 2, 2], ["p"] * 4)
    told = rated(said([0, 1, 2, 0]), made, sampling_of(made, 30, 0))
    assert told["accuracy"] == {name: pytest.approx(5 / 6) for name in ("value", "low", "high")}
    assert told["auc_fail"]["low"] is None


def test_auc_is_that_of_scikit_learn_within_a_stratum():
    rng = np.random.default_rng(0)
    made = people(rng, n=80)
    probabilities = rng.dirichlet(np.ones(3), 80)
    told = rated(probabilities, made, sampling_of(made, 30, 0))
    worse = probabilities[:, 2] + probabilities[:, 1] / 2
    for name, place in (("auc_fail", FAIL), ("auc_questionable", QUESTIONABLE)):
        rows = np.isin(made.truth, [PASS, place])
        expected = roc_auc_score(made.truth[rows] == place, worse[rows])
        assert told[name]["value"] == pytest.approx(expected)
        assert told[name]["low"] < expected < told[name]["high"]
    found = probabilities.argmax(axis=1)
    for place, name in enumerate(("pass", "questionable", "fail")):
        own = made.truth == place
        assert told["recall"][name] == pytest.approx((found[own] == place).sum() / own.sum())


def test_volumes_are_compared_within_their_stratum():
    made = volumes([0, 2, 0, 2], strata=["A", "A", "B", "B"])
    worse = np.array([0.1, 0.2, 0.8, 0.9])  # B looks worse, whatever is wrong with it
    assert auc_against_pass(worse, made.truth, FAIL, sampling_of(made, 0, 0)).auc == 1.0


def test_auc_of_chosen_volumes_is_of_those_alone():
    made = volumes([0, 2, 2, 1])
    worse, chosen = np.array([0.5, 0.9, 0.1, 0.0]), np.array([False, True, False, True])
    told = auc_against_pass(worse, made.truth, FAIL, sampling_of(made, 0, 0), chosen)
    assert (told.auc, told.n_positive) == (1.0, 1)
    assert auc_against_pass(worse, made.truth, FAIL, sampling_of(made, 0, 0)).auc == 0.5


def test_a_rating_that_nobody_should_have_is_unknown_not_nought():
    made = volumes([1, 1, 2])
    told = rated(said([1, 0, 2]), made, sampling_of(made, 0, 0))
    assert told["recall"] == {"pass": None, "questionable": 0.5, "fail": 1.0}
    assert told["accuracy"]["value"] == 0.75
    assert told["auc_fail"]["value"] is None


def contested(rows):
    """`rows`: what a volume was labelled, what is true, probabilities."""
    classes, truth, probabilities = (np.array(one) for one in zip(*rows, strict=True))
    return contested_record(probabilities, Labels(classes, truth))


def test_a_contested_list_by_hand():
    wrong, right, unsaid = (0, 2), (0, 0), (UNLABELLED, 2)
    told = contested(
        [
            (*wrong, (0.05, 0.05, 0.9)),  # 0.85: listed first
            (*right, (0.1, 0.1, 0.8)),  # 0.7: second, though right
            (*wrong, (0.2, 0.5, 0.3)),  # 0.3: fourth
            (*wrong, (0.15, 0.25, 0.6)),  # 0.45: third
            (*right, (0.35, 0.25, 0.4)),  # 0.05: last
            (*wrong, (0.9, 0.05, 0.05)),  # not found
            (*right, (0.45, 0.45, 0.1)),  # as likely as another: not listed
            (*unsaid, (0.05, 0.05, 0.9)),  # nobody said anything
        ]
    )
    assert told == {
        "n_labels": 7, "n_wrong": 4, "n_listed": 5, "precision": 3 / 5, "recall": 3 / 4,
        "precision_at_recall": 3 / 4,
    }  # fmt: skip


def slow_contested(probabilities, labels):
    """Down the list, one label after the other."""
    listed = []
    for row, (own, true) in enumerate(zip(labels.classes, labels.truth, strict=True)):
        doubt = max(probabilities[row]) - probabilities[row][own]
        if own != UNLABELLED and doubt > 0:
            listed.append((-doubt, row, own != true))
    n_wrong = sum(a not in (UNLABELLED, b) for a, b in
                  zip(labels.classes, labels.truth, strict=True))  # fmt: skip
    found, there = 0, None
    for place, (_, _, is_wrong) in enumerate(sorted(listed), start=1):
        found += is_wrong
        if there is None and found >= 0.7 * n_wrong > 0:
            there = found / place
    return {
        "n_labels": sum(own != UNLABELLED for own in labels.classes), "n_wrong": n_wrong,
        "n_listed": len(listed), "precision": found / len(listed) if listed else None,
        "recall": found / n_wrong if n_wrong else None, "precision_at_recall": there,
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CLASSES, st.floats(0.1, 1), st.floats(0, 0.6), st.floats(0.5, 4), st.integers(0, 99))
def test_a_contested_list_is_what_one_finds_going_down_it(truth, fraction, noise, skill, seed):
    labels = draw_labels(truth, fraction, noise, seed)
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(truth), 3)) + skill * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert contested_record(probabilities, labels) == slow_contested(probabilities, labels)


def test_seven_of_ten_wrong_labels_are_enough():
    wrong, right = (0, 2), (0, 0)
    order = [*[wrong] * 3, right, *[wrong] * 4, *[right] * 3, wrong]  # the seventh is the eighth
    rows = [(*labels, (0.3 - place / 100, 0.1, 0.6 + place / 100))
            for place, labels in enumerate(reversed(order))]  # fmt: skip
    told = contested([*rows, *[(*wrong, (0.9, 0.05, 0.05))] * 2])
    assert (told["n_wrong"], told["n_listed"], told["recall"]) == (10, 12, 0.8)
    assert told["precision_at_recall"] == 7 / 8


def test_a_list_that_finds_too_little_has_no_precision_there():
    rows = [((0, 2), (0.1, 0.1, 0.8)), *[((0, 2), (0.8, 0.1, 0.1))] * 2]
    told = contested([(*labels, values) for labels, values in rows])
    assert (told["recall"], told["precision_at_recall"]) == (pytest.approx(1 / 3), None)


def test_no_wrong_label_and_no_list_are_told_as_such():
    sure, doubted = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1)
    assert contested([(0, 0, doubted), (0, 0, sure)]) == {
        "n_labels": 2, "n_wrong": 0, "n_listed": 1, "precision": 0.0, "recall": None,
        "precision_at_recall": None,
    }  # fmt: skip
    told = contested([(0, 1, sure)])
    assert (told["precision"], told["recall"], told["precision_at_recall"]) == (None, 0.0, None)


def test_each_condition_is_learned_once_that_of_the_targets_among_them():
    usual = HierarchyExperiments()
    assert usual.conditions == [
        (0.1, 0.0), (0.1, 0.1), (0.1, 0.2), (0.1, 0.3), (0.1, 0.4), (0.05, 0.2), (0.2, 0.2),
        (0.5, 0.2),
    ]  # fmt: skip
    elsewhere = HierarchyExperiments(noise=(0.0,), fractions=(0.5,), noise_at=0.2, fraction_at=0.1)
    assert set(elsewhere.conditions) == {(0.1, 0.0), (0.5, 0.2), (0.1, 0.2)}


def test_the_digest_stands_for_all_settings():
    usual = HierarchyExperiments()
    assert usual.digest == HierarchyExperiments().digest
    assert len({usual.digest, HierarchyExperiments(held=91).digest,
                HierarchyExperiments(volumes=usual.volumes.model_copy(update={"seed": 1})).digest
                }) == 3  # fmt: skip


def test_the_defaults_stand_in_the_project():
    from mriqa.documents import hierarchy_experiments_yaml

    loaded = HierarchyExperiments.model_validate(yaml.safe_load(hierarchy_experiments_yaml()))
    assert loaded == HierarchyExperiments()


@pytest.mark.parametrize("text", ["", "# nothing\n", "seeds: 2\nfailing: [0.7, 0.9]\n"])
def test_a_file_changes_what_it_names(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    changes = {"seeds": 2, "failing": (0.7, 0.9)} if "seeds" in text else {}
    assert load_settings(path, HierarchyExperiments) == HierarchyExperiments(**changes)
    assert load_settings(None, HierarchyExperiments) == HierarchyExperiments()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("noise: [0.1, 1.5]", r"mine\.yaml: noise\.1: .*got 1\.5"),
        ("fractions: [0]", r"fractions\.0: .*greater than 0"),
        ("sed: 5", r"mine\.yaml: sed: no such key; did you mean `seed`\?"),
        ("passing: [0.0, 0.2]", "passing severities must lie below 0.2"),
        ("questionable: [0.1, 0.5]", "questionable ones between"),
        ("questionable: [0.3, 0.7]", "questionable ones between"),
        ("failing: [0.6, 1.0]", "failing ones above 0.6"),
        ("failing: [1.0, 0.7]", r"\[lowest, highest\]"),
        ("noise: []", "must hold at least 1"),
        ("fractions: []", "must hold at least 1"),
        ("left_out: [[noise], []]", "must hold at least 1"),
        ("left_out: [[nois]]", "nois"),
        (f"left_out: [[noise], [{', '.join(SLICE_FAMILIES)}]]", "no slice network can be tuned"),
        ("[]", r"mine\.yaml: expected keys, got \[\]; allowed: seed, "),
        ("noise: [", "cannot be read as YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, match):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match):
        load_settings(path, HierarchyExperiments)


def test_settings_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConfigError, match="none.yaml"):
        load_settings(tmp_path / "none.yaml", HierarchyExperiments)


def test_a_run_says_when_and_where_it_was():
    told = about_run(3, precision="float32")
    away = datetime.now(UTC) - datetime.fromisoformat(told["date"])
    assert timedelta(seconds=-1) <= away < timedelta(minutes=1)
    machine = told["machine"]
    assert (machine["threads"], machine["precision"]) == (3, "float32")
    assert machine["numpy"] == np.__version__
    assert set(machine) == {"cpu", "cores", "threads", "precision", "python", "mriqa", "torch",
                            "numpy"}  # fmt: skip
