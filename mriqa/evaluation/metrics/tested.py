"""Scans on which metrics and classifiers are tested, and how often the bootstrap draws each."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.evaluation.auc import Auc, Indices, Sampling, auc_of, interval, pair_up, resample
from mriqa.evaluation.metrics.scans import Floats, Scans
from mriqa.evaluation.metrics.settings import MetricsExperiments
from mriqa.evaluation.metrics.verdicts import Verdicts

Booleans = NDArray[np.bool_]
Record = dict[str, Any]


@dataclass(frozen=True)
class Tested:
    """`where`: `out of site`, `out of fold` or `second table`; `drawn` as auc.resample gives it."""

    where: str
    scans: Scans
    verdicts: Verdicts
    section: MetricsExperiments
    subject: Indices
    drawn: Floats

    @property
    def known(self) -> Booleans:
        """Rows that count."""
        return self.verdicts.known

    @property
    def site(self) -> Indices | None:
        """Codes of sites (scans,); None without sites."""
        sites = self.scans.sites
        return None if sites is None else np.unique(sites, return_inverse=True)[1]

    def auc(
        self, badness: Floats, positive: Booleans, negative: Booleans,
        stratum: Indices | None = None,
    ) -> Auc:  # fmt: skip
        """Of `badness` (scans,), higher is worse; pairs within `stratum`, all without one."""
        if stratum is None:
            stratum = np.zeros(len(badness), dtype=np.intp)
        sampling = Sampling(self.subject, stratum, self.drawn)
        return auc_of(pair_up(badness, positive, negative, sampling), positive, sampling)

    def share(self, hit: Booleans, among: Booleans) -> Floats:
        """Share of the rows `among` that `hit` (both (scans,)), in the data (first) and in each
        resample of subjects; NaN where a resample has none of them."""
        weights = self.drawn[:, self.subject[among]]
        total = weights.sum(axis=1)
        found = weights @ hit[among].astype(np.float64)
        return np.asarray(np.where(total > 0, found / np.maximum(total, 1), np.nan))

    def mean(self, values: Floats, among: Booleans) -> Record:
        """Mean of `values` (scans,) over the rows `among`, with its interval."""
        weights = self.drawn[:, self.subject[among]]
        total = weights.sum(axis=1)
        return interval(np.where(total > 0, weights @ values[among] / np.maximum(total, 1), np.nan))


def with_resamples(
    where: str, scans: Scans, verdicts: Verdicts, section: MetricsExperiments
) -> Tested:
    """With resamples by the settings' seed."""
    names, subject = np.unique(scans.subjects, return_inverse=True)
    drawn = resample(len(names), section.bootstraps, section.seed)
    return Tested(where, scans, verdicts, section, subject, drawn)


def told(auc: Auc) -> Record:
    """`value`, `low`, `high`."""
    return {"value": auc.auc, "low": auc.low, "high": auc.high}


def told_fully(auc: Auc) -> Record:
    """All fields."""
    return asdict(auc)
