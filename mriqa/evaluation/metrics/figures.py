"""How good probabilities of bad are."""

import math

import numpy as np

from mriqa.evaluation.auc import interval
from mriqa.evaluation.calibration_error import calibration_error
from mriqa.evaluation.metrics.classifiers import Kind
from mriqa.evaluation.metrics.predictions import Predicted
from mriqa.evaluation.metrics.scans import Floats
from mriqa.evaluation.metrics.single import rank_correlation
from mriqa.evaluation.metrics.tested import Booleans, Record, Tested, told
from mriqa.evaluation.metrics.verdicts import BAD, GOOD, votes

HALF = 0.5
"""Above it a scan is called bad for accuracy: the likelier class."""


def classifier_record(test: Tested, kind: Kind, scaled: str, predicted: Predicted) -> Record:
    """What is known of one classifier on the scans of `test`.

    `scaled`: `as it is` or `by site`. Values have `value`, `low`, `high`. `accuracy` calls bad what
    is likelier so, `balanced_accuracy` what is likelier than the training side's share of bad scans
    would have it: of unequal classes the first rule finds few of the rarer. Higher is better, but
    of `brier` (0 is best) and `ece` (fields of CalibrationError, 0 is best).
    """
    p, bad, known = predicted.probability, test.verdicts.bad, test.known
    good, site, ranks = known & ~bad, test.site, kind != "majority"
    return {
        "where": test.where,
        "classifier": kind,
        "scaled": scaled,
        "n": int(known.sum()),
        "n_bad": int(bad.sum()),
        "n_subjects": len(np.unique(test.scans.subjects[known])),
        "auc": told(test.auc(p, bad, good)) if ranks else None,
        "within_site": told(test.auc(p, bad, good, site)) if ranks and site is not None else None,
        "accuracy": interval(test.share((p > HALF) == bad, known)),
        "balanced_accuracy": interval(balanced(test, p > predicted.share)),
        "at_specificity": at_specificities(test, predicted) if ranks else [],
        "brier": test.mean((p - bad) ** 2, known),
        "ece": _ece(test, p),
        "spearman": rank_correlation(p, test.verdicts.place) if ranks else None,
        "against_grade": against_grades(test, p) if ranks else [],
        "raters": of_raters(test, predicted) if ranks else [],
        "sites": of_sites(test, predicted) if ranks else [],
        "disputed": _disputed(test, predicted),
    }


def balanced(test: Tested, called: Booleans) -> Floats:
    """Mean of sensitivity and specificity, in the data (first) and in each resample."""
    bad, known = test.verdicts.bad, test.known
    return np.asarray((test.share(called, bad) + test.share(~called, known & ~bad)) / 2)


def at_specificities(test: Tested, predicted: Predicted) -> list[Record]:
    """Of each `asked` specificity: what the threshold that the training side set for it gives here
    (`sensitivity`, `specificity`), and `roc`: the sensitivity at the threshold that would have been
    right here, which nobody can know beforehand."""
    records = []
    bad, good, p = test.verdicts.bad, test.known & ~test.verdicts.bad, predicted.probability
    for asked, thresholds in zip(test.section.specificities, predicted.thresholds, strict=True):
        called = p > thresholds
        best = _least_threshold(p[good], asked)
        records.append(
            {
                "asked": asked,
                "sensitivity": interval(test.share(called, bad)),
                "specificity": interval(test.share(~called, good)),
                "roc": float(np.mean(p[bad] > best)),
            }
        )
    return records


def _least_threshold(good: Floats, specificity: float) -> float:
    """The least probability of a good scan that so great a share of them does not exceed."""
    count = math.ceil(specificity * len(good) - 1e-9)  # .9 · 10 is 9, however it is rounded
    return float(np.sort(good)[max(count, 1) - 1])


def _ece(test: Tested, p: Floats) -> Record:
    known, section = test.known, test.section
    found = calibration_error(
        np.column_stack([1 - p, p])[known],
        test.verdicts.bad[known].astype(np.int64),
        test.scans.subjects[known],
        section.bootstraps,
        section.seed,
    )
    return {name: getattr(found, name) for name in ("ece", "corrected", "low", "high")}


def against_grades(test: Tested, p: Floats) -> list[Record]:
    """AUC of bad scans against those of each good `grade` alone, if there are two or more."""
    values, place = test.section.grades.values, test.verdicts.place
    good = test.known & ~test.verdicts.bad
    records = []
    for at, grade in enumerate(values):
        negative = good & (place == at)
        if grade in test.section.grades.good and negative.any():
            auc = test.auc(p, test.verdicts.bad, negative)
            records.append({"grade": grade, "n": int(negative.sum()), **told(auc)})
    return records if len(records) > 1 else []


def of_raters(test: Tested, predicted: Predicted) -> list[Record]:
    """Against each rater alone: `n`, `n_bad`, `auc`, `accuracy`, `balanced_accuracy`; with those of
    whom the verdict knows nothing. Empty for a single rater."""
    each, p = votes(test.scans.grades, test.section.grades), predicted.probability
    records = []
    for at, rater in enumerate(test.scans.raters if each.shape[1] > 1 else ()):
        bad, good = each[:, at] == BAD, each[:, at] == GOOD
        called = p > predicted.share
        halves = test.share(called, bad), test.share(~called, good)
        records.append(
            {
                "rater": rater,
                "n": int((bad | good).sum()),
                "n_bad": int(bad.sum()),
                "auc": told(test.auc(p, bad, good)),
                "accuracy": interval(test.share((p > HALF) == bad, bad | good)),
                "balanced_accuracy": interval((halves[0] + halves[1]) / 2),
            }
        )
    return records


def of_sites(test: Tested, predicted: Predicted) -> list[Record]:
    """By `site`: `n`, `n_bad`, `auc` (null where one class is missing), `accuracy`,
    `balanced_accuracy`, and `majority`: the accuracy of calling all what the training side has more
    of. Points, no intervals: sites are small."""
    if test.scans.sites is None:
        return []
    p, records = predicted.probability, []
    for site in np.unique(test.scans.sites):
        rows = (test.scans.sites == site) & test.known
        if not rows.any():
            continue
        bad, good = rows & test.verdicts.bad, rows & ~test.verdicts.bad
        called, usual = p > predicted.share, predicted.share > HALF
        halves = [float(called[bad].mean()), float(1 - called[good].mean())] if (
            bad.any() and good.any()
        ) else []  # fmt: skip
        records.append(
            {
                "site": str(site),
                "n": int(rows.sum()),
                "n_bad": int(bad.sum()),
                "auc": test.auc(p, bad, good).auc,
                "accuracy": float(np.mean((p[rows] > HALF) == bad[rows])),
                "balanced_accuracy": float(np.mean(halves)) if halves else None,
                "majority": float(np.mean(usual[rows] == bad[rows])),
            }
        )
    return records


def over_sites(records: list[Record], name: str) -> tuple[float, float, int] | None:
    """Mean and standard deviation over sites of `name`, and of how many; None of fewer than 2."""
    values = [one[name] for one in records if one[name] is not None]
    if len(values) < 2:
        return None
    return float(np.mean(values)), float(np.std(values, ddof=1)), len(values)


def _disputed(test: Tested, predicted: Predicted) -> Record:
    """`n` disputed scans, and how many of them are called bad by either rule."""
    rows, p = test.verdicts.disputed, predicted.probability
    return {
        "n": int(rows.sum()),
        "called_bad": int((p[rows] > HALF).sum()),
        "called_bad_balanced": int((p[rows] > predicted.share[rows]).sum()),
    }
