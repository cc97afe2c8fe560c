"""Which series a model learns from: pinned once, so that a growing cohort retrains nothing.

`training/<method>-<digest>.parquet` is written by `mriqa index` when a section of the configuration
asks for a model for the first time. New, replaced or withdrawn series never change it; another
section has a list of its own; `training.retrain` pins the cohort as it is now. What is learned
follows from the section and this list, and so does the model's id, before any training.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mriqa.cohort.manifest import COHORT_SCHEMA, read_cohort
from mriqa.config import (
    HysnetLearningSection,
    LearningSection,
    PretrainingSection,
    section_json,
)
from mriqa.errors import UserError
from mriqa.files import read_if_sound, remove_leftovers, write_parquet

FOLDER = "training"
DIGITS = 12
PIN_SCHEMA = pa.schema(
    [
        COHORT_SCHEMA.field(name)
        for name in ("series_id", "subject", "contrast", "shard", "size_bytes", "mtime_ns")
    ]
)


@dataclass(frozen=True, slots=True)
class PinnedSeries:
    """A series to learn from, as it was when it was pinned (size in bytes, mtime in ns)."""

    series_id: str
    subject: str
    contrast: str
    shard: int
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Pin:
    """A pinned list; `written` if this call wrote it.

    As a string: `simclr: 312 series to learn from (results/training/simclr-0a….parquet), pinned
    now`.
    """

    method: str
    path: Path
    n_series: int
    written: bool

    def __str__(self) -> str:
        when = "pinned now" if self.written else "pinned before"
        return f"{self.method}: {self.n_series} series to learn from ({self.path}), {when}"


class Selection(Protocol):
    """What the section of a method says of the series that it learns from."""

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Contrasts to learn from; none: all."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Imaging centres to learn from; none: all."""

    @property
    def max_series(self) -> int:
        """At most so many series, drawn by `seed`."""

    @property
    def pools_contrasts(self) -> bool:
        """Whether series of several contrasts are learned from where none is named."""

    @property
    def seed(self) -> int:
        """Of the draw."""


Learnt = PretrainingSection | LearningSection | HysnetLearningSection
"""The section of a method that decides what is learned."""

NAMES: dict[type[Learnt], str] = {
    PretrainingSection: "pretraining",
    LearningSection: "learning.pretraining",
    HysnetLearningSection: "learning",
}
"""What names the series, as a key below the method's section."""


def section_digest(section: Learnt) -> str:
    """Twelve hex digits that stand for the content of a section."""
    return hashlib.sha256(section_json(section.identity).encode()).hexdigest()[:DIGITS]


def pin_path(results: Path, method: str, section: Learnt) -> Path:
    """Where the list of `section` is, or will be."""
    return results / FOLDER / f"{method}-{section_digest(section)}.parquet"


def pin_training(results: Path, method: str, section: Learnt, *, retrain: bool) -> Pin:
    """Write the list of the series that `method` learns from, unless it is there.

    With `retrain` the list becomes that of the cohort as it is now. A list that cannot be read is
    written anew. Raises UserError if no series can be learned from, or if a list that stays has
    series of subjects that are in another split by now; then nothing is written.
    """
    path = pin_path(results, method, section)
    named = f"{method}.{NAMES[type(section)]}"
    old = read_if_sound(path, PIN_SCHEMA)
    cohort = read_cohort(results / "cohort.parquet")
    if old is not None and not retrain:
        _check_split(path, old, cohort)
        return Pin(method, path, old.num_rows, written=False)
    table = select_training(cohort, section.selection, named)
    if old is not None and old.equals(table):
        return Pin(method, path, old.num_rows, written=False)
    remove_leftovers(path.parent, path.name)
    write_parquet(path, table)
    return Pin(method, path, table.num_rows, written=True)


def select_training(cohort: pa.Table, selection: Selection, section: str) -> pa.Table:
    """The rows of `cohort` to learn from (PIN_SCHEMA), by series id.

    Those of training subjects that are neither excluded nor known to be unreadable; at most
    `max_series`, drawn by a hash of seed and series id, so that a larger cohort draws the same
    ones and some of the new. Raises UserError if there is none, or if there are several contrasts
    that must not be pooled; `section` is named in it.
    """
    wanted = pc.and_(pc.is_null(cohort["excluded_by"]), pc.is_null(cohort["error_code"]))
    for column, names in (("contrast", selection.contrasts), ("site", selection.sites)):
        if names:
            allowed = pa.array(names, pa.string())
            wanted = pc.and_(wanted, pc.is_in(cohort[column], value_set=allowed))
    usable = cohort.filter(wanted)
    train = usable.filter(pc.equal(usable["split"], "train"))
    if train.num_rows == 0:
        raise UserError(_nothing_to_learn_from(cohort, usable, selection, section))
    if not selection.pools_contrasts and not selection.contrasts:
        _check_single_contrast(train, section)
    ids = train["series_id"].to_pylist()
    drawn = sorted(range(len(ids)), key=lambda row: _draw(selection.seed, ids[row]))
    kept = sorted(drawn[: selection.max_series], key=lambda row: ids[row])
    return train.take(pa.array(kept, pa.int64())).select(PIN_SCHEMA.names).combine_chunks()


