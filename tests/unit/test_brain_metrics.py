"""Every brain metric against a slow, obvious reference, and what is said where there is none."""

import brain_references as slow
import numpy as np
import pytest
from brain_phantoms import SPACING_MM, make_head, scan, shading, tissue_of
from scipy import ndimage

from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.metrics.brain import (
    BRAIN_COLUMNS,
    measure_brain,
    morphology,
    ratios,
    smoothness,
    tissue_of_labels,
    tissue_of_maps,
)
from mriqa.metrics.brain.air import artifacts, empty_frame, up_of_affine
from mriqa.metrics.brain.columns import AIR_METRICS

TISSUES = ("csf", "gm", "wm")


@pytest.fixture(scope="module")
def head():
    return make_head()


@pytest.fixture(scope="module")
def measured(head):
    """Volume, tissue and values of a shaded head with a few artifacts and an empty edge."""
    bias = shading(head.signal.shape, 0.4)
    volume = scan(head, 20.0, bias)
    marked = np.zeros(volume.shape, bool)
    marked[-5:-1, 3:8, 3:9] = True
    marked &= head.air
    volume[marked] += 500
    frame = np.zeros(volume.shape, bool)
    frame[:, :2] = True
    volume[frame] = 0
    tissue = tissue_of(head, bias, frame, marked)
    return volume, tissue, measure_brain(volume, SPACING_MM, tissue).values


@pytest.fixture(scope="module")
def image(measured, head):
    volume, tissue, _ = measured
    return slow.harmonised(volume, tissue.bias, head.maps[2])


def test_values_and_columns_have_the_same_names(measured):
    _, _, values = measured
    assert list(values) == [column.name for column in BRAIN_COLUMNS]
    assert len(set(values)) == len(values)


def test_everything_is_known_of_a_whole_head(measured):
    _, _, values = measured
    for column in BRAIN_COLUMNS:
        value = values[column.name]
        if column.kind == "string":
            assert value is None
        else:
            low, high = column.bounds
            assert value is not None, column.name
            assert low is None or value >= low, column.name
            assert high is None or value <= high, column.name


@pytest.mark.parametrize("tissue", TISSUES)
def test_summaries_agree_with_the_slow_ones(measured, image, head, tissue):
    _, _, values = measured
    probability = head.maps[TISSUES.index(tissue)]
    inside = probability > 0
    expected = slow.summary(image[inside], probability[inside], image)
    for name, value in expected.items():
        assert values[f"summary_{tissue}_{name}"] == pytest.approx(value, rel=2e-5), name


def test_the_summary_of_air_agrees_with_the_slow_one(measured, image):
    _, tissue, values = measured
    air = image[tissue.air]
    expected = slow.summary(air, np.ones(air.size, np.float32), image)
    for name, value in expected.items():
        assert values[f"summary_bg_{name}"] == pytest.approx(value, rel=2e-5), name


def test_ratios_follow_from_the_summaries(measured):
    _, _, v = measured
    for name in TISSUES:
        n, middle = v[f"summary_{name}_n"], v[f"summary_{name}_median"]
        deviation = v[f"summary_{name}_stdv"] * np.sqrt(n / (n - 1))
        assert v[f"snr_{name}"] == pytest.approx(middle / deviation)
        assert v[f"snrd_{name}"] == pytest.approx(0.6551364 * middle / v["summary_bg_mad"])
    assert v["snr_total"] == pytest.approx(np.mean([v[f"snr_{name}"] for name in TISSUES]))
    assert v["snrd_total"] == pytest.approx(np.mean([v[f"snrd_{name}"] for name in TISSUES]))
    contrast = abs(v["summary_wm_median"] - v["summary_gm_median"])
    noise = np.sqrt(sum(v[f"summary_{name}_stdv"] ** 2 for name in ("bg", "gm", "wm")))
    assert v["cnr"] == pytest.approx(contrast / noise)
    assert v["cjv"] == pytest.approx((v["summary_wm_mad"] + v["summary_gm_mad"]) / contrast)


