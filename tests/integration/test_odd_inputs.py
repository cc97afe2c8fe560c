"""Every file of shared/data/odd ends as the row that is expected of it."""

import pytest
from image_files import convert_files

from mriqa.images.store import open_store

OK = None
EXPECTED = {
    "GE_14_Ax_T2_FLAIR_FS_DL_Off.nii.gz": OK,
    "Ph_201_T1W_TSE_Sno_CSno_CSAIno.nii.gz": OK,
    "Ph_401_T1W_FFE_Sno_CS2.nii.gz": OK,  # compressed sensing
    "Ph_501_T1W_FFE_Sno_CS4.nii.gz": OK,
    "annex_pointer_T1w.nii.gz": "annex_pointer",
    "complex.nii.gz": "complex_values",
    "ge_dwi_2slice_spikes.nii.gz": OK,  # two slices are a volume
    "ge_phase_not_magnitude.nii.gz": OK,  # nothing in the file says that it is phase
    "mriqc_ds000005_header_only_T1w.nii.gz": "too_small",  # 4 x 4 x 4 ones
    "rgb_test_file.nii.gz": "rgb_values",
    "shear.nii.gz": OK,
    "truncated_gzip_T1w.nii.gz": "truncated",
    "zero_byte.nii.gz": "empty_file",
    "nibabel/anatomical.nii": OK,  # big-endian
    "nibabel/csa_slice_norm.dcm": "unsupported_format",
    "nibabel/decimal_rescale.dcm": "unsupported_format",
    "nibabel/example4d.nii.gz": OK,  # with extensions
    "nibabel/example_nifti2.nii.gz": OK,
    "nibabel/functional.nii": OK,
    "nibabel/minc1-no-att.mnc": "unsupported_format",
    "nibabel/minc2_baddim.mnc": "unsupported_format",
    "nibabel/phantom_truncated.PAR": "unsupported_format",
    "nibabel/phantom_truncated.REC": "not_an_image",  # raw voxels without any header
    "nibabel/philips_mprage.dcm.gz": "unsupported_format",
    "nibabel/reoriented_anat_moved.nii": OK,  # big-endian float32
    "nibabel/siemens_dwi_1000.dcm.gz": "unsupported_format",
    "nibabel/slicethickness_empty_string.dcm": "unsupported_format",
    "nibabel/standard.nii.gz": "too_small",
    "nibabel/test.mgz": "unsupported_format",
    "nibabel/tiny.mnc": "unsupported_format",
    "orient/ALS.nii.gz": OK,
    "orient/LPI.nii.gz": OK,
    "orient/PRI.nii.gz": OK,
    "orient/RAS.nii.gz": OK,
    "orient/RPS.nii.gz": OK,
}
NO_IMAGES = {".bval", ".bvec"}


@pytest.fixture(scope="module")
def converted(real_data, tmp_path_factory):
    odd = real_data / "odd"
    files = {
        str(path.relative_to(odd)): path
        for path in sorted(odd.rglob("*"))
        if path.is_file() and path.suffix not in NO_IMAGES
    }
    return convert_files(files, tmp_path_factory.mktemp("odd"))


def test_every_odd_file_is_in_the_table(converted):
    assert set(converted[1]) == set(EXPECTED)


@pytest.mark.parametrize(("name", "code"), EXPECTED.items())
def test_odd_file(converted, name, code):
    row = converted[1][name]
    assert row["error_code"] == code
    assert row["status"] == ("ok" if code is OK else "failed")
    if code is not OK:
        assert name in row["error_message"]


@pytest.mark.parametrize("name", ["ALS", "LPI", "PRI", "RAS", "RPS"])
def test_orientation_codes_are_those_of_the_name(converted, name):
    attributes = open_store(converted[0]).series(f"orient/{name}.nii.gz").attributes
    assert attributes.source_orientation == name
    assert attributes.stored_orientation[0] in "IS"  # about isotropic: axial slices


def test_byte_order_is_kept_in_mind(converted):
    store = open_store(converted[0])
    assert store.series("nibabel/anatomical.nii").attributes.byte_order == "big"
    assert store.series("nibabel/functional.nii").attributes.byte_order == "little"
