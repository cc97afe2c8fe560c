"""A round of self-training: which labels are kept, changed, dropped, and which are added.

Liu et al. 2020. [P] A label and what networks say of its item are put together by Bayes' rule, as
some labels are wrong: to let the networks alone decide made them worse in each round, and so did
certain classes for what is only likely (docs/results). Nothing here knows a network: probabilities
come from predictions out of fold (a network has memorised the labels it was trained on), decisions
go to the next round. All of it is the same for slices and for volumes.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mriqa.config import RoundsSection

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
UNLABELLED = -1


class Action(StrEnum):
    """What a round does with an item."""

    KEPT = "kept"
    RELABELLED = "relabelled"
    DROPPED = "dropped"
    ADDED = "added"
    LEFT = "left"


ACTIONS = tuple(Action)
"""In the order of their numbers in `Decisions.actions`."""


@dataclass(frozen=True)
class Decisions:
    """Of n items: `actions` (n), places in ACTIONS; `classes` (n), UNLABELLED for what is not used.

    `changed` is the share of items with another class than in the round before, of those that have
    or had one.
    """

    actions: NDArray[np.int8]
    classes: Classes
    changed: float

    def lost(self, before: Classes) -> list[int]:
        """Classes that items had in `before` (n) and that none has any more."""
        return sorted(set(before.tolist()) - set(self.classes.tolist()) - {UNLABELLED})

    def ends(self, number: int, rules: RoundsSection) -> bool:
        """Whether round `number` (from 1) was the last."""
        return number >= rules.most or self.changed < rules.stop_share


def believed(probabilities: Floats, shares: Floats, wrong_share: float) -> Floats:
    """What is to be thought of n items, (n, classes): `probabilities` (n, classes) out of fold, and
    the votes `shares` (n, classes), all 0 where there is no label.

    p(class | label, image) ∝ p(class | image) · p(label | class); `wrong_share` of the labels are
    another class, each as likely.
    """
    other = wrong_share / (probabilities.shape[1] - 1)
    likelihood = np.where(
        shares.sum(axis=1, keepdims=True) > 0, other + (1 - wrong_share - other) * shares, 1.0
    )
    joint = probabilities * likelihood
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def decide(
    probabilities: Floats,
    labels: Classes,
    before: Classes,
    rules: RoundsSection,
    sure: NDArray[np.bool_] | None = None,
) -> Decisions:
    """What becomes of n items with `probabilities` (n, classes), see `believed`.

    `labels` (n) are the given ones, UNLABELLED where there are none; `before` (n) is what the round
    before used. A given label is kept if its class is the most probable, from `keep_from` on;
    changed if another class has `change_from`; else dropped for this round. An item without one
    enters with its most probable class from `add_from` on, the surest first, up to the cap.
    Labels that are `sure` (n) are kept, whatever the networks say.
    """
    own = np.zeros(len(labels), dtype=bool) if sure is None else sure
    probabilities = np.where(own[:, None], np.eye(probabilities.shape[1])[labels], probabilities)
    best, surest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    given = labels != UNLABELLED
    kept = given & (best == labels) & (surest >= rules.keep_from)
    changed = given & (best != labels) & (surest >= rules.change_from)
    added = ~given & (surest >= rules.add_from)
    added &= ~_over_cap(best, surest, added, best[kept | changed], rules.cap)
    classes = np.where(kept | changed | added, best, UNLABELLED)
    actions = np.select(
        [kept, changed, given, added],
        [
            ACTIONS.index(one)
            for one in (Action.KEPT, Action.RELABELLED, Action.DROPPED, Action.ADDED)
        ],
        ACTIONS.index(Action.LEFT),
    )
    return Decisions(actions.astype(np.int8), classes.astype(np.int64), _changed(before, classes))


def _over_cap(
    best: Classes, surest: Floats, added: NDArray[np.bool_], labelled: Classes, cap: float
) -> NDArray[np.bool_]:
    """Of the items to be `added`, those beyond `cap` times the `labelled` ones of their class."""
    over = np.zeros(len(best), dtype=bool)
    for name in np.unique(best[added]):
        rows = np.flatnonzero(added & (best == name))
        order = rows[np.argsort(-surest[rows], kind="stable")]
        over[order[int(cap * np.count_nonzero(labelled == name)) :]] = True
    return over


def _changed(before: Classes, now: Classes) -> float:
    used = (before != UNLABELLED) | (now != UNLABELLED)
    return float(np.mean(before[used] != now[used])) if used.any() else 0.0


def fold_of(subjects: NDArray[np.str_], n_folds: int, seed: int) -> NDArray[np.int64]:
    """A fold (n), 0 to n_folds − 1, for every item: that of its subject; folds as even as can be.

    Subjects are dealt out in an order that the seed draws, those of most items first: a diffusion
    series of a hundred volumes is in one fold, and does not make it the largest.
    """
    names, own, counts = np.unique(subjects, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    folds, sizes = np.zeros(len(names), np.int64), np.zeros(n_folds)
    for name in order:
        folds[name] = sizes.argmin()
        sizes[folds[name]] += counts[name]
    return np.asarray(folds[own], dtype=np.int64)
