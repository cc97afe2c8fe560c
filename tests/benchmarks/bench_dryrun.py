"""Dry run of a cohort of 50,000 series: seconds and memory of the whole Snakemake process.

The manifests are made up, 500 shards of 100 series; no file of the cohort exists. The floor is the
same dry run of one shard: starting Python, Snakemake and reading the Snakefile.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import yaml

from mriqa.cohort.manifest import SHARD_INDEX_NAME, SHARD_INDEX_SCHEMA, SHARD_SCHEMA, shard_name
from mriqa.config import load_config
from mriqa.files import write_parquet
from mriqa.run.launch import SOURCE
from mriqa.run.plan import index_mark

SHARDS = 500
SERIES = 100
SIZE_BYTES = 1_700_000
ROUNDS = 3


def make_cohort(folder: Path, shards: int) -> Path:
    """An indexed cohort without any image; returns its configuration."""
    config = folder / "config.yaml"
    source = {"kind": "folder", "path": "none", "pattern": "{subject}.nii.gz"}
    content = {"results": "results", "cohort": {"name": "big", "sources": [source]}}
    config.write_text(yaml.safe_dump(content))
    results = folder / "results"
    rows = [_load(number) for number in range(shards)]
    for number in range(shards):
        table = pa.Table.from_pylist(_members(number), schema=SHARD_SCHEMA)
        write_parquet(results / "shards" / f"{shard_name(number)}.parquet", table)
    index = pa.Table.from_pylist(rows, schema=SHARD_INDEX_SCHEMA)
    write_parquet(results / "shards" / SHARD_INDEX_NAME, index)
    (results / "cohort.parquet").write_bytes(b"read by no dry run")
    (results / index_mark(load_config(config).cohort)).write_text("")
    return config


def _load(number: int) -> dict[str, int]:
    size = SERIES * SIZE_BYTES
    return {"shard": number, "n_series": SERIES, "bytes": size, "largest_bytes": SIZE_BYTES}


def _members(number: int) -> list[dict[str, Any]]:
    ids = [f"{number * SERIES + one:06d}" for one in range(SERIES)]
    return [
        {
            "series_id": f"big_sub-{one}_T1w", "subject": one, "contrast": "T1w",
            "source_path": f"/data/{one}.nii.gz", "source_kind": "nifti",
            "size_bytes": SIZE_BYTES, "mtime_ns": 1, "shard": number,
        }
        for one in ids
    ]  # fmt: skip


def dry_run(config: Path) -> tuple[float, str]:
    """Milliseconds and output of one dry run."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SOURCE / "Snakefile")]
    command += ["--configfile", config.name, "--profile", str(SOURCE / "profiles" / "local"), "-n"]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=config.parent, env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return (time.perf_counter() - start) * 1000, done.stdout + done.stderr


def run() -> list[dict[str, Any]]:
    """Time and memory, big and small cohort alternating."""
    times: dict[int, list[float]] = {1: [], SHARDS: []}
    with tempfile.TemporaryDirectory() as scratch:
        configs = {}
        for shards in times:
            folder = Path(scratch) / str(shards)
            folder.mkdir()
            configs[shards] = make_cohort(folder, shards)
        for _ in range(ROUNDS):
            for shards, config in configs.items():
                times[shards].append(dry_run(config)[0])
    # of the largest child so far: the big dry run
    memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    ours, floor = median(times[SHARDS]), median(times[1])
    what = f"{SHARDS * SERIES} series in {SHARDS} shards, {2 * SHARDS + 2} jobs"
    return [
        {
            "name": "dry_run_50000_series", "ours_ms": ours, "peer_ms": None, "floor_ms": floor,
            "ratio": ours / 10_000, "target": "<= 1",
            "note": f"{what}; ratio: of the allowed 10 s; floor: one shard",
        },
        {
            "name": "dry_run_50000_series_memory", "ours_ms": None, "peer_ms": None,
            "floor_ms": None, "ratio": memory_mb / 500, "target": "<= 1",
            "note": f"{memory_mb:.0f} MB resident at most; ratio: of the allowed 500 MB",
        },
    ]  # fmt: skip


if __name__ == "__main__":
    for result in run():
        print(result)
