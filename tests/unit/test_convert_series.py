"""One series at a time: which row it gives, whatever its file is."""

import gzip
import os

import numpy as np
import pytest
import zarr
from image_files import blob, convert_files, nifti_bytes, save, series_of

from mriqa.config import ConvertSection
from mriqa.errors import ErrorCode
from mriqa.images import convert
from mriqa.images.budget import MemoryBudget
from mriqa.images.convert import CONVERT_SCHEMA, Conversion
from mriqa.images.layout import MIB
from mriqa.images.source import MAX_TRAILING
from mriqa.images.store import open_store

GOOD = nifti_bytes(blob())


def packed(content):
    """Gzipped without the time: pytest names cases by their bytes, equal in every worker."""
    return gzip.compress(content, mtime=0)


def row_of(path, folder, *, memory=64 * MIB, settings=None, **columns):
    series = series_of(path, folder, **columns)
    conversion = Conversion(folder / "s.zarr", settings or ConvertSection(), MemoryBudget(memory))
    row = conversion.convert(series)
    assert set(row) <= set(CONVERT_SCHEMA.names)
    if row["status"] != "ok":
        assert not (folder / "s.zarr" / "s1").exists()
    return row


def refused(content, folder, name="x.nii.gz"):
    path = folder / name
    path.write_bytes(content)
    row = row_of(path, folder)
    assert row["status"] == "failed"
    assert row["error_message"].startswith(f"{path}: ")
    return row["error_code"]


def broken_crc(packed):
    return packed[:-8] + bytes(4) + packed[-4:]


