"""What is to be learned: of which items, from whose labels, and in which folds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mriqa.labels.model import Target
from mriqa.methods.hierarchy.rounds import UNLABELLED, Classes, Floats, fold_of


@dataclass(frozen=True)
class Given:
    """The labels of n items as people, or the simulator, gave them.

    `targets` and `subjects` (n) say what and whose the items are; `shares` (n, classes) how votes
    are divided among the ratings, zeros where there are none; `weights` (n) how much they count.
    `copies` (n): None for a scan itself, else the number of its simulated copy, whose label is
    `sure`: nobody doubts it. `by_people` (n) says whose label a person gave; None: all of scans.
    """

    targets: Sequence[Target]
    subjects: NDArray[np.str_]
    shares: Floats
    weights: Floats
    copies: Sequence[int | None] = ()
    by_people: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for arrays of different lengths, or shares that are none."""
        n = len(self.targets)
        if not n == len(self.subjects) == len(self.shares) == len(self.weights):
            raise ValueError(f"{n} targets, but other numbers of subjects, shares or weights")
        if self.copies and len(self.copies) != n:
            raise ValueError(f"{n} targets, but {len(self.copies)} numbers of copies")
        sums = self.shares.sum(axis=1)
        if not np.allclose(sums[sums > 0], 1) or (self.shares < 0).any():
            raise ValueError("the shares of an item must be all 0, or add up to 1")

    @cached_property
    def copy_numbers(self) -> Sequence[int | None]:
        """Of every item (n)."""
        return self.copies or [None] * len(self.targets)

    @cached_property
    def said(self) -> NDArray[np.bool_]:
        """Whose label (n) a person gave."""
        labelled = self.shares.sum(axis=1) > 0
        if self.by_people is not None:
            return np.asarray(labelled & self.by_people)
        return np.asarray(labelled & ~self.sure)

    @cached_property
    def sure(self) -> NDArray[np.bool_]:
        """Whose label (n) is true, as it was simulated."""
        copied = np.array([number is not None for number in self.copy_numbers], dtype=bool)
        return np.asarray(copied & (self.shares.sum(axis=1) > 0))

    @cached_property
    def classes(self) -> Classes:
        """Of every item the place in RATINGS with the most votes, UNLABELLED without votes.

        Of two with as many the worse: who is in doubt looks again.
        """
        last = self.shares.shape[1] - 1
        most = last - self.shares[:, ::-1].argmax(axis=1)
        return np.where(self.shares.sum(axis=1) > 0, most, UNLABELLED).astype(np.int64)


@dataclass(frozen=True)
class Lesson:
    """What one training learns: soft `targets` (n, classes), `weights` (n), 0 for what is not
    used, and `folds` (n): network k learns from all but fold k."""

    targets: Floats
    weights: Floats
    folds: NDArray[np.int64]

    @property
    def used(self) -> NDArray[np.intp]:
        """Rows that are learned from."""
        return np.flatnonzero(self.weights > 0)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that stand for its content."""
        parts = (self.targets.astype("<f8"), self.weights.astype("<f8"), self.folds.astype("<i8"))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]


def first_lesson(given: Given, n_folds: int, seed: int) -> Lesson:
    """All that was given, as it was given."""
    weights = np.where(given.classes == UNLABELLED, 0, given.weights)
    return Lesson(given.shares, weights, fold_of(given.subjects, n_folds, seed))


def next_lesson(given: Given, classes: Classes, believed: Floats, first: Lesson) -> Lesson:
    """What a round's decisions `classes` (n) leave: of what is used, what is `believed` (n,
    classes) of it, and of sure labels these. An added one weighs as much as a given one does on
    average."""
    used = (classes != UNLABELLED)[:, None]
    targets = np.where(given.sure[:, None], given.shares, np.where(used, believed, 0.0))
    own = first.weights > 0
    mean = float(first.weights[own].mean()) if own.any() else 1.0
    weights = np.where(classes == UNLABELLED, 0.0, np.where(own, first.weights, mean))
    return Lesson(targets, weights, first.folds)


def out_of_fold(probabilities: Floats, lesson: Lesson, given: Given) -> Floats:
    """Of `probabilities` (k, n, classes) by each fold's network: for a labelled item (n, classes)
    those of the one that has not seen its subject, for another the mean of all.

    Whose subject has labels elsewhere is judged out of fold as well.
    """
    mean = probabilities.mean(axis=0)
    own = probabilities[lesson.folds, np.arange(len(mean))]
    labelled = np.unique(given.subjects[given.classes != UNLABELLED])
    return np.where(np.isin(given.subjects, labelled)[:, None], own, mean)
