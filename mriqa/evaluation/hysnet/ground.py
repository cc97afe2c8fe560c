"""Whose volumes the networks learn from, and whose test: all that have the target, by subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mriqa.cohort.manifest import read_cohort
from mriqa.config import Config, HysnetLearningSection
from mriqa.errors import UserError
from mriqa.evaluation.scans import MEASURED, rated_volumes
from mriqa.methods.hysnet.gather import examples_of
from mriqa.methods.hysnet.volumes import Example

TRAIN = "train"
LEAST = 10
"""Volumes on either side."""
COLUMNS = ("series_id", "subject", "contrast", "site", "split", "shard", "excluded_by",
           "error_code")  # fmt: skip


@dataclass(frozen=True)
class Held:
    """A volume to be tested on, whose it is and what it shows."""

    example: Example
    subject: str
    contrast: str


@dataclass(frozen=True)
class Ground:
    """`learnt`: volumes of training subjects; `held`: those of all others; whose and what each
    series is."""

    learnt: list[Example]
    held: list[Held]
    subjects: dict[str, str]
    contrast_of: dict[str, str]

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Of the volumes that are tested on."""
        return tuple(sorted({one.contrast for one in self.held}))


def kept_as(one: Example) -> str:
    """What is kept of a volume stands under this. A file that was replaced has another target."""
    return f"{one.series_id} {one.volume} {one.target!r}"


def experiments_folder(results: Path) -> Path:
    """What the experiments make for themselves."""
    return results / "experiments" / "hysnet"


@dataclass(frozen=True)
class Keys:
    """What a user calls the settings that decide whose volumes these are."""

    contrasts: str = "hysnet.learning.contrasts"
    target: str = "hysnet.learning.target"


def read_ground(config: Config, learning: HysnetLearningSection, keys: Keys = Keys()) -> Ground:
    """What `mriqa run` has left in `config.results` of the contrasts and sites of `learning`.

    Raises UserError if contrasts are not named and differ, or are not there, or if there are too
    few volumes.
    """
    by_id = _usable(config.results, learning, keys)
    found = examples_of(config.results, by_id, learning) if by_id else []
    learnt = [one for one in found if by_id[one.series_id]["split"] == TRAIN]
    subjects, contrast_of = (
        {name: str(row[column]) for name, row in by_id.items()}
        for column in ("subject", "contrast")
    )
    held = [
        Held(one, subjects[one.series_id], contrast_of[one.series_id])
        for one in found
        if by_id[one.series_id]["split"] != TRAIN
    ]
    ground = Ground(learnt, held, subjects, contrast_of)
    for contrast in learning.contrasts or ground.contrasts or ("any contrast",):
        _check(ground, contrast, learning.target.column, keys)
    return ground


def _usable(
    results: Path, learning: HysnetLearningSection, keys: Keys
) -> dict[str, dict[str, Any]]:
    """The cohort's rows by series."""
    path = results / "cohort.parquet"
    if not path.is_file():
        raise UserError(f"{results}: no finished run there; run `mriqa run CONFIG` first")
    rows = [
        row
        for row in read_cohort(path).select(list(COLUMNS)).to_pylist()
        if row["excluded_by"] is None
        and row["error_code"] is None
        and (not learning.sites or row["site"] in learning.sites)
    ]
    there = sorted({str(row["contrast"]) for row in rows})
    if not learning.contrasts and len(there) > 1:
        raise UserError(
            f"{keys.contrasts}: the cohort has {', '.join(there)}; name one: the same number means "
            "other things in other anatomies"
        )
    for contrast in learning.contrasts:
        if contrast not in there:
            raise UserError(
                f"{keys.contrasts}: {contrast!r} is no contrast of the cohort; it has "
                f"{', '.join(there)}"
            )
    wanted = learning.contrasts or there
    return {row["series_id"]: row for row in rows if row["contrast"] in wanted}


def families_of(config: Config, held: Sequence[Held]) -> list[str | None]:
    """The artifact of each held volume by `evaluation.truth` (`none`: clean); None: not known.

    Raises UserError if the truth is of other series.
    """
    truth = config.evaluation.truth
    if truth is None:
        return [None] * len(held)
    rows = rated_volumes(config.results, truth, MEASURED)
    if rows.empty:
        raise UserError(f"evaluation.truth: {truth} names no volume of {config.results}")
    keys = zip(rows["series_id"], rows["volume"].astype(int), strict=True)
    known = dict(zip(keys, rows["true_family"], strict=True))
    return [known.get((one.example.series_id, one.example.volume)) for one in held]


def _check(ground: Ground, contrast: str, column: str, keys: Keys) -> None:
    learnt = sum(ground.contrast_of[one.series_id] == contrast for one in ground.learnt)
    held = sum(one.contrast == contrast for one in ground.held)
    for side, count in (("training", learnt), ("validation and test", held)):
        if count < LEAST:
            raise UserError(
                f"experiment hysnet: {count} volumes of {side} subjects ({contrast}) have a "
                f"{column}; {LEAST} are needed: take more subjects, divide them otherwise "
                f"(cohort.split), or see {keys.contrasts} and {keys.target}"
            )
