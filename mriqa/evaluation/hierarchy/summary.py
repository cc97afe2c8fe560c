"""Means over seeds, and what was to be reached."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mriqa.evaluation.hierarchy.curves import SELF_TRAINED, TRUE
from mriqa.evaluation.hierarchy.figures import Record
from mriqa.evaluation.hierarchy.unseen import HIERARCHY, SIMCLR

GAIN, SHORT = 0.08, 0.04
"""Balanced accuracy: above once, and below all true labels."""


def mean(values: Iterable[float | None]) -> float | None:
    """Of the values that are known; None without any."""
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if known else None


def at(records: Iterable[Record], **wanted: Any) -> list[Record]:
    """The records with these values."""
    return [one for one in records if all(one[name] == value for name, value in wanted.items())]


def over_seeds(records: Sequence[Record], *path: str) -> float | None:
    """The mean of the value that lies at `path` in each record."""
    return mean(_value(one, path) for one in records)


def _value(record: Mapping[str, Any], path: Sequence[str]) -> float | None:
    found: Any = record
    for name in path:
        found = None if found is None else found[name]
    return None if found is None else float(found)


def check_targets(content: Mapping[str, Any]) -> list[Record]:
    """Each asked-for number beside what was found, the mean over seeds; `met` None: not asked."""
    own = content["settings"]
    here = {"fraction": own["fraction_at"], "noise": own["noise_at"]}
    again = at(content["curves"], how=SELF_TRAINED, **here)
    best = at(content["curves"], how=TRUE)
    failing = [one["found"] for one in content["sessions"] if one["how"] == TRUE]
    errors = [one["corrected"] for one in content["calibration"]]
    found = [
        _target("self-trained over once", over_seeds(again, "gain", "value"), GAIN),
        _target("short of all true labels", over_seeds(again, "short", "value"), SHORT, _at_most),
        _target("contested: recall", over_seeds(again, "contested", "recall"), 0.7),
        _target(
            "contested: precision where recall is .7, worst seed",
            min((one["contested"]["precision_at_recall"] or 0.0 for one in again), default=None),
            0.6,
        ),
        _target("AUC fail against pass", over_seeds(best, "auc_fail", "value"), 0.97),
        _target("sessions with 30% failed volumes, found", mean(failing), 1.0),
        _target("expected calibration error", max(errors, default=None), 0.05, _at_most),
    ]
    return found + _unseen_targets(content["unseen"])


def _unseen_targets(records: Sequence[Record]) -> list[Record]:
    ours, theirs = (
        over_seeds(at(records, rater=rater), "auc_fail", "value") for rater in (HIERARCHY, SIMCLR)
    )
    return [
        _target("unseen families, AUC fail", ours, 0.9),
        _target("unseen families, above SimCLR's whitened margin", ours, theirs),
    ]


def _at_least(value: float, target: float) -> bool:
    return value >= target


def _at_most(value: float, target: float) -> bool:
    return value <= target


def _target(
    name: str, value: float | None, target: float | None,
    reached: Callable[[float, float], bool] = _at_least,
) -> Record:  # fmt: skip
    met = None if value is None or target is None else reached(value, target)
    bound = "at most" if reached is _at_most else "at least"
    return {"name": name, "value": value, "target": target, "bound": bound, "met": met}
