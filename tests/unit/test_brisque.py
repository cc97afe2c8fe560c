"""BRISQUE: OpenCV's features against our own slow ones and known properties; what is fitted."""

import sys

import nibabel
import numpy as np
import pytest
from scipy import ndimage, special

from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.evaluation.hysnet.comparators.brisque import (
    FEATURES,
    fit_brisque,
    slice_features,
    volume_features,
)

SHAPES = [0, 2, 6, 10, 14]
"""Features that are shapes of a fit, at full resolution; 18 later those at half of it."""
DIRECTIONS = [(0, 1), (1, 0), (1, 1), (-1, 1)]


def noise(shape=(256, 256), level=0.1, mean=0.5, seed=0):
    values = mean + level * np.random.default_rng(seed).normal(size=shape)
    return np.clip(values, 0, 1).astype(np.float32)


def disc(side=128, level=0.02, seed=0):
    """A body of some structure in Rician noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    clean = (y**2 + x**2 < 0.7) * (0.5 + 0.2 * np.sin(9 * x) * np.cos(7 * y))
    real, imaginary = level * rng.normal(size=(2, side, side))
    return np.clip(np.hypot(clean + real, imaginary), 0, 1).astype(np.float32)


def fitted(values):
    """Shape, and deviations left and right of 0, of an asymmetric generalised Gaussian (Lasmar et
    al. 2009), the shape by a search among many."""
    left, right = (np.sqrt(np.mean(values[side] ** 2)) for side in (values < 0, values > 0))
    ratio = left / right
    r = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = r * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes = np.arange(0.2, 10, 0.001)
    one, two, three = (special.gammaln(k / shapes) for k in (1, 2, 3))
    return shapes[np.abs(np.exp(2 * two - one - three) - wanted).argmin()], left, right


def statistics(image):
    """The 18 features of one resolution, as the paper defines them; pixels from 0 to 255."""
    image = image.astype(np.float64)

    def blurred(values):
        return ndimage.gaussian_filter(values, 7 / 6, radius=3, mode="nearest")

    mean = blurred(image)
    deviation = np.sqrt(np.maximum(blurred(image**2) - mean**2, 0))
    normal = (image - mean) / (deviation + 1)
    shape, left, right = fitted(normal)
    found = [shape, (left**2 + right**2) / 2]
    for dy, dx in DIRECTIONS:
        neighbour = np.zeros_like(normal)
        rows, columns = normal.shape
        for y in range(max(0, -dy), rows - max(0, dy)):
            neighbour[y, : columns - dx] = normal[y + dy, dx:]
        shape, left, right = fitted(normal * neighbour)
        one, two, three = (special.gamma(k / shape) for k in (1, 2, 3))
        found += [shape, (right - left) * two / one * np.sqrt(one / three), left**2, right**2]
    return found


@pytest.mark.parametrize("image", [noise(), noise(level=0.01), disc(), disc(level=0.1)])
def test_features_at_full_resolution_are_the_papers(image):
    found = slice_features(image)
    assert found.shape == (FEATURES,)
    assert found[:18] == pytest.approx(statistics(255 * image), rel=5e-3, abs=2e-3)


def test_features_at_half_resolution_are_those_of_a_smaller_image():
    """Of one that is smooth enough for any way of halving it."""
    image = ndimage.gaussian_filter(noise((512, 512), level=1, seed=3), 4)
    half = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    found = slice_features(image.astype(np.float32))
    assert found[18:] == pytest.approx(statistics(255 * half), rel=0.05, abs=0.02)


def test_white_noise_far_below_the_constant_is_gaussian():
    """Its local normalisation is then a division by the constant, which is 1/255."""
    found = slice_features(noise(level=1e-4, mean=6e-4))
    assert found[0] == pytest.approx(2, abs=0.06)
    assert found[18] == pytest.approx(2, abs=0.12)


def test_white_noise_above_the_constant_has_shorter_tails_than_a_gaussian():
    """A pixel is divided by a deviation that it is itself part of."""
    found = slice_features(noise(level=0.1))
    assert 2.7 < found[0] < 3.3
    assert 0.6 < found[1] < 0.85
    products = found[[2, 6, 10, 14]]
    assert ((products > 0.8) & (products < 1.2)).all()


def test_shapes_and_variances_grow_with_noise():
    found = np.array([slice_features(disc(level=level)) for level in (0.01, 0.03, 0.06, 0.12)])
    for feature in [*SHAPES, 1, *(18 + number for number in SHAPES), 19]:
        assert (np.diff(found[:, feature]) > 0).all(), feature


@pytest.mark.parametrize(
    "name", ["body/renal_t2w_sub01.nii.gz", "t1w/open_ms/patient01_study1_T1W.nii.gz"]
)
def test_shapes_and_variances_grow_with_noise_on_a_real_slice(real_data, name):
    volume = np.asarray(nibabel.load(real_data / name).dataobj, dtype=np.float32).T
    image = np.clip(volume[len(volume) // 2] / np.percentile(volume, 99.5), 0, 1)
    rng = np.random.default_rng(0)
    found = []
    for level in (0, 0.05, 0.1, 0.2):
        real, imaginary = level * rng.normal(size=(2, *image.shape))
        noisy = np.clip(np.hypot(image + real, imaginary), 0, 1)
        found.append(slice_features(noisy.astype(np.float32)))
    for feature in (0, 1, 18, 19):
        assert (np.diff(np.array(found)[:, feature]) > 0).all(), feature


def test_zeros_around_a_slice_change_nothing():
    image = disc()
    padded = np.pad(image, ((3, 40), (17, 0)))
    assert np.array_equal(slice_features(padded), slice_features(image))


def test_the_slice_stays_as_it_is_and_gives_the_same_again():
    """OpenCV scales images of float32 in place."""
    image = disc()
    kept = image.copy()
    first = slice_features(image)
    assert np.array_equal(image, kept)
    assert np.array_equal(slice_features(image), first)
    assert first.dtype == np.float64


def nothing(shape=(64, 64)):
    return np.zeros(shape, np.float32)


def spot():
    image = nothing()
    image[10:20, 10:40] = noise((10, 30))
    return image


@pytest.mark.parametrize(
    "image", [nothing(), nothing() + np.float32(0.5), spot(), noise((31, 200))]
)
def test_a_slice_with_too_little_content_is_refused(image):
    with pytest.raises(SeriesError, match="too little content") as caught:
        slice_features(image)
    assert caught.value.code is ErrorCode.NO_FOREGROUND


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_not_from_0_to_1_is_a_programming_error(value):
    image = disc()
    image[3, 4] = value
    with pytest.raises(ValueError, match="from 0 to 1"):
        slice_features(image)
    with pytest.raises(ValueError, match="from 0 to 1"):
        volume_features(image[None])


def test_a_volume_is_the_mean_of_its_body_slices():
    body = [disc(seed=seed) for seed in range(3)]
    air = 0.02 * noise((128, 128))
    volume = np.stack([air, *body, nothing((128, 128))])
    expected = np.mean([slice_features(one) for one in body], axis=0)
    assert volume_features(volume) == pytest.approx(expected)


def test_a_slice_of_the_body_without_signal_is_left_out():
    one, other = disc(seed=0), disc(seed=1)
    expected = (slice_features(one) + slice_features(other)) / 2
    assert volume_features(np.stack([one, nothing((128, 128)), other])) == pytest.approx(expected)


@pytest.mark.parametrize("image", [nothing((3, 64, 64)), np.stack([spot()] * 3)])
def test_a_volume_without_a_slice_to_look_at_is_refused(image):
    with pytest.raises(SeriesError, match="no slice of the volume") as caught:
        volume_features(image)
    assert caught.value.code is ErrorCode.NO_FOREGROUND


def test_without_opencv_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"mriqa\[compare\]"):
        slice_features(disc())


def relation(n, seed):
    """Features of which three matter, in any unit; two volumes a subject."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, FEATURES))
    targets = 40 + 8 * (np.tanh(features[:, 0]) + 0.5 * features[:, 7] - 0.7 * features[:, 20])
    return features * rng.uniform(0.001, 10, FEATURES), targets, [f"s{at // 2}" for at in range(n)]


