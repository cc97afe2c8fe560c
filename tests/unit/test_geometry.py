"""The slice axis of the acquisition, orientations, and the permutation there and back."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from mriqa.images.geometry import axis_codes, place, to_source, to_stored

RAS = np.diag([1.0, 1.0, 1.0, 1.0])
ORIENTATIONS = [
    np.array(order)
    for triple in permutations(range(3))
    for signs in product((-1, 1), repeat=3)
    for order in [[(axis, sign) for axis, sign in zip(triple, signs, strict=True)]]
]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: str(o.tolist()))
def test_axis_codes_equal_nibabels(orientation):
    affine = nib.orientations.inv_ornt_aff(orientation, (10, 12, 9))
    affine[:3, :3] *= (0.7, 2.0, 5.0)
    assert axis_codes(affine) == "".join(nib.aff2axcodes(affine))


def test_axis_codes_of_an_oblique_sheared_affine():
    affine = np.array([[0, 0, 3, 0], [-1.5, 0.6, 0.4, 0], [0.5, 1.4, 0, 0], [0, 0, 0, 1]], float)
    assert axis_codes(affine) == "PSR" == "".join(nib.aff2axcodes(affine))


@pytest.mark.parametrize(
    ("zooms", "slice_dimension", "override", "expected"),
    [
        ((1.0, 1.0, 5.0), None, None, "k"),
        ((5.0, 1.0, 1.0), None, None, "i"),
        ((0.7, 0.667, 0.667), None, None, "i"),  # studyforrest: sagittal slices of 0.7 mm
        ((2.385, 2.39, 2.366), None, None, "k"),  # resampled to about equal: axial
        ((1.0, 1.0, 1.0), None, None, "k"),
        ((1.0, 1.0, 5.0), 1, None, "j"),  # the header's word counts more than the spacing
        ((1.0, 1.0, 5.0), 1, "i", "i"),  # the user's most
    ],
)
def test_slice_axis(zooms, slice_dimension, override, expected):
    assert place(zooms, RAS, slice_dimension, override).slice_axis == expected


def test_isotropic_slices_are_axial_whatever_the_order_of_axes():
    affine = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
    placement = place((1, 1, 1), affine, None)
    assert placement.source_orientation == "PIR"
    assert placement.slice_axis == "j"
    assert placement.stored_orientation == "IRP"


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_the_way_to_the_store_is_undone_exactly(axes):
    source = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # t, k, j, i
    stored = to_stored(source, axes)
    assert np.array_equal(to_source(stored, axes), source)
    sizes_ijk = (5, 4, 3)
    assert stored.shape == (2, *(sizes_ijk[axis] for axis in axes))


def test_the_slice_axis_comes_first_and_the_slower_rest_second():
    source = np.zeros((1, 3, 4, 5))
    for axis, shape in (("k", (3, 4, 5)), ("j", (4, 3, 5)), ("i", (5, 3, 4))):
        placement = place((1, 1, 1), RAS, None, axis)
        assert to_stored(source, placement.axes).shape[1:] == shape
