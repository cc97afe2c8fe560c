"""The brain metrics against MRIQC's own functions, called with the same masks."""

from dataclasses import replace

import mriqc_functions
import nibabel
import numpy as np
import pytest
from brain_phantoms import SPACING_MM, make_head, scan, shading, tissue_of

from mriqa.metrics.brain import BRAIN_COLUMNS, measure_brain
from mriqa.metrics.brain.tissue import estimate_tissue

AGREEMENT = 1e-4
"""Ours computes in float32: where white matter's deviation is below a thousandth of its intensity,
which no scanner delivers, the last digits of MADs differ by more."""

NOT_IN_PYTHON = {"fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg"}
"""MRIQC has AFNI estimate these."""


@pytest.fixture(scope="module")
def peer():
    module = mriqc_functions.load()
    if module is None:
        pytest.skip(f"MRIQC's functions are not in {mriqc_functions.FOLDER}: `make test` puts them")
    return module


def compare(peer, volume, tissue):
    """Assert the agreement of every metric that MRIQC computes in Python."""
    ours = measure_brain(volume, SPACING_MM, tissue).values
    wm = np.zeros(volume.shape, np.float32)
    wm[tissue.brain] = tissue.probabilities[2]
    bias = 1 if tissue.bias is None else tissue.bias.astype(np.float64)
    image = mriqc_functions.harmonise(np.maximum(volume, 0) / bias, wm)
    theirs = mriqc_functions.measure(peer, mriqc_functions.inputs(image, tissue))
    for name, value in theirs.items():
        if ours[name] is not None:
            assert ours[name] == pytest.approx(value, rel=AGREEMENT, abs=1e-7), name
    return {name for name in theirs if ours[name] is not None}


def scanned(seed, contrast="T1w", sigma=20.0, noise_shift=0):
    head = make_head(seed=seed, contrast=contrast)
    bias = shading(head.signal.shape, 0.3 + 0.2 * seed)
    volume = scan(head, sigma, bias, seed + noise_shift)
    marked = np.zeros(volume.shape, bool)
    marked[-6:-1, 3:9, 3:12] = True
    marked &= head.air
    volume[marked] += 400
    frame = np.zeros(volume.shape, bool)
    frame[:, : 2 + seed] = True
    volume[frame] = 0
    return volume, tissue_of(head, bias, frame, marked)


@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_every_metric_agrees(peer, seed, contrast):
    volume, tissue = scanned(seed, contrast)
    compared = compare(peer, volume, tissue)
    numbers = {column.name for column in BRAIN_COLUMNS if column.kind == "float64"}
    assert compared == numbers - NOT_IN_PYTHON


def test_hard_masks_and_few_grey_values_agree(peer):
    """Then weighted quantiles often fall exactly between two values."""
    for seed in range(4):
        volume, tissue = scanned(seed)
        hard = np.eye(3, dtype=np.float32)[:, tissue.probabilities.argmax(axis=0)]
        coarse = np.where(tissue.frame, 0, np.round(volume / 90) * 90 + 45).astype(np.float32)
        compared = compare(peer, coarse, replace(tissue, probabilities=hard))
        assert len(compared) > 50


@pytest.mark.parametrize("sigma", [3.0, 80.0])
def test_little_and_much_noise_agree(peer, sigma):
    volume, tissue = scanned(1, sigma=sigma)
    assert len(compare(peer, volume, tissue)) > 50


def test_odd_and_even_numbers_of_voxels_agree(peer):
    volume, tissue = scanned(2)
    for cut in range(1, 4):
        air = tissue.air.copy()
        air.ravel()[np.flatnonzero(air)[:cut]] = False
        head = tissue.head.copy()
        head.ravel()[np.flatnonzero(head)[:cut]] = False
        compare(peer, volume, replace(tissue, air=air, head=head))


REAL = {
    "t1w/qap/anat_reorient": "T1w",
    "t1w/open_ms/patient01_study2_T1W": "T1w",
    "dwi/siemens_prisma_HFS": "T2w",
    "dwi/dti_tra_dir16_AP_9_134431": "T2w",
}


@pytest.mark.parametrize("name", REAL)
def test_real_brains_agree(peer, real_data, name):
    """On the tissues that mriqa finds itself; T1w volumes here have a zeroed background."""
    loaded = nibabel.load(real_data / f"{name}.nii.gz")
    volume = np.asarray(loaded.dataobj, dtype=np.float32)
    volume = np.ascontiguousarray((volume if volume.ndim == 3 else volume[..., 0]).T)
    spacing = tuple(float(mm) for mm in loaded.header.get_zooms()[2::-1])
    tissue = estimate_tissue(volume, spacing, REAL[name], up=(0, 1))
    compared = compare(peer, volume, tissue)
    assert {"snr_total", "cjv", "efc", "wm2max", "rpve_gm", "summary_wm_mad"} <= compared
    assert ("snrd_total" in compared) == name.startswith("dwi")
