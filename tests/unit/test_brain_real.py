"""The brain metrics on real heads: sane values, and noise and shading move them the right way."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from brain_phantoms import shading

from mriqa.metrics.brain import measure_brain
from mriqa.metrics.brain.air import up_of_affine
from mriqa.metrics.brain.tissue import estimate_tissue

BRAINS = {
    "open_ms/patient01_study1_T1W.nii.gz": "T1w",
    "open_ms/patient01_study1_T2W.nii.gz": "T2w",
    "open_ms/patient12_study1_T1W.nii.gz": "T1w",
    "qap/anat_reorient.nii.gz": "T1w",
    "studyforrest_T1w.nii.gz": "T1w",
}
LARGE = "studyforrest_T1w.nii.gz"
"""40 million voxels: half a minute."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.slow] if n == LARGE else []) for n in BRAINS],
)
def brain(request, real_data):
    """Volume, spacing, tissue and values of one real head."""
    image = nibabel.load(real_data / "t1w" / request.param)
    volume = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).T)
    spacing = tuple(float(mm) for mm in image.header.get_zooms()[2::-1])
    up = up_of_affine(image.affine)
    tissue = estimate_tissue(volume, spacing, BRAINS[request.param], up=up)
    return volume, spacing, tissue, measure_brain(volume, spacing, tissue).values


def test_values_are_sane(brain):
    _, spacing, tissue, values = brain
    millilitres = np.count_nonzero(tissue.brain) * np.prod(spacing) / 1000
    # The blurred skull of QAP's 3 mm volume is taken for brain here and there.
    assert 1100 < millilitres < 2200
    assert values["brain_tissue_null_reason"] is None
    assert 0.15 < values["icvs_csf"] < 0.40
    assert 0.30 < values["icvs_gm"] < 0.50
    assert 0.25 < values["icvs_wm"] < 0.45
    assert 2 < values["snr_total"] < 25
    assert values["snr_wm"] > values["snr_csf"]
    assert 0.2 < values["cjv"] < 1.2
    assert 0.4 < values["efc"] < 0.9
    assert 0.05 < values["inu_range"] < 1
    assert values["inu_med"] == pytest.approx(1, abs=0.1)
    assert 850 < values["summary_wm_median"] < 1100
    assert 1 < values["fwhm_avg"] < 6


def test_the_background_that_the_provider_zeroed_is_found(brain):
    *_, values = brain
    assert values["brain_air_null_reason"] == "zeroed_background"
    for name in ("snrd_total", "cnr", "fber", "qi_1", "summary_bg_mad"):
        assert values[name] is None


def test_noise_lowers_snr_and_smoothness(brain):
    volume, spacing, tissue, values = brain
    white = volume[tissue.brain][tissue.probabilities[2] > 0.9].mean()
    found = [values]
    for share in (0.05, 0.1, 0.2):
        noise = np.random.default_rng(1).normal(0, share * white, (2, *volume.shape))
        noisy = np.hypot(volume + noise[0], noise[1]).astype(np.float32)
        found.append(measure_brain(noisy, spacing, tissue).values)
    for name in ("snr_wm", "snr_gm", "snr_total", "fwhm_avg"):
        series = [one[name] for one in found]
        assert series == sorted(series, reverse=True), name
    cjv = [one["cjv"] for one in found]
    assert cjv == sorted(cjv)


def test_shading_raises_the_joint_variation(brain):
    volume, spacing, tissue, _ = brain
    found = []
    for strength in (0.0, 0.5, 1.0):
        shaded = volume * shading(volume.shape, strength)
        found.append(measure_brain(shaded, spacing, tissue).values["cjv"])
    assert found == sorted(found)
    assert found[-1] > 1.1 * found[0]


def test_without_the_bias_field_the_tissues_vary_more(brain):
    volume, spacing, tissue, values = brain
    plain = measure_brain(volume, spacing, replace(tissue, bias=None)).values
    assert plain["snr_wm"] < 1.1 * values["snr_wm"]
    assert plain["inu_range"] is None


@pytest.mark.parametrize("name", ["siemens_prisma_HFS", "dti_tra_dir16_AP_9_134431"])
def test_air_that_was_acquired_is_measured(real_data, name):
    """A diffusion series' volume without weighting has T2 contrast, and air around the head."""
    image = nibabel.load(real_data / "dwi" / f"{name}.nii.gz")
    volume = np.ascontiguousarray(np.asarray(image.dataobj[..., 0], dtype=np.float32).T)
    spacing = tuple(float(mm) for mm in image.header.get_zooms()[2::-1])
    tissue = estimate_tissue(volume, spacing, "T2w", up=up_of_affine(image.affine))
    values = measure_brain(volume, spacing, tissue).values
    assert values["brain_air_null_reason"] is None
    assert all(value is not None for key, value in values.items() if "reason" not in key)
    assert values["snrd_total"] > 20
    assert values["fber"] > 100
    assert values["qi_1"] < 0.05
    # A ghost in the air above the face is an artifact.
    ghosted = volume + 0.2 * np.roll(volume, volume.shape[1] // 2, axis=1)
    again = estimate_tissue(ghosted, spacing, "T2w", up=(0, 1), brain=tissue.brain)
    worse = measure_brain(ghosted, spacing, again).values
    assert worse["qi_1"] > values["qi_1"] + 0.02
    assert worse["fber"] < 0.8 * values["fber"]