def test_a_relation_is_learned():
    features, targets, groups = relation(300, 0)
    judge = fit_brisque(features[:200], targets[:200], groups[:200], seed=0)
    found, rest = judge(features[200:]), targets[200:]
    assert found.shape == (100,)
    assert np.corrcoef(found, rest)[0, 1] > 0.9
    assert np.abs(found - rest).mean() < 0.5 * np.abs(rest - targets[:200].mean()).mean()


def test_the_fit_follows_from_data_and_seed_alone():
    features, targets, groups = relation(60, 1)
    one, same = (fit_brisque(features, targets, groups, seed=0)(features) for _ in range(2))
    assert np.array_equal(one, same)
    # a target in another unit is learned as well
    other = fit_brisque(features, 1000 * targets - 5, groups, seed=0)(features)
    assert other == pytest.approx(1000 * one - 5)


def test_volumes_of_a_subject_are_never_parted(monkeypatch):
    from sklearn.model_selection import GroupKFold

    seen = []
    split = GroupKFold.split

    def watched(self, X, y=None, groups=None):
        for train, test in split(self, X, y, groups):
            seen.append({groups[at] for at in train} & {groups[at] for at in test})
            yield train, test

    monkeypatch.setattr(GroupKFold, "split", watched)
    fit_brisque(*relation(40, 2), seed=0)
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("groups", [["a"] * 12, ["a", "b"] * 6])
def test_few_subjects(groups):
    features, targets, _ = relation(12, 3)
    assert np.isfinite(fit_brisque(features, targets, groups, seed=0)(features)).all()


def test_targets_and_features_that_do_not_vary():
    features, _, groups = relation(12, 4)
    features[:, 5] = 3
    judge = fit_brisque(features, np.full(12, 7.0), groups, seed=0)
    assert judge(features) == pytest.approx([7.0] * 12)
    assert judge(features[:0]).shape == (0,)
