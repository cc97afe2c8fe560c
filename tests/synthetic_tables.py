"""Made-up tables of a results folder, in the published schemas, of any size."""

import json
from datetime import UTC, datetime
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.cohort.manifest import COHORT_SCHEMA, SHARD_SCHEMA, shard_name
from mriqa.columns import arrow_schema
from mriqa.config import ConvertSection
from mriqa.files import write_json, write_parquet
from mriqa.images.convert import convert_shard
from mriqa.metrics import VOLUME_COLUMNS
from mriqa.metrics.columns import BODY_VOLUME_COLUMNS
from mriqa.rating.published import SLICE_FILES, SUBJECTS, VOLUMES
from mriqa.tables.schemas import FAILURE_COLUMNS, RUN_COLUMNS

VALUES = tuple(column for column in VOLUME_COLUMNS if column.kind == "float64")
VOLUMES_SCHEMA = arrow_schema(VOLUMES)
SLICES_SCHEMA = arrow_schema(SLICE_FILES)
FAILURES_SCHEMA = arrow_schema(FAILURE_COLUMNS)
SUBJECTS_SCHEMA = arrow_schema(SUBJECTS)
RUNS_SCHEMA = arrow_schema(RUN_COLUMNS)
SETTINGS = {"fail_below": 0.4, "pass_from": 0.8, "min_stratum": 10}
STATUSES = ("ok", "no_reference", "failed", "excluded")
FIRST_METRICS = {
    column.name for column in BODY_VOLUME_COLUMNS if column.name != "body_slice_tearing"
}
REASONS = np.array(["low_snr", "ghosting", "blur", "entropy", "background", "slice_inconsistency"])
CONTRASTS = np.array(["dixonW", "dixonF", "T2w", "dwi"])


def table_of(rows: list[dict], schema: pa.Schema) -> pa.Table:
    """Rows as a table of `schema`; what a row does not name is NULL."""
    return pa.Table.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in rows], schema=schema
    )


def make_rows(n_series: int, *, seed: int = 0, sites: int = 3, per_shard: int = 64) -> list[dict]:
    """A row a volume: nine in ten series are rated, the others failed, excluded, no_reference."""
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    for number in range(n_series):
        contrast = str(CONTRASTS[number % len(CONTRASTS)])
        status = str(
            rng.choice(["ok", "failed", "excluded", "no_reference"], p=[0.9, 0.05, 0.03, 0.02])
        )
        volumes = range(3) if contrast == "dwi" and status == "ok" else (0,)
        rows.extend(
            _row(rng, number, contrast, status, volume, sites, per_shard) for volume in volumes
        )
    return rows


def _row(rng, number, contrast, status, volume, sites, per_shard) -> dict:
    subject = f"{number // len(CONTRASTS):06d}"
    site = f"site {number % sites}"
    row = {
        "series_id": f"demo_sub-{subject}_{contrast}",
        "subject": subject,
        "contrast": contrast,
        "volume": volume,
        "status": status,
        "site": site,
        "scanner": "Phantom 1.5 T",
        "split": "train",
        "source_path": f"sub-{subject}/anat/sub-{subject}_{contrast}.nii.gz",
        "shard": number // per_shard,
        "schema_version": 1,
        "run_id": "run-1",
    }
    if status == "excluded":
        return {**row, "volume": None, "excluded_by": "withdrawn"}
    if status == "failed":
        code = str(rng.choice(["truncated", "corrupt_gzip", "constant"]))
        message = f"{row['source_path']}: the file ends before the image does"
        return {
            **row, "volume": None, "error_code": code, "error_message": message,
            "flag": True, "flag_reason": "failed",
        }  # fmt: skip
    return {**row, **_measured(rng, row, status)}


def _measured(rng, row, status) -> dict:
    score = float(rng.beta(6, 1.4)) if rng.random() > 0.12 else float(rng.beta(2, 4))
    slope = {"higher": 0.4, "lower": -0.4, None: 0.0}
    rating = "pass" if score >= 0.8 else "fail" if score < 0.4 else "questionable"
    rated = {
        "quality_score": score, "rating": rating, "rating_source": "metrics",
        "flag": rating != "pass",
        "flag_reason": None if rating == "pass" else str(rng.choice(REASONS)),
    }  # fmt: skip
    later = np.random.default_rng(len(VALUES))
    metrics = {
        # a metric that comes later must not change what else is drawn of a row
        column.name: 0.5
        + slope[column.better] * score
        + (rng if column.name in FIRST_METRICS else later).normal(0, 0.05)
        for column in VALUES
    }
    geometry = {
        "stratum": row["contrast"], "protocol": "Phantom 1.5 T, 4x2x2", "b_class": "none",
        "background": "air", "n_slices": 10, "n_rows": 48, "n_columns": 40,
        "spacing_z_mm": 4.0, "spacing_y_mm": 2.0, "spacing_x_mm": 2.5, "nonfinite_fraction": 0.0,
    }  # fmt: skip
    return {**geometry, **metrics, **(rated if status == "ok" else {})}


