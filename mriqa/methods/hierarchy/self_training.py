"""Rounds of self-training, one after the other: killed anywhere, they go on where they were.

`round-1.parquet` … hold of every item what was given, predicted and decided. A round whose file is
there is not trained again; within a round the training goes on from its checkpoints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mriqa.config import RoundsSection
from mriqa.files import read_if_sound, write_parquet
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.calibration import (
    USUAL_WRONG_SHARE,
    LabelFit,
    at_temperature,
    fit_labels,
    fit_temperature,
)
from mriqa.methods.hierarchy.lesson import (
    Given,
    Lesson,
    first_lesson,
    next_lesson,
    out_of_fold,
)
from mriqa.methods.hierarchy.rounds import (
    ACTIONS,
    UNLABELLED,
    Classes,
    Decisions,
    Floats,
    believed,
    decide,
)
from mriqa.training.journal import print_line
from mriqa.training.world import World

PROBABILITIES = tuple(f"p_{rating}" for rating in RATINGS)
SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("volume", pa.int32()),
        pa.field("slice", pa.int32()),
        pa.field("copy", pa.int32()),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("given", pa.string()),
        pa.field("action", pa.string(), nullable=False),
        pa.field("used", pa.string()),
        *(pa.field(name, pa.float64(), nullable=False) for name in PROBABILITIES),
        pa.field("round", pa.int32(), nullable=False),
    ]
)
"""Of a round's file: the rating that was given, what became of it, the one that the next round
uses; probabilities are out of fold for whatever has labels."""


class Learner(Protocol):
    """Networks of one stage, one a fold."""

    def fit(self, lesson: Lesson, folder: Path) -> Floats:
        """Train on `lesson`, going on from what is in `folder`; the probabilities (k, n, classes)
        that each fold's network gives every item."""
        ...


@dataclass(frozen=True)
class Round:
    """Of round `number`: out-of-fold probabilities (n, classes), and what was decided by them."""

    number: int
    probabilities: Floats
    decisions: Decisions


@dataclass(frozen=True)
class Outcome:
    """All rounds, and what is left to learn."""

    rounds: tuple[Round, ...]
    lesson: Lesson


def self_train(
    learner: Learner,
    given: Given,
    section: RoundsSection,
    seed: int,
    folder: Path,
    world: World | None = None,
) -> Outcome:
    """Train, doubt the labels, take up new ones, and again; `folder` holds all of it.

    A round after which nobody is left of a class decides nothing: these networks cannot tell its
    labels apart, and what the round before left is the last lesson.

    Every worker of `world` must call it with the same arguments; worker 0's numbers count. The
    last lesson is left to be learned by the caller.
    """
    world = world or World()
    first = first_lesson(given, section.folds, seed)
    lesson, used, rounds = first, given.classes, list[Round]()
    for number in range(1, section.most + 1):
        path = folder / f"round-{number}.parquet"
        probabilities = _known(path, given, lesson, world)
        is_new = probabilities is None
        if probabilities is None:
            every = learner.fit(lesson, folder / f"round-{number}")
            probabilities = _agreed(out_of_fold(every, lesson, given), world)
        fit = _explained(probabilities, given, section.wrong_share)
        scaled = at_temperature(probabilities, fit.temperature)
        thought = believed(scaled, given.shares, fit.wrong_share)
        decisions = decide(thought, given.classes, used, section, given.sure)
        if world.leads and is_new:
            write_parquet(path, _table(number, given, lesson, probabilities, decisions))
            print_line(_told(number, decisions, fit.wrong_share))
        rounds.append(Round(number, probabilities, decisions))
        if lost := decisions.lost(used):
            _tell_lost(lost, number, world)
            break
        lesson = next_lesson(given, decisions.classes, thought, first)
        used = decisions.classes
        if decisions.ends(number, section):
            break
    return Outcome(tuple(rounds), lesson)


def _explained(probabilities: Floats, given: Given, wrong_share: float | None) -> LabelFit:
    """What explains the labels that can be wrong. A focal loss leaves networks less sure than they
    should be, round by round; and copies, whose labels are true, are no measure of people's."""
    labelled = given.classes != UNLABELLED
    doubtful = labelled & ~given.sure
    if doubtful.any():
        return fit_labels(probabilities[doubtful], given.classes[doubtful], wrong_share)
    temperature = fit_temperature(probabilities[labelled], given.classes[labelled])
    return LabelFit(temperature, wrong_share or USUAL_WRONG_SHARE)


def all_rounds(level: str, folder: Path, outcome: Outcome) -> pa.Table:
    """The rounds of a stage in `folder`, one after the other, with `level` before all columns."""
    paths = [folder / f"round-{one.number}.parquet" for one in outcome.rounds]
    table = pa.concat_tables([pq.ParquetFile(path).read() for path in paths])
    return table.add_column(0, "level", pa.repeat(level, table.num_rows))


def _known(path: Path, given: Given, lesson: Lesson, world: World) -> Floats | None:
    """The probabilities of a round that ended before, if its file is there and of these items,
    with these labels and folds."""
    found = np.zeros((len(given.targets), len(RATINGS)))
    there = np.zeros(1)
    if world.leads:
        table = read_if_sound(path, SCHEMA)
        same = _identity(given, lesson)
        if table is not None and all(table[one].to_pylist() == same[one] for one in same):
            found = np.stack([table[name].to_numpy() for name in PROBABILITIES], axis=1)
            there[:] = 1
    return _agreed(found, world) if _agreed(there, world)[0] else None


def _agreed(values: Floats, world: World) -> Floats:
    """Worker 0's `values`: near a threshold the last bit of another machine would decide."""
    shared = torch.from_numpy(np.ascontiguousarray(values))
    world.follow(shared)
    return shared.numpy()


def _identity(given: Given, lesson: Lesson) -> dict[str, list[Any]]:
    """What a round is about: its items, their labels and folds, as columns of its file."""
    return {
        "series_id": [one.series_id for one in given.targets],
        "volume": [one.volume for one in given.targets],
        "slice": [one.slice for one in given.targets],
        "copy": list(given.copy_numbers),
        "subject": given.subjects.tolist(),
        "fold": lesson.folds.tolist(),
        "given": _ratings(given.classes),
    }


def _table(
    number: int, given: Given, lesson: Lesson, probabilities: Floats, decisions: Decisions
) -> pa.Table:
    columns = {
        **_identity(given, lesson),
        "action": [ACTIONS[one].value for one in decisions.actions],
        "used": _ratings(decisions.classes),
        **dict(zip(PROBABILITIES, probabilities.T, strict=True)),
        "round": [number] * len(given.targets),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _ratings(classes: Classes) -> list[str | None]:
    return [None if one == UNLABELLED else RATINGS[one] for one in classes.tolist()]


def _tell_lost(lost: Sequence[int], number: int, world: World) -> None:
    if world.leads:
        names = " and ".join(RATINGS[one] for one in lost)
        print_line(
            f"training: round {number} confirms no label of {names}: self-training ends with what "
            "was learned from before. More labels, or surer ones, would help; so may a lower "
            "keep_from"
        )


def _told(number: int, decisions: Decisions, wrong_share: float) -> str:
    counts = np.bincount(decisions.actions, minlength=len(ACTIONS))
    told = ", ".join(
        f"{count} {action}" for action, count in zip(ACTIONS, counts.tolist(), strict=True)
    )
    return (
        f"training: round {number}: labels {told}; {decisions.changed:.1%} changed; "
        f"{wrong_share:.0%} thought wrong"
    )
