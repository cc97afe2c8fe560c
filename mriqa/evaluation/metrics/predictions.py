"""Probabilities of bad, each by a classifier that has not seen the scan's subject or site."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mriqa.evaluation.metrics.classifiers import Kind, fit
from mriqa.evaluation.metrics.folds import Fold, deal
from mriqa.evaluation.metrics.scans import Floats, Scans
from mriqa.evaluation.metrics.settings import MetricsExperiments
from mriqa.evaluation.metrics.verdicts import Verdicts
from mriqa.seeds import fixed_number


@dataclass(frozen=True)
class Predicted:
    """Of scans: `probability` of bad (scans,); what the training side of each says: `share` of bad
    scans (scans,), and `thresholds` (specificities, scans), above which a scan is called bad so
    that such a share of good ones is not."""

    probability: Floats
    share: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Ground:
    """Graded scans to learn from; `values` (scans, metrics) as they are, or scaled by site."""

    scans: Scans
    verdicts: Verdicts
    values: Floats
    section: MetricsExperiments
    threads: int


def predict_fold(kind: Kind, ground: Ground, fold: Fold) -> Predicted:
    """Of the rows `fold.test`, by what `fold.train` teaches."""
    return predict_others(kind, ground, fold.train, ground.values[fold.test], fold.name)


def predict_others(
    kind: Kind, ground: Ground, train: np.ndarray, values: Floats, name: str
) -> Predicted:
    """Of scans with `values` (scans, metrics), by what the rows `train` teach.

    Thresholds come from folds of the training side alone: of its sites, where it has two or more,
    else of its subjects.
    """
    bad, section = ground.verdicts.bad[train], ground.section
    told = f"{kind} {name}"
    fitted = fit(kind, ground.values[train], bad, section, told, ground.threads)
    probability = fitted(values)
    good = _inner(kind, ground, train, told)[~bad]
    thresholds = [
        np.full(len(values), np.quantile(good, one, method="higher") if good.size else np.inf)
        for one in section.specificities
    ]
    shape = (len(section.specificities), len(values))
    return Predicted(
        probability, np.full(len(values), fitted.share), np.array(thresholds).reshape(shape)
    )


def _inner(kind: Kind, ground: Ground, train: np.ndarray, name: str) -> Floats:
    """Probabilities of the rows `train`, each out of fold."""
    scans, section = ground.scans, ground.section
    bad, values = ground.verdicts.bad[train], ground.values[train]
    subjects = scans.subjects[train]
    sites = None if scans.sites is None else scans.sites[train]
    units = sites if sites is not None and len(np.unique(sites)) > 1 else subjects
    known = np.ones(len(train), dtype=bool)
    found = np.full(len(train), bad.mean())
    if kind == "majority":
        return found
    seed = fixed_number(section.seed, "inner folds")
    for fold in deal(units, subjects, bad, known, section.folds, seed):
        if not len(fold.train):
            continue
        told = f"{name} {fold.name}"
        one = fit(kind, values[fold.train], bad[fold.train], section, told, ground.threads)
        found[fold.test] = one(values[fold.test])
    return found


def joined(parts: Sequence[Predicted], folds: Sequence[Fold], n: int) -> Predicted:
    """What the folds predicted, in the order of the scans; every scan is in one fold's test."""
    probability, share = np.full(n, np.nan), np.full(n, np.nan)
    thresholds = np.full((len(parts[0].thresholds), n), np.nan)
    for part, fold in zip(parts, folds, strict=True):
        probability[fold.test], share[fold.test] = part.probability, part.share
        thresholds[:, fold.test] = part.thresholds
    return Predicted(probability, share, thresholds)
