"""What validation subjects decide: temperatures, the rule of subjects; and figures of test ones.

Nobody here was learned from or relabelled. Judged by what people said, where they said enough of
it, else by simulated copies, too.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.methods.hierarchy.calibration import at_temperature, fit_temperature
from mriqa.methods.hierarchy.items import TEST, VALIDATION, Item
from mriqa.methods.hierarchy.learning import Networks
from mriqa.methods.hierarchy.lesson import Given
from mriqa.methods.hierarchy.material import Material
from mriqa.methods.hierarchy.rounds import UNLABELLED, Classes, Floats
from mriqa.methods.hierarchy.subjects import (
    DEFAULT,
    SubjectRule,
    balanced_accuracy,
    expected_shares,
    fit_rule,
    shares_of,
)

ENOUGH = 30
"""So many labels that people gave are enough to leave simulated ones out."""


@dataclass(frozen=True)
class Fitted:
    """Temperatures of the stages' probabilities, the rule of subjects, and the balanced accuracy on
    validation volumes; None where there are none."""

    slices: float = 1.0
    volumes: float = 1.0
    rule: SubjectRule = DEFAULT
    accuracy: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As in a model's config.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Fitted":
        """What `to_json` gave."""
        return cls(**{**content, "rule": SubjectRule(**content["rule"])})


def fit(networks: Networks, material: Material) -> Fitted:
    """On the validation subjects of `material`; the defaults where there are none."""
    held = material.held(VALIDATION)
    if not held.items:
        return Fitted()
    said, volumes = networks.rate(held.bags)
    rows = judged_by(held.volumes)
    volume_t = _temperature(volumes, held.volumes)
    rated = at_temperature(volumes, volume_t)
    classes = rated.argmax(axis=1)
    rule = fit_rule(*_sessions([held.items[row] for row in rows], rated[rows], held, rows))
    accuracy = balanced_accuracy(classes[rows], held.volumes.classes[rows]) if len(rows) else None
    return Fitted(_temperature(said, held.slices), volume_t, rule, accuracy)


def _temperature(probabilities: Floats, given: Given) -> float:
    rows = judged_by(given)
    return fit_temperature(probabilities[rows], given.classes[rows])


def judged_by(given: Given) -> NDArray[np.intp]:
    """Rows to be judged by: those that people labelled if they are ENOUGH, else all with labels."""
    enough = np.count_nonzero(given.said) >= ENOUGH
    return np.flatnonzero(given.said if enough else given.classes != UNLABELLED)


def _sessions(
    items: Sequence[Item], rated: Floats, held: Material, rows: NDArray[np.intp]
) -> tuple[Floats, Classes]:
    """Expected shares (n, 3) of the volumes of n sessions, and what is true of each session.

    True is what DEFAULT says of the true ratings of the same volumes; copies are a session apart.
    """
    members = defaultdict[tuple[str, str | None, bool], list[int]](list)
    for place, one in enumerate(items):
        members[one.subject, one.session, one.copy is not None].append(place)
    true = held.volumes.classes[rows]
    sessions = list(members.values())
    truth = DEFAULT.rate(shares_of([true[own] for own in sessions]))
    return expected_shares([rated[own] for own in sessions]), truth


def figures(networks: Networks, material: Material) -> dict[str, Any]:
    """For metrics.json: of validation and test subjects how many volumes were judged, and with
    what balanced accuracy over the ratings that there are."""
    told: dict[str, Any] = {}
    for split in (VALIDATION, TEST):
        held = material.held(split)
        rows = judged_by(held.volumes) if held.items else np.empty(0, dtype=np.intp)
        told[f"{split}_volumes"] = len(rows)
        if len(rows):
            found = networks.rate(held.bags)[1][rows].argmax(axis=1)
            accuracy = balanced_accuracy(found, held.volumes.classes[rows])
            told[f"{split}_balanced_accuracy"] = round(accuracy, 4)
    return told
