"""What of a header is refused, with which code, and what merely unusual is accepted."""

import nibabel as nib
import numpy as np
import pytest
from image_files import AFFINE, blob, nifti_bytes

from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.nifti import DTYPES, parse_header

NAN, INF = float("nan"), float("inf")
SHEARED = np.array([[2, 0.7, 0, -20], [0, 2, 0.3, 5], [0, 0, 3, 7], [0, 0, 0, 1]], float)


def header_of(voxels=None, affine=AFFINE, **fields):
    raw = nifti_bytes(blob() if voxels is None else voxels, affine, **fields)
    return parse_header(raw[:540], "sub-01_T2w.nii.gz")


def dims(*values):
    return [*values, *[1] * (8 - len(values))]


IMPOSSIBLE = [
    ("impossible_header", {"magic": b"xyz"}),
    ("impossible_header", {"sizeof_hdr": 347}),
    ("impossible_header", {"dim": dims(0, 12, 10, 9)}),
    ("impossible_header", {"dim": dims(8, 12, 10, 9)}),
    ("impossible_header", {"dim": dims(-1, 12, 10, 9)}),
    ("impossible_header", {"dim": dims(3, 12, 0, 9)}),
    ("impossible_header", {"dim": dims(3, 12, -10, 9)}),
    ("impossible_header", {"dim": dims(4, 12, 10, 9, 0)}),
    ("impossible_header", {"dim": dims(4, 32767, 32767, 32767, 32767)}),
    ("impossible_header", {"vox_offset": 0}),
    ("impossible_header", {"vox_offset": 348}),
    ("impossible_header", {"vox_offset": 352.5}),
    ("impossible_header", {"vox_offset": NAN}),
    ("impossible_header", {"vox_offset": INF}),
    ("impossible_header", {"vox_offset": 1e9}),
    ("impossible_geometry", {"pixdim": [1, 0, 2, 3, 0, 0, 0, 0]}),
    ("impossible_geometry", {"pixdim": [1, 2, -2, 3, 0, 0, 0, 0]}),
    ("impossible_geometry", {"pixdim": [1, 2, 2, NAN, 0, 0, 0, 0]}),
    ("impossible_geometry", {"pixdim": [1, 2, INF, 3, 0, 0, 0, 0]}),
    ("impossible_geometry", {"pixdim": [1, 2, 1e30, 3, 0, 0, 0, 0]}),
    ("impossible_geometry", {"srow_x": [0, 0, 0, 0]}),
    ("impossible_geometry", {"srow_y": [2, 0, 0, 0]}),
    ("impossible_geometry", {"srow_z": [0, 0, NAN, 0]}),
    ("impossible_geometry", {"srow_z": [0, 0, 3, INF]}),
    ("impossible_geometry", {"srow_z": [0, 0, 3, 1e30]}),
    ("impossible_geometry", {"sform_code": 0, "qform_code": 1, "quatern_b": NAN}),
    ("impossible_geometry", {"sform_code": 0, "qform_code": 1, "quatern_b": 1, "quatern_c": 1}),
    ("impossible_geometry", {"sform_code": 0, "qform_code": 1, "qoffset_x": INF}),
    ("impossible_scaling", {"scl_slope": INF}),
    ("impossible_scaling", {"scl_slope": 2, "scl_inter": NAN}),
    ("impossible_scaling", {"scl_slope": 2, "scl_inter": -INF}),
    ("complex_values", {"datatype": 32}),
    ("complex_values", {"datatype": 1792}),
    ("complex_values", {"datatype": 2048}),
    ("rgb_values", {"datatype": 128}),
    ("rgb_values", {"datatype": 2304}),
    ("unsupported_dtype", {"datatype": 1536}),
    ("unsupported_dtype", {"datatype": 0}),
    ("unsupported_dtype", {"datatype": 1}),
    ("unsupported_dtype", {"datatype": 31000}),
    ("two_dimensional", {"dim": dims(2, 12, 10)}),
    ("two_dimensional", {"dim": dims(3, 12, 10, 1)}),
    ("two_dimensional", {"dim": dims(4, 12, 10, 1, 9)}),
    ("five_dimensional", {"dim": dims(5, 12, 10, 9, 1, 3)}),
    ("five_dimensional", {"dim": dims(7, 12, 10, 9, 1, 1, 1, 2)}),
    ("too_small", {"dim": dims(3, 7, 7, 9)}),
    ("unsupported_format", {"magic": b"ni1"}),
    ("unsupported_format", {"magic": b""}),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("code", "fields"), IMPOSSIBLE, ids=str)