def test_metrics_of_the_whole_image_agree_with_the_slow_ones(measured, image):
    _, tissue, v = measured
    assert v["efc"] == pytest.approx(slow.efc(image, tissue.frame), rel=1e-5)
    outside = ~(tissue.head | tissue.frame)
    energy = np.median(image[tissue.head] ** 2) / np.median(image[outside] ** 2)
    assert v["fber"] == pytest.approx(energy, rel=1e-5)
    bright = np.percentile(image, 99.95)
    assert v["wm2max"] == pytest.approx(v["summary_wm_median"] / bright, rel=1e-5)
    n = tissue.artifacts.sum()
    assert v["qi_1"] == pytest.approx(n / (n + tissue.air.sum()))


def test_fractions_and_partial_voluming_agree_with_the_slow_ones(measured, head):
    _, _, v = measured
    total = sum(part.sum(dtype=np.float64) for part in head.maps)
    for name, part in zip(TISSUES, head.maps, strict=True):
        assert v[f"icvs_{name}"] == pytest.approx(part.sum(dtype=np.float64) / total, rel=1e-6)
        assert v[f"rpve_{name}"] == pytest.approx(slow.rpve(part), rel=1e-5)


def test_the_bias_field_is_summarised_in_the_brain(measured):
    _, tissue, v = measured
    field = tissue.bias[tissue.brain]
    low, middle, high = np.percentile(field.astype(np.float64), (5, 50, 95))
    assert v["inu_range"] == pytest.approx(high - low, rel=1e-5)
    assert v["inu_med"] == pytest.approx(middle, rel=1e-5)


def test_smoothness_agrees_with_the_slow_one(measured):
    volume, tissue, v = measured
    widths = [slow.fwhm(np.maximum(volume, 0), tissue.brain, axis) for axis in range(3)]
    for axis, width in zip("zyx", widths, strict=True):
        assert v[f"fwhm_{axis}"] == pytest.approx(width, rel=1e-4)
    assert v["fwhm_avg"] == pytest.approx(np.mean(widths), rel=1e-4)


@pytest.mark.parametrize("width", [2.5, 4.0])
def test_smoothness_of_smoothed_noise_is_that_of_the_kernel(width):
    noise = np.random.default_rng(1).normal(100, 20, (48, 64, 64))
    smooth = ndimage.gaussian_filter(noise, width / 2.3548).astype(np.float32)
    everywhere = np.ones(smooth.shape, bool)
    for found in smoothness.fwhm(smooth + 1000, everywhere):
        # Differences over one voxel see a sampled kernel: a few percent.
        assert found == pytest.approx(width, rel=0.05)


def test_smoothness_needs_neighbours():
    mask = np.zeros((8, 8, 8), bool)
    mask[::2, ::2, ::2] = True
    volume = np.random.default_rng(2).normal(size=mask.shape).astype(np.float32) + 10
    assert smoothness.fwhm(volume, mask) == (None, None, None)
    assert smoothness.fwhm(volume, np.zeros_like(mask)) == (None, None, None)


def test_voxels_that_are_no_numbers_count_as_zero(measured):
    volume, tissue, _ = measured
    broken, zeroed = volume.copy(), volume.copy()
    places = (slice(20, 22), slice(25, 27), slice(20, 30))
    broken[places] = np.nan
    broken[20, 25, 25], broken[20, 25, 26] = np.inf, -5.0
    zeroed[places] = 0
    one, two = (measure_brain(v, SPACING_MM, tissue).values for v in (broken, zeroed))
    assert one == two


def test_very_bright_voxels_are_counted(measured, head):
    volume, tissue, _ = measured
    bright = volume.copy()
    inside = np.flatnonzero(head.maps[2].ravel() > 0.95)[:3]
    bright.ravel()[inside] = 1e6
    values = measure_brain(bright, SPACING_MM, tissue).values
    image = slow.harmonised(bright, tissue.bias, head.maps[2])
    probability = head.maps[2]
    held = probability > 0
    expected = slow.summary(image[held], probability[held], image)
    for name in ("mean", "stdv", "median", "p95", "mad"):
        assert values[f"summary_wm_{name}"] == pytest.approx(expected[name], rel=1e-4), name


def test_a_zeroed_background_has_no_air_metrics(head):
    volume = scan(head)
    volume[~head.head] = 0
    values = measure_brain(volume, SPACING_MM, tissue_of(head)).values
    assert values["brain_air_null_reason"] == "zeroed_background"
    assert all(values[name] is None for name in AIR_METRICS)
    assert values["snr_total"] > 1
    assert values["cjv"] > 0


