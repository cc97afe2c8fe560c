"""The brain metrics against the values that QAP publishes for its own test volume and masks."""

import json

import nibabel
import numpy as np
import pytest

from mriqa.metrics.brain import ratios, smoothness


@pytest.fixture(scope="module")
def load(real_data):
    def read(name):
        file = real_data / "t1w/qap" / f"{name}.nii.gz"
        return np.ascontiguousarray(np.asarray(nibabel.load(file).dataobj, dtype=np.float32).T)

    return read


@pytest.fixture(scope="module")
def expected(real_data):
    return json.loads((real_data / "tables/qap_expected_values.json").read_text())


def test_efc_is_qaps(load, expected):
    found = ratios.efc(load("anat_reorient"))
    assert found == pytest.approx(
        expected["efc"]["value"], abs=10.0 ** -expected["efc"]["decimals"]
    )


def test_smoothness_is_what_afni_found(load, expected):
    """QAP's values come from 3dFWHMx: the one check of our estimate against AFNI itself."""
    z, y, x = smoothness.fwhm(load("anat_reorient"), load("qap_head_mask") > 0)
    in_voxels = expected["fwhm_vox"]
    assert (x, y, z) == pytest.approx((in_voxels["x"], in_voxels["y"], in_voxels["z"]), rel=1e-5)
    in_mm = expected["fwhm_mm(afni 3dFWHMx)"]
    assert (3 * x, 3 * y, 3 * z) == pytest.approx((in_mm["x"], in_mm["y"], in_mm["z"]), rel=1e-5)
    # AFNI combines by the geometric mean; MRIQC, and we, by the arithmetic one.
    assert np.cbrt(x * y * z) == pytest.approx(in_voxels["avg"], rel=1e-5)


def test_qaps_fber_divides_by_the_wrong_number_of_voxels(load, expected):
    """Its background energy is summed over the background, but divided by the others' number."""
    image = load("anat_reorient").astype(np.float64)
    head, outside = load("skull_only_mask") > 0, load("qap_head_mask") == 0
    energy, background = (image[head] ** 2).mean(), (image[outside] ** 2).sum()
    as_published = energy / (background / (image.size - outside.sum()))
    assert as_published == pytest.approx(expected["fber"]["value"], rel=1e-6)
    as_defined = energy / (background / outside.sum())
    assert as_defined == pytest.approx(694.717, rel=1e-5)
    # MRIQC's medians have no value here: more than half of this background is exactly zero.
    middle = float(np.median(image[outside] ** 2))
    assert middle == 0
    assert ratios.fber(float(np.median(image[head] ** 2)), middle) is None


def test_the_ratios_of_scalars_are_qaps(expected):
    """QAP's CNR has the air's deviation alone in its denominator, MRIQC's the tissues' too."""
    given = expected["cnr_from_scalars"]
    found = ratios.cnr(given["mean_wm"], given["mean_gm"], given["std_bg"], 0.0, 0.0)
    assert found == pytest.approx(given["value"])
    plain = expected["snr_from_scalars"]
    found = ratios.snr(plain["fg_mean"], plain["bg_std"], 1e12)
    assert found == pytest.approx(plain["value"])
