"""What the hierarchy learns from: volumes, and simulated copies of trusted ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.labels.model import RATINGS, Label, Target
from mriqa.methods.hierarchy.lesson import Given
from mriqa.methods.hierarchy.passing import given_to
from mriqa.methods.hierarchy.rounds import Floats

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PASS = 0


@dataclass(frozen=True)
class Item:
    """A volume, or copy number `copy` (from 0) of it, and whose it is.

    `rating` is that of the copy's severity, or `pass` of a trusted volume; None of others.
    `affected` (z) says which of its body slices an artifact has changed, where it is a copy.
    """

    series_id: str
    volume: int
    subject: str
    session: str | None
    stratum: str
    split: str
    copy: int | None = None
    rating: str | None = None
    affected: tuple[bool, ...] = ()

    @property
    def target(self) -> Target:
        """The volume."""
        return Target(self.series_id, self.volume, None)


def volumes_given(items: Sequence[Item], labels: Sequence[Label], weight: float) -> Given:
    """The labels of volumes: what people said, else what was simulated, which has `weight`."""
    targets = [one.target for one in items]
    said = given_to(targets, [one.subject for one in items], labels)
    return _with_simulated(said, items, [one.rating for one in items], weight)


def slices_given(
    items: Sequence[Item],
    slices: Sequence[NDArray[np.integer]],
    labels: Sequence[Label],
    weight: float,
) -> Given:
    """The labels of all items' body slices, one item after the other.

    `slices` are their numbers in the volume. A slice without a label of its own takes its volume's;
    of a copy those that the artifact has left alone pass.
    """
    owners = [one for one, own in zip(items, slices, strict=True) for _ in own]
    numbers = np.concatenate(slices).tolist() if len(slices) else []
    targets = [
        Target(one.series_id, one.volume, number)
        for one, number in zip(owners, numbers, strict=True)
    ]
    said = given_to(targets, [one.subject for one in owners], labels)
    ratings = [
        rating
        for one, own in zip(items, slices, strict=True)
        for rating in _slice_ratings(one, len(own))
    ]
    return _with_simulated(said, owners, ratings, weight)


def _slice_ratings(item: Item, count: int) -> list[str | None]:
    if item.copy is None:
        return [item.rating] * count
    return [item.rating if hit else RATINGS[PASS] for hit in item.affected]


def _with_simulated(
    said: Given, items: Sequence[Item], ratings: Sequence[str | None], weight: float
) -> Given:
    """People speak of scans, not of their copies; where they said nothing, `ratings` count."""
    shares, weights = said.shares.copy(), said.weights.copy()
    is_copy = np.array([one.copy is not None for one in items], dtype=bool)
    silent = is_copy | (shares.sum(axis=1) == 0)
    simulated = _one_hot(ratings)
    shares[silent] = simulated[silent]
    weights[silent] = weight * simulated[silent].sum(axis=1)
    copies = tuple(one.copy for one in items)
    return Given(said.targets, said.subjects, shares, weights, copies, ~silent)


def _one_hot(ratings: Sequence[str | None]) -> Floats:
    shares = np.zeros((len(ratings), len(RATINGS)))
    for row, rating in enumerate(ratings):
        if rating is not None:
            shares[row, RATINGS.index(rating)] = 1
    return shares