def test_impossible_headers_are_refused(code, fields, order):
    with pytest.raises(SeriesError) as caught:
        header_of(order=order, **fields)
    assert caught.value.code is ErrorCode(code)
    assert caught.value.message.startswith("sub-01_T2w.nii.gz: ")
    assert caught.value.message.endswith(".")


ACCEPTED = [
    {"scl_slope": 0, "scl_inter": 5},
    {"scl_slope": NAN, "scl_inter": NAN},
    {"scl_slope": -0.5, "scl_inter": 100},
    {"quatern_b": NAN, "qoffset_x": INF},  # not used: the sform is
    {"qform_code": 1, "sform_code": 0, "srow_x": [NAN] * 4},  # not used: the qform is
    {"qform_code": 1, "sform_code": 0, "quatern_c": 1.00002},
    {"qform_code": 0, "sform_code": 0, "srow_x": [0] * 4},
    {"dim": dims(7, 12, 10, 9, 1, 1, 1, 1)},
    {"dim": [3, 12, 10, 9, 0, 0, -7, 0]},  # beyond dim[0]: not used
    {"bitpix": 0},
    {"dim_info": 0b00110110},
    {"xyzt_units": 255},
    {"intent_code": -3, "cal_max": NAN, "toffset": INF},
    {"pixdim": [0, 2, 2, 3, NAN, NAN, INF, 0]},
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("fields", ACCEPTED, ids=str)
def test_unusual_headers_are_accepted(fields, version):
    header = header_of(version=version, **fields)
    assert header.shape_ijk == (12, 10, 9)
    assert header.n_volumes == 1
    assert np.isfinite(header.affine).all()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES.values())
def test_every_number_type_is_read_in_both_byte_orders(dtype, order, version):
    header = header_of(blob(dtype=dtype), version=version, order=order)
    assert header.dtype == np.dtype(dtype).newbyteorder(order)
    assert (header.version, header.byte_order) == (version, order)
    assert header.image_bytes == 12 * 10 * 9 * np.dtype(dtype).itemsize


@pytest.mark.parametrize(("slope", "inter", "expected"), [
    (0, 7, (1, 0)), (NAN, NAN, (1, 0)), (NAN, 3, (1, 0)), (2, -3, (2, -3)), (-1, 0, (-1, 0)),
])  # fmt: skip
def test_scaling_is_what_nibabel_makes_of_it(slope, inter, expected):
    header = header_of(scl_slope=slope, scl_inter=inter)
    assert (header.slope, header.inter) == expected
    raw = nifti_bytes(blob(), scl_slope=slope, scl_inter=inter)
    nibabel_says = nib.Nifti1Header(raw[:348], check=False).get_slope_inter()
    assert tuple(given or default for given, default in zip(nibabel_says, (1, 0), strict=True)) == (
        expected
    )


@pytest.mark.parametrize("seed", range(20))
def test_affine_equals_nibabels_for_each_form(seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(rng.uniform(0.5, 5, 3))
    affine[:3, 3] = rng.normal(0, 100, 3)
    for code_q, code_s in ((0, 1), (2, 0), (1, 4), (0, 0)):
        image = nib.Nifti1Image(blob(), None)
        image.header.set_qform(affine, code_q, strip_shears=False)
        image.header.set_sform(affine, code_s)
        image.header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
        image.header["magic"], image.header["vox_offset"] = b"n+1", 352
        mine = parse_header(image.header.binaryblock, "x").affine
        assert np.allclose(mine, image.header.get_best_affine(), atol=1e-4)


def test_sheared_affine_is_kept():
    assert np.allclose(header_of(affine=SHEARED).affine, SHEARED)


@pytest.mark.parametrize(("units", "factor"), [(0, 1), (2, 1), (10, 1), (1, 1000), (3, 0.001)])
def test_spacing_is_in_mm_whatever_the_units(units, factor):
    header = header_of(xyzt_units=units)
    assert header.zooms_mm == pytest.approx((2 * factor, 2 * factor, 3 * factor))
    assert np.allclose(header.affine[:3], AFFINE[:3] * factor)


@pytest.mark.parametrize(("dim_info", "expected"), [(0, None), (0b110110, 2), (0b010000, 0)])
def test_slice_dimension_is_read(dim_info, expected):
    assert header_of(dim_info=dim_info).slice_dimension == expected
