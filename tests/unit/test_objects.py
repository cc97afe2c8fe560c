"""Stored objects: every Zarr reader reads them, and the check after writing sees any change."""

import json

import google_crc32c
import numpy as np
import pytest
import zarr

from mriqa.images.layout import plan_layout
from mriqa.images.objects import difference, write_object
from mriqa.images.writing import SeriesWriter, array_metadata

PIPELINES = ["zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs.ZarrsCodecPipeline"]
GRID = (2, 5)


def bits(shape, dtype, seed=0):
    """Any bit pattern, so NaN with payloads and infinities too; half of each slice is plain."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    raw[..., shape[-1] // 2 :, :] = 7
    return raw.view(dtype)[..., 0]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("codec", ["blosc-zstd", "blosc-lz4"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "u8"])
@pytest.mark.parametrize(
    ("n_volumes", "slices_an_object"),
    [(1, 7), (1, 3), (5, 14), (5, 4)],  # with objects beyond the edge in t, and in z
)
def test_every_zarr_reader_reads_what_was_written(
    tmp_path, pipeline, codec, dtype, n_volumes, slices_an_object
):
    values = bits((n_volumes, 7, 9, 12), dtype)
    slice_bytes = values[0, 0].nbytes
    layout = plan_layout(n_volumes, (7, 9, 12), values.itemsize, slices_an_object * slice_bytes)
    writer = SeriesWriter(tmp_path, "s", layout, values.dtype, codec)
    blocks = list(layout.blocks())
    for block in blocks:
        writer.write(block, values[block.t0 : block.t1, block.z0 : block.z1])
    metadata = array_metadata(layout, values.dtype, codec)
    (tmp_path / "s" / "zarr.json").write_text(json.dumps(metadata))
    assert len(list((tmp_path / "s").iterdir())) == len(blocks) + 1
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        array = zarr.open_array(tmp_path / "s", mode="r")
        assert array[...].tobytes() == values.tobytes()
        last = array[-1] if n_volumes == 1 else array[-1, -1]
        assert last.tobytes() == values[-1, -1].tobytes()


@pytest.fixture
def written(tmp_path):
    values = bits((2, 4, 9, 12), "f4")
    path = tmp_path / "c.0.0.0.0"
    write_object(path, values, GRID, "blosc-zstd")
    assert difference(path, values, GRID) is None
    return path, values


def test_a_single_wrong_bit_anywhere_is_seen(written):
    path, values = written
    good = path.read_bytes()
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        assert difference(path, values, GRID), place


def test_a_missing_cut_or_longer_object_is_seen(written):
    path, values = written
    good = path.read_bytes()
    for content in (b"", good[:100], good[:-1], good[1:], good + b"\0"):
        path.write_bytes(content)
        assert difference(path, values, GRID), len(content)
    path.unlink()
    assert difference(path, values, GRID) == "is missing"


@pytest.mark.parametrize(("place", "entry"), [((0, 1), (0, 0)), ((1, 3), None), ((0, 4), (0, 0))])
def test_a_wrong_index_with_a_right_checksum_is_seen(written, place, entry):
    """One slice in another's place, one left out, one too many."""
    path, values = written
    content = path.read_bytes()
    index = np.frombuffer(content[-164:-4], "<u8").reshape(*GRID, 2).copy()
    index[place] = 2**64 - 1 if entry is None else index[entry]
    path.write_bytes(content[:-164] + index.tobytes())
    with path.open("ab") as file:
        file.write(google_crc32c.value(index.tobytes()).to_bytes(4, "little"))
    assert difference(path, values, GRID)


def test_whole_objects_of_other_values_are_seen(written):
    path, values = written
    for change in (np.float32("-0.0"), np.uint32(0x7FC00001).view(np.float32)):
        other = values.copy()
        other[1, 3, 8, 11] = 0.0 if change == 0 else np.nan
        write_object(path, other, GRID, "blosc-lz4")
        assert difference(path, other, GRID) is None
        other[1, 3, 8, 11] = change
        assert difference(path, other, GRID) == "has other values in chunk 7"
    assert difference(path, values[:1], GRID)
    assert difference(path, values[:, :, :8], GRID)
