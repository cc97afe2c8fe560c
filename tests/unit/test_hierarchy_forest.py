"""The volume stage as forests: the same answers as scikit-learn's, kept as arrays."""

import numpy as np
import pytest
import torch
from hierarchy_volumes import SECTION, volumes
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from mriqa.config import VolumeStageSection
from mriqa.methods.hierarchy.forest import (
    LEAST_IN_LEAF,
    LEAVES,
    _rounded_down,
    _weights,
    described,
    grow,
)
from mriqa.methods.hierarchy.lesson import first_lesson
from mriqa.methods.hierarchy.self_training import self_train
from mriqa.methods.hierarchy.stage import StageLearner, make_nets, predict
from mriqa.training.world import World

FOREST = VolumeStageSection(kind="forest", forest_trees=12, rounds=SECTION.rounds)


def grown(made):
    lesson = first_lesson(made.given, FOREST.rounds.folds, 0)
    return grow(made.features, lesson, FOREST), lesson


def test_forests_say_what_scikit_learn_says():
    """Fitted a second time, by scikit-learn alone, and asked through its own predict_proba."""
    from sklearn.ensemble import RandomForestClassifier

    made = volumes(n=150, labelled=0.8)
    forests, lesson = grown(made)
    slices, is_there = made.features.padded(np.arange(150))
    values = described(slices, is_there).numpy()
    weights = _weights(lesson)
    for fold, said in enumerate(predict(forests, made.features)):
        rows, classes = np.nonzero(weights * (lesson.folds != fold)[:, None])
        peer = RandomForestClassifier(
            12, max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_IN_LEAF, random_state=fold
        )
        peer.fit(values[rows], classes, weights[rows, classes])
        assert np.allclose(said, peer.predict_proba(values), atol=2e-4)


def test_what_is_described_ignores_what_is_not_there():
    slices = torch.tensor([[[1.0], [3.0], [99.0]]])
    told = described(slices, torch.tensor([[True, True, False]]))
    assert told.tolist() == [[2.0, 1.0, 1.0, 3.0]]


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e30, 1e30))
def test_a_threshold_rounded_down_parts_the_same_numbers(threshold):
    rounded = _rounded_down(np.array([threshold]))[0]
    assert float(rounded) <= threshold
    assert float(np.nextafter(rounded, np.float32(np.inf))) > threshold


def test_no_forest_learns_from_its_own_fold():
    made = volumes(n=90, labelled=1.0)
    lesson = first_lesson(made.given, FOREST.rounds.folds, 0)
    other = lesson.targets.copy()
    own = np.flatnonzero(lesson.folds == 1)
    other[own] = other[np.roll(own, 1)]  # as many of each class: those have weights of their own
    before = predict(grow(made.features, lesson, FOREST), made.features)
    changed = type(lesson)(other, lesson.weights, lesson.folds)
    after = predict(grow(made.features, changed, FOREST), made.features)
    assert not np.array_equal(after[0], before[0])
    assert np.array_equal(after[1], before[1])


def test_forests_are_kept_as_plain_arrays():
    forests, _ = grown(volumes(n=90))
    other = make_nets(8, FOREST)
    other.load_state_dict(load(save(forests.state_dict())))
    made = volumes(n=30, seed=1)
    assert np.array_equal(predict(other, made.features), predict(forests, made.features))


def test_the_seed_decides_the_forest():
    made = volumes(n=90)
    first, second = (predict(grown(made)[0], made.features) for _ in range(2))
    assert np.array_equal(first, second)


def test_forests_self_train_and_beat_their_wrong_labels(tmp_path):
    made = volumes(n=300, labelled=0.5, wrong=0.25)
    learner = StageLearner("volumes", made.features, FOREST, "m", 50, torch.device("cpu"), World())
    outcome = self_train(learner, made.given, FOREST.rounds, 0, tmp_path)
    found = predict(learner.trained(outcome.lesson, tmp_path), made.features).mean(axis=0)
    given = made.given.classes
    labelled = given >= 0
    assert np.mean(found[labelled].argmax(1) == made.truth[labelled]) > np.mean(
        given[labelled] == made.truth[labelled]
    )


@pytest.mark.parametrize("trees", [0, 2001])
def test_a_forest_has_trees(trees):
    with pytest.raises(ValueError, match="forest_trees"):
        VolumeStageSection(kind="forest", forest_trees=trees)
