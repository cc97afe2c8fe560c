"""Sessions of some volumes that fail: are they found, with the rule of other subjects?

And are probabilities what they say, at the temperature of other subjects?
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.evaluation.calibration_error import calibration_error
from mriqa.evaluation.hierarchy.figures import FAIL, Record
from mriqa.evaluation.hierarchy.volumes import Volumes
from mriqa.methods.hierarchy.calibration import at_temperature, fit_temperature
from mriqa.methods.hierarchy.rounds import Classes, Floats, fold_of
from mriqa.methods.hierarchy.subjects import (
    DEFAULT,
    FAILS_FROM,
    expected_shares,
    fit_rule,
    shares_of,
)

SIZE = 8
"""Volumes of a session."""
FAILING = (0, 0, 0, 1, 2, 3, 4, 6)
"""Of these how many fail: a session of each subject and stratum for each."""


@dataclass(frozen=True)
class Calibrated:
    """Probabilities (n, classes) of held volumes at the temperature that the other half of the
    subjects gave, and which half (n) each belongs to."""

    probabilities: Floats
    half: NDArray[np.int64]


def cross_calibrated(probabilities: Floats, held: Volumes, seed: int) -> Calibrated:
    """Each half of the subjects by the temperature of the other."""
    half = fold_of(held.subjects, 2, seed)
    scaled = np.empty_like(probabilities)
    for one in (0, 1):
        other = half != one
        temperature = fit_temperature(probabilities[other], held.truth[other])
        scaled[~other] = at_temperature(probabilities[~other], temperature)
    return Calibrated(scaled, half)


def calibration_record(
    calibrated: Calibrated, held: Volumes, bootstraps: int, seed: int
) -> dict[str, Any]:
    """Expected calibration error of the volumes' probabilities."""
    found = calibration_error(calibrated.probabilities, held.truth, held.subjects, bootstraps, seed)
    return {
        "n": found.n,
        "ece": found.ece,
        "corrected": found.corrected,
        "low": found.low,
        "high": found.high,
    }


def session_record(calibrated: Calibrated, held: Volumes, seed: int) -> Record:
    """Sessions put together from each subject's volumes of a stratum, rated by the rule that the
    other half of the subjects gave.

    `found` of the `n_failing` with a share of failed volumes from FAILS_FROM on; `false_alarms`:
    rated fail of the `n_sound`, in which none fails.
    """
    sessions = _draw_sessions(held, seed)
    truth = held.truth
    half = np.array([calibrated.half[rows[0]] for rows in sessions])
    shares = expected_shares([calibrated.probabilities[rows] for rows in sessions])
    true_shares = shares_of([truth[rows] for rows in sessions])
    verdict = np.empty(len(sessions), dtype=np.int64)
    for one in (0, 1):
        other = half != one
        rule = fit_rule(shares[other], DEFAULT.rate(true_shares[other]))
        verdict[~other] = rule.rate(shares[~other])
    failing, sound = true_shares[:, FAIL] >= FAILS_FROM, true_shares[:, FAIL] == 0
    return {
        "n_sessions": len(sessions),
        "n_failing": int(failing.sum()),
        "found": _share(verdict[failing] == FAIL),
        "n_sound": int(sound.sum()),
        "false_alarms": _share(verdict[sound] == FAIL),
    }


def _share(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _draw_sessions(held: Volumes, seed: int) -> list[Classes]:
    """Rows of SIZE volumes each; a subject without enough volumes of a kind is in fewer."""
    rng = np.random.default_rng([seed, 2])
    names = np.char.add(np.char.add(held.subjects, " "), held.strata)
    drawn = []
    for name in np.unique(names):
        failing = np.flatnonzero((names == name) & (held.truth == FAIL))
        others = np.flatnonzero((names == name) & (held.truth != FAIL))
        for count in FAILING:
            if count <= len(failing) and SIZE - count <= len(others):
                some = rng.permutation(failing)[:count], rng.permutation(others)[: SIZE - count]
                drawn.append(np.concatenate(some))
    return drawn