def write_tables(results: Path, rows: list[dict]) -> Path:
    """cohort, volumes, failures, runs, shard manifests' names and dictionary of `rows`."""
    series = {row["series_id"]: row for row in rows}
    cohort = [
        {**row, "source_kind": "nifti", "size_bytes": 1000, "mtime_ns": 0}
        for row in series.values()
    ]
    status = _series_status(rows)
    write_parquet(results / "cohort.parquet", table_of(cohort, COHORT_SCHEMA))
    write_parquet(results / "tables/volumes.parquet", table_of(rows, VOLUMES_SCHEMA))
    write_parquet(
        results / "tables/failures.parquet",
        table_of([row for row in rows if row["status"] == "failed"], FAILURES_SCHEMA),
    )
    subjects = sorted({row["subject"] for row in rows})
    counts = {name: 0 for name in SUBJECTS_SCHEMA.names if name.startswith("n_")}
    write_parquet(
        results / "tables/subjects.parquet",
        table_of(
            [
                {"subject": one, "schema_version": 1, "run_id": "run-1", **counts}
                for one in subjects
            ],
            SUBJECTS_SCHEMA,
        ),
    )
    run = {
        "run_id": "run-1", "finished": datetime(2026, 11, 22, 12, tzinfo=UTC),
        "mriqa_version": "0.1.0", "python_version": "3.11.2",
        "library_versions": json.dumps({"numpy": "2.4.6", "zarr": "3.1.6"}),
        "settings": json.dumps(SETTINGS), "cohort_sha256": "ab" * 32, "n_indexed": len(series),
        **{f"n_{name}": status.count(name) for name in STATUSES},
        "schema_version": 1,
    }  # fmt: skip
    write_parquet(results / "tables/runs.parquet", table_of([run], RUNS_SCHEMA))
    write_json(
        results / "tables/volumes.json", {column.name: column.dictionary() for column in VOLUMES}
    )
    return results


def _series_status(rows: list[dict]) -> list[str]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["series_id"], set()).add(row["status"])
    return [next(name for name in STATUSES if name in names) for names in found.values()]


def write_slices(results: Path, rows: list[dict]) -> None:
    """The slices table, a folder a contrast."""
    for contrast in {row["contrast"] for row in rows}:
        members = [row for row in rows if row["contrast"] == contrast]
        folder = results / "tables/slices" / f"contrast={contrast}"
        write_parquet(folder / "part-0.parquet", table_of(members, SLICES_SCHEMA))


def enlarge(results: Path, times: int) -> None:
    """Repeat cohort and volumes `times` times under other ids, shard after shard."""
    for name, schema in (("cohort", COHORT_SCHEMA), ("tables/volumes", VOLUMES_SCHEMA)):
        table = pq.read_table(results / f"{name}.parquet")
        n_shards = pc.max(table["shard"]).as_py() + 1
        copies = [_copy(table, number, n_shards) for number in range(times)]
        write_parquet(results / f"{name}.parquet", pa.concat_tables(copies).cast(schema))


def _copy(table: pa.Table, number: int, n_shards: int) -> pa.Table:
    for name in ("series_id", "subject"):
        renamed = pc.binary_join_element_wise(table[name], f"x{number}", "")
        table = table.set_column(table.column_names.index(name), name, renamed)
    shard = pc.add(table["shard"], pa.scalar(number * n_shards, pa.int32()))
    return table.set_column(table.column_names.index("shard"), "shard", shard)


def write_stores(results: Path, rows: list[dict], *, seed: int = 0) -> None:
    """A Zarr store a shard with a small volume (10, 48, 40) for every measured row's series."""
    rng = np.random.default_rng(seed)
    measured: dict[int, dict[str, int]] = {}
    for row in rows:
        if row["status"] in ("ok", "no_reference"):
            members = measured.setdefault(row["shard"], {})
            members[row["series_id"]] = max(members.get(row["series_id"], 0), row["volume"] + 1)
    for shard, members in measured.items():
        _write_store(results, shard, members, rng)


def _write_store(results: Path, shard: int, members: dict[str, int], rng) -> None:
    manifest, listed = results / "shards" / f"{shard_name(shard)}.parquet", []
    for number, (series_id, n_volumes) in enumerate(members.items()):
        source = results / "sources" / f"{shard}-{number}.nii"
        source.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(body(rng, n_volumes), source)
        listed.append(
            {
                "series_id": series_id, "subject": "1", "contrast": "T2w",
                "source_path": str(source), "source_kind": "nifti",
                "size_bytes": source.stat().st_size, "mtime_ns": source.stat().st_mtime_ns,
                "shard": shard,
            }
        )  # fmt: skip
    write_parquet(manifest, table_of(listed, SHARD_SCHEMA))
    convert_shard(
        manifest, results / "zarr" / f"{shard_name(shard)}.zarr",
        results / "convert" / f"{shard_name(shard)}.parquet",
        settings=ConvertSection(), threads=1, mem_mb=2000,
    )  # fmt: skip


def body(rng, n_volumes: int) -> nibabel.Nifti1Image:
    """An ellipse in noise, bright at the patient's right (high x of RAS+), i,j,k = 40,48,10."""
    x, y = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 48), indexing="ij")
    inside = (x / 0.8) ** 2 + (y / 0.6) ** 2 < 1
    plane = np.where(inside, np.where(x > 0, 900, 400), 20)
    shape = (40, 48, 10) if n_volumes == 1 else (40, 48, 10, n_volumes)
    values = plane.reshape(40, 48, *[1] * (len(shape) - 2)) + rng.normal(0, 15, shape)
    affine = np.diag([2.5, 2.0, 4.0, 1.0])
    return nibabel.Nifti1Image(np.clip(values, 0, None).astype(np.int16), affine)
