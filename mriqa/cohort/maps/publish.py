"""Listing the user's masks and maps in the results folder: a table a shard that has any.

Only a table whose content changed is written. What was scored without it, or with what it said
before, is removed first: its age would make the score job due as well, were all clocks right.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mriqa.cohort.found import bounded
from mriqa.cohort.ledger import forget_tables, write_problems
from mriqa.cohort.manifest import shard_name
from mriqa.cohort.maps.derivatives import THREADS, FoundMaps, find_derivatives
from mriqa.cohort.maps.model import FOLDER, PROBLEMS, SCHEMA, MapFile, paths_of
from mriqa.cohort.maps.table import find_table_maps
from mriqa.cohort.maps.wanted import Brains, Wanted, read_brains
from mriqa.cohort.tabular import Problem
from mriqa.config import Config, DerivativeMaps, MapsSource
from mriqa.errors import MapsError, UserError
from mriqa.files import TEMPORARY_MARK, read_if_sound, write_parquet

Tables = dict[str, pa.Table]
"""By the name of the shard's file."""


@dataclass(frozen=True)
class MapsSummary:
    """Of how many brains masks or maps were found, and how many shards are scored anew by them.

    Found is not used: headers and voxels are first read by the score jobs. `elsewhere` is a
    sentence on files in another space that are all that there is of some brains.
    """

    n_series: int
    n_brains: int
    n_problems: int
    shards_changed: int
    elsewhere: str | None = None

    def __str__(self) -> str:
        """A line of counts, where refusals will be, and what was left aside."""
        counts = (
            f"brain maps found of {self.n_series} of {self.n_brains} brains, "
            f"changed in {self.shards_changed} shards; problems {self.n_problems} ({PROBLEMS})"
        )
        lines = [counts]
        if self.n_series:
            lines.append(
                "brain maps: grids and values are checked when they are scored; those refused are "
                "in the column brain_maps_problem of the table volumes"
            )
        if self.elsewhere is not None:
            lines.append(f"brain maps: {self.elsewhere}")
        return "\n".join(lines)


def write_brain_maps(config: Config, results: Path) -> MapsSummary | None:
    """List the files of every source below `results`; None without sources, and no lists then.

    The cohort must have been indexed. Raises UserError if a source cannot be read; then only the
    files of who has withdrawn since are taken off the lists.
    """
    if not config.brain_maps:
        _write_tables(results, {})
        (results / PROBLEMS).unlink(missing_ok=True)
        return None
    brains = read_brains(results, config.cohort.name, config.score.brain)
    try:
        found = find_maps(config.brain_maps, brains)
    except UserError:
        _forget_excluded(results, brains)
        raise
    refused = _unusable(found.files)
    elsewhere = _elsewhere(found)
    listed = [*found.problems, *(one for some in refused.values() for one in some)]
    problems = [*elsewhere, *bounded(listed, "brain_maps", "problems")]
    changed = _write_tables(results, _tables(found.files, brains.wanted))
    write_problems(results / PROBLEMS, problems)
    n_series = len({one.series_id for one in found.files} - set(refused))
    told = elsewhere[0].problem if elsewhere else None
    return MapsSummary(n_series, len(brains.wanted), len(problems), changed, told)


def _forget_excluded(results: Path, brains: Brains) -> None:
    """Take excluded and vanished series off the lists of an earlier run."""
    left = pa.array([one.series_id for one in brains.wanted], pa.string())
    kept: Tables = {}
    for path in (results / FOLDER).glob("shard-*.parquet"):
        table = read_if_sound(path, SCHEMA)
        table = None if table is None else table.filter(pc.is_in(table["series_id"], left))
        if table is not None and table.num_rows:
            kept[path.name] = table
    _write_tables(results, kept)


def find_maps(sources: Sequence[MapsSource], brains: Brains) -> FoundMaps:
    """What all sources hold; of a series that several know, the first one's files alone."""
    result = FoundMaps()
    for source in sources:
        found = _find(source, brains)
        known = {one.series_id for one in result.files}
        result.files.extend(one for one in found.files if one.series_id not in known)
        result.problems.extend(found.problems)
        result.elsewhere.extend(found.elsewhere)
    with ThreadPoolExecutor(THREADS) as pool:
        result.files[:] = sorted(pool.map(_seen, result.files), key=_place)
    return result


def _find(source: MapsSource, brains: Brains) -> FoundMaps:
    if isinstance(source, DerivativeMaps):
        return find_derivatives(source.path, brains.wanted)
    return find_table_maps(source.path, brains)


def _place(one: MapFile) -> tuple[str, str, str]:
    return one.series_id, one.role, one.path


def _seen(one: MapFile) -> MapFile:
    """With size and time of its file, if that is there."""
    try:
        status = os.stat(one.path)  # noqa: PTH116
    except (OSError, ValueError):
        return one
    return replace(one, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def _unusable(files: Iterable[MapFile]) -> dict[str, list[Problem]]:
    """What the score job will refuse, as far as it is known before a file is read, by series."""
    by_series: dict[str, list[MapFile]] = defaultdict(list)
    for one in files:
        by_series[one.series_id].append(one)
    found: dict[str, list[Problem]] = defaultdict(list)
    for series_id, of_series in by_series.items():
        for one in of_series:
            if one.size_bytes is None:
                text = "no such file; the brain metrics of its series will be NULL"
                found[series_id].append(Problem(one.path, text))
        try:
            paths_of(of_series)
        except MapsError as error:
            text = f"{error}; the brain metrics of {series_id} will be NULL"
            found[series_id].append(Problem(of_series[0].path, text))
    return found


def _elsewhere(found: FoundMaps) -> list[Problem]:
    """One problem, or none: files in another space where the same is not there in the scan's."""
    known = {(one.series_id, one.role) for one in found.files}
    aside = [one for one in found.elsewhere if (one.series_id, one.role) not in known]
    if not aside:
        return []
    first = min(aside, key=_place)
    n_series = len({one.series_id for one in aside})
    text = (
        f"{len(aside)} masks and maps of {n_series} brains left aside, e.g. {first.path}: in "
        "another space or grid by their names (space, res), with none in the scan's own beside "
        "them (no space, space-orig, space-T1w or space-T2w)"
    )
    return [Problem(first.path, text)]


def _tables(files: Iterable[MapFile], wanted: Iterable[Wanted]) -> Tables:
    shards = {one.series_id: one.shard for one in wanted}
    rows: dict[str, list[MapFile]] = defaultdict(list)
    for one in files:
        rows[f"{shard_name(shards[one.series_id])}.parquet"].append(one)
    return {
        name: pa.Table.from_pylist([asdict(one) for one in of_shard], schema=SCHEMA)
        for name, of_shard in rows.items()
    }


def _write_tables(results: Path, tables: Tables) -> int:
    """Make the folder hold these; returns how many shards this makes due for scoring."""
    folder = results / FOLDER
    for leftover in folder.glob(f".*{TEMPORARY_MARK}*"):  # of a killed run
        leftover.unlink(missing_ok=True)
    old = {path.name for path in folder.glob("shard-*.parquet")}
    changed = 0
    for name in sorted({*old, *tables}):
        before = read_if_sound(folder / name, SCHEMA) if name in old else None
        if before is not None and name in tables and before.equals(tables[name]):
            continue
        changed += 1
        forget_tables(results)
        (results / "scores" / name).unlink(missing_ok=True)
        if name in tables:
            write_parquet(folder / name, tables[name])
        else:
            (folder / name).unlink()
    return changed
