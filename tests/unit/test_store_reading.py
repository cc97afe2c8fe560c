"""The store as its readers meet it: names, attributes, scaled values, damage."""

import json
import shutil

import numpy as np
import pytest
import zarr
from image_files import blob, convert_files, nifti_bytes, save

from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.array_names import MAX_NAME, store_array_name
from mriqa.images.store import open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    voxels = blob(n_volumes=3).astype("f4")
    voxels[0, 0, 0, 1] = np.nan
    files = {
        "demo_sub-01_T2w": save(folder / "a.nii.gz", nifti_bytes(blob(), dim_info=0b110000)),
        "demo_sub-01_dwi": save(
            folder / "b.nii", nifti_bytes(voxels, scl_slope=2.0, scl_inter=-10.0)
        ),
        "demo_sub-02_dir-AP/../x": save(folder / "c.nii", nifti_bytes(blob(seed=2))),
    }
    return convert_files(files, folder)[0]


def test_plain_zarr_reads_the_stored_values(store):
    array = zarr.open_group(store, mode="r")["demo_sub-01_T2w"]
    assert np.array_equal(array[:], blob().transpose(2, 1, 0))
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert array.chunks == (1, 10, 12)
    assert array.shards == (9, 10, 12)
    assert zarr.open_group(store, mode="r")["demo_sub-01_dwi"].shape == (3, 9, 10, 12)


def test_python_codecs_read_what_the_rust_codecs_wrote(store):
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        array = zarr.open_group(store, mode="r")["demo_sub-01_T2w"]
        assert np.array_equal(array[:], blob().transpose(2, 1, 0))


def test_attributes_say_what_the_source_was(store):
    attributes = open_store(store).series("demo_sub-01_dwi").attributes
    assert attributes.shape_zyx == (9, 10, 12)
    assert attributes.spacing_mm == (3.0, 2.0, 2.0)
    assert attributes.n_volumes == 3
    assert attributes.slice_axis == "k"
    assert (attributes.source_orientation, attributes.stored_orientation) == ("RAS", "SAR")
    assert (attributes.slope, attributes.inter, attributes.dtype) == (2.0, -10.0, "float32")
    assert attributes.affine[2] == (0.0, 0.0, 3.0, 0.0)
    assert attributes.nonfinite_fraction == pytest.approx(1 / (3 * 9 * 10 * 12))
    assert len(attributes.percentiles) == 3
    assert attributes.percentile(0, 50.0) == pytest.approx(2 * 80 - 10, rel=0.1)
    assert attributes.bvals is None


def test_volumes_and_slices_are_scaled_and_what_is_not_finite_is_nan(store):
    series = open_store(store).series("demo_sub-01_dwi")
    expected = blob(n_volumes=3).astype("f4").transpose(3, 2, 1, 0) * 2 - 10
    expected[1, 0, 0, 0] = np.nan
    for t in range(3):
        volume = series.volume(t)
        assert volume.dtype == np.float32
        assert np.array_equal(volume, expected[t], equal_nan=True)
        assert np.array_equal(series.slice(t, 4), expected[t, 4], equal_nan=True)
    assert np.array_equal(
        open_store(store).series("demo_sub-01_T2w").slice(0, 3), blob().transpose(2, 1, 0)[3]
    )


@pytest.mark.parametrize("t", [-1, 3])
def test_a_volume_that_is_not_there_is_an_index_error(store, t):
    with pytest.raises(IndexError, match="which has 3"):
        open_store(store).series("demo_sub-01_dwi").volume(t)


def damage_metadata(folder):
    (folder / "zarr.json").write_text("{")


def damage_attributes(folder):
    content = json.loads((folder / "zarr.json").read_text())
    del content["attributes"]["affine"]
    (folder / "zarr.json").write_text(json.dumps(content))


def damage_object(folder):
    path = folder / "c.0.0.0.0"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def remove_object(folder):
    (folder / "c.0.0.0.0").unlink()


def empty_object(folder):
    (folder / "c.0.0.0.0").write_bytes(b"")


def damage_index(folder):
    path = folder / "c.0.0.0.0"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def cut_object(folder):
    path = folder / "c.0.0.0.0"
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    "damage",
    [
        damage_metadata,
        damage_attributes,
        damage_object,
        damage_index,
        remove_object,
        cut_object,
        empty_object,
        shutil.rmtree,
    ],
)
def test_damage_is_an_error_and_never_other_values(store, tmp_path, damage):
    copy = tmp_path / "copy.zarr"
    shutil.copytree(store, copy)
    damage(copy / "demo_sub-01_dwi")

    def read_all():
        series = open_store(copy).series("demo_sub-01_dwi")
        return [series.volume(t) for t in range(3)]

    with pytest.raises(SeriesError, match="demo_sub-01_dwi: cannot be read back") as caught:
        read_all()
    assert caught.value.code is ErrorCode.STORE_DAMAGED
    open_store(copy).series("demo_sub-01_T2w").volume()


def test_a_store_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SeriesError, match=r"no\.zarr: cannot be read back"):
        open_store(tmp_path / "no.zarr")


def test_names_are_safe_and_differ_as_the_ids_do(store):
    ids = ["a/b", "a_b", "a%2Fb", "a b", "ä", "A", "..", ".", "__x", "_x", "~x", "x" * 300]
    ids += ["x" * 299 + "y", "c.0.0.0", "zarr.json"]
    names = [store_array_name(series_id) for series_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert len(name) <= MAX_NAME
        assert name.isascii()
        assert "/" not in name
        assert not name.startswith((".", "_"))
    assert open_store(store).series("demo_sub-02_dir-AP/../x").attributes.n_volumes == 1