def test_what_a_providers_mask_leaves_of_the_air_does_not_count(head):
    volume = scan(head)
    near = ndimage.binary_dilation(head.head, iterations=4)
    volume[~near] = 0
    frame = empty_frame(volume)
    assert frame is not None
    maps = tissue_of(head)
    tissue = tissue_of_maps(
        volume.shape,
        head.maps,
        head=maps.head,
        air=maps.air & ~frame,
        artifacts=maps.artifacts,
        frame=frame,
    )
    values = measure_brain(volume, SPACING_MM, tissue).values
    assert values["brain_air_null_reason"] == "zeroed_background"


def test_without_air_the_reason_says_so(head):
    nothing = np.zeros(head.air.shape, bool)
    tissue = tissue_of_maps(
        head.air.shape, head.maps, head=~nothing, air=nothing, artifacts=nothing
    )
    values = measure_brain(scan(head), SPACING_MM, tissue).values
    assert values["brain_air_null_reason"] == "too_little_background"
    assert values["snrd_total"] is None
    assert values["fber"] is None


def test_without_a_bias_field_the_reason_says_so(head):
    values = measure_brain(scan(head), SPACING_MM, tissue_of(head)).values
    assert values["inu_range"] is None
    assert values["inu_med"] is None
    assert values["brain_inu_null_reason"] == "no_bias_field"


@pytest.mark.parametrize("missing", ["csf", "gm"])
def test_a_missing_tissue_leaves_the_others(head, missing):
    place = TISSUES.index(missing)
    maps = [np.zeros_like(part) if n == place else part for n, part in enumerate(head.maps)]
    tissue = tissue_of_maps(
        head.air.shape, maps, head=head.head, air=head.air, artifacts=~head.air & False
    )
    values = measure_brain(scan(head), SPACING_MM, tissue).values
    assert values["brain_tissue_null_reason"] == f"no_{missing}"
    assert values[f"snr_{missing}"] is None
    assert values[f"rpve_{missing}"] is None
    assert values["snr_total"] is None
    assert values["snrd_total"] is None
    assert values["snr_wm"] > 1
    assert (values["cjv"] is None) == (missing == "gm")
    assert (values["cnr"] is None) == (missing == "gm")


def test_too_little_brain_is_a_code(head):
    few = [
        np.where(np.arange(part.size).reshape(part.shape) % 97 == 0, part, 0) for part in head.maps
    ]
    tissue = tissue_of_maps(
        head.air.shape, few, head=head.head, air=head.air, artifacts=~head.air & False
    )
    with pytest.raises(SeriesError, match="voxels of brain") as error:
        measure_brain(scan(head), SPACING_MM, tissue)
    assert error.value.code == ErrorCode.NO_FOREGROUND


def test_black_white_matter_is_a_code(head):
    with pytest.raises(SeriesError, match="half of the white matter is 0"):
        measure_brain(np.zeros(head.air.shape, np.float32), SPACING_MM, tissue_of(head))


def test_what_cannot_be_divided_is_none():
    assert ratios.snr(100.0, 0.0, 50) is None
    assert ratios.snr(100.0, 5.0, 1) is None
    assert ratios.snr_dietrich(100.0, 0.0, 0.0) is None
    assert ratios.snr_dietrich(100.0, 0.5, 2.0) == pytest.approx(0.6551364 * 50)
    assert ratios.cnr(900.0, 600.0, 0.0, 0.0, 0.0) is None
    assert ratios.cjv(700.0, 700.0, 30.0, 30.0) is None
    assert ratios.fber(None, 3.0) is None
    assert ratios.fber(4.0, 0.0) is None
    assert ratios.qi_1(0, 5) is None
    assert ratios.wm2max(900.0, 0.0) is None
    assert ratios.efc(np.zeros((2, 8, 8), np.float32)) is None


def test_efc_of_equal_voxels_is_1_and_of_one_voxel_is_0():
    assert ratios.efc(np.ones((4, 8, 8), np.float32)) == pytest.approx(1, abs=1e-5)
    single = np.zeros((4, 8, 8), np.float32)
    single[1, 2, 3] = 7
    assert ratios.efc(single) == pytest.approx(0, abs=1e-5)