def read_pinned(path: Path) -> list[PinnedSeries]:
    """A pinned list, by series id; raises UserError if it is missing or damaged."""
    table = read_if_sound(path, PIN_SCHEMA)
    if table is None:
        raise UserError(f"{path}: the list of training series is missing or damaged; run "
                        "`mriqa index CONFIG`")  # fmt: skip
    columns = (table[name].to_pylist() for name in PIN_SCHEMA.names)
    return [PinnedSeries(*row) for row in zip(*columns, strict=True)]


def model_id(
    method: str,
    settings: str,
    pinned: Sequence[PinnedSeries],
    format_version: int,
    also: Sequence[str] = (),
) -> str:
    """`<method>-<12 hex>`: equal for what must give the same model.

    It stands for the JSON of the section, the version of the method's training code, and which
    series in which state were pinned (not for the shards that they are stored in); `also` for what
    else a method learns from.
    """
    digest = hashlib.sha256(json.dumps([settings, format_version, *also]).encode())
    for one in sorted(pinned, key=lambda one: one.series_id):
        row = [one.series_id, one.subject, one.contrast, one.size_bytes, one.mtime_ns]
        digest.update(json.dumps(row).encode() + b"\n")
    return f"{method}-{digest.hexdigest()[:DIGITS]}"


def pinned_sha256(pinned: Sequence[PinnedSeries]) -> str:
    """Fingerprint of the data: which series in which state."""
    rows = [[one.series_id, one.size_bytes, one.mtime_ns] for one in pinned]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _check_split(path: Path, pinned: pa.Table, cohort: pa.Table) -> None:
    """Growth never moves a subject, but another seed or other shares do: refuse to go on then."""
    elsewhere = cohort.filter(pc.not_equal(cohort["split"], "train"))
    moved = pc.is_in(pinned["series_id"], value_set=elsewhere["series_id"].combine_chunks())
    count = pc.sum(moved).as_py()
    if count:
        raise UserError(
            f"{path}: {count} of {pinned.num_rows} series to learn from are of subjects that are "
            "for validation or test now, as cohort.seed or cohort.split has changed; restore them, "
            "or set training.retrain: true, which trains on the subjects of the new split"
        )


def _check_single_contrast(train: pa.Table, section: str) -> None:
    """A number means other things in other contrasts: they are pooled only if a person says so."""
    found = sorted(set(train["contrast"].to_pylist()))
    if len(found) > 1:
        raise UserError(
            f"{section}.contrasts: not set, but there are series of {len(found)} contrasts "
            f"({', '.join(found)}), and the target of one does not mean the same in another; name "
            "the one to learn, or those whose numbers are comparable"
        )


def _draw(seed: int, series_id: str) -> bytes:
    return hashlib.sha256(f"{seed}:{series_id}".encode()).digest()


def _nothing_to_learn_from(
    cohort: pa.Table, usable: pa.Table, selection: Selection, section: str
) -> str:
    """The sentence of an empty list: what is there instead, and what to do."""
    if usable.num_rows:
        splits = Counter(usable["split"].to_pylist())
        found = ", ".join(f"{count} {name}" for name, count in sorted(splits.items()))
        return (
            f"{section}: no series to learn from: none is of a subject in the split `train` "
            f"({found}); raise cohort.split.train or add subjects"
        )
    asked = {"contrast": selection.contrasts, "site": selection.sites}
    if any(asked.values()):
        said = [
            f"{section}.{column}s {', '.join(names)} (the cohort's are "
            f"{', '.join(sorted({one or 'unknown' for one in cohort[column].to_pylist()}))})"
            for column, names in asked.items()
            if names
        ]
        return f"{' with '.join(said)}: no readable series to learn from; name others"
    return (
        f"{section}: no series to learn from: all {cohort.num_rows} are excluded or unreadable; "
        "see index_problems.parquet"
    )
