"""What earlier runs wrote, and writing what changed.

The shard manifests are the record of who belongs where; `cohort.parquet` is written last and is
believed only about series whose manifest is lost. So a kill between two files costs nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.cohort.manifest import (
    COHORT_SCHEMA,
    PROBLEM_SCHEMA,
    SHARD_INDEX_NAME,
    SHARD_INDEX_SCHEMA,
    SHARD_SCHEMA,
    list_shards,
    read_cohort,
    shard_name,
)
from mriqa.cohort.tabular import Problem
from mriqa.errors import UserError
from mriqa.files import (
    TEMPORARY_MARK,
    read_if_sound,
    sync_folder,
    write_parquet,
    write_parquet_if_changed,
)

READ_THREADS = 8
STAGE_FOLDERS = ("shards", "convert", "zarr", "scores")
MADE_FROM_MANIFEST = ("convert", "scores")
LAST_OF_TABLES = Path("tables", "reconciliation.json")
"""The one file of the tables whose absence makes `merge` due."""
Identity = tuple[int, int]
"""Size and mtime: the same file as before, as far as `index` can tell."""


@dataclass(frozen=True)
class Ledger:
    """State of a results folder before this run."""

    manifests: dict[int, pa.Table | None]
    cohort: pa.Table | None
    assigned: dict[str, int]
    emptied: frozenset[int]
    next_shard: int


@dataclass(frozen=True)
class ShardChanges:
    """Numbers of shards that this run wrote anew, rewrote and removed."""

    new: tuple[int, ...]
    changed: tuple[int, ...]
    removed: tuple[int, ...]


def read_ledger(results: Path) -> Ledger:
    """Read what is there; a damaged file counts as absent, the others make up for it."""
    numbers = list_shards(results)
    paths = [results / "shards" / f"{shard_name(number)}.parquet" for number in numbers]
    with ThreadPoolExecutor(READ_THREADS) as pool:
        read = pool.map(read_if_sound, paths, repeat(SHARD_SCHEMA))
        manifests = dict(zip(numbers, read, strict=True))
    cohort = _read_old_cohort(results / "cohort.parquet")
    listed = _read_shard_index(results)
    assigned = _assignments(manifests, cohort)
    used = {*numbers, *listed, *assigned.values(), *_numbers_in_names(results)}
    emptied = frozenset(number for number in listed if number not in set(assigned.values()))
    return Ledger(manifests, cohort, assigned, emptied, max(used, default=-1) + 1)


def _assignments(
    manifests: Mapping[int, pa.Table | None], cohort: pa.Table | None
) -> dict[str, int]:
    assigned: dict[str, int] = {}
    if cohort is not None:
        ids, shards = cohort["series_id"].to_pylist(), cohort["shard"].to_pylist()
        lost = {number for number in shards if manifests.get(number) is None}
        pairs = zip(ids, shards, strict=True)
        assigned.update((one, number) for one, number in pairs if number in lost)
    for number in sorted(manifests, reverse=True):
        manifest = manifests[number]
        if manifest is not None:
            assigned.update(dict.fromkeys(manifest["series_id"].to_pylist(), number))
    return assigned


def write_shards(
    results: Path, ledger: Ledger, rows: Mapping[int, list[dict[str, Any]]]
) -> ShardChanges:
    """Write the manifests whose content changed, remove those without series, list them all.

    `rows` holds the rows of every shard that has series, in the order to write them.
    """
    folder = results / "shards"
    for leftover in folder.glob(f".*{TEMPORARY_MARK}*"):  # of a killed run
        leftover.unlink(missing_ok=True)
    new: list[int] = []
    changed: list[int] = []
    for number, members in sorted(rows.items()):
        table = pa.Table.from_pylist(members, schema=SHARD_SCHEMA)
        old = ledger.manifests.get(number)
        if old is not None and old.equals(table):
            continue
        _forget_outputs(results, number)
        write_parquet(folder / f"{shard_name(number)}.parquet", table)
        (changed if number in ledger.manifests else new).append(number)
    removed = sorted(set(ledger.manifests) - set(rows))
    # before any removal: a number that is only in this list must be in it to stay unused
    _write_shard_index(folder, rows, {*ledger.emptied, *removed})
    for number in removed:
        (folder / f"{shard_name(number)}.parquet").unlink()
    if removed:
        sync_folder(folder)
    return ShardChanges(tuple(new), tuple(changed), tuple(removed))


def _forget_outputs(results: Path, number: int) -> None:
    """Remove what was made from the manifest that is about to be replaced.

    Its age would tell as well, were all clocks right: with one that is wrong, a replaced file would
    keep the rating of the old one. The store stays: `convert` replaces it, and readers can go on.
    """
    forget_tables(results)
    name = f"{shard_name(number)}.parquet"
    for stage in MADE_FROM_MANIFEST:
        (results / stage / name).unlink(missing_ok=True)
    for path in results.glob(f"scores/*/{name}"):  # of the learned methods
        path.unlink(missing_ok=True)


def forget_tables(results: Path) -> None:
    """Make `merge` due whatever the clocks say; the tables themselves stay until it replaces them.

    First of all, so that a kill at any moment leaves it due.
    """
    (results / LAST_OF_TABLES).unlink(missing_ok=True)


def changed_cohort(results: Path, ledger: Ledger, rows: list[dict[str, Any]]) -> pa.Table | None:
    """`cohort.parquet` as it should be; None if nothing but `sha256` would change.

    A checksum that became known is no change: `merge` depends on this file, and a run after a
    finished one has to find nothing to do. It is filled in when the file is written anyway. Call
    this before `write_shards`, which makes the statuses of rewritten shards look out of date.
    """
    table = pa.Table.from_pylist(rows, schema=COHORT_SCHEMA)
    old = ledger.cohort
    if old is not None and old.drop_columns("sha256").equals(table.drop_columns("sha256")):
        return None
    known = known_checksums(results, ledger)
    digests = [known.get((row["series_id"], row["size_bytes"], row["mtime_ns"])) for row in rows]
    position = COHORT_SCHEMA.get_field_index("sha256")
    return table.set_column(position, COHORT_SCHEMA[position], pa.array(digests, pa.string()))


def write_cohort(results: Path, table: pa.Table) -> None:
    """Write `cohort.parquet`: last, so that it never names a shard that is not there."""
    forget_tables(results)
    write_parquet(results / "cohort.parquet", table)


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write a table of problems (PROBLEM_SCHEMA), by file and line, if it changed."""
    rows = [
        {name: getattr(problem, name) for name in PROBLEM_SCHEMA.names}
        for problem in sorted(problems, key=_problem_order)
    ]
    table = pa.Table.from_pylist(rows, schema=PROBLEM_SCHEMA)
    write_parquet_if_changed(path, table)