def test_masks_are_eroded_and_opened_as_scipy_does():
    mask = np.random.default_rng(4).random((17, 23, 19)) < 0.75
    mask[3:12, 4:15, 2:15] = True
    faces, edges = (ndimage.generate_binary_structure(3, n) for n in (1, 2))
    for ours, theirs in (
        (morphology.erode_edges(mask), ndimage.binary_erosion(mask, edges)),
        (morphology.dilate_edges(mask), ndimage.binary_dilation(mask, edges)),
        (morphology.open_edges(mask), ndimage.binary_opening(mask, edges)),
        (morphology.open_faces(mask), ndimage.binary_opening(mask, faces)),
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_artifacts_are_those_of_mriqcs_definition(measured):
    volume, tissue, _ = measured
    hat = tissue.air | tissue.artifacts
    distance = ndimage.distance_transform_edt(~tissue.head) * hat
    distance /= distance.max()
    found = artifacts(volume, hat, distance >= 0.10)
    np.testing.assert_array_equal(found, slow.artifacts(volume, hat, distance))
    assert found.sum() > 0.5 * tissue.artifacts.sum()
    assert not artifacts(np.zeros_like(volume), hat, hat).any()


@pytest.mark.parametrize("edge", [0, 1, 5])
def test_the_frame_is_that_of_mriqcs_definition(head, edge):
    volume = scan(head)
    volume[:, :edge] = 0
    volume[20:24, 25:29, 20:24] = 0
    found = empty_frame(volume)
    np.testing.assert_array_equal(
        np.zeros(volume.shape, bool) if found is None else found, slow.frame(volume)
    )


@pytest.mark.parametrize(
    ("affine", "up"),
    [
        (np.diag([1.0, 1, 3, 1]), (0, 1)),
        (np.diag([-1.0, -1, -3, 1]), (0, -1)),
        (np.array([[0, 0, 2.0, 0], [1, 0.1, 0, 0], [0.1, -1, 0, 0], [0, 0, 0, 1]]), (1, -1)),
    ],
)
def test_the_top_of_the_head_is_read_off_the_affine(affine, up):
    assert up_of_affine(affine) == up


def given_maps(of, **changed):
    arguments = {"maps": of.maps, "head": of.head, "air": of.air, "artifacts": ~of.air & False}
    arguments |= changed
    return tissue_of_maps(of.air.shape, arguments.pop("maps"), **arguments)


def test_maps_that_do_not_fit_are_named(head):
    csf, gm, wm = head.maps
    with pytest.raises(UserError, match=r"probability map of gm has the shape \(3, 4, 5\)"):
        given_maps(head, maps=(csf, np.zeros((3, 4, 5)), wm))
    with pytest.raises(UserError, match=r"map of wm reaches from 0 to 255"):
        given_maps(head, maps=(csf, gm, wm * 255))
    with pytest.raises(UserError, match=r"map of csf reaches from -0\.5"):
        given_maps(head, maps=(csf - np.float32(0.5), gm, wm))
    with pytest.raises(UserError, match="map of csf reaches from nan"):
        given_maps(head, maps=(np.where(csf > 0.5, np.nan, csf), gm, wm))
    with pytest.raises(UserError, match="sum up to 2"):
        given_maps(head, maps=(wm, gm, wm))
    with pytest.raises(UserError, match="head mask has the shape"):
        given_maps(head, head=head.head[1:])
    with pytest.raises(UserError, match="bias field reaches from 0 to 1"):
        given_maps(head, bias=np.where(head.head, 1.0, 0.0))


def test_maps_are_packed_in_the_order_of_the_voxels(head):
    tissue = given_maps(head)
    for part, packed in zip(head.maps, tissue.probabilities, strict=True):
        unpacked = np.zeros(part.shape, np.float32)
        unpacked[tissue.brain] = packed
        np.testing.assert_array_equal(unpacked, part)


def test_labels_become_maps_and_wrong_labels_are_named():
    labels = np.arange(24).reshape(2, 3, 4) % 4
    csf, gm, wm = tissue_of_labels(labels, csf=1, gm=2, wm=3)
    assert (csf + gm + wm).sum() == 18
    with pytest.raises(UserError, match=r"no voxel with label 24 \(csf\); its labels: 0, 1, 2, 3"):
        tissue_of_labels(labels, csf=24, gm=2, wm=3)
