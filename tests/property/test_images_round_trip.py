"""Any NIfTI there and back: the same bytes, and the same values to every reader."""

import gzip
import struct
import tempfile
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import zarr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from image_files import inflated, nifti_bytes, save, series_of

from mriqa.config import ConvertSection
from mriqa.images.budget import MemoryBudget
from mriqa.images.convert import Conversion
from mriqa.images.export import export_series
from mriqa.images.nifti import DTYPES
from mriqa.images.store import open_store
from mriqa.images.writing import create_store

COMMENT = {order: struct.pack(f"{order}ii24s", 32, 6, b"by a scanner") for order in "<>"}
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A case is small already, and takes tens of milliseconds."""
AFFINES = [
    np.diag([2.0, 2.0, 3.0, 1.0]),
    np.array([[0, 0, 4, -3], [-1.5, 0, 0, 7], [0, 1.5, 0, 1], [0, 0, 0, 1]], float),
    np.array([[2, 0.7, 0, -20], [0, 2, 0.3, 5], [0, 0, -3, 7], [0, 0, 0, 1]], float),
]

sources = st.fixed_dictionaries(
    {
        "shape": st.tuples(*[st.integers(8, 13)] * 3),
        "n_volumes": st.sampled_from([None, 1, 2, 5]),
        "dtype": st.sampled_from(sorted(DTYPES.values())),
        "order": st.sampled_from("<>"),
        "version": st.sampled_from([1, 2]),
        "affine": st.sampled_from(AFFINES),
        "scaling": st.sampled_from([(0, 0), (float("nan"), 3), (1, 0), (-0.25, 1000), (3e4, -2)]),
        "comment": st.booleans(),
        "tail": st.sampled_from([b"", b"padding\0"]),
        "axis": st.sampled_from([None, "i", "j", "k"]),
        "memory": st.sampled_from([60_000, 2**20]),
        "gzipped": st.booleans(),
        "seed": st.integers(0, 2**32 - 1),
    }
)


def voxels_of(source):
    """Any bit pattern that the type has, NaN payloads and infinities too; a few are plain."""
    shape = source["shape"] + (() if source["n_volumes"] is None else (source["n_volumes"],))
    dtype = np.dtype(source["dtype"])
    rng = np.random.default_rng(source["seed"])
    raw = rng.integers(0, 256, int(np.prod(shape)) * dtype.itemsize, dtype=np.uint8)
    voxels = raw.view(dtype).reshape(shape)
    voxels[:2] = rng.integers(0, 100, voxels[:2].shape).astype(dtype)
    return voxels


@settings(max_examples=60, deadline=None, phases=NO_SHRINKING)
@given(sources)
def test_there_and_back(source):
    voxels = voxels_of(source)
    slope, inter = source["scaling"]
    content = nifti_bytes(
        voxels, source["affine"], version=source["version"], order=source["order"],
        extra=COMMENT[source["order"]] if source["comment"] else b"",
        scl_slope=slope, scl_inter=inter,
    ) + source["tail"]  # fmt: skip
    axes = {} if source["axis"] is None else {"T2w": source["axis"]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = save(folder / ("x.nii.gz" if source["gzipped"] else "x.nii"), content)
        store = folder / "s.zarr"
        create_store(store)
        budget = MemoryBudget(source["memory"])
        conversion = Conversion(store, ConvertSection(slice_axis=axes), budget)
        row = conversion.convert(series_of(path, folder))
        if row["error_code"] == "out_of_memory":  # cut across the file's order: see its own test
            assert source["memory"] == 60_000
            return
        assert row["status"] == "ok", row
        for target in ("y.nii.gz", "y.nii"):
            export_series(store, "s1", folder / target)
            assert inflated(folder / target) == content
        check_readers(store, voxels, content, source, folder)


def check_readers(store, voxels, content, source, folder):
    """What plain Zarr and `volume` give is what nibabel reads from the source."""
    series = open_store(store).series("s1")
    axes = series.attributes.source_axes
    four = voxels.reshape(*source["shape"], -1)
    stored = zarr.open_group(store, mode="r")["s1"][...].reshape(four.shape[3], -1)
    expected = four.transpose(3, *axes).reshape(four.shape[3], -1)
    assert stored.tobytes() == expected.tobytes()
    (folder / "n.nii").write_bytes(content)
    image = nib.load(folder / "n.nii")
    assert np.allclose(image.affine, series.attributes.affine, atol=1e-5)
    with np.errstate(all="ignore"):
        values = image.get_fdata(dtype=np.float64).reshape(four.shape)
        for t in range(four.shape[3]):
            wanted = values[..., t].transpose(axes).astype(np.float32)
            wanted[~np.isfinite(wanted)] = np.nan
            assert np.allclose(series.volume(t), wanted, rtol=1e-5, atol=1e-3, equal_nan=True)


@settings(max_examples=30, deadline=None, phases=NO_SHRINKING)
@given(st.lists(st.integers(0, 4_000), max_size=4), st.integers(0, 9))
def test_gzip_members_may_be_cut_anywhere(cuts, level):
    content = nifti_bytes(voxels_of({"shape": (12, 10, 9), "n_volumes": None, "dtype": "i2",
                                     "seed": 1}))  # fmt: skip
    ends = [0, *sorted(cuts), len(content)]
    members = [gzip.compress(content[a:b], level) for a, b in pairwise(ends)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x.nii.gz").write_bytes(b"".join(members))
        create_store(folder / "s.zarr")
        conversion = Conversion(folder / "s.zarr", ConvertSection(), MemoryBudget(2**20))
        row = conversion.convert(series_of(folder / "x.nii.gz", folder))
        assert row["status"] == "ok", row
        export_series(folder / "s.zarr", "s1", folder / "y.nii")
        assert (folder / "y.nii").read_bytes() == content
