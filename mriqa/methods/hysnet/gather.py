"""Which volumes HyS-Net learns from, and on which it is tried, each with its number."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mriqa.cohort.manifest import read_cohort, shard_name
from mriqa.config import HysnetLearningSection, HysnetTargetSection
from mriqa.errors import UserError
from mriqa.methods.hysnet.target_sources import (
    COLUMN,
    TableTargets,
    Volume,
    check_metric,
    read_table_targets,
    volume_values,
)
from mriqa.methods.hysnet.volumes import Example, say
from mriqa.seeds import fixed_number
from mriqa.training.manifest import PinnedSeries

HELD_OUT = ("validation", "test")
Series = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Lessons:
    """`train`: volumes to learn from; `held_out`: of validation and test subjects, by split.
    `contrasts` are those of the former."""

    train: list[Example]
    held_out: dict[str, list[Example]]
    contrasts: tuple[str, ...]


def gather_lessons(
    results: Path, pinned: Sequence[PinnedSeries], section: HysnetLearningSection
) -> Lessons:
    """The measured volumes of the `pinned` series that have a number.

    Held-out volumes are those of the same contrasts in the shards that hold pinned series, at most
    `section.held_out` a split, drawn by the seed. Raises UserError if nothing can be learned from.
    """
    ids = {one.series_id for one in pinned}
    table = read_cohort(results / "cohort.parquet")
    names = ["series_id", "contrast", "site", "split", "shard", "excluded_by", "error_code"]
    rows = [
        row
        for row in table.select(names).to_pylist()
        if row["excluded_by"] is None and row["error_code"] is None
    ]
    own = {row["series_id"]: row for row in rows if row["series_id"] in ids}
    shards = {row["shard"] for row in own.values()}
    contrasts = tuple(sorted({row["contrast"] for row in own.values()}))
    others = {
        row["series_id"]: row
        for row in rows
        if row["split"] in HELD_OUT
        and row["shard"] in shards
        and row["contrast"] in contrasts
        and (not section.sites or row["site"] in section.sites)
    }
    found = examples_of(results, own | others, section)
    return Lessons(
        _to_learn([one for one in found if one.series_id in own], len(ids), section),
        {split: _drawn(found, others, split, section) for split in HELD_OUT},
        contrasts,
    )


def examples_of(results: Path, series: Series, section: HysnetLearningSection) -> list[Example]:
    """Volumes of `series` (rows of the cohort by id) that have a number, by shard, series, volume.

    Raises UserError if `section.target` names nothing that there is.
    """
    target = section.target
    table = None
    if target.table is not None:
        table = read_table_targets(target.table, target.column, results / "cohort.parquet")
    else:
        check_metric(target.column)
    by_shard = defaultdict(set)
    for series_id, row in series.items():
        by_shard[row["shard"]].add(series_id)
    found, without = [], 0
    for shard, members in sorted(by_shard.items()):
        store = results.resolve() / "zarr" / f"{shard_name(shard)}.zarr"
        values = _values(
            results / "scores" / f"{shard_name(shard)}.parquet", members, table, target
        )
        known = {one: value for one, value in sorted(values.items()) if value is not None}
        found += [Example(*one, store, value) for one, value in known.items()]
        without += len(values) - len(known)
    if without:
        say(f"training: {without} volumes have no {target.column}. They are left out.")
    return found


def _values(
    scores: Path, series: Collection[str], table: TableTargets | None, target: HysnetTargetSection
) -> Mapping[Volume, float | None]:
    if table is None:
        return volume_values(scores, series, target.column)
    return {one: table.of(*one) for one in volume_values(scores, series, None)}


def _to_learn(
    examples: list[Example], n_pinned: int, section: HysnetLearningSection
) -> list[Example]:
    if not examples:
        where = section.target.table or "their scores"
        raise UserError(
            f"{COLUMN}: no measured volume of the {n_pinned} series to learn from has a "
            f"{section.target.column} in {where}; name another column, or other contrasts "
            "(hysnet.learning.contrasts)"
        )
    return examples


def _drawn(
    examples: Sequence[Example], series: Series, split: str, section: HysnetLearningSection
) -> list[Example]:
    """At most `held_out` of the volumes of a split."""
    of_split = [
        one
        for one in examples
        if one.series_id in series and series[one.series_id]["split"] == split
    ]
    by_lot = sorted(
        of_split,
        key=lambda one: fixed_number(section.seed, "held out", one.series_id, one.volume),
    )
    return by_lot[: section.held_out]
