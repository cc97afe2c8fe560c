"""Labels passed down: a slice without one of its own takes its volume's, a volume its series'.

Liu et al. 2020 train slices by the labels of their volumes. That is one source of wrong labels:
good slices of a volume that fails. The rounds of self-training are there to find them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from mriqa.labels.consensus import consensus
from mriqa.labels.model import RATINGS, Label, Target
from mriqa.methods.hierarchy.lesson import Given


def given_to(targets: Sequence[Target], subjects: Sequence[str], labels: Iterable[Label]) -> Given:
    """What `labels` say of volumes or slices (`targets`), those of `subjects`.

    Of every rater the label counts that is nearest: of the slice itself, else of its volume, else
    of its series. Labels of slices say nothing of volumes here: the volume stage looks at them.
    """
    said: dict[Target, dict[str, Label]] = defaultdict(dict)
    for label in labels:
        said[label.target][label.rater] = label
    shares = np.zeros((len(targets), len(RATINGS)))
    for row, target in enumerate(targets):
        nearest: dict[str, Label] = {}
        for above in reversed(_upwards(target)):
            nearest |= said.get(above, {})
        if nearest:
            votes = [_of(target, label) for label in nearest.values()]
            (found,) = consensus(votes)
            shares[row] = found.shares
    weights = (shares.sum(axis=1) > 0).astype(float)
    return Given(list(targets), np.array(subjects), shares, weights)


def _upwards(target: Target) -> list[Target]:
    """The target itself and what it is part of, the nearest first."""
    levels = [target, target._replace(slice=None), target._replace(slice=None, volume=None)]
    return list(dict.fromkeys(levels))


def _of(target: Target, label: Label) -> Label:
    return Label(target, label.rater, label.rating, None, None, label.file, label.line)
