"""How good ratings are: balanced accuracy, AUC, what of wrong labels is found."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.evaluation.auc import Auc, Sampling, auc_of, interval, pair_up, resample
from mriqa.evaluation.hierarchy.lessons import Labels
from mriqa.evaluation.hierarchy.volumes import Volumes
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.rounds import UNLABELLED, Classes, Floats

PASS, QUESTIONABLE, FAIL = range(len(RATINGS))
BADNESS = np.array([0.0, 0.5, 1.0])
"""Of the ratings: p·BADNESS orders volumes."""
RECALL = 0.7
"""Of the wrong labels, that a list of contested ones should have."""
Record = dict[str, Any]


def sampling_of(volumes: Volumes, bootstraps: int, seed: int) -> Sampling:
    """Subjects and strata of `volumes`, and how often each subject is drawn."""
    names, subject = np.unique(volumes.subjects, return_inverse=True)
    stratum = np.unique(volumes.strata, return_inverse=True)[1]
    return Sampling(subject, stratum, resample(len(names), bootstraps, seed))


def accuracies(found: Classes, truth: Classes, sampling: Sampling) -> Floats:
    """Balanced accuracy in the data (first) and in each resample of subjects (1 + resamples).

    A class that a resample lacks is not counted in it.
    """
    drawn = sampling.drawn[:, sampling.subject]
    recalls = []
    for one in np.unique(truth):
        own = truth == one
        total = drawn[:, own].sum(axis=1)
        right = drawn[:, own & (found == one)].sum(axis=1)
        recalls.append(np.where(total > 0, right / np.maximum(total, 1), np.nan))
    return np.asarray(np.nanmean(recalls, axis=0))


def rated(probabilities: Floats, volumes: Volumes, sampling: Sampling) -> Record:
    """`accuracy` (balanced, with its interval), `recall` by rating (None without any volume
    of it), AUC of failing and of questionable volumes against passing ones within their strata."""
    found, truth = probabilities.argmax(axis=1), volumes.truth
    worse = probabilities @ BADNESS
    recall = {
        name: float(np.mean(found[truth == place] == place)) if (truth == place).any() else None
        for place, name in enumerate(RATINGS)
    }
    return {
        "accuracy": interval(accuracies(found, truth, sampling)),
        "recall": recall,
        **{
            f"auc_{RATINGS[place]}": told(auc_against_pass(worse, truth, place, sampling))
            for place in (FAIL, QUESTIONABLE)
        },
    }


def auc_against_pass(
    worse: Floats, truth: Classes, place: int, sampling: Sampling,
    chosen: NDArray[np.bool_] | None = None,
) -> Auc:  # fmt: skip
    """Of volumes that should have the rating `place`, or the `chosen` of them (n)."""
    positive = truth == place
    pairs = pair_up(worse, positive, truth == PASS, sampling)
    return auc_of(pairs, positive if chosen is None else positive & chosen, sampling)


def told(auc: Auc) -> Record:
    """As `interval` tells it."""
    return {"value": auc.auc, "low": auc.low, "high": auc.high}


def contested_record(probabilities: Floats, labels: Labels) -> Record:
    """What the list of contested labels is worth, by out-of-fold `probabilities` (n, classes).

    `precision` and `recall` of all of it, the labels whose class is not the likeliest; and
    `precision_at_recall` of its beginning, where it has RECALL of the wrong ones: None if the whole
    list has not.
    """
    rows = np.arange(len(labels.classes))
    own = probabilities[rows, np.maximum(labels.classes, 0)]
    doubt = probabilities.max(axis=1) - own
    listed = np.flatnonzero((labels.classes != UNLABELLED) & (doubt > 0))
    order = listed[np.argsort(-doubt[listed], kind="stable")]
    hits, n_wrong = np.cumsum(labels.wrong[order]), int(labels.wrong.sum())
    enough = np.flatnonzero(hits >= RECALL * n_wrong)
    n_found = int(hits[-1]) if len(hits) else 0
    return {
        "n_labels": int(np.count_nonzero(labels.classes != UNLABELLED)),
        "n_wrong": n_wrong,
        "n_listed": len(order),
        "precision": n_found / len(order) if len(order) else None,
        "recall": n_found / n_wrong if n_wrong else None,
        "precision_at_recall": (
            float(hits[enough[0]] / (enough[0] + 1)) if len(enough) and n_wrong else None
        ),
    }
