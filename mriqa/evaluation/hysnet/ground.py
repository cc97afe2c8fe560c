"""Whose volumes the networks learn from, and whose test: all that have the target, by subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mriqa.cohort.manifest import read_cohort
from mriqa.config import Config, HysnetLearningSection
from mriqa.errors import UserError
from mriqa.evaluation.scans import MEASURED, rated_volumes
from mriqa.files import readable
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


def experiments_folder(results: Path) -> Path:
    """What the experiments make for themselves."""
    return results / "experiments" / "hysnet"


def read_ground(config: Config, learning: HysnetLearningSection) -> Ground:
    """What `mriqa run` has left in `config.results` of the contrasts and sites of `learning`.

    Raises UserError if contrasts are not named and differ, or if there are too few volumes.
    """
    path = config.results / "cohort.parquet"
    with readable(path):
        rows = read_cohort(path).select(list(COLUMNS)).to_pylist()
    usable = [
        row
        for row in rows
        if row["excluded_by"] is None
        and row["error_code"] is None
        and (not learning.contrasts or row["contrast"] in learning.contrasts)
        and (not learning.sites or row["site"] in learning.sites)
    ]
    contrasts = sorted({str(row["contrast"]) for row in usable})
    if not learning.contrasts and len(contrasts) > 1:
        raise UserError(
            f"hysnet.learning.contrasts: the cohort has {', '.join(contrasts)}; name one: the same "
            "number means other things in other anatomies"
        )
    by_id = {row["series_id"]: row for row in usable}
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
    _check(learnt, held, learning)
    return Ground(learnt, held, subjects, contrast_of)


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


def _check(learnt: Sequence[Example], held: Sequence[Held], own: HysnetLearningSection) -> None:
    for side, count in (("training", len(learnt)), ("validation and test", len(held))):
        if count < LEAST:
            what = ", ".join(own.contrasts) or "any contrast"
            raise UserError(
                f"experiment hysnet: {count} volumes of {side} subjects ({what}) have a "
                f"{own.target.column}; {LEAST} are needed. See cohort.split, "
                "hysnet.learning.contrasts and hysnet.learning.target"
            )