def _problem_order(problem: Problem) -> tuple[str, int, str, str, str]:
    place = (problem.file, problem.line or 0, problem.column or "")
    return (*place, problem.value or "", problem.problem)


def known_checksums(results: Path, ledger: Ledger) -> dict[tuple[str, int, int], str]:
    """sha256 by (series_id, size, mtime), from the old cohort and from what convert has read."""
    known: dict[tuple[str, int, int], str] = {}
    if ledger.cohort is not None:
        names = ("series_id", "size_bytes", "mtime_ns", "sha256")
        for *key, digest in zip(*(ledger.cohort[name].to_pylist() for name in names), strict=True):
            if digest is not None:
                known[(key[0], key[1], key[2])] = digest
    for number, manifest in ledger.manifests.items():
        if manifest is not None:
            known.update(_converted_checksums(results, number, manifest))
    return known


def _converted_checksums(
    results: Path, number: int, manifest: pa.Table
) -> dict[tuple[str, int, int], str]:
    rows = read_converted(results, number, ("series_id", "sha256"))
    digests = {row["series_id"]: row["sha256"] for row in rows}
    names = ("series_id", "size_bytes", "mtime_ns")
    keys = zip(*(manifest[column].to_pylist() for column in names), strict=True)
    return {key: digests[key[0]] for key in keys if digests.get(key[0]) is not None}


def read_converted(results: Path, shard: int, columns: Sequence[str]) -> list[dict[str, Any]]:
    """What `convert` says of a shard's series; nothing if it is missing, damaged or out of date."""
    name = f"{shard_name(shard)}.parquet"
    status = results / "convert" / name
    try:
        # a status older than its manifest may speak of files that were replaced since
        if status.stat().st_mtime_ns < (results / "shards" / name).stat().st_mtime_ns:
            return []
        rows: list[dict[str, Any]] = pq.ParquetFile(status).read(columns=list(columns)).to_pylist()
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return []
    return rows if all(set(columns) <= set(row) for row in rows) else []


def _read_old_cohort(path: Path) -> pa.Table | None:
    try:
        return read_cohort(path)
    except UserError:
        return None


def _read_shard_index(results: Path) -> list[int]:
    try:
        table = pq.ParquetFile(results / "shards" / SHARD_INDEX_NAME).read(columns=["shard"])
        return [int(number) for number in table["shard"].to_pylist()]
    except (pa.ArrowException, OSError, KeyError):
        return []


def _numbers_in_names(results: Path) -> set[int]:
    """Numbers in the names of any stage's outputs, should the list of shards be lost."""
    numbers: set[int] = set()
    for stage in STAGE_FOLDERS:
        folder = results / stage
        if folder.is_dir():
            found = (re.match(r"shard-(\d{5,})\.", path.name) for path in folder.iterdir())
            numbers.update(int(match.group(1)) for match in found if match)
    return numbers


def _write_shard_index(
    folder: Path, rows: Mapping[int, list[dict[str, Any]]], emptied: set[int]
) -> None:
    lines = [{"shard": number, "n_series": 0, "bytes": 0, "largest_bytes": 0} for number in emptied]
    for number, members in rows.items():
        sizes = [member["size_bytes"] for member in members]
        lines.append(
            {
                "shard": number,
                "n_series": len(sizes),
                "bytes": sum(sizes),
                "largest_bytes": max(sizes),
            }
        )
    lines.sort(key=lambda line: line["shard"])
    table = pa.Table.from_pylist(lines, schema=SHARD_INDEX_SCHEMA)
    write_parquet_if_changed(folder / SHARD_INDEX_NAME, table)
