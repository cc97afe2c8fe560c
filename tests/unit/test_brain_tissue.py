"""Tissues found without maps: on heads whose tissues are known, and what is refused."""

import numpy as np
import pytest
from brain_phantoms import SPACING_MM, make_head, scan, shading, tissue_of

from mriqa.errors import SeriesError
from mriqa.metrics.brain import measure_brain, mixture
from mriqa.metrics.brain.air import head_of
from mriqa.metrics.brain.bias import Field, field_on, fitted_field
from mriqa.metrics.brain.coarse import coarsened, field_in, grown, mask_on_voxels, shrunk
from mriqa.metrics.brain.tissue import estimate_tissue

SHAPE = (80, 96, 84)
UP = (0, 1)
COARSE_MM = (4.0, 4.0, 4.0)
"""With the small head of the phantom's default: as large as a real one."""


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


def maps_of(tissue):
    """Whole volumes `(3, z, y, x)`."""
    maps = np.zeros((3, *tissue.brain.shape), np.float32)
    maps[:, tissue.brain] = tissue.probabilities
    return maps


@pytest.fixture(scope="module", params=["T1w", "T2w"])
def found(request):
    head = make_head(SHAPE, request.param)
    bias = shading(SHAPE, 0.4)
    volume = scan(head, 25.0, bias)
    return head, bias, volume, estimate_tissue(volume, SPACING_MM, request.param, up=UP)


def test_the_brain_is_found(found):
    head, _, _, tissue = found
    brain = sum(head.maps) > 0.5
    assert dice(tissue.brain, brain) > 0.92


def test_the_tissues_are_found(found):
    head, _, _, tissue = found
    # Fluid is a thin rim here, half of it partial volume, and a surface leaves some of it out.
    for least, true, ours in zip((0.5, 0.9, 0.95), head.maps, maps_of(tissue), strict=True):
        assert dice(true > 0.5, ours > 0.5) > least


def test_probabilities_are_probabilities(found):
    *_, tissue = found
    assert tissue.probabilities.dtype == np.float32
    assert tissue.probabilities.min() >= 0
    np.testing.assert_allclose(tissue.probabilities.sum(axis=0), 1, atol=1e-5)


def test_the_bias_field_is_found_in_the_brain(found):
    _, bias, _, tissue = found
    ratio = tissue.bias[tissue.brain] / bias[tissue.brain]
    assert ratio.std() / ratio.mean() < 0.02


def test_head_and_air_do_not_overlap(found):
    head, _, _, tissue = found
    assert not (tissue.head & tissue.air).any()
    assert not (tissue.air & tissue.artifacts).any()
    assert (tissue.head & head.head).sum() > 0.95 * head.head.sum()
    assert (tissue.air & head.head).sum() < 0.01 * tissue.air.sum()
    # Above the plane of nasion and occiput only.
    assert not tissue.air[: SHAPE[0] // 4].any()


def test_metrics_of_found_tissues_are_near_those_of_true_ones(found):
    head, bias, volume, tissue = found
    ours = measure_brain(volume, SPACING_MM, tissue).values
    true = measure_brain(volume, SPACING_MM, tissue_of(head, bias)).values
    for name in ("cjv", "snr_wm", "icvs_gm", "icvs_wm", "wm2max", "efc"):
        assert ours[name] == pytest.approx(true[name], rel=0.35), name
    assert ours["inu_range"] == pytest.approx(true["inu_range"], rel=0.15)
    assert ours["snrd_wm"] == pytest.approx(true["snrd_wm"], rel=0.15)


def test_finding_them_twice_finds_the_same():
    head = make_head()
    volume = scan(head, 20.0, shading(head.signal.shape, 0.3))
    one, two = (estimate_tissue(volume, COARSE_MM, "T1w", up=UP) for _ in range(2))
    np.testing.assert_array_equal(one.brain, two.brain)
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    np.testing.assert_array_equal(one.bias, two.bias)


def test_the_callers_brain_is_kept_to():
    head = make_head()
    brain = sum(head.maps) > 0.5
    tissue = estimate_tissue(scan(head), COARSE_MM, "T1w", up=UP, brain=brain)
    assert not (tissue.brain & ~brain).any()
    assert tissue.brain.sum() > 0.98 * brain.sum()


def test_without_the_top_of_the_head_all_air_counts():
    head = make_head()
    volume = scan(head)
    known, unknown = (estimate_tissue(volume, COARSE_MM, "T1w", up=up) for up in (UP, None))
    assert unknown.air.sum() > 1.2 * known.air.sum()


def test_the_volume_is_not_changed():
    head = make_head()
    volume = scan(head)
    volume[0, 0, :3] = np.nan, -4.0, np.inf
    before = volume.copy()
    estimate_tissue(volume, COARSE_MM, "T1w", up=UP)
    np.testing.assert_array_equal(volume, before)


@pytest.mark.parametrize("level", [0.0, 100.0])
def test_a_volume_without_a_brain_is_refused(level):
    with pytest.raises(SeriesError, match="voxels of brain stand out"):
        estimate_tissue(np.full((12, 12, 12), level, np.float32), SPACING_MM, "T1w")


def test_a_mask_instead_of_a_brain_is_refused():
    z, y, x = np.mgrid[-1:1:50j, -1:1:50j, -1:1:50j]
    ball = (z**2 + y**2 + x**2 < 0.5).astype(np.float32)
    with pytest.raises(SeriesError, match="the brain has one intensity, 1: a mask"):
        estimate_tissue(ball, COARSE_MM, "T1w", brain=ball > 0)


def test_two_grey_values_are_no_error():
    head = make_head()
    brain = sum(head.maps) > 0.5
    two = np.where(head.maps[2] > 0.5, 900, 600).astype(np.float32) * brain
    tissue = estimate_tissue(two, COARSE_MM, "T1w", brain=brain)
    assert np.isfinite(tissue.probabilities).all()


def test_a_volume_of_noise_is_refused_or_measured():
    noise = np.abs(np.random.default_rng(0).normal(size=(40, 40, 40))).astype(np.float32)
    try:
        tissue = estimate_tissue(noise, SPACING_MM, "T2w")
        measure_brain(noise, SPACING_MM, tissue)
    except SeriesError:
        pass


def test_a_polynomial_field_is_recovered():
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 24, 22)), indexing="ij")
    logarithm = 0.1 * z - 0.2 * y * x + 0.15 * x**3 - 0.1 * z * y**2
    inside = z**2 + y**2 + x**2 < 0.9
    field = fitted_field(
        (logarithm + 0.7).astype(np.float32), np.ones(inside.shape, np.float32), inside
    )
    found = np.log(field_on(field, inside.shape))[inside]
    np.testing.assert_allclose(found, (logarithm - logarithm[inside].mean())[inside], atol=2e-3)


