"""How well each metric alone separates bad from good."""

import numpy as np
from scipy.stats import spearmanr

from mriqa.evaluation.auc import Sampling, auc_of, pair_up
from mriqa.evaluation.metrics.directions import published_direction
from mriqa.evaluation.metrics.folds import Fold
from mriqa.evaluation.metrics.predictions import Ground
from mriqa.evaluation.metrics.scans import Floats, Indices
from mriqa.evaluation.metrics.settings import MetricsExperiments
from mriqa.evaluation.metrics.tested import Booleans, Record, Tested, told, told_fully

HIGHER_IS_WORSE, LOWER_IS_WORSE = 1.0, -1.0


def stated_sign(metric: str, section: MetricsExperiments) -> tuple[float | None, str]:
    """HIGHER_IS_WORSE, LOWER_IS_WORSE, or None: to be learned; and who says so."""
    better = section.directions.get(metric)
    source = "settings" if better else "published"
    better = better or published_direction(metric)
    if better is None:
        return None, "training"
    return (LOWER_IS_WORSE if better == "higher" else HIGHER_IS_WORSE), source


def learned_sign(values: Floats, bad: Booleans) -> float:
    """By the AUC of `values` (scans,) of the training side; HIGHER_IS_WORSE from 0.5 on."""
    rows = np.arange(len(values))
    sampling = Sampling(rows, np.zeros_like(rows), np.ones((1, len(values))))
    auc = auc_of(pair_up(values, bad, ~bad, sampling), bad, sampling).auc
    return HIGHER_IS_WORSE if auc is None or auc >= 0.5 else LOWER_IS_WORSE


def signs_of_folds(ground: Ground, folds: list[Fold]) -> Floats:
    """What each row's training side (or what is published) says of each metric (scans, metrics)."""
    signs = np.ones(ground.scans.values.shape)
    for fold in folds:
        signs[fold.test] = signs_of(ground, fold.train)
    return signs


def signs_of(ground: Ground, train: Indices) -> Floats:
    """The sign of each metric (metrics,), learned from the rows `train` where none is stated."""
    values, bad = ground.scans.values[train], ground.verdicts.bad[train]
    return np.array([
        learned_sign(values[:, at], bad) if stated is None else stated
        for at, metric in enumerate(ground.scans.metrics)
        for stated in [stated_sign(metric, ground.section)[0]]
    ])  # fmt: skip


def metric_records(test: Tested, signs: Floats) -> list[Record]:
    """A record a metric, by `signs` (scans, metrics).

    `auc`: one threshold for all scans, its fields; `within_site`: only pairs of one site. Rows of
    folds whose training sides see a metric otherwise (`better` is then null) make no pairs with one
    another. `spearman`: ρ of the metric's badness with the grades, 1 is best. `n_missing` scans
    without the metric take no part.
    """
    records = []
    bad, known = test.verdicts.bad, test.known
    for at, metric in enumerate(test.scans.metrics):
        sign, values = signs[:, at], test.scans.values[:, at]
        badness = sign * values
        one_way = bool((sign == sign[0]).all())
        stratum = (sign > 0).astype(np.intp)
        site = test.site
        within = None if site is None else told(test.auc(badness, bad, known & ~bad, site))
        records.append(
            {
                "where": test.where,
                "metric": metric,
                "better": ("lower" if sign[0] > 0 else "higher") if one_way else None,
                "direction_from": stated_sign(metric, test.section)[1],
                **told_fully(test.auc(badness, bad, known & ~bad, stratum)),
                "within_site": within,
                "spearman": rank_correlation(badness, test.verdicts.place) if one_way else None,
                "n_missing": int(np.isnan(values[known]).sum()),
            }
        )
    return records


def rank_correlation(badness: Floats, place: Floats) -> float | None:
    """Spearman's ρ of two (scans,), where both are there; None if one of them does not vary."""
    there = np.isfinite(badness) & np.isfinite(place)
    first, second = badness[there], place[there]
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)
