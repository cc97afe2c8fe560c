"""What a truth table says of scores, metrics, ratings and error codes: tables in, numbers out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from mriqa.artifacts.severity import FAIL_ABOVE, PASS_BELOW
from mriqa.evaluation.auc import (
    Auc,
    Booleans,
    Floats,
    Pairs,
    Sampling,
    auc_of,
    pair_up,
    resample,
)
from mriqa.evaluation.truth import CLEAN, Matched
from mriqa.labels.model import RATINGS

ALL = "all"
LEVELS = {"mild": (0.0, 0.375), "medium": (0.375, 0.75), "strong": (0.75, 1.0)}
"""Severities nearest to the simulator's anchors 0.25, 0.5, 1: above the first, up to the last."""


@dataclass(frozen=True)
class Measure:
    """A column that ranks volumes by quality."""

    name: str
    higher_is_better: bool


QUALITY = Measure("quality_score", True)


@dataclass(frozen=True)
class Cell:
    """AUC of one measure for volumes of one family and level of severity against clean ones.

    `family` and `level` may be `all`. `n_without_value`: degraded volumes that the measure does not
    cover (NULL there, failed, or nothing clean in their stratum).
    """

    measure: str
    family: str
    level: str
    auc: Auc
    n_without_value: int


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of quality_score with severity: `degraded` alone, and with the clean ones of the
    same strata; quality should fall, so that -1 is best."""

    family: str
    degraded: float | None
    n_degraded: int
    with_clean: float | None
    n_with_clean: int


@dataclass(frozen=True)
class BreathHold:
    """Free-breathing (positive) against breath-held scans by one measure.

    `paired`: share of subjects whose free-breathing scan is the worse one, ties counting half.
    """

    measure: str
    auc: Auc
    paired: float | None
    n_pairs: int


class Design:
    """Rows (volumes with their truth), strata and resampled subjects of one evaluation."""

    def __init__(self, rows: pd.DataFrame, resamples: int, seed: int) -> None:
        self.rows = rows
        subject, names = pd.factorize(rows["subject"])
        self.sampling = Sampling(
            subject=subject.astype(np.intp),
            stratum=pd.factorize(rows["stratum"])[0].astype(np.intp),
            drawn=resample(len(names), resamples, seed),
        )
        self.degraded = (rows["true_family"] != CLEAN).to_numpy()
        self.held = np.array([flag is True for flag in rows["breath_hold"]], dtype=bool)
        self.free = np.array([flag is False for flag in rows["breath_hold"]], dtype=bool)

    def badness(self, measure: Measure) -> Floats:
        """The measure turned so that higher is worse; NaN where there is no value."""
        values = self.rows[measure.name].to_numpy(dtype=np.float64, na_value=np.nan)
        return -values if measure.higher_is_better else values

    def pairs(self, measure: Measure, positive: Booleans, negative: Booleans) -> Pairs:
        """All pairs of `positive` and `negative` rows (n,) by one measure."""
        return pair_up(self.badness(measure), positive, negative, self.sampling)

    def auc(self, pairs: Pairs, chosen: Booleans) -> Auc:
        """AUC of the positives that `chosen` (n,) marks."""
        return auc_of(pairs, chosen, self.sampling)


def artifact_cells(design: Design, measures: Sequence[Measure]) -> list[Cell]:
    """AUC by measure, family and level; scans made in breath-hold pairs take no part."""
    paired = design.held | design.free
    positive, negative = design.degraded & ~paired, ~design.degraded & ~paired
    cells = []
    for measure in measures:
        pairs = design.pairs(measure, positive, negative)
        for family, level, chosen in _groups(design, positive):
            auc = design.auc(pairs, chosen)
            cells.append(Cell(measure.name, family, level, auc, int(chosen.sum()) - auc.n_positive))
    return cells


def _groups(design: Design, positive: Booleans) -> Iterator[tuple[str, str, Booleans]]:
    """Families by levels that occur, each with `all`."""
    family = design.rows["true_family"].to_numpy()
    severity = design.rows["true_severity"].to_numpy(dtype=np.float64)
    of_level = {
        name: (severity > low) & (severity <= high) for name, (low, high) in LEVELS.items()
    } | {ALL: np.ones(len(severity), dtype=bool)}
    for name in [*sorted(set(family[positive])), ALL]:
        of_family = positive if name == ALL else positive & (family == name)
        for level, inside in of_level.items():
            chosen = of_family & inside
            if chosen.any():
                yield name, level, chosen


def correlations(design: Design) -> list[Correlation]:
    """Spearman's ρ of quality_score with severity, a family each and all together."""
    paired = design.held | design.free
    quality = -design.badness(QUALITY)
    severity = design.rows["true_severity"].to_numpy(dtype=np.float64)
    family = design.rows["true_family"].to_numpy()
    usable = np.isfinite(quality) & (design.sampling.stratum >= 0) & ~paired
    found = []
    for name in [*sorted(set(family[usable & design.degraded])), ALL]:
        degraded = usable & design.degraded & ((family == name) | (name == ALL))
        strata = np.unique(design.sampling.stratum[degraded])
        clean = usable & ~design.degraded & np.isin(design.sampling.stratum, strata)
        both = degraded | clean
        found.append(
            Correlation(
                name,
                spearman(quality[degraded], severity[degraded]), int(degraded.sum()),
                spearman(quality[both], severity[both]), int(both.sum()),
            )
        )  # fmt: skip
    return found


