"""Area under the ROC curve within strata, with bootstrap intervals by subject.

AUC is the probability that a positive scores higher than a negative of its own stratum, ties
counting half (Hanley & McNeil 1982; Mann-Whitney U over the number of pairs). Only pairs inside a
stratum count, so that a difference between protocols is never taken for a difference in quality.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Indices = NDArray[np.intp]

INTERVAL = (2.5, 97.5)
MIN_SUBJECTS = 3
"""Positives of fewer subjects get no interval: resampling so few says nothing."""
MIN_RESAMPLES = 20


@dataclass(frozen=True)
class Pairs:
    """Pairs of each positive with the negatives of its stratum, in the data and in each resample.

    `wins`, `pairs` (1 + resamples, positives): row 0 is the data itself. `rows` says which rows the
    positives are; those without a negative in their stratum have no pair.
    """

    rows: Indices
    wins: Floats
    pairs: Floats
    negatives: Indices


@dataclass(frozen=True)
class Auc:
    """AUC of a set of positives; None where there is no pair. Numbers of rows and of subjects."""

    auc: float | None
    low: float | None
    high: float | None
    n_positive: int
    n_positive_subjects: int
    n_negative: int


def resample(n_subjects: int, n_resamples: int, seed: int) -> Floats:
    """How often each subject is drawn (1 + n_resamples, n_subjects); row 0: each once."""
    rng = np.random.default_rng(seed)
    drawn = (
        rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_resamples)
        if n_subjects and n_resamples
        else np.zeros((0, n_subjects))
    )
    return np.vstack([np.ones((1, n_subjects)), drawn])


@dataclass(frozen=True)
class Sampling:
    """Who the rows are of, and how often each subject is drawn.

    `subject`, `stratum` (rows,): codes from 0, a stratum below 0 is none; `drawn` as `resample`
    gives it (1 + resamples, subjects).
    """

    subject: Indices
    stratum: Indices
    drawn: Floats


def pair_up(badness: Floats, positive: Booleans, negative: Booleans, sampling: Sampling) -> Pairs:
    """Compare every positive with the negatives of its stratum.

    `badness` (rows,): higher is worse, NaN rows take no part.
    """
    stratum = sampling.stratum
    usable = np.isfinite(badness) & (stratum >= 0)
    found: list[tuple[Indices, Floats, Floats]] = []
    used: list[Indices] = []
    for code in np.unique(stratum[usable & positive]):
        members = usable & (stratum == code)
        plus, minus = np.flatnonzero(members & positive), np.flatnonzero(members & negative)
        if minus.size:
            found.append((plus, *_compare(badness, plus, minus, sampling)))
            used.append(minus)
    if not found:
        none, empty = np.zeros(0, dtype=np.intp), np.zeros((len(sampling.drawn), 0))
        return Pairs(none, empty, empty, none)
    rows, wins, pairs = zip(*found, strict=True)
    return Pairs(
        np.concatenate(rows),
        np.concatenate(wins, axis=1),
        np.concatenate(pairs, axis=1),
        np.concatenate(used),
    )


def _compare(
    badness: Floats, plus: Indices, minus: Indices, sampling: Sampling
) -> tuple[Floats, Floats]:
    """Weighted wins and pairs (1 + resamples, len(plus)) against the sorted negatives."""
    order = minus[np.argsort(badness[minus], kind="stable")]
    below = np.zeros((len(sampling.drawn), len(order) + 1))
    np.cumsum(sampling.drawn[:, sampling.subject[order]], axis=1, out=below[:, 1:])
    first = np.searchsorted(badness[order], badness[plus], side="left")
    last = np.searchsorted(badness[order], badness[plus], side="right")
    drawn = sampling.drawn[:, sampling.subject[plus]]
    return drawn * (below[:, first] + below[:, last]) / 2, drawn * below[:, -1:]


def auc_of(pairs: Pairs, chosen: Booleans, sampling: Sampling) -> Auc:
    """AUC of the positives that `chosen` (rows,) marks."""
    stratum = sampling.stratum
    columns = chosen[pairs.rows]
    rows = pairs.rows[columns]
    n_subjects = int(np.unique(sampling.subject[rows]).size)
    n_negative = int(np.isin(stratum[pairs.negatives], np.unique(stratum[rows])).sum())
    wins, total = pairs.wins[:, columns].sum(axis=1), pairs.pairs[:, columns].sum(axis=1)
    if not rows.size or total[0] <= 0:
        return Auc(None, None, None, int(rows.size), n_subjects, n_negative)
    resampled = wins[1:][total[1:] > 0] / total[1:][total[1:] > 0]
    low = high = None
    if n_subjects >= MIN_SUBJECTS and resampled.size >= MIN_RESAMPLES:
        low, high = (float(value) for value in np.percentile(resampled, INTERVAL))
    return Auc(float(wins[0] / total[0]), low, high, int(rows.size), n_subjects, n_negative)


def interval(values: Floats) -> dict[str, Any]:
    """`value` (the first), `low` and `high`: the middle 95% of the others; None if NaN or none."""
    finite = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(finite, INTERVAL) if len(finite) else (np.nan, np.nan)
    named = (("value", values[0]), ("low", low), ("high", high))
    return {name: float(one) if np.isfinite(one) else None for name, one in named}
