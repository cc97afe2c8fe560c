"""Putting a results folder in order before Snakemake looks at it.

Only for the holder of its lock: then no process writes there.
"""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.files import TEMPORARY_MARK
from mriqa.run.tidy_learned import SCORES, remove, tidy_learned

SHARD_FOLDERS = {"convert": ".parquet", "scores": ".parquet", "zarr": ".zarr"}
"""Folders with one file or store a shard, and what follows its name."""

SNAKEMAKE = ".snakemake"
"""Folder in which Snakemake records the settings that each output was made with."""

PER_SHARD = ("convert", "scores")
"""Folders with a Parquet file a shard."""

TABLES = (
    *(
        f"{name}.{kind}"
        for name in ("volumes", "subjects", "failures", "runs")
        for kind in ("parquet", "json")
    ),
    "subjects.tsv",
    "slices",
)
_SCRATCH = (f".*{TEMPORARY_MARK}*", ".merge-*")


def tidy_results(
    results: Path, shards: Collection[str], models: Mapping[str, str] | None = None
) -> list[str]:
    """Make the folder fit its shards; returns a sentence for everything that was done.

    `models` holds the ids of the models that the configuration asks for, by method.
    """
    said = tidy_learned(results, shards, models or {})
    if vanished := remove_vanished(results, shards):
        said.append(f"removed what belonged to {_listed(vanished)}, which has no series any more")
    remove_temporary(results)
    if forget_unrecorded(results, shards):
        said.append(
            f"{results / SNAKEMAKE} is gone, and with it what the settings of the results were: "
            "everything will be made again"
        )
    if damaged := remove_damaged(results, shards):
        said.append(f"{_listed(damaged)} cannot be read: it will be written again")
    if lost := reopen_lost_stores(results, shards):
        said.append(f"the Zarr store of {_listed(lost)} is missing: it will be written again")
    if missing := reopen_incomplete_tables(results):
        said.append(f"{missing} is missing or damaged: the tables will be written again")
    clear_snakemake_lock(results)
    return said


def remove_vanished(results: Path, shards: Collection[str]) -> list[str]:
    """Remove the outputs of shards that do not exist any more."""
    gone = set()
    for folder, suffix in SHARD_FOLDERS.items():
        for path in (results / folder).glob(f"shard-*{suffix}"):
            if path.name.removesuffix(suffix) not in shards:
                gone.add(path.name.removesuffix(suffix))
                remove(path)
    return sorted(gone)


def remove_temporary(results: Path) -> None:
    """Remove what killed jobs had begun to write."""
    for folder in ("shards", *SHARD_FOLDERS, "report", "evaluation", "."):
        for pattern in _SCRATCH:
            for path in (results / folder).glob(pattern):
                remove(path)


def forget_unrecorded(results: Path, shards: Collection[str]) -> bool:
    """Make everything due if Snakemake's records are lost; returns whether anything was there.

    It would take all outputs for up to date, whatever the configuration has become meanwhile.
    """
    if (results / SNAKEMAKE).is_dir():
        return False
    statuses = [results / "convert" / f"{shard}.parquet" for shard in shards]
    statuses.append(results / "tables" / "reconciliation.json")
    found = [path for path in statuses if path.is_file()]
    for path in found:
        path.unlink()
    return bool(found)


def remove_damaged(results: Path, shards: Collection[str]) -> list[str]:
    """Remove statuses and scores without a readable Parquet footer, so that they are due again.

    We write them whole or not at all; a disk, or a copy that broke off, may not have kept them so.
    """
    removed = []
    folders = [
        *PER_SHARD,
        *(f"scores/{path.name}" for path in results.glob(SCORES) if path.is_dir()),
    ]
    for name in (f"{folder}/{shard}.parquet" for folder in folders for shard in sorted(shards)):
        path = results / name
        if path.is_file() and not _is_parquet(path):
            path.unlink()
            removed.append(name)
    return removed


def reopen_lost_stores(results: Path, shards: Collection[str]) -> list[str]:
    """Remove the convert status of shards whose store was deleted, so that they are due again."""
    lost = []
    for shard in sorted(shards):
        status = results / "convert" / f"{shard}.parquet"
        if (results / "zarr" / f"{shard}.zarr").is_dir() or not status.is_file():
            continue
        if _has_stored_series(status):
            status.unlink()
            lost.append(shard)
    return lost


def reopen_incomplete_tables(results: Path) -> Path | None:
    """If a table is lost or damaged, make `merge` due; returns it. The rule declares one file."""
    declared = results / "tables" / "reconciliation.json"
    for name in TABLES:
        path = results / "tables" / name
        if declared.is_file() and not _is_whole(path):
            declared.unlink()
            return path
    return None


def clear_snakemake_lock(results: Path) -> None:
    """Remove the lock of a killed Snakemake, as `snakemake --unlock` does.

    Every Snakemake that runs our Snakefile holds our lock as well (`onstart`). So whoever holds
    that one knows that no other is alive.
    """
    shutil.rmtree(results / SNAKEMAKE / "locks", ignore_errors=True)


def _is_whole(path: Path) -> bool:
    if path.suffix == ".parquet":
        return path.is_file() and _is_parquet(path)
    return path.exists()


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return False
    return True


def _has_stored_series(status: Path) -> bool:
    try:
        return "ok" in pq.ParquetFile(status).read(columns=["status"])["status"].to_pylist()
    except (pa.ArrowException, OSError, KeyError):
        return True  # damaged: let convert write it again


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