def test_beyond_the_brain_the_field_stays_as_it_is_at_its_box():
    inside = np.zeros((20, 20, 20), bool)
    inside[5:15, 5:15, 5:15] = True
    ramp = np.broadcast_to(np.linspace(0, 1, 20)[:, None, None], inside.shape).astype(np.float32)
    field = field_on(fitted_field(ramp, np.ones_like(ramp), inside), inside.shape)
    assert (np.diff(field[:, 10, 10]) > 0).sum() == 9
    np.testing.assert_allclose(field[:6, 10, 10], field[5, 10, 10])


def test_a_field_of_a_coarse_grid_fits_the_fine_one():
    field = Field(np.linspace(-0.1, 0.1, 20), np.full(3, -1.0), np.full(3, 1.0))
    coarse, fine = field_on(field, (8, 10, 12)), field_on(field, (16, 30, 24))
    blocks = coarsened(fine, (1.0, 2 / 3, 1.0)).image
    np.testing.assert_allclose(blocks, coarse, rtol=5e-3)


def test_blocks_become_voxels_again():
    volume = np.random.default_rng(1).normal(size=(11, 21, 19)).astype(np.float32)
    coarse = coarsened(volume, (2.0, 1.0, 0.5))
    assert coarse.factors == (1, 2, 4)
    assert coarse.image.shape == (11, 10, 4)
    assert coarse.image[3, 2, 1] == pytest.approx(volume[3, 4:6, 4:8].mean(), rel=1e-5)
    mask = mask_on_voxels(coarse.image > 0, coarse, volume.shape)
    assert mask.shape == volume.shape
    assert mask[3, 5, 7] == (coarse.image[3, 2, 1] > 0)
    ramp = np.broadcast_to(np.arange(10, dtype=np.float32)[None, :, None], (11, 10, 4))
    field = field_in(ramp, coarse, np.ones(volume.shape, bool)).reshape(volume.shape)
    np.testing.assert_allclose(field[0, 2:18, 0], np.arange(2, 18) / 2 - 0.25, atol=1e-6)
    some = np.random.default_rng(2).random(volume.shape) < 0.3
    np.testing.assert_array_equal(field_in(ramp, coarse, some), field[some])


def test_masks_grow_and_shrink_in_millimetres():
    mask = np.zeros((9, 15, 15), bool)
    mask[4, 7, 7] = True
    spacing = (3.0, 1.0, 1.0)
    ball = grown(mask, 3.0, spacing)
    assert ball[:, 7, 7].sum() == 3
    assert ball[4, :, 7].sum() == 7
    np.testing.assert_array_equal(shrunk(grown(ball, 2.0, spacing), 2.0, spacing) & ball, ball)
    assert not grown(np.zeros_like(mask), 3.0, spacing).any()


def test_the_mixture_finds_three_tissues():
    rng = np.random.default_rng(2)
    parts = ((300, 60, 15_000), (640, 40, 45_000), (880, 35, 37_000))
    values = np.concatenate([rng.normal(*part) for part in parts]).astype(np.float32)
    found = mixture.fitted(values, "T1w")
    assert found.means == pytest.approx([300, 640, 880], rel=0.03)
    assert found.shares == pytest.approx([0.155, 0.464, 0.381], abs=0.03)
    spread = mixture.spread_out(found.means.astype(np.float32), found)
    assert spread == pytest.approx([1 / 3, 2 / 3, 1], rel=1e-4)


def test_fat_and_bone_are_no_tissue():
    values = np.float32([100, 700, 1000, 5000])
    found = mixture.Mixture(np.array([200.0, 700, 1000]), np.full(3, 50.0), np.full(3, 1 / 3))
    assert list(mixture.outliers(values, found, "T1w")) == [False, False, False, True]
    dark = mixture.Mixture(np.array([600.0, 750, 1500]), np.full(3, 50.0), np.full(3, 1 / 3))
    assert list(mixture.outliers(values, dark, "T2w")) == [True, False, False, False]
    assert list(mixture.plausible(values, "T2w")) == [False, True, True, True]


def test_the_head_is_filled():
    head = make_head(SHAPE)
    coarse = coarsened(scan(head, 15.0), SPACING_MM)
    found = head_of(coarse, sum(head.maps) > 0.5)
    assert dice(found, head.head) > 0.95
