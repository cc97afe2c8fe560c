"""What a bank makes of its own references: its calibration, its AUC, and which of them it doubts.

Every reference is judged without those of its own subject.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mriqa.config import ReferenceSection
from mriqa.methods.simclr.bank import Reference, StratumBank, count_subjects, is_strong, subset
from mriqa.methods.simclr.calibration import calibrate
from mriqa.methods.simclr.judge import Judge
from mriqa.methods.simclr.whitening import HQ

Floats = NDArray[np.float64]
ROUNDS = 2
"""Bad references make one another look good, so that it takes more than one; further ones would
drop what is only rare."""


@dataclass(frozen=True)
class Doubtful:
    """An HQ reference that is not used, and the quality_score that the others give it."""

    reference: Reference
    quality: float
    least: float

    def __str__(self) -> str:
        return (
            f"{self.reference.name}: the other references of its stratum give it a quality_score "
            f"of {self.quality:.2f} (simclr.reference.least_quality is {self.least:g}): proposed, "
            "but not used; look at it, and write `confirmed` yes in its line if it is good"
        )


@dataclass(frozen=True)
class Kept:
    """A calibrated bank, and the HQ references that were dropped for it with their copies."""

    bank: StratumBank
    dropped: tuple[Doubtful, ...]


def without_doubtful(
    bank: StratumBank, confirmed: Collection[tuple[str, int]], section: ReferenceSection
) -> Kept:
    """`bank` calibrated, without the HQ references that the others would not pass.

    [P] The metrics propose what they see no fault in, which may be bad all the same. Those that
    get a quality_score below `least_quality` are dropped with their copies, the worst first, twice
    over; but none of `confirmed` (series_id, volume), and references of `min_references` subjects
    stay. A bank too weak to rate judges its own no better: it drops none.
    """
    margins = judged_margins(bank, section)
    fitted = _fitted(bank, margins, section)
    dropped: list[Doubtful] = []
    for _ in range(ROUNDS):
        doubtful = _doubtful(fitted, margins, confirmed, section)
        if not doubtful:
            break
        dropped += doubtful
        names = {(one.reference.series_id, one.reference.volume) for one in doubtful}
        marks = [(one.series_id, one.volume) not in names for one in fitted.references]
        rest = subset(fitted, np.array(marks))
        margins = judged_margins(rest, section)
        fitted = _fitted(rest, margins, section)
    return Kept(fitted, tuple(dropped))


def _doubtful(
    bank: StratumBank, margins: Floats, confirmed: Collection[tuple[str, int]],
    section: ReferenceSection,
) -> list[Doubtful]:  # fmt: skip
    """The worst first, no more than leave `min_references` subjects."""
    assert bank.calibration is not None
    if not is_strong(bank.auc, section.min_auc):
        return []
    scored = zip(bank.calibration.quality(margins).tolist(), bank.references, strict=True)
    below = [
        Doubtful(one, quality, section.least_quality)
        for quality, one in scored
        if one.family is None
        and quality < section.least_quality
        and (one.series_id, one.volume) not in confirmed
    ]
    below.sort(key=lambda one: (one.quality, one.reference.order))
    left, taken = list(bank.references), []
    for one in below:
        own = one.reference.series_id, one.reference.volume
        rest = [other for other in left if (other.series_id, other.volume) != own]
        if count_subjects(rest) < section.min_references:
            break
        left = rest
        taken.append(one)
    return taken


def calibrated(bank: StratumBank, section: ReferenceSection) -> StratumBank:
    """`bank` with its calibration and AUC."""
    return _fitted(bank, judged_margins(bank, section), section)


def _fitted(bank: StratumBank, margins: Floats, section: ReferenceSection) -> StratumBank:
    severities = np.array([one.severity for one in bank.references])
    return replace(
        bank,
        calibration=calibrate(margins, severities, section.good_share),
        auc=auc_of_margins(bank, margins),
    )


def auc_of_margins(bank: StratumBank, margins: Floats) -> float:
    """AUC of LQ against HQ references by their `margins` (n), 0 to 1; ties count half.

    What the bank would do for a new subject with one of its own artifacts.
    """
    is_hq = bank.labels == HQ
    hq, lq = margins[is_hq], margins[~is_hq & bank.compared]
    higher, equal = hq[:, None] > lq, hq[:, None] == lq
    return float(np.mean(higher + 0.5 * equal))


def judged_margins(bank: StratumBank, section: ReferenceSection) -> Floats:
    """Whitened margins (n) of the references, each judged without its own subject."""
    judge = Judge(bank, section)
    margins = np.full(len(bank.references), np.nan)
    by_subject = np.argsort(bank.people.subject, kind="stable")
    for number in by_subject.tolist():
        judged = judge.embedded(bank.volumes[number], bank.references[number].person)
        margins[number] = judged.similarities.margin_whitened[0]
    return margins
