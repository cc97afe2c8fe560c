"""A convert job in a process of its own: its peak memory, a kill, and a disk that fills up."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from image_files import blob, convert_files, manifest_of, nifti_bytes, save
from isal import igzip

from mriqa.images.store import open_store

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
JOB = """
import resource, sys
from pathlib import Path
from mriqa.config import ConvertSection
from mriqa.images.convert import convert_shard
manifest, store, status, threads, mem_mb, file_limit = sys.argv[1:]
if int(file_limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_limit), int(file_limit)))
convert_shard(Path(manifest), Path(store), Path(status), settings=ConvertSection(),
              threads=int(threads), mem_mb=int(mem_mb))
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak[0].split()[1]) // 1024)
"""
# Not getrusage's ru_maxrss: that begins with the memory of the process that started this one.


def start_job(manifest, folder, *, threads=2, mem_mb=1000, file_limit=0):
    arguments = [manifest, folder / "shard-00000.zarr", folder / "status.parquet", threads, mem_mb]
    return subprocess.Popen(
        [sys.executable, "-c", JOB, *map(str, arguments), str(file_limit)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def save_big(path, n_bytes, dtype="i2"):
    """A 4D series of about `n_bytes`, of a few noisy volumes again and again."""
    shape = (128, 128, 40)
    volumes = [blob(shape, dtype, seed) for seed in range(3)]
    n_volumes = n_bytes // volumes[0].nbytes + 1
    header = nib.Nifti1Header()
    header.set_data_dtype(volumes[0].dtype)
    header.set_data_shape((*shape, n_volumes))
    header.set_zooms((2, 2, 3, 1))
    header.set_sform(np.diag([2, 2, 3, 1]), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    with igzip.open(path, "wb", compresslevel=1) as file:
        file.write(header.binaryblock + bytes(4))
        for t in range(n_volumes):
            file.write(volumes[t % 3].tobytes(order="F"))
    return volumes, n_volumes


@pytest.mark.parametrize("n_series", [1, 2])
def test_a_series_of_three_times_the_memory_stays_within_it(tmp_path, n_series):
    mem_mb = 256
    volumes, n_volumes = save_big(tmp_path / "big.nii.gz", 3 * mem_mb * MIB // n_series)
    files = {f"big{number}": tmp_path / "big.nii.gz" for number in range(n_series)}
    job = start_job(manifest_of(files, tmp_path), tmp_path, mem_mb=mem_mb)
    out, errors = job.communicate()
    assert job.returncode == 0, errors
    assert int(out) <= mem_mb
    series = open_store(tmp_path / "shard-00000.zarr").series("big0")
    assert series.attributes.n_volumes == n_volumes
    for t in (0, n_volumes // 2, n_volumes - 1):
        assert np.array_equal(series.stored(t), volumes[t % 3].transpose(2, 1, 0))


def test_a_killed_job_leaves_nothing_that_looks_whole_and_the_next_finishes(tmp_path):
    files = {
        f"s{i}": save(tmp_path / f"{i}.nii.gz", nifti_bytes(blob((64, 64, 30), seed=i % 7)))
        for i in range(60)
    }
    job = start_job(manifest_of(files, tmp_path), tmp_path)
    while job.poll() is None and not list(tmp_path.glob(".shard-00000.zarr.part-*/s5/zarr.json")):
        time.sleep(0.005)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert job.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".shard-00000.zarr.part-*"))
    assert not (tmp_path / "shard-00000.zarr").exists()
    assert not (tmp_path / "status.parquet").exists()
    store, rows = convert_files(files, tmp_path)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert set(zarr.open_group(store).array_keys()) == set(files)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def assert_refused(job, folder, words):
    _, errors = job.communicate()
    assert job.returncode != 0
    assert "StoreWriteError" in errors
    assert words in errors
    assert [path.name for path in folder.iterdir() if "shard-00000.zarr" in path.name] == []
    assert not (folder / "status.parquet").exists()


def test_a_file_that_may_not_grow_stops_the_job(tmp_path):
    files = {"s": save(tmp_path / "s.nii.gz", nifti_bytes(blob((64, 64, 30))))}
    job = start_job(manifest_of(files, tmp_path), tmp_path, file_limit=20_000)
    assert_refused(job, tmp_path, "cannot be written (File too large)")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_job_with_a_clear_sentence(small_disk, tmp_path):
    files = {
        f"s{i}": save(tmp_path / f"{i}.nii.gz", nifti_bytes(blob((96, 96, 60), seed=i)))
        for i in range(6)
    }
    job = start_job(manifest_of(files, tmp_path), small_disk)
    assert_refused(job, small_disk, "the disk or quota is full; make room and run again")


def test_the_status_table_is_readable_and_complete_after_the_job(tmp_path):
    files = {"s": save(tmp_path / "s.nii.gz", nifti_bytes(blob())), "gone": tmp_path / "gone.nii"}
    job = start_job(manifest_of(files, tmp_path), tmp_path)
    job.communicate()
    assert job.returncode == 0  # a bad series is a row, not a failed job
    rows = pq.read_table(tmp_path / "status.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "failed"]
