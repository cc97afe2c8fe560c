"""`mriqa merge`: rate the cohort and write its tables, all together or none."""

import csv
import hashlib
import importlib.metadata
import json
import platform
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from mriqa import __version__
from mriqa.cohort.manifest import read_cohort
from mriqa.config import RatingSection, section_json
from mriqa.files import remove_leftovers, replacing, replacing_folder, write_json
from mriqa.rating.gather import (
    ORDER,
    account,
    connect_scores,
    gather_volumes,
    score_files,
)
from mriqa.rating.methods import (
    MethodScores,
    check_current,
    method_scores,
    null_of,
    says_of_slices,
)
from mriqa.rating.published import (
    FAILURES,
    METHOD_SLICE_COLUMNS,
    RUNS,
    SLICE_FILES,
    SLICES,
    SUBJECTS,
    VOLUMES,
)
from mriqa.rating.rate import rate_volumes
from mriqa.rating.subjects import summarise_subjects
from mriqa.tables.reconcile import Counts, total
from mriqa.tables.schemas import SCHEMA_VERSION
from mriqa.tables.strata import add_strata
from mriqa.tables.writing import stream, write_dictionary, write_partition, write_table

FORMAT_VERSION = 7
"""Raise it when the tables change: `merge` then runs again."""

_LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "monai",
    "zarr",
    "zarrs",
    "nibabel",
    "pyarrow",
    "duckdb",
    "dask",
    "snakemake",
)


_NO_MODEL = "NULL::VARCHAR"


@dataclass(frozen=True)
class Published:
    """What `merge` wrote."""

    tables: Path
    run_id: str
    counts: Counts

    def __str__(self) -> str:
        """One line for the log."""
        parts = ", ".join(f"{name} {value}" for name, value in asdict(self.counts).items())
        return f"{self.tables}: series {parts} (run {self.run_id})"


def publish_tables(
    results: Path,
    section: RatingSection,
    *,
    methods: Sequence[str] = (),
    threads: int = 2,
    mem_mb: int = 4000,
) -> Published:
    """Write `results/tables` from the shards' scores and those of `methods`.

    The slices are sorted in half of `mem_mb`, spilling to disk beyond. Raises UserError if a
    shard has no scores, ReconciliationError if a series is unaccounted for.
    """
    cohort = read_cohort(results / "cohort.parquet")
    files = score_files(results, cohort)
    rated = method_scores(results, cohort, methods)
    models = {one.method: results / "models" / one.method / one.model_id for one in rated}
    remove_leftovers(results, "tables")
    with (
        tempfile.TemporaryDirectory(prefix=".merge-", dir=results) as scratch,
        connect_scores(
            files, cohort, Path(scratch), rated, threads=threads, mem_mb=mem_mb // 2
        ) as connection,
    ):
        volumes = gather_volumes(connection, rated)
        counted = account(results, cohort, volumes)  # refuses before anything is rated
        volumes = check_current(add_strata(volumes, section.stratum), rated)
        volumes = _with_models(rate_volumes(volumes, section), rated)
        counted = account(results, cohort, volumes)
        counts = total(counted)
        run = _run_row(cohort, section, counts, rated)
        with replacing_folder(results / "tables") as folder:
            _write_tables(folder, connection, volumes, section, run, rated, models)
            _write_runs(folder, results / "runs", run)
            _write_reconciliation(folder, counted)
    return Published(results / "tables", run["run_id"], counts)


def _write_tables(
    folder: Path,
    connection: duckdb.DuckDBPyConnection,
    volumes: pa.Table,
    section: RatingSection,
    run: dict[str, Any],
    rated: Sequence[MethodScores],
    models: Mapping[str, Path],
) -> None:
    volumes = _with_provenance(volumes, run["run_id"])
    write_table(folder, "volumes", volumes, VOLUMES)
    _write_slices(folder / "slices", connection, run["run_id"], rated)
    subjects = _with_provenance(summarise_subjects(volumes, section, models), run["run_id"])
    write_table(folder, "subjects", subjects, SUBJECTS)
    _write_tsv(folder / "subjects.tsv", subjects.select([column.name for column in SUBJECTS]))
    connection.register("rated", volumes)
    names = ", ".join(column.name for column in FAILURES)
    failures = connection.sql(
        f"SELECT {names} FROM rated WHERE status = 'failed' ORDER BY {ORDER}"  # noqa: S608
    ).to_arrow_table()
    write_table(folder, "failures", failures, FAILURES)


