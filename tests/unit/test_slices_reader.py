"""Single slices of a store: the same values as Zarr gives, damage is an error, few open files."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from image_files import blob, convert_files, nifti_bytes, save

from mriqa.config import ConvertSection
from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.array_names import store_array_name
from mriqa.images.slices import SliceReader, StoredFiles
from mriqa.images.store import open_store

SLABS = "demo_sub-01_T1w"
SERIES = (SLABS, "demo_sub-01_T2w", "demo_sub-01_dwi", "demo_sub-02_T2w")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    noisy = blob(n_volumes=3).astype("f4")
    noisy[0, 0, 0, 1] = np.nan
    images = {
        SLABS: nifti_bytes(blob((70, 60, 150), seed=1)),
        "demo_sub-01_T2w": nifti_bytes(blob(), dim_info=0b110000),
        "demo_sub-01_dwi": nifti_bytes(noisy, scl_slope=2.0, scl_inter=-10.0),
        "demo_sub-02_T2w": nifti_bytes(blob(dtype="u1", n_volumes=2), order=">"),
    }
    files = {name: save(folder / f"{name}.nii", content) for name, content in images.items()}
    return convert_files(files, folder, settings=ConvertSection(object_mb=1))[0]


@pytest.fixture
def copied(store, tmp_path):
    return Path(shutil.copytree(store, tmp_path / "copy.zarr"))


@pytest.fixture
def opens_no_zarr(monkeypatch):
    def refuse(_):
        raise AssertionError("the store was opened the slow way")

    monkeypatch.setattr("mriqa.images.slices.open_store", refuse)


@pytest.mark.parametrize("series_id", SERIES)
def test_slices_are_those_that_zarr_reads(store, series_id, opens_no_zarr):
    series, reader = open_store(store).series(series_id), SliceReader(store, series_id)
    n_slices = series.attributes.shape_zyx[0]
    for t in range(series.attributes.n_volumes):
        stored, volume = series.stored(t), series.volume(t)
        for z in np.random.default_rng(0).permutation(n_slices).tolist():
            assert np.array_equal(reader.read(t, z), stored[z], equal_nan=True)
            assert np.array_equal(reader.slice(t, z), volume[z], equal_nan=True)
            assert reader.slice(t, z).dtype == np.float32


def test_the_long_series_stands_in_several_objects(store):
    assert len(list((store / store_array_name(SLABS)).glob("c.*"))) > 1


def test_attributes_are_the_series_own(store):
    ours = SliceReader(store, "demo_sub-01_dwi").attributes
    theirs = open_store(store).series("demo_sub-01_dwi").attributes
    assert (ours.percentiles, ours.spacing_mm) == (theirs.percentiles, theirs.spacing_mm)


@pytest.mark.parametrize(("t", "z"), [(-1, 0), (3, 0), (0, -1), (0, 9)])
def test_a_slice_that_is_not_there_is_an_index_error(store, t, z):
    with pytest.raises(IndexError, match="3 volumes of 9 slices"):
        SliceReader(store, "demo_sub-01_dwi").read(t, z)


def flip(place):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        flip(-20),
        flip(-1),
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-50]),
    ],
    ids=["index", "index checksum", "missing", "empty", "cut"],
)
def test_an_object_without_its_index_gives_no_slice(copied, damage):
    damage(copied / "demo_sub-01_dwi" / "c.0.0.0.0")
    reader = SliceReader(copied, "demo_sub-01_dwi")
    for z in range(9):
        with pytest.raises(SeriesError, match="demo_sub-01_dwi: cannot be read back") as caught:
            reader.read(1, z)
        assert caught.value.code is ErrorCode.STORE_DAMAGED


@pytest.mark.parametrize("place", [0, 20, 100, 1000])
def test_a_flipped_bit_fails_its_own_slice_alone(store, copied, place):
    flip(place)(copied / "demo_sub-01_dwi" / "c.0.0.0.0")
    good, bad = (SliceReader(path, "demo_sub-01_dwi") for path in (store, copied))
    messages = []
    for t, z in np.ndindex(3, 9):
        try:
            values = bad.read(t, z)
        except SeriesError as error:
            messages.append((f"slice {z} of volume {t}", error.message))
        else:
            assert np.array_equal(values, good.read(t, z), equal_nan=True)
    assert len(messages) == 1
    assert messages[0][0] in messages[0][1]


def test_a_file_cut_after_its_index_was_read_gives_no_slice(copied):
    reader = SliceReader(copied, "demo_sub-01_dwi")
    reader.read(0, 0)
    os.truncate(copied / "demo_sub-01_dwi" / "c.0.0.0.0", 40)
    with pytest.raises(SeriesError, match="cut short"):
        reader.read(2, 8)


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"attributes": {}}', '{"attributes": {"a": 1}, "shape": []}']
)
def test_damaged_metadata_are_a_series_error(copied, content):
    path = copied / "demo_sub-01_dwi" / "zarr.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SeriesError, match="demo_sub-01_dwi: cannot be read back"):
        SliceReader(copied, "demo_sub-01_dwi")


CHECKED = zarr.codecs.Crc32cCodec()


def rewrite(store, **options):
    """The series as another program may write it."""
    group = zarr.open_group(store)
    values, attributes = group["demo_sub-01_T2w"][:], dict(group["demo_sub-01_T2w"].attrs)
    array = group.create_array(
        "demo_sub-01_T2w", shape=(9, 10, 12), dtype="i2", overwrite=True, attributes=attributes,
        chunk_key_encoding={"name": "default", "separator": "."}, **options,
    )  # fmt: skip
    array[:] = values
    return values


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (1, 10, 12), "compressors": [zarr.codecs.ZstdCodec(), CHECKED]},
        {"chunks": (1, 10, 6), "compressors": [zarr.codecs.BloscCodec(), CHECKED]},
    ],
    ids=["another codec", "half slices"],
)
def test_another_layout_with_checksums_is_read_the_slow_way(copied, options):
    values = rewrite(copied, shards=(9, 10, 12), **options)
    reader = SliceReader(copied, "demo_sub-01_T2w")
    for z in range(9):
        assert np.array_equal(reader.read(0, z), values[z])


def test_a_layout_without_checksums_is_refused(copied):
    rewrite(copied, chunks=(1, 10, 12))
    with pytest.raises(SeriesError, match="cannot be read back"):
        SliceReader(copied, "demo_sub-01_T2w").read(0, 0)


def test_slices_that_a_writer_left_out_are_zero(copied, opens_no_zarr):
    """Other writers of the same layout leave out slices of zeros."""
    path = copied / "demo_sub-01_T2w"
    content = json.loads((path / "zarr.json").read_text())
    (path / "c.0.0.0").unlink()
    zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"})
    try:
        array = zarr.open_array(path, mode="r+", config={"write_empty_chunks": False})
        array[4] = 7
    finally:
        zarr.config.reset()
    assert json.loads((path / "zarr.json").read_text()) == content
    reader = SliceReader(copied, "demo_sub-01_T2w")
    assert [int(reader.read(0, z).max()) for z in range(9)] == [0, 0, 0, 0, 7, 0, 0, 0, 0]


def open_files(store):
    links = (os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
    return [link for link in links if link.startswith(str(store))]


def test_only_so_many_files_stay_open(copied):
    files = StoredFiles(limit=2)
    readers = [SliceReader(copied, name, files) for name in SERIES]
    good = [reader.read(0, 3).copy() for reader in readers]
    assert len(open_files(copied)) == 2
    for _ in range(3):
        for reader, values in zip(readers, good, strict=True):
            assert np.array_equal(reader.read(0, 3), values, equal_nan=True)
            assert len(open_files(copied)) == 2
    files.close()
    assert open_files(copied) == []
    assert np.array_equal(readers[0].read(0, 3), good[0])


def test_files_are_closed_with_the_last_reader(copied):
    reader = SliceReader(copied, SLABS)
    reader.read(0, 0)
    assert len(open_files(copied)) == 1
    del reader
    assert open_files(copied) == []


def test_a_reader_works_in_another_process(copied):
    reader = SliceReader(copied, SLABS)
    expected = reader.read(0, 5).copy()
    sent = pickle.loads(pickle.dumps(reader))
    reader._files.close()
    assert np.array_equal(sent.read(0, 5), expected)
