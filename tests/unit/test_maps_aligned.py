"""A mask is turned into the stored geometry of its scan, or refused."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from mriqa.errors import MapsError
from mriqa.images.aligned import Grid, grid_of_file, read_aligned
from mriqa.images.geometry import place
from mriqa.images.source import open_nifti

SHAPE = (9, 12, 15)
OBLIQUE = nibabel.affines.from_matvec(
    nibabel.eulerangles.euler2mat(0.2, -0.1, 0.3) @ np.diag([-2.0, 2.0, 2.0]), [80, -100, -60]
)
AXES = (2, 1, 0)
GRID = Grid(SHAPE, OBLIQUE, AXES)
VALUES = np.random.default_rng(0).random(SHAPE).astype(np.float32)
STORED = VALUES.transpose(AXES)


def save(path, values=VALUES, affine=OBLIQUE):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def turned(axes, flips):
    """The image with other axes, and the affine that keeps it where it is."""
    step = nibabel.orientations.ornt_transform(
        [[0, 1], [1, 1], [2, 1]], list(zip(axes, flips, strict=True))
    )
    values = nibabel.orientations.apply_orientation(VALUES, step)
    inverse = nibabel.orientations.inv_ornt_aff(step, SHAPE)
    return np.ascontiguousarray(values), OBLIQUE @ inverse


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_every_order_and_direction_of_axes_is_the_same_map(tmp_path, axes):
    for flips in product((1, -1), repeat=3):
        path = save(tmp_path / "map.nii.gz", *turned(axes, flips))
        np.testing.assert_array_equal(read_aligned(path, GRID), STORED)


@pytest.mark.parametrize("stored_axes", [(2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_the_stores_axes_are_those_of_the_scan(tmp_path, stored_axes):
    path = save(tmp_path / "map.nii", *turned((1, 2, 0), (1, -1, -1)))
    found = read_aligned(path, Grid(SHAPE, OBLIQUE, stored_axes))
    np.testing.assert_array_equal(found, VALUES.transpose(stored_axes))


def test_the_grid_of_a_file_is_its_own(tmp_path):
    path = save(tmp_path / "map.nii.gz")
    with open_nifti(path) as source:
        header = source.header
    placement = place(header.zooms_mm, header.affine, header.slice_dimension)
    found = read_aligned(path, grid_of_file(header, placement))
    np.testing.assert_array_equal(found, VALUES.transpose(placement.axes))


def test_scaled_integers_are_scaled(tmp_path):
    image = nibabel.Nifti1Image(VALUES, OBLIQUE)
    image.set_data_dtype(np.uint8)
    nibabel.save(image, tmp_path / "map.nii")
    np.testing.assert_allclose(read_aligned(tmp_path / "map.nii", GRID), STORED, atol=0.003)


@pytest.mark.parametrize("shift_mm", [1e-4, 0.19])
def test_rounding_of_positions_is_allowed(tmp_path, shift_mm):
    affine = OBLIQUE.copy()
    affine[0, 3] += shift_mm
    read_aligned(save(tmp_path / "map.nii", affine=affine), GRID)


def shifted(shift_mm):
    affine = OBLIQUE.copy()
    affine[0, 3] += shift_mm
    return affine


def rotated(angle):
    turn = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(angle))
    return turn @ OBLIQUE


@pytest.mark.parametrize(
    ("values", "affine", "told"),
    [
        (VALUES[:8], OBLIQUE, "8 x 12 x 15 voxels .* the scan has 9 x 12 x 15"),
        (np.zeros((9, 12, 15, 2), np.uint8), OBLIQUE, "9 x 12 x 15 x 2; a mask or map is 3D"),
        (VALUES, shifted(0.25), r"lies 0.25 mm .* 0.2 mm is allowed"),
        (VALUES, rotated(0.1), "mm from that of the scan"),
        (VALUES, np.diag([-2.0, 2, 2, 1]), "mm from that of the scan"),
        (VALUES, OBLIQUE @ np.diag([1.1, 1, 1, 1]), "mm from that of the scan"),
        (VALUES, OBLIQUE @ np.diag([-1, 1, 1, 1]), "mm from that of the scan"),
    ],
)
def test_another_grid_is_refused(tmp_path, values, affine, told):
    path = save(tmp_path / "map.nii", values, affine)
    with pytest.raises(MapsError, match=told) as caught:
        read_aligned(path, GRID)
    assert caught.value.reason == "maps_grid"
    assert str(path) in str(caught.value)


def test_what_cannot_be_read_is_told_apart(tmp_path):
    good = save(tmp_path / "map.nii.gz").read_bytes()
    for content, reason in (
        (None, "maps_missing"), (b"", "maps_damaged"), (b"no image at all", "maps_damaged"),
        (good[:-200], "maps_damaged"), (good[:-9] + bytes(9), "maps_damaged"),
    ):  # fmt: skip
        path = tmp_path / "bad.nii.gz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(MapsError) as caught:
            read_aligned(path, GRID)
        assert (caught.value.reason, str(path) in str(caught.value)) == (reason, True)
