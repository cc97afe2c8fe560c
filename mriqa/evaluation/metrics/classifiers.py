"""Simple classifiers of metrics: all that they know is of the rows that they are fitted to."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mriqa.evaluation.metrics.scans import Floats, Texts
from mriqa.evaluation.metrics.settings import MetricsExperiments
from mriqa.seeds import fixed_number

Booleans = NDArray[np.bool_]
Kind = Literal["majority", "logistic", "forest"]
KINDS: tuple[Kind, ...] = ("majority", "logistic", "forest")
"""`majority` knows no metric: the share of bad scans is its probability for every scan."""
NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution in standard deviations."""
MAX_ITERATIONS = 10_000
SEED_LIMIT = 2**32


@dataclass(frozen=True)
class Preparation:
    """Of each metric (metrics,) on the training side: its median, which takes the place of missing
    values, and then mean and standard deviation (1 where it does not vary)."""

    medians: Floats
    means: Floats
    scales: Floats

    def __call__(self, values: Floats) -> Floats:
        """`values` (scans, metrics), none missing, standardised."""
        filled = np.where(np.isfinite(values), values, self.medians)
        return np.asarray((filled - self.means) / self.scales)


def prepare(values: Floats) -> Preparation:
    """The preparation by `values` (scans, metrics); a metric that is never there becomes 0."""
    medians = np.array([_median(column) for column in values.T])
    filled = np.where(np.isfinite(values), values, medians)
    scales = filled.std(axis=0)
    # what is all but constant would be noise of the rounding, blown up
    flat = scales <= 1e-12 * np.maximum(1e-300, np.abs(filled).max(axis=0, initial=0))
    return Preparation(medians, filled.mean(axis=0), np.where(flat, 1.0, scales))


def _median(column: Floats) -> float:
    finite = column[np.isfinite(column)]
    return float(np.median(finite)) if finite.size else 0.0


def scaled_by_site(values: Floats, sites: Texts) -> Floats:
    """Each metric less the median of its site, over the site's interquartile range / NORMAL_IQR.

    Needs the site's scans, not their grades. A range of 0 counts as 1. [P] MRIQC's SiteRobustScaler
    (Esteban 2017) does so; new sites must thus bring several scans, not all of them bad.
    """
    scaled = np.full_like(values, np.nan)
    for site in np.unique(sites):
        rows = sites == site
        for at in range(values.shape[1]):
            column = values[rows, at]
            finite = column[np.isfinite(column)]
            if finite.size:
                low, middle, high = np.percentile(finite, [25, 50, 75])
                scaled[rows, at] = (column - middle) / ((high - low) / NORMAL_IQR or 1.0)
    return scaled


@dataclass(frozen=True)
class Fitted:
    """A classifier and its preparation; `share` of bad scans on the training side."""

    preparation: Preparation
    model: Any
    share: float

    def __call__(self, values: Floats) -> Floats:
        """Probability of bad (scans,) of `values` (scans, metrics)."""
        if self.model is None or not len(values):
            return np.full(len(values), self.share)
        return np.asarray(self.model.predict_proba(self.preparation(values))[:, 1])


def fit(
    kind: Kind, values: Floats, bad: Booleans, section: MetricsExperiments, name: str, threads: int
) -> Fitted:
    """Fit to `values` (scans, metrics) of scans that are `bad` (scans,) or good.

    What is drawn follows from the settings' seed and `name`. Of one class alone there is nothing to
    learn: the answer is then that of `majority`.
    """
    preparation, share = prepare(values), float(bad.mean())
    if kind == "majority" or share in (0.0, 1.0):
        return Fitted(preparation, None, share)
    model: Any
    if kind == "logistic":
        model = LogisticRegression(C=section.logistic.c, max_iter=MAX_ITERATIONS)
    else:
        forest = section.forest
        model = RandomForestClassifier(
            forest.trees,
            max_depth=forest.depth,
            min_samples_leaf=forest.leaf,
            random_state=fixed_number(section.seed, name) % SEED_LIMIT,
            n_jobs=threads,
        )
    model.fit(preparation(values), bad)
    if kind == "forest":
        # threads would add up the trees' probabilities in the order in which they are done
        model.set_params(n_jobs=1)
    return Fitted(preparation, model, share)
