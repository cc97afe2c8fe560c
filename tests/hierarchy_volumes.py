"""Made-up volumes: features of slices in which a class is a direction, and labels, some wrong."""

from dataclasses import dataclass, replace

import numpy as np

from mriqa.config import RoundsSection, VolumeStageSection
from mriqa.labels.model import RATINGS, Target
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.lesson import Given

LENGTH = 8
SECTION = VolumeStageSection(
    channels=16,
    iterations=150,
    batch=32,
    learning_rate=5e-3,
    rounds=RoundsSection(folds=3, cap=3.0),
)
"""Unlabelled volumes enter: here, where classes lie apart, that helps."""


@dataclass(frozen=True)
class Made:
    """Features, what is true, what was labelled, and which labels are wrong."""

    features: Bags
    truth: np.ndarray
    given: Given
    is_wrong: np.ndarray


def volumes(n=300, labelled=0.3, wrong=0.2, seed=0, strength=1.5) -> Made:
    """Three classes in a few slices of each volume; `wrong` of the labels are another class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    subjects = np.array([f"s{number // 3:03d}" for number in range(n)])
    features = []
    for number in range(n):
        slices = rng.normal(0, 1, (rng.integers(5, 12), LENGTH))
        bad = rng.permutation(len(slices))[: max(2, len(slices) // 2)]
        slices[bad, truth[number]] += 2 * strength
        features.append(slices.astype(np.float16))
    has_label = rng.random(n) < labelled
    is_wrong = has_label & (rng.random(n) < wrong)
    classes = np.where(is_wrong, (truth + rng.integers(1, 3, n)) % 3, truth)
    shares = np.eye(len(RATINGS))[classes] * has_label[:, None]
    targets = [Target(f"series-{number:03d}", 0, None) for number in range(n)]
    given = Given(targets, subjects, shares, has_label.astype(float))
    return Made(Bags.of(features), truth, given, is_wrong)


def without_labels(given: Given, rows) -> Given:
    """The same items; those of `rows` have lost their labels."""
    shares, weights = given.shares.copy(), given.weights.copy()
    shares[rows], weights[rows] = 0, 0
    return replace(given, shares=shares, weights=weights)
