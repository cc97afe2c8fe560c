"""A whole shard: every series has its row, and the store is complete or absent."""

import errno
import fcntl
import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from image_files import blob, convert_files, nifti_bytes, save

from mriqa.config import ConvertSection
from mriqa.errors import UserError
from mriqa.images import convert, placing, writing
from mriqa.images.budget import MemoryBudget
from mriqa.images.convert import CONVERT_SCHEMA, convert_shard
from mriqa.images.store import open_store
from mriqa.images.writing import StoreWriteError


def good(folder, n=4):
    return {
        f"s{i}": save(folder / f"{i}.nii.gz", nifti_bytes(blob(seed=i), dim_info=48))
        for i in range(n)
    }


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_every_series_has_a_row_in_the_order_of_the_manifest(tmp_path):
    files = good(tmp_path) | {"bad": save(tmp_path / "b.nii", b"text" * 200)}
    files |= {"gone": tmp_path / "gone.nii", "last": save(tmp_path / "l.nii", nifti_bytes(blob()))}
    store, rows = convert_files(files, tmp_path)
    table = pq.read_table(tmp_path / "status.parquet")
    assert table.schema.equals(CONVERT_SCHEMA)
    assert table["series_id"].to_pylist() == list(files)
    statuses = {series_id: row["status"] for series_id, row in rows.items()}
    assert statuses == dict.fromkeys(files, "ok") | {"bad": "failed", "gone": "failed"}
    assert set(zarr.open_group(store).array_keys()) == set(files) - {"bad", "gone"}
    for series_id, row in rows.items():
        failed = row["status"] == "failed"
        assert (row["error_code"] is not None) == failed
        assert (row["n_slices"] is None) == failed
        if not failed:
            content = files[series_id].read_bytes()
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
            assert row["source_bytes"] == len(content)
            sizes = [path.stat().st_size for path in (store / series_id).iterdir()]
            assert (row["stored_bytes"], row["stored_files"]) == (sum(sizes), len(sizes))
    assert hidden(tmp_path) == []


def test_an_empty_shard_gives_an_empty_store_and_table(tmp_path):
    store, rows = convert_files({}, tmp_path)
    assert rows == {}
    assert list(zarr.open_group(store).array_keys()) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_files_give_the_same_store(tmp_path, threads):
    files = good(tmp_path)
    first = digest(convert_files(files, tmp_path / "a", threads=1)[0])
    assert digest(convert_files(files, tmp_path / "b", threads=threads)[0]) == first


def digest(store):
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def test_a_second_run_replaces_the_store(tmp_path):
    files = good(tmp_path)
    convert_files(files, tmp_path)
    changed = nifti_bytes(blob(seed=9), scl_slope=3)
    save(files["s1"], changed)
    del files["s3"]
    store, rows = convert_files(files, tmp_path)
    assert set(rows) == {"s0", "s1", "s2"}
    assert set(zarr.open_group(store).array_keys()) == {"s0", "s1", "s2"}
    expected = blob(seed=9).transpose(2, 1, 0)
    assert np.array_equal(open_store(store).series("s1").volume(), expected * np.float32(3))
    assert hidden(tmp_path) == []


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [
        (writing, "write_object", full_disk),
        (Path, "write_text", full_disk),
        (placing, "sync_tree", full_disk),
        (writing.zarr, "create_group", full_disk),
    ],
)
def test_a_full_disk_stops_the_job_and_leaves_the_old_store(
    tmp_path, monkeypatch, owner, name, failure
):
    files = good(tmp_path)
    store, _ = convert_files(files, tmp_path)
    before = digest(store)
    monkeypatch.setattr(owner, name, failure)
    with pytest.raises(StoreWriteError, match="disk or quota is full; make room and run again"):
        convert_files(files, tmp_path)
    monkeypatch.undo()
    assert digest(store) == before
    assert hidden(tmp_path) == []


def test_no_status_claims_a_store_that_was_not_finished(tmp_path, monkeypatch):
    files = good(tmp_path)
    monkeypatch.setattr(writing, "write_object", full_disk)
    with pytest.raises(StoreWriteError):
        convert_files(files, tmp_path)
    assert not (tmp_path / "shard-00000.zarr").exists()
    assert not (tmp_path / "status.parquet").exists()


def test_a_disk_that_gives_back_other_bytes_stops_the_job(tmp_path, monkeypatch):
    """Something between writing and reading back changes one byte in the middle."""
    real = writing.write_object

    def faulty(path, *arguments):
        real(path, *arguments)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    monkeypatch.setattr(writing, "write_object", faulty)
    with pytest.raises(StoreWriteError, match="gave back other bytes.*wrong checksum"):
        convert_files(good(tmp_path), tmp_path)
    assert not (tmp_path / "shard-00000.zarr").exists()
    assert not (tmp_path / "status.parquet").exists()


def test_another_job_on_the_same_store_is_refused(tmp_path):
    files = good(tmp_path)
    store, _ = convert_files(files, tmp_path)
    before = digest(store)
    with (tmp_path / ".shard-00000.zarr.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another job is writing this store"):
            convert_files(files, tmp_path)
    assert digest(store) == before


def test_leftovers_of_killed_jobs_are_removed_and_those_of_other_shards_kept(tmp_path):
    ours = tmp_path / ".shard-00000.zarr.part-0123456789ab" / "s0"
    others = tmp_path / ".shard-00001.zarr.part-0123456789ab" / "s0"
    for folder in (ours, others):
        folder.mkdir(parents=True)
        (folder / "c.0.0.0").write_bytes(b"half")
    convert_files(good(tmp_path), tmp_path)
    assert not ours.exists()
    assert others.exists()


def test_a_file_that_is_no_manifest_is_a_user_error(tmp_path):
    bad = save(tmp_path / "shard-00000.parquet", b"no parquet")
    with pytest.raises(UserError, match="cannot be read .*if it is a shard manifest, index again"):
        convert_shard(
            bad, tmp_path / "s.zarr", tmp_path / "st", settings=ConvertSection(), threads=1,
            mem_mb=500,
        )  # fmt: skip


def test_memory_claims_never_exceed_the_budget(tmp_path, monkeypatch):
    held = []

    class Watched(MemoryBudget):
        def claim(self, n_bytes):
            held.append((n_bytes, self.total_bytes))
            assert n_bytes <= self.total_bytes
            return super().claim(n_bytes)

    monkeypatch.setattr(convert, "job_budget", lambda _: Watched(15_000))
    _, rows = convert_files(good(tmp_path, 6), tmp_path, threads=4)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert len(held) == 6
    assert rows["s0"]["stored_files"] == 2
    monkeypatch.setattr(convert, "job_budget", lambda _: Watched(6_000))
    _, rows = convert_files(good(tmp_path, 2), tmp_path, threads=2)
    assert rows["s0"]["stored_files"] > 2  # smaller objects instead of more memory


def test_budget_serves_in_turn_and_frees_after_errors():
    budget = MemoryBudget(100)
    with budget.claim(60), budget.claim(40):
        pass
    with pytest.raises(ValueError, match="inside"), budget.claim(100):
        raise ValueError("inside")
    with budget.claim(500):  # more than there is: all of it, alone
        pass