BAD_FILES = [
    ("empty_file", b""),
    ("not_an_image", b"subject,age\n" * 100),
    ("not_an_image", b"short"),
    ("not_an_image", packed(b"subject,age\n" * 100)),
    ("not_an_image", packed(b"")),
    ("not_an_image", bytes(10_000)),
    ("not_an_image", b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    ("annex_pointer", b"/annex/objects/MD5E-s900--d41d8cd98f00b204e9800998ecf8427e.nii.gz\n"),
    ("annex_pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"),
    ("unsupported_format", bytes(128) + b"DICM" + bytes(1000)),
    ("unsupported_format", b"\x89HDF\r\n\x1a\n" + bytes(1000)),
    ("unsupported_format", b"NRRD0004\n" + bytes(1000)),
    ("impossible_header", b"\x5d\x01" + GOOD[2:]),
    ("truncated", GOOD[:400]),
    ("truncated", GOOD[:-1]),
    ("truncated", packed(GOOD[:-1])),
    ("truncated", packed(GOOD)[:20]),
    ("truncated", packed(GOOD)[:500]),
    ("truncated", packed(GOOD)[:-4]),
    ("corrupt_gzip", broken_crc(packed(GOOD))),
    ("corrupt_gzip", packed(GOOD)[:-4] + bytes(4)),
    ("corrupt_gzip", packed(GOOD) + b"no zeros and no member, for sure"),
    ("corrupt_gzip", b"\x1f\x8b\x08\x00" + bytes(500)),
    ("truncated", nifti_bytes(blob(), dim=[3, 1200, 1000, 900, 1, 1, 1, 1])),
    ("truncated", packed(nifti_bytes(blob(), dim=[3, 3000, 3000, 3000, 1, 1, 1, 1]))),
    ("impossible_header", GOOD + bytes(MAX_TRAILING + 1)),
    ("impossible_header", packed(GOOD + bytes(50 * MIB))),
    ("constant", nifti_bytes(np.full((9, 9, 9), 7, "i2"))),
    ("constant", nifti_bytes(np.where(blob() < 9, np.nan, 7).astype("f4"))),
    ("all_nonfinite", nifti_bytes(np.full((9, 9, 9), np.nan, "f4"))),
    ("all_nonfinite", nifti_bytes(np.full((9, 9, 9, 2), np.inf, "f8"))),
    ("too_small", nifti_bytes(blob((7, 12, 9)))),
]


@pytest.mark.parametrize(("code", "content"), BAD_FILES, ids=lambda value: str(value)[:30])
def test_a_bad_file_becomes_a_failed_row(code, content, tmp_path):
    assert refused(content, tmp_path) == ErrorCode(code)


ODD_FILES = {
    "gzipped .nii": ("x.nii", packed(GOOD)),
    "plain .nii.gz": ("x.nii.gz", GOOD),
    "two members": ("x.nii.gz", packed(GOOD[:700]) + packed(GOOD[700:])),
    "member boundary in the header": (
        "x.nii.gz",
        packed(GOOD[:9]) + packed(GOOD[9:]),
    ),
    "an empty member": ("x.nii.gz", packed(b"") + packed(GOOD)),
    "zeros after gzip": ("x.nii.gz", packed(GOOD) + bytes(512)),
    "bytes after the image": ("x.nii.gz", packed(GOOD + b"tail" * 9)),
    "unicode and spaces": ("Käfer 1 ☂ (T2w).nii.gz", packed(GOOD)),
    "no suffix": ("image", GOOD),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_an_unusual_file_is_accepted(kind, tmp_path):
    name, content = ODD_FILES[kind]
    path = tmp_path / name
    path.write_bytes(content)
    row = row_of(path, tmp_path)
    assert row["status"] == "ok", row
    assert (row["n_volumes"], row["n_slices"], row["n_rows"], row["n_columns"]) == (1, 9, 10, 12)
    assert row["stored_files"] == 2


def test_a_file_that_vanished_is_missing(tmp_path):
    path = save(tmp_path / "x.nii.gz", GOOD)
    series = series_of(path, tmp_path)
    path.unlink()
    row = Conversion(tmp_path, ConvertSection(), MemoryBudget(MIB)).convert(series)
    assert row["error_code"] == ErrorCode.FILE_MISSING


def test_an_annexed_link_without_content_is_a_pointer(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.symlink_to(".git/annex/objects/Vz/x/MD5E-s9--ab.nii.gz")
    assert row_of(path, tmp_path)["error_code"] == ErrorCode.ANNEX_POINTER


def test_a_folder_or_pipe_in_place_of_the_file_is_unreadable(tmp_path):
    (tmp_path / "folder.nii.gz").mkdir()
    os.mkfifo(tmp_path / "pipe.nii.gz")
    for name in ("folder.nii.gz", "pipe.nii.gz"):
        assert row_of(tmp_path / name, tmp_path)["error_code"] == ErrorCode.FILE_UNREADABLE


def test_a_file_without_permission_is_unreadable(tmp_path, monkeypatch):
    path = save(tmp_path / "x.nii.gz", GOOD)
    real_open = os.open

    def refuse(name, *args, **kwargs):
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied")
        return real_open(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    row = row_of(path, tmp_path)
    assert row["error_code"] == ErrorCode.FILE_UNREADABLE
    assert "Permission denied" in row["error_message"]


@pytest.mark.parametrize("column", ["size_bytes", "mtime_ns"])
def test_a_file_that_is_not_the_indexed_one_is_refused(column, tmp_path):
    path = save(tmp_path / "x.nii.gz", GOOD)
    row = row_of(path, tmp_path, **{column: 12345})
    assert row["error_code"] == ErrorCode.SOURCE_CHANGED
    assert "index again" in row["error_message"]


def test_what_index_knew_is_passed_on(tmp_path):
    path = save(tmp_path / "x.nii.gz", GOOD)
    row = row_of(path, tmp_path, error_code="duplicate_id", error_message="two files")
    assert (row["status"], row["error_code"]) == ("failed", "duplicate_id")
    assert row["error_message"] == "two files"
    row = row_of(path, tmp_path, excluded_by="withdrawn")
    assert (row["status"], row["error_code"]) == ("excluded", None)


def test_memory_that_runs_out_is_a_row(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(convert, "store_series", exhausted)
    row = row_of(save(tmp_path / "x.nii.gz", GOOD), tmp_path)
    assert row["error_code"] == ErrorCode.OUT_OF_MEMORY


def test_a_volume_that_cannot_be_cut_within_the_memory_is_refused(tmp_path):
    path = save(tmp_path / "x.nii", nifti_bytes(blob((40, 40, 40))))
    settings = ConvertSection(slice_axis={"T2w": "i"})
    row = row_of(path, tmp_path, memory=100_000, settings=settings)
    assert row["error_code"] == ErrorCode.OUT_OF_MEMORY
    assert "raise resources.convert_mem_mb" in row["error_message"]


def test_an_error_of_our_own_is_a_row_that_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "plan_series", lambda *_: 1 / 0)
    row = row_of(save(tmp_path / "x.nii.gz", GOOD), tmp_path)
    assert row["error_code"] == ErrorCode.INTERNAL
    assert "ZeroDivisionError at test_convert_series.py" in row["error_message"]


def test_some_nonfinite_voxels_are_accepted_and_counted(tmp_path):
    voxels = blob(dtype="f4")
    voxels[:6] = np.nan
    path = save(tmp_path / "x.nii.gz", nifti_bytes(voxels))
    store, rows = convert_files({"a": path}, tmp_path)
    assert rows["a"]["status"] == "ok"
    assert open_store(store).series("a").attributes.nonfinite_fraction == 0.5


def test_a_bad_volume_does_not_fail_a_good_series(tmp_path):
    voxels = blob(dtype="f4", n_volumes=3)
    voxels[..., 1] = np.nan
    voxels[..., 2] = 5
    path = save(tmp_path / "x.nii.gz", nifti_bytes(voxels))
    store, rows = convert_files({"a": path}, tmp_path)
    assert rows["a"]["status"] == "ok"
    percentiles = open_store(store).series("a").attributes.percentiles
    assert percentiles[0] is not None
    assert percentiles[1:] == (None, None)


def test_slice_axis_of_a_contrast_is_overridden(tmp_path):
    path = save(tmp_path / "x.nii.gz", GOOD)
    settings = ConvertSection(slice_axis={"T2w": "i", "T1w": "j"})
    store, rows = convert_files({"a": path}, tmp_path, settings=settings)
    attributes = open_store(store).series("a").attributes
    assert attributes.slice_axis == "i"
    assert attributes.shape_zyx == (12, 9, 10)
    assert attributes.spacing_mm == (2, 3, 2)
    assert (rows["a"]["n_slices"], rows["a"]["spacing_y_mm"]) == (12, 3.0)


@pytest.mark.parametrize(("codec", "cname"), [("blosc-zstd", "zstd"), ("blosc-lz4", "lz4")])
def test_codec_is_the_configured_one(codec, cname, tmp_path):
    path = save(tmp_path / "x.nii.gz", GOOD)
    store, _ = convert_files({"a": path}, tmp_path, settings=ConvertSection(codec=codec))
    codecs = zarr.open_group(store)["a"].metadata.codecs[0].codecs
    assert codecs[1].cname.value == cname
    assert np.array_equal(open_store(store).series("a").stored(), blob().transpose(2, 1, 0))
