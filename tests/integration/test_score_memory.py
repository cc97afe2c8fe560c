"""A score job keeps to its memory, whatever the length of a 4D series."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest

from mriqa.cohort.index import index_cohort
from mriqa.config import CohortSection, ConvertSection, ScoreSection, TableSource, section_json
from mriqa.images.convert import convert_shard
from mriqa.rating.score import score_shard

MEM_MB = 256
SHAPE = (96, 96, 48, 900)  # int16: 796 MB, three times MEM_MB

# ru_maxrss would begin with the memory of the test's own process
RUN = """
import re, sys
from mriqa.cli import main
code = main(sys.argv[1:])
print(code, int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def long_series(path: Path) -> None:
    """A noisy ball that turns a little from volume to volume, written volume by volume."""
    rng = np.random.default_rng(0)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE[:3]), indexing="ij")
    ball = np.where(sum(axis**2 for axis in grid) < 0.5, 500, 0)
    base = np.abs(ball + rng.normal(0, 20, SHAPE[:3])).astype(np.int16)
    image = nibabel.Nifti1Image(np.zeros((1, 1, 1, 1), np.int16), np.diag([2.0, 2, 3, 1]))
    header = image.header
    header.set_data_shape(SHAPE)
    header.set_zooms((2, 2, 3, 1))
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with path.open("wb") as out:
        out.write(header.binaryblock + bytes(4))
        for shift in range(SHAPE[3]):
            out.write(np.roll(base, shift % 7, axis=0).tobytes(order="F"))


def converted(folder: Path, contrast: str, name: str) -> tuple[Path, Path, Path]:
    """Index and convert one file; its manifest, store and status."""
    table = folder / "series.csv"
    table.write_text(f"subject,contrast,path\n1,{contrast},{name}\n")
    section = CohortSection(name="m", sources=(TableSource(kind="table", path=table),))
    index_cohort(section, folder / "r")
    manifest = folder / "r" / "shards" / "shard-00000.parquet"
    store, status = folder / "store.zarr", folder / "status.parquet"
    convert_shard(manifest, store, status, settings=ConvertSection(), threads=2, mem_mb=2000)
    return manifest, store, status


@pytest.mark.slow
def test_a_series_of_three_times_the_bound(tmp_path):
    long_series(tmp_path / "bold.nii")
    manifest, store, status = converted(tmp_path, "bold", "bold.nii")
    output = tmp_path / "scores.parquet"
    done = subprocess.run(
        [
            *[sys.executable, "-c", RUN, "score", manifest, "--store", store],
            *["--convert-status", status, "--output", output, "--threads", "2"],
            *["--mem-mb", str(MEM_MB), "--settings", section_json(ScoreSection(slices=False))],
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    code, peak_mb = json.loads(f"[{done.stdout.split()[-2]}, {done.stdout.split()[-1]}]")
    scores = pq.read_table(output)
    assert code == 0, done.stderr
    assert scores.num_rows == SHAPE[3]
    assert set(scores["status"].to_pylist()) == {"ok"}
    assert peak_mb <= MEM_MB


def test_a_volume_that_does_not_fit_is_a_row(tmp_path):
    volume = np.random.default_rng(0).integers(0, 400, (200, 200, 60)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([2.0, 2, 3, 1])), tmp_path / "one.nii")
    manifest, store, status = converted(tmp_path, "T1w", "one.nii")
    output = tmp_path / "scores.parquet"
    score_shard(manifest, store, status, output, settings=ScoreSection(), threads=1, mem_mb=160)
    (row,) = pq.read_table(output).to_pylist()
    assert (row["status"], row["error_code"]) == ("failed", "out_of_memory")
    assert "raise resources.score_mem_mb" in row["error_message"]
    assert "one.nii" in row["error_message"]
