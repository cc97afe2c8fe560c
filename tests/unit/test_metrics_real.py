"""The metrics on real volumes: brain, abdomen, fetus, diffusion."""

import nibabel
import numpy as np
import pytest

from mriqa.metrics import body_of, measure
from mriqa.metrics.diffusion import compare_shell
from mriqa.metrics.regions import find_regions

ZEROED = (
    "t1w/open_ms/patient01_study1_T1W.nii.gz",
    "t1w/open_ms/patient12_study1_FLAIR.nii.gz",
    "t1w/qap/anat_reorient.nii.gz",
)
ACQUIRED = (
    "body/renal_t2w_sub01.nii.gz",
    "body/totalseg_example_mr_sm.nii.gz",
    "body/fetal/sub-01_run-1_T2w.nii.gz",
    "body/ukat_dual_echo/siemens_01__0044_bh_b0map_fa3_default_bh_b0map_fa3_default_e1.nii.gz",
    "dwi/siemens_prisma_HFS.nii.gz",
    "dwi/dti_tra_dir16_AP_9_134431.nii.gz",
)


def load(folder, name, volume=0):
    """(z, y, x) with the last axis of the file as slices."""
    image = np.asarray(nibabel.load(folder / name).dataobj, dtype=np.float32)
    image = image if image.ndim == 3 else image[..., volume]
    return np.ascontiguousarray(image.T)


def of(volume):
    return measure(volume, (1.0, 1.0, 1.0), upper=99.0)


@pytest.mark.parametrize("name", ZEROED)
def test_a_background_that_the_provider_zeroed_is_found(real_data, name):
    measured = of(load(real_data, name))
    assert measured.background == "zeroed"
    assert measured.volume["body_snr"] is None
    assert measured.volume["body_snr_tissue"] > 5


@pytest.mark.parametrize("name", ACQUIRED)
def test_air_that_was_acquired_is_measured(real_data, name):
    measured = of(load(real_data, name))
    assert measured.background == "air"
    assert measured.volume["body_snr"] > 5
    assert measured.volume["body_fber"] > 5
    assert 0.15 < measured.volume["body_foreground_fraction"] < 0.9


def test_the_foreground_agrees_with_qaps_head(real_data):
    head = load(real_data, "t1w/qap/skull_only_mask.nii.gz") > 0
    regions = find_regions(np.maximum(load(real_data, "t1w/qap/anat_reorient.nii.gz"), 0))
    assert regions.block == 1
    both = (regions.body & head).sum()
    assert both > 0.98 * head.sum()
    assert 2 * both > 0.92 * (head.sum() + regions.body.sum())


def test_the_foreground_holds_a_fetal_brain(real_data):
    brain = load(real_data, "body/fetal/sub-01_run-1_T2w_desc-brain_mask.nii.gz") > 0
    volume = load(real_data, "body/fetal/sub-01_run-1_T2w.nii.gz")
    regions = find_regions(np.maximum(volume, 0))
    body = regions.body.repeat(regions.block, 1).repeat(regions.block, 2)
    brain = brain[:, : body.shape[1], : body.shape[2]]
    assert (body & brain).sum() > 0.99 * brain.sum()


def test_diffusion_weighting_lowers_the_snr(real_data):
    name = "dwi/siemens_prisma_HFS.nii.gz"
    plain, weighted = (of(load(real_data, name, volume)).volume for volume in (0, 5))
    assert weighted["body_snr"] < 0.6 * plain["body_snr"]
    assert weighted["body_snr_tissue"] < plain["body_snr_tissue"]


def test_a_dark_slice_of_a_real_diffusion_volume_is_found(real_data):
    volume = load(real_data, "dwi/siemens_prisma_HFS.nii.gz", 5)
    clean = of(volume)
    volume[12] *= 0.5
    dropped = of(volume)
    assert clean.volume["body_slice_dropout"] < 0.1
    assert int(np.nanargmax(dropped.slices["body_slice_dropout"])) == 12
    assert dropped.volume["body_slice_dropout"] == pytest.approx(0.5, abs=0.05)


def test_a_fetus_that_moved_between_the_turns_is_torn(real_data):
    """Of the three runs the first is, in the slices of the second half: looked at by eye."""
    torn, *whole = (
        of(load(real_data, f"body/fetal/sub-01_run-{run}_T2w.nii.gz")) for run in (1, 3, 5)
    )
    values = torn.slices["body_slice_tearing"]
    assert np.median(values[10:-1]) > np.median(values[1:8]) + 0.03
    for one in whole:
        assert np.median(values[10:-1]) > np.nanmax(one.slices["body_slice_tearing"])


def test_interslice_motion_in_a_real_diffusion_volume_stands_out(real_data):
    name = "dwi/siemens_prisma_HFS.nii.gz"
    usual = [
        of(load(real_data, name, place)).volume["body_slice_tearing"] for place in range(1, 13)
    ]
    volume = load(real_data, name, 6)
    volume[1::2] = np.roll(volume[1::2], 2, axis=1)
    moved = of(volume).volume["body_slice_tearing"]
    assert moved > max(usual) + 3 * np.std(usual)


@pytest.mark.parametrize("name", ["siemens_prisma_HFS", "dti_tra_dir16_AP_9_134431"])
def test_in_a_real_series_the_darkened_slices_alone_are_outliers(real_data, name):
    n_volumes = len((real_data / f"dwi/{name}.bval").read_text().split())
    weighted = [load(real_data, f"dwi/{name}.nii.gz", place) for place in range(1, n_volumes)]
    body = body_of(load(real_data, f"dwi/{name}.nii.gz", 0))

    def outliers(volumes):
        signal = [
            measure(one, (1.0, 1.0, 1.0), upper=99.0, shared_body=body).signal for one in volumes
        ]
        return np.argwhere(compare_shell(np.stack(signal)).is_outlier).tolist()

    assert outliers(weighted) == []
    last = len(body) - 6  # beside one another, near the end of what is body
    for z in (last, last + 1):
        weighted[5][z] *= 0.6
    assert outliers(weighted) == [[5, last], [5, last + 1]]
