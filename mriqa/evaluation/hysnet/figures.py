"""How well predictions agree with what was measured, with bootstrap intervals by subject."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mriqa.evaluation.auc import interval, resample
from mriqa.evaluation.hysnet.ground import Held
from mriqa.evaluation.truth import CLEAN
from mriqa.methods.hysnet.assess import LEAST
from mriqa.methods.hysnet.target import Floats

Record = dict[str, Any]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Exam:
    """`target` (n) of the held volumes; `resamples`: the volumes themselves (first), then those of
    the subjects that are drawn each time."""

    target: Floats
    resamples: tuple[Indices, ...]


def exam_of(held: Sequence[Held], bootstraps: int, seed: int) -> Exam:
    """The exam that `held` volumes are."""
    _, subject = np.unique([one.subject for one in held], return_inverse=True)
    drawn = resample(int(subject.max()) + 1, bootstraps, seed).astype(np.intp)
    rows = np.arange(len(held))
    target = np.array([one.example.target for one in held], np.float64)
    return Exam(target, tuple(np.repeat(rows, times[subject]) for times in drawn))


def srocc(said: Floats, true: Floats) -> float:
    """Spearman's correlation; NaN of fewer than LEAST values, or where one side is constant."""
    return plcc(rankdata(said), rankdata(true))


def plcc(said: Floats, true: Floats) -> float:
    """Pearson's correlation, without the logistic fit that some papers do first; NaN as `srocc`."""
    if len(said) < LEAST or np.ptp(said) == 0 or np.ptp(true) == 0:
        return float("nan")
    return float(np.corrcoef(said, true)[0, 1])


def mae(said: Floats, true: Floats) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.abs(said - true).mean()) if len(said) else float("nan")


MEASURES: dict[str, Callable[[Floats, Floats], float]] = {"srocc": srocc, "plcc": plcc, "mae": mae}


def over_resamples(
    measure: Callable[[Floats, Floats], float], said: Sequence[Floats], exam: Exam
) -> Floats:
    """The measure's mean over networks, each with its predictions (n; NaN: none), in the data
    (first) and in each resample."""
    found = np.empty((len(said), len(exam.resamples)))
    for network, own in enumerate(said):
        for number, rows in enumerate(exam.resamples):
            usable = rows[np.isfinite(own[rows])]
            found[network, number] = measure(own[usable], exam.target[usable])
    return np.asarray(found.mean(axis=0))


def agreement(said: Sequence[Floats], exam: Exam) -> Record:
    """Of networks that differ by seed: `srocc`, `plcc`, `mae`, each the mean over the networks with
    its interval, `lowest` and `highest` of them; `n` volumes that all of them predict."""
    found: Record = {"n": int(np.isfinite(np.array(said)).all(axis=0).sum()), "n_seeds": len(said)}
    for name, measure in MEASURES.items():
        alone = [over_resamples(measure, [own], Exam(exam.target, exam.resamples[:1]))[0]
                 for own in said]  # fmt: skip
        found[name] = {
            **interval(over_resamples(measure, said, exam)),
            "lowest": _known(min(alone)),
            "highest": _known(max(alone)),
        }
    return found


def margin(first: Sequence[Floats], second: Sequence[Floats], exam: Exam) -> Record:
    """How much larger SROCC and PLCC of the `first` networks are than of the `second`; intervals
    are of the same resamples for both."""
    return {
        name: interval(
            over_resamples(MEASURES[name], first, exam)
            - over_resamples(MEASURES[name], second, exam)
        )
        for name in ("srocc", "plcc")
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def family_records(
    said: Sequence[Floats], exam: Exam, families: Sequence[str | None]
) -> list[Record]:
    """By family of artifact (`none`: clean volumes): `n`, `error` (prediction less target, the mean
    over volumes and networks), `srocc`, `plcc` (means over networks). Volumes without a family
    take no part."""
    found: list[Record] = []
    for family in sorted({one for one in families if one is not None}, key=_clean_first):
        rows = np.flatnonzero([one == family for one in families])
        own = Exam(exam.target[rows], (np.arange(len(rows)),))
        some = [each[rows] for each in said]
        found.append(
            {
                "family": family,
                "n": len(rows),
                "error": _known(float(np.nanmean(np.array(some) - own.target))),
                **{name: _known(over_resamples(MEASURES[name], some, own)[0])
                   for name in ("srocc", "plcc")},
            }
        )  # fmt: skip
    return found


def _clean_first(family: str) -> tuple[bool, str]:
    return family != CLEAN, family
