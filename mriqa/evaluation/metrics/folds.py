"""Who is learned from and who is tested: never the same subject."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.evaluation.metrics.scans import Indices, Texts

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """Rows that are tested, and rows that may be learned from for it: known ones of subjects who
    have no row in `test`."""

    name: str
    test: Indices
    train: Indices


def leave_sites_out(sites: Texts, subjects: Texts, known: Booleans) -> list[Fold]:
    """A fold a site, sorted by name; a subject seen at two sites is in neither's training side."""
    return [_fold(str(site), sites == site, subjects, known) for site in np.unique(sites)]


def deal(units: Texts, subjects: Texts, bad: Booleans, known: Booleans, folds: int,
         seed: int) -> list[Fold]:  # fmt: skip
    """`folds` folds (or as many as there are units) of whole `units`: subjects, or sites.

    Units are dealt by how many bad scans they have, then by how many scans, ties by `seed`: there
    and back, so that folds are alike.
    """
    names, own = np.unique(units, return_inverse=True)
    n_bad = np.bincount(own, weights=bad & known)
    n_known = np.bincount(own, weights=known)
    chance = np.random.default_rng(seed).random(len(names))
    order = np.lexsort((chance, -n_known, -n_bad))
    n_folds = min(folds, len(names))
    there_and_back = np.concatenate([np.arange(n_folds), np.arange(n_folds)[::-1]])
    fold_of = np.empty(len(names), dtype=np.intp)
    fold_of[order] = there_and_back[np.arange(len(names)) % len(there_and_back)]
    return [
        _fold(f"fold {number + 1}", (fold_of == number)[own], subjects, known)
        for number in range(n_folds)
    ]


def _fold(name: str, test: Booleans, subjects: Texts, known: Booleans) -> Fold:
    train = known & ~np.isin(subjects, subjects[test])
    return Fold(name, np.flatnonzero(test), np.flatnonzero(train))
