"""Every real volume there and back: identical header, extensions, voxels and affine."""

import nibabel as nib
import numpy as np
import pytest
from image_files import convert_files, inflated

from mriqa.errors import UserError
from mriqa.images.export import export_series
from mriqa.images.store import open_store


@pytest.fixture(scope="module")
def converted(real_data, tmp_path_factory):
    files = {
        str(path.relative_to(real_data)): path
        for path in sorted(real_data.rglob("*.nii*"))
        if "odd" not in path.parts or path.stat().st_size > 30_000
    }
    return files, *convert_files(files, tmp_path_factory.mktemp("round_trip"))


def test_every_readable_volume_comes_back_identical(converted, tmp_path):
    files, store, rows = converted
    good = [series_id for series_id, row in rows.items() if row["status"] == "ok"]
    assert len(good) >= 55
    for series_id in good:
        target = tmp_path / "back.nii.gz"
        export_series(store, series_id, target)
        assert inflated(target) == inflated(files[series_id]), series_id


def test_values_and_affine_are_those_that_nibabel_reads(converted):
    files, store, rows = converted
    for series_id in ("dwi/siemens_prisma_HFS.nii.gz", "t1w/studyforrest_T1w.nii.gz",
                      "body/renal_t2w_sub01.nii.gz", "odd/nibabel/anatomical.nii"):  # fmt: skip
        assert rows[series_id]["status"] == "ok"
        image = nib.load(files[series_id])
        series = open_store(store).series(series_id)
        values = image.get_fdata(dtype=np.float32).reshape(*image.shape[:3], -1)
        axes = series.attributes.source_axes
        for t in {0, series.attributes.n_volumes - 1}:
            wanted = values[..., t].transpose(axes)
            assert np.allclose(series.volume(t), wanted, rtol=1e-6, atol=1e-6)
            assert np.array_equal(series.slice(t, 3), series.volume(t)[3])
        assert np.allclose(series.attributes.affine, image.affine, atol=1e-5)


def test_files_a_series_are_few(converted):
    for row in converted[2].values():
        if row["status"] == "ok":
            voxels = row["n_volumes"] * row["n_slices"] * row["n_rows"] * row["n_columns"]
            mib = voxels * np.dtype(row["dtype"]).itemsize / 2**20
            assert row["stored_files"] <= 3 + mib // 64, row["series_id"]


ZEROED = ("t1w/open_ms", "t1w/qap/anat_", "t1w/studyforrest")
RECORDED = ("dwi/siemens", "dwi/dti", "body/fetal/sub-01_run-1_T2w.", "body/renal", "body/ukat",
            "body/sct", "body/totalseg", "t1w/qap/mean_functional", "odd/ge_dwi")  # fmt: skip


def test_zeroed_background_is_told_from_recorded_air(converted):
    _, store, rows = converted
    checked = 0
    for series_id, row in rows.items():
        if row["status"] == "ok" and series_id.startswith(ZEROED + RECORDED):
            attributes = open_store(store).series(series_id).attributes
            assert attributes.background_zeroed == series_id.startswith(ZEROED), series_id
            checked += 1
    assert checked > 25


def test_real_slice_axes(converted):
    _, store, _ = converted
    for series_id, axis, orientation in (
        ("t1w/studyforrest_T1w.nii.gz", "i", "LSA"),  # 0.7 x 0.667 x 0.667 mm, sagittal
        ("body/ukat_dual_echo/ge_01__00720__Magnitude_ims__B0_map_dual_echo_e1.nii.gz", "k", "PSL"),
        ("body/sct_spine_t2.nii.gz", "j", "SRP"),  # isotropic: axial
        ("t1w/open_ms/patient01_study1_T1W.nii.gz", "k", "SPL"),
    ):
        attributes = open_store(store).series(series_id).attributes
        assert (attributes.slice_axis, attributes.stored_orientation) == (axis, orientation)


def test_export_refuses_other_names_and_unknown_series(converted, tmp_path):
    store = converted[1]
    with pytest.raises(UserError, match=r"must end with \.nii or \.nii\.gz"):
        export_series(store, "dwi/small_64D.nii", tmp_path / "x.mgz")
    with pytest.raises(UserError, match="no series 'no such id' in this shard"):
        export_series(store, "no such id", tmp_path / "x.nii")
    assert list(tmp_path.iterdir()) == []
