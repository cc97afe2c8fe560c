"""Brain metrics with a mask or tissue maps of the user: what is taken, and what is refused."""

import numpy as np
import pytest
from brain_phantoms import SPACING_MM, make_head, scan, shading

from mriqa.errors import MapsError, SeriesError
from mriqa.metrics.brain import measure_brain
from mriqa.metrics.brain.given import Given, checked_maps, checked_mask, tissue_of_given
from mriqa.metrics.brain.tissue import estimate_tissue

SHAPE = (60, 72, 64)
UP = (0, 1)
NAMES = ("csf.nii", "gm.nii", "wm.nii")


@pytest.fixture(scope="module", params=["T1w", "T2w"])
def scanned(request):
    head = make_head(SHAPE, request.param)
    bias = shading(SHAPE, 0.4)
    return request.param, head, bias, scan(head, 25.0, bias)


def tissue(scanned, **given):
    contrast, _, _, volume = scanned
    return tissue_of_given(volume, SPACING_MM, contrast, Given(**given), up=UP)


def spread(field):
    low, high = np.percentile(field, (5, 95))
    return high / low


def test_without_anything_it_is_our_own(scanned):
    contrast, _, _, volume = scanned
    ours = estimate_tissue(volume, SPACING_MM, contrast, up=UP)
    found = tissue(scanned)
    np.testing.assert_array_equal(found.probabilities, ours.probabilities)
    assert Given().source == "own"


def test_tissues_are_looked_for_in_the_mask_alone(scanned):
    _, head, _, _ = scanned
    mask = sum(head.maps) > 0.5
    mask[:, :, : SHAPE[2] // 2] = False
    found = tissue(scanned, brain=mask)
    assert not (found.brain & ~mask).any()
    assert found.brain.sum() > 0.9 * mask.sum()
    assert Given(mask).source == "mask"


def test_maps_are_taken_as_they_are(scanned):
    _, head, _, _ = scanned
    found = tissue(scanned, maps=head.maps)
    for given, taken in zip(head.maps, found.probabilities, strict=True):
        np.testing.assert_array_equal(given[found.brain], taken)
    assert not (found.air & head.head).any()
    assert Given(None, head.maps).source == "maps"


def test_maps_end_at_the_mask(scanned):
    _, head, _, _ = scanned
    mask = sum(head.maps) > 0.5
    mask[: SHAPE[0] // 2] = False
    found = tissue(scanned, brain=mask, maps=head.maps)
    np.testing.assert_array_equal(found.brain, mask & (sum(head.maps) > 0))


def test_the_bias_field_is_found_from_the_users_tissues(scanned):
    contrast, head, *_ = scanned
    bias = shading(SHAPE, 1.2)
    found = tissue((contrast, head, bias, scan(head, 25.0, bias)), maps=head.maps)
    brain = found.brain
    assert spread(bias[brain]) > 1.4
    assert spread(found.bias[brain] / bias[brain]) < 1.1


def test_the_metrics_of_true_maps_tell_the_noise(scanned):
    contrast, head, bias, _ = scanned
    values = [
        measure_brain(volume, SPACING_MM, tissue((contrast, head, bias, volume), maps=head.maps))
        for volume in (scan(head, 15.0, bias), scan(head, 45.0, bias))
    ]
    quiet, loud = (one.values for one in values)
    assert quiet["snr_wm"] > 1.3 * loud["snr_wm"]
    assert quiet["cjv"] < loud["cjv"]
    assert quiet["brain_inu_null_reason"] is None


def test_a_volume_without_intensities_is_refused_as_ever(scanned):
    contrast, head, _, volume = scanned
    with pytest.raises(SeriesError):
        tissue_of_given(
            np.zeros_like(volume), SPACING_MM, contrast, Given(sum(head.maps) > 0.5), up=UP
        )


def ones(value=1.0):
    return np.full((12, 12, 12), value, np.float32)


def holed(value):
    volume = ones(0.5)
    volume[3, 4, 5] = value
    return volume


@pytest.mark.parametrize(
    ("values", "reason", "told"),
    [
        (holed(np.nan), "maps_values", "m.nii: 1 values are not finite"),
        (holed(np.inf), "maps_values", "1 values are not finite"),
        (ones(255), "maps_values", "from 255 to 255; a brain mask holds 0 and 1"),
        (holed(-0.1), "maps_values", "from -0.1 to 0.5"),
        (ones(0), "maps_empty", "holds 0 voxels of brain; 1000 are needed"),
        (holed(1), "maps_empty", "holds 1 voxels"),
    ],
)
def test_a_bad_mask_is_refused(values, reason, told):
    with pytest.raises(MapsError, match=told) as caught:
        checked_mask(values, "m.nii")
    assert caught.value.reason == reason


def test_a_mask_is_where_more_than_half_is_brain():
    assert checked_mask(ones(0.6), "m").all()
    assert checked_mask(ones(1.0005), "m").all()


@pytest.mark.parametrize(
    ("maps", "reason", "told"),
    [
        ((ones(0.2), holed(np.nan), ones(0.2)), "maps_values", "gm.nii: 1 values"),
        ((ones(0.2), ones(0.2), ones(100)), "maps_values", "wm.nii: it reaches from 100 to 100"),
        ((ones(0.4), ones(0.4), ones(0.4)), "maps_values", "sum up to 1.2 in some voxel"),
        ((ones(0), ones(0), ones(0)), "maps_empty", "csf.nii: .* hold 0 voxels"),
    ],
)
def test_bad_maps_are_refused(maps, reason, told):
    with pytest.raises(MapsError, match=told) as caught:
        checked_maps(maps, NAMES)
    assert caught.value.reason == reason


def test_rounding_is_no_fault():
    csf, gm, wm = checked_maps((ones(-5e-4), ones(1.0005), ones(0)), NAMES)
    assert (csf.min(), gm.max(), wm.max()) == (0, 1, 0)


def test_mask_and_maps_must_overlap(scanned):
    _, head, _, _ = scanned
    corner = np.zeros(SHAPE, bool)
    corner[:10, :12, :12] = True
    with pytest.raises(MapsError, match="brain mask: the tissue maps inside of it hold 0 voxels"):
        tissue(scanned, brain=corner, maps=head.maps)
