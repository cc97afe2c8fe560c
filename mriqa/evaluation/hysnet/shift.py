"""Networks that learn one content and are tested on another, and what they make of each content.

Here adapting to content should show, as the paper claims for the hyper-network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.config import HysnetLearningSection
from mriqa.errors import SeriesError, UserError
from mriqa.evaluation.hysnet.figures import Exam, Record, agreement, exam_of, margin
from mriqa.evaluation.hysnet.ground import Ground, Held
from mriqa.evaluation.hysnet.networks import HYPER, PLAIN, NetPlan, main_pair
from mriqa.evaluation.hysnet.settings import HysnetExperiments
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import Floats
from mriqa.methods.hysnet.volumes import Example, open_volumes, say
from mriqa.methods.hysnet.weights_plane import weights_plane
from mriqa.progress import track

Mix = tuple[str, ...]
"""Contrasts that a network learns."""


def mixes(section: HysnetExperiments) -> list[Mix]:
    """Each content alone, then all together."""
    own = section.shift.contrasts
    return [*((one,) for one in own), own] if own else []


def shift_learning(
    base: HysnetLearningSection, section: HysnetExperiments
) -> HysnetLearningSection:
    """`base` with the target that all contents have, and all of them."""
    target = base.target.model_copy(update={"column": section.shift.target, "table": None})
    return base.model_copy(update={"target": target, "contrasts": section.shift.contrasts})


def plan_shift(base: HysnetLearningSection, section: HysnetExperiments, mix: Mix) -> list[NetPlan]:
    """Plain and hyper, `other_seeds` of each, that learn `mix`."""
    own = shift_learning(base, section).model_copy(update={"contrasts": mix})
    seeds = section.model_copy(update={"seeds": section.other_seeds})
    return main_pair(own, seeds)


def learnt_of(ground: Ground, mix: Mix) -> list[Example]:
    """What a network of `mix` learns from."""
    return [one for one in ground.learnt if ground.contrast_of[one.series_id] in mix]


@dataclass(frozen=True)
class ShiftExam:
    """Held volumes of one content: their rows among all, and what they ask."""

    contrast: str
    rows: NDArray[np.intp]
    exam: Exam


def shift_exams(ground: Ground, section: HysnetExperiments) -> list[ShiftExam]:
    """One for each content."""
    found = []
    for contrast in ground.contrasts:
        rows = np.flatnonzero([one.contrast == contrast for one in ground.held])
        held = [ground.held[row] for row in rows.tolist()]
        found.append(ShiftExam(contrast, rows, exam_of(held, section.bootstraps, section.seed)))
    return found


def shift_records(
    mix: Mix, said: dict[str, list[Floats]], exams: Sequence[ShiftExam]
) -> list[Record]:
    """By tested content: agreement of plain and hyper networks that learned `mix`, and the margin
    of the latter. `said`: predictions of all held volumes by head, a network each."""
    found: list[Record] = []
    for one in exams:
        own = {head: [each[one.rows] for each in some] for head, some in said.items()}
        found.append(
            {
                "learned": list(mix),
                "tested": one.contrast,
                PLAIN: agreement(own[PLAIN], one.exam),
                HYPER: agreement(own[HYPER], one.exam),
                "margin": margin(own[HYPER], own[PLAIN], one.exam),
            }
        )
    return found


def plane_record(
    what: str, predictor: Predictor, held: Sequence[Held], percentile: float
) -> Record:
    """The plane of Fig. 3 of one network (`weights_plane`): `points` with their `contrasts`,
    `subjects` and `targets`, shares of the variance `explained`, and `between`: the share of the
    plane's variance that lies between contents (0: they are mixed, 1: each is one point)."""
    is_hyper = what == HYPER
    rows, kept = [], []
    for one in track(held, len(held), f"experiment: plane, {what}", "volumes"):
        try:
            volumes = open_volumes([one.example], percentile)
            rows.append((predictor.weights if is_hyper else predictor.features)(volumes, 0))
            kept.append(one)
        except (SeriesError, UserError) as error:
            say(f"experiment: {one.example.series_id} is not in the plane: {error}")
    plane = weights_plane(np.array(rows))
    contrasts = [one.contrast for one in kept]
    return {
        "of": what,
        "points": plane.points.tolist(),
        "explained": plane.explained.tolist(),
        "contrasts": contrasts,
        "targets": [one.example.target for one in kept],
        "between": between(plane.points, contrasts),
    }


def between(points: Floats, groups: Sequence[str]) -> float | None:
    """Share of the variance of `points` (n, 2) that lies between `groups`; None without any."""
    total = float(((points - points.mean(axis=0)) ** 2).sum())
    if total <= 0:
        return None
    names, group = np.unique(groups, return_inverse=True)
    means = np.array([points[group == one].mean(axis=0) for one in range(len(names))])
    within = float(((points - means[group]) ** 2).sum())
    return 1 - within / total
