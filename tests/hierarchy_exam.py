"""Volumes whose ratings are known, and what somebody says of them."""

import numpy as np

from mriqa.artifacts import Family, draw
from mriqa.evaluation.hierarchy.volumes import Volumes
from mriqa.evaluation.items import Item
from mriqa.methods.hierarchy.bags import Bags
from mriqa.references.listing import HqVolume
from mriqa.references.person import Person

SHAPE, SPACING = (4, 16, 16), (3.0, 2.0, 2.0)
SEVERITIES = (0.05, 0.4, 0.9)
"""Of the ratings."""


def item(subject, rating, stratum="A", family="noise", seed=0):
    """A copy of a subject's scan that should have the rating (a place in RATINGS); None: a scan."""
    own = HqVolume(f"{subject}-{stratum}", 0, stratum, 0, Person(subject))
    if rating is None:
        return Item(own)
    return Item(own, draw(Family(family), SEVERITIES[rating], SHAPE, SPACING, seed=seed))


def volumes(ratings, subjects=None, strata=None):
    """Volumes that should have these `ratings`; each of another subject, if none are given."""
    subjects = subjects or [f"p{number:02d}" for number in range(len(ratings))]
    strata = strata or ["A"] * len(ratings)
    items = [item(*one) for one in zip(subjects, ratings, strata, strict=True)]
    return Volumes(tuple(items), Bags.of([np.zeros((1, 2), np.float16)] * len(items)))


def said(classes, sure=0.8):
    """Probabilities (n, 3) with `sure` for each of the `classes`."""
    return np.where(np.eye(3)[np.asarray(classes)] > 0, sure, (1 - sure) / 2)


def people(rng, n=40, n_subjects=8):
    """Volumes of a few subjects with ratings at random, each rating at least once."""
    ratings = [0, 1, 2, *rng.integers(0, 3, n - 3).tolist()]
    return volumes(ratings, [f"p{one}" for one in rng.integers(0, n_subjects, n)])
