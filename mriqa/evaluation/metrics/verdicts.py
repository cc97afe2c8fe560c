"""What the raters say together, and how far they agree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.errors import UserError
from mriqa.evaluation.metrics.scans import NOT_GRADED, Indices, Scans
from mriqa.evaluation.metrics.settings import GradesSection
from mriqa.labels.agreement import agreement
from mriqa.labels.model import RATINGS, Target

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
GOOD, BAD, OPEN = 0, 1, -1
LEAST = 2
"""Subjects with a good and with a bad scan that there must be: one to learn from, one to test."""


@dataclass(frozen=True)
class Verdicts:
    """Of scans: `said` GOOD, BAD or OPEN; `disputed`, as many votes for bad as for good (OPEN, if
    the settings leave them out); `place`, the median of the grades' places, 0 the best."""

    said: Indices
    disputed: Booleans
    place: Floats

    @property
    def known(self) -> Booleans:
        """Scans that are learned from and counted."""
        return np.asarray(self.said != OPEN)

    def only(self, rows: Indices) -> "Verdicts":
        """Those of these rows."""
        return Verdicts(self.said[rows], self.disputed[rows], self.place[rows])

    @property
    def bad(self) -> Booleans:
        """Scans that are bad."""
        return np.asarray(self.said == BAD)


def votes(grades: Indices, section: GradesSection) -> Indices:
    """GOOD, BAD or OPEN (no vote) of every grade, in the same shape."""
    of_place = [
        GOOD if value in section.good else BAD if value in section.bad else OPEN
        for value in section.values
    ]
    return np.array([*of_place, OPEN], dtype=np.intp)[grades]  # the last one is NOT_GRADED's


def decide(scans: Scans, n_raters: int, section: GradesSection, where: str) -> Verdicts:
    """The verdict of the majority of the first `n_raters` raters, a vote each.

    Raises UserError if there are not LEAST subjects with a good and with a bad scan.
    """
    grades = scans.grades[:, :n_raters]
    each = votes(grades, section)
    n_bad, n_good = (each == BAD).sum(axis=1), (each == GOOD).sum(axis=1)
    disputed = (n_bad == n_good) & (n_bad > 0)
    said = np.where(n_bad > n_good, BAD, np.where(n_good > n_bad, GOOD, OPEN))
    if section.disputed != "out":
        said[disputed] = BAD if section.disputed == "bad" else GOOD
    for verdict, name in ((GOOD, "good"), (BAD, "bad")):
        n_subjects = len(np.unique(scans.subjects[said == verdict]))
        if n_subjects < LEAST:
            values = ", ".join(getattr(section, name))
            raise UserError(
                f"{where}: {n_subjects} subjects with a scan that is {name} (grades {values}); "
                f"{LEAST} at least are needed of either kind"
            )
    place = np.array([np.median(row[row != NOT_GRADED]) for row in grades])
    return Verdicts(said.astype(np.intp), disputed, place)


def agreement_record(scans: Scans, section: GradesSection) -> dict[str, Any] | None:
    """How far all raters agree on `grades` and on `bad_or_good`; None of a single one.

    The fields are those of `mriqa.labels.agreement.Agreement`, which knows three classes: of more
    grades, good, no vote and bad are compared.
    """
    if len(scans.raters) < 2:
        return None
    each = votes(scans.grades, section)
    coarse = np.where(each == GOOD, 0, np.where(each == BAD, 2, 1))
    classes = scans.grades if len(section.values) <= len(RATINGS) else coarse
    graded = scans.grades != NOT_GRADED
    return {
        "grades": _agreement(scans, classes, graded),
        "bad_or_good": _agreement(scans, coarse, each != OPEN),
    }


def _agreement(scans: Scans, classes: Indices, there: Booleans) -> dict[str, Any]:
    given = {
        Target(" ".join(key), None, None): {
            rater: int(one) for rater, one, has in zip(scans.raters, row, own, strict=True) if has
        }
        for key, row, own in zip(scans.keys, classes, there, strict=True)
        if own.any()
    }
    told = agreement("series", given).to_json()
    del told["level"]
    return told
