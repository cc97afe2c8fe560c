"""Volumes as the networks see them, and what is true of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.severity import rating_of
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.evaluation.items import Item
from mriqa.labels.model import RATINGS, Target
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.levels import Levels, fit_levels
from mriqa.methods.hierarchy.rounds import Classes

Embedded = dict[Item, VolumeEmbedding]


@dataclass(frozen=True)
class Volumes:
    """n volumes, scans and copies of them, by the features of their slices."""

    items: tuple[Item, ...]
    bags: Bags

    @cached_property
    def truth(self) -> Classes:
        """What each should be rated (n), places in RATINGS."""
        return np.array([RATINGS.index(rating_of(one.severity)) for one in self.items])

    @cached_property
    def subjects(self) -> NDArray[np.str_]:
        """Whose each is (n)."""
        return np.array([one.scan.person.subject for one in self.items])

    @cached_property
    def strata(self) -> NDArray[np.str_]:
        """The stratum of each (n)."""
        return np.array([one.scan.stratum for one in self.items])

    @cached_property
    def families(self) -> NDArray[np.str_]:
        """The artifact of each (n), `none` of scans."""
        return np.array([one.family for one in self.items])

    @property
    def targets(self) -> list[Target]:
        """Names of the volumes, as those of labels."""
        return [Target(one.key, one.scan.volume, None) for one in self.items]

    def only(self, kept: NDArray[np.bool_]) -> "Volumes":
        """Those that `kept` (n) marks."""
        rows = np.flatnonzero(kept)
        return Volumes(tuple(self.items[row] for row in rows.tolist()), self.bags.take(rows))


def usual_levels(embedded: Embedded) -> Levels:
    """Of the scans among what is learned from, as they were acquired."""
    scans = defaultdict[str, list[VolumeEmbedding]](list)
    for item, embedding in embedded.items():
        if item.artifact is None:
            scans[item.scan.stratum].append(embedding)
    return fit_levels(scans)


def volumes_of(items: Sequence[Item], embedded: Embedded, levels: Levels) -> Volumes:
    """Those of `items` that are embedded, levelled."""
    kept = [one for one in items if one in embedded]
    bags = [levels.bag(embedded[one], one.scan.stratum) for one in kept]
    return Volumes(tuple(kept), Bags.of(bags))