def spearman(first: Floats, second: Floats) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None where either does not vary."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def severity_class(severity: Floats) -> NDArray[np.object_]:
    """`pass` below 0.2, `questionable` up to 0.6, `fail` above."""
    return np.where(
        severity < PASS_BELOW, "pass", np.where(severity > FAIL_ABOVE, "fail", "questionable")
    ).astype(object)


def confusion(design: Design) -> dict[str, dict[str, int]]:
    """Counts by class of the true severity, then by rating (or status, where there is none)."""
    truth = severity_class(design.rows["true_severity"].to_numpy(dtype=np.float64))
    rating = design.rows["rating"].where(design.rows["rating"].notna(), design.rows["status"])
    others = sorted(set(rating) - set(RATINGS))
    counts = Counter(zip(truth, rating, strict=True))
    return {row: {name: counts[row, name] for name in (*RATINGS, *others)} for row in RATINGS}


def breath_hold(design: Design, measures: Sequence[Measure]) -> list[BreathHold]:
    """Free-breathing against breath-held scans; empty if the truth marks none."""
    if not (design.held.any() and design.free.any()):
        return []
    found = []
    for measure in measures:
        pairs = design.pairs(measure, design.free, design.held)
        share, n_pairs = _paired(design, measure)
        found.append(BreathHold(measure.name, design.auc(pairs, design.free), share, n_pairs))
    return found


def _paired(design: Design, measure: Measure) -> tuple[float | None, int]:
    rows = pd.DataFrame(
        {
            "subject": design.sampling.subject,
            "badness": design.badness(measure),
            "kind": np.select([design.free, design.held], ["free", "held"], ""),
        }
    ).dropna()
    by_subject = rows[rows["kind"] != ""].pivot_table(
        index="subject", columns="kind", values="badness"
    )
    by_subject = by_subject.reindex(columns=["free", "held"]).dropna()
    if by_subject.empty:
        return None, 0
    difference = (by_subject["free"] - by_subject["held"]).to_numpy()
    wins = float(np.mean((difference > 0) + 0.5 * (difference == 0)))
    return wins, len(by_subject)


def bad_inputs(matched: Matched, volumes: pd.DataFrame) -> list[dict[str, Any]]:
    """Expected against actual error code of every file that must fail."""
    found = volumes[volumes["series_id"].isin(matched.bad_inputs["series_id"])]
    outcome = found["error_code"].where(found["error_code"].notna(), found["status"])
    actual: dict[str, set[str]] = {}
    for series_id, code in zip(found["series_id"], outcome, strict=True):
        actual.setdefault(series_id, set()).add(code)
    expected = zip(matched.bad_inputs["series_id"], matched.bad_inputs["error_code"], strict=True)
    return [
        {
            "series_id": series_id,
            "expected": code,
            "actual": ", ".join(sorted(actual.get(series_id, {"(not in the tables)"}))),
            "agrees": actual.get(series_id) == {code},
        }
        for series_id, code in expected
    ]