def _write_slices(
    folder: Path,
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    rated: Sequence[MethodScores],
) -> None:
    folder.mkdir()
    sources = _slice_sources(run_id, rated)
    columns = ", ".join(
        f"{sources.get(name, f's.{name}')} AS {name}"
        for name in (column.name for column in SLICE_FILES)
    )
    joins = " ".join(
        f"LEFT JOIN {one.method} USING (series_id, volume, slice)"
        for one in rated
        if says_of_slices(one.method)
    )
    source = f"FROM scores s JOIN cohort c USING (series_id) {joins} WHERE s.slice IS NOT NULL"
    contrasts = connection.sql(f"SELECT DISTINCT c.contrast {source} ORDER BY 1").fetchall()
    for (contrast,) in contrasts:
        quoted = contrast.replace("'", "''")
        sql = f"SELECT {columns} {source} AND c.contrast = '{quoted}' ORDER BY {ORDER}, slice"
        write_partition(folder, contrast, stream(connection, sql), SLICE_FILES)
    write_dictionary(folder.with_suffix(".json"), SLICES)


def _slice_sources(run_id: str, rated: Sequence[MethodScores]) -> dict[str, str]:
    """SQL of the columns of the slices that are not those of the scores."""
    sources = {name: f"c.{name}" for name in ("subject", "session", "station")}
    models = {one.method: one.model_id for one in rated}
    judged = []
    for method, columns in METHOD_SLICE_COLUMNS.items():
        sources |= {
            one.name: f"{method}.{one.name}" if method in models else null_of(one)
            for one in columns
        }
        if method in models and columns:
            there = " OR ".join(f"{method}.{one.name} IS NOT NULL" for one in columns)
            judged.append(f"CASE WHEN {there} THEN '{models[method]}' END")
    return sources | {
        "schema_version": f"{SCHEMA_VERSION}::INTEGER",
        "model_id": f"nullif(concat_ws(' ', {', '.join(judged)}), '')" if judged else _NO_MODEL,
        "run_id": f"'{run_id}'",
    }


def _with_models(volumes: pa.Table, rated: Sequence[MethodScores]) -> pa.Table:
    """Add `model_id`: the model of the method that gave the rating."""
    models = {one.method: one.model_id for one in rated}
    names = [models.get(source) for source in volumes["rating_source"].to_pylist()]
    return volumes.append_column("model_id", pa.array(names, pa.string()))


def _with_provenance(table: pa.Table, run_id: str) -> pa.Table:
    rows = table.num_rows
    table = table.append_column(
        "schema_version", pa.repeat(pa.scalar(SCHEMA_VERSION, pa.int32()), rows)
    )
    return table.append_column("run_id", pa.repeat(run_id, rows))


def _run_row(
    cohort: pa.Table, section: RatingSection, counts: Counts, rated: Sequence[MethodScores]
) -> dict[str, Any]:
    finished = datetime.now(UTC)
    listed = "\n".join(sorted(cohort["series_id"].to_pylist()))
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {
        "run_id": f"{finished:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}",
        "finished": finished.isoformat(),
        "mriqa_version": __version__,
        "python_version": platform.python_version(),
        "library_versions": json.dumps(versions, sort_keys=True),
        "settings": section_json(section),
        "methods": json.dumps({one.method: one.model_id for one in rated}, sort_keys=True),
        "cohort_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        **{f"n_{name}": value for name, value in asdict(counts).items()},
        "schema_version": SCHEMA_VERSION,
    }


def _write_runs(folder: Path, history: Path, run: dict[str, Any]) -> None:
    """The runs table is made from one JSON file a run, which no rerun deletes."""
    write_json(history / f"{run['run_id']}.json", run)
    rows = [json.loads(path.read_text("utf-8")) for path in sorted(history.glob("*.json"))]
    names = [column.name for column in RUNS]
    complete = [{name: row.get(name) for name in names} for row in rows]
    for row in complete:
        row["finished"] = datetime.fromisoformat(row["finished"])
    write_table(folder, "runs", pa.Table.from_pylist(complete), RUNS)


def _write_reconciliation(folder: Path, counted: dict[int, Counts]) -> None:
    content = {
        "total": asdict(total(counted)),
        "shards": {str(shard): asdict(counts) for shard, counts in counted.items()},
    }
    write_json(folder / "reconciliation.json", content)


def _write_tsv(path: Path, table: pa.Table) -> None:
    """A BIDS table: tab-separated, `n/a` for NULL."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter="\t", lineterminator="\n")
        writer.writerow(table.column_names)
        for row in table.to_pylist():
            writer.writerow(["n/a" if value is None else value for value in row.values()])
