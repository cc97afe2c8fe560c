"""What a bank makes of its own references: its calibration, its AUC, and which of them it doubts.

Every reference is judged without those of its own subject.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mriqa.config import ReferenceSection
from mriqa.methods.simclr.bank import Dropped, StratumBank, count_subjects, is_strong, subset
from mriqa.methods.simclr.calibration import calibrate
from mriqa.methods.simclr.judge import Judge
from mriqa.methods.simclr.whitening import HQ

Floats = NDArray[np.float64]
ROUNDS = 2
"""Bad references make one another look good, so that it takes more than one; further ones would
drop what is only rare."""


def without_doubtful(
    bank: StratumBank, confirmed: Collection[tuple[str, int]], section: ReferenceSection
) -> StratumBank:
    """`bank` calibrated, without the HQ references that the others doubt.

    [P] The metrics propose what they see no fault in, which may be bad all the same. Those that get
    a quality_score below `least_quality` are dropped with their copies, the worst first, twice
    over; but none of `confirmed` (series_id, volume), and references of `min_references` subjects
    stay. A bank too weak to rate judges its own no better: it drops none. `dropped` says what the
    references that are left give them.
    """
    margins = judged_margins(bank, section)
    fitted = _fitted(bank, margins, section)
    gone: set[tuple[str, int]] = set()
    for _ in range(ROUNDS):
        doubtful = _doubtful(fitted, margins, confirmed, section)
        if not doubtful:
            break
        gone |= doubtful
        kept = [(one.series_id, one.volume) not in doubtful for one in fitted.references]
        rest = subset(fitted, np.array(kept))
        margins = judged_margins(rest, section)
        fitted = _fitted(rest, margins, section)
    return replace(fitted, dropped=_judged(bank, gone, fitted, section))


def _doubtful(
    bank: StratumBank, margins: Floats, confirmed: Collection[tuple[str, int]],
    section: ReferenceSection,
) -> set[tuple[str, int]]:  # fmt: skip
    """(series_id, volume) of the worst; so many that `min_references` subjects are left."""
    assert bank.calibration is not None
    if not is_strong(bank.auc, section.min_auc):
        return set()
    quality = bank.calibration.quality(margins).tolist()
    below = [
        (one_quality, one.order, (one.series_id, one.volume))
        for one_quality, one in zip(quality, bank.references, strict=True)
        if one.family is None and one_quality < section.least_quality
    ]
    taken: set[tuple[str, int]] = set()
    for *_, name in sorted(below):
        more = taken | {name}
        left = [one for one in bank.references if (one.series_id, one.volume) not in more]
        if name not in confirmed and count_subjects(left) >= section.min_references:
            taken = more
    return taken


def _judged(
    whole: StratumBank, gone: Collection[tuple[str, int]], bank: StratumBank,
    section: ReferenceSection,
) -> tuple[Dropped, ...]:  # fmt: skip
    """What `bank` gives those of `whole` that are `gone`, the worst first."""
    assert bank.calibration is not None
    judge, found = Judge(bank, section), []
    for one, embedding in zip(whole.references, whole.volumes, strict=True):
        if one.family is None and (one.series_id, one.volume) in gone:
            margin = judge.embedded(embedding, one.person).similarities.margin_whitened
            quality = float(bank.calibration.quality(margin)[0])
            found.append(Dropped(one.series_id, one.volume, one.person.subject, quality))
    return tuple(sorted(found, key=lambda one: (one.quality, one.series_id, one.volume)))


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
