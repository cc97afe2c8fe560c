"""What a NIfTI header says, checked: the impossible is refused, the merely unusual accepted.

nibabel loads without a word a wrong sizeof_hdr, zero or NaN voxel sizes, a zero dimension, a
singular affine and an infinite slope, so every field that is used is checked here.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal, NoReturn

import numpy as np
from nibabel.nifti1 import header_dtype as nifti1_dtype
from nibabel.nifti2 import header_dtype as nifti2_dtype
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, SeriesError

ByteOrder = Literal["<", ">"]
BYTE_ORDERS: tuple[ByteOrder, ByteOrder] = ("<", ">")
HEADER_SIZES = {348: 1, 540: 2}
MAX_PREAMBLE = 16 * 2**20
"""Header and extensions are kept whole in the store; more than 16 MiB of them is not credible."""
MAX_IMAGE_BYTES = 2**40
SPACING_LIMITS_MM = (1e-4, 1e4)
MAX_AFFINE = 1e7
SINGULAR = 1e-4
"""Least |determinant| of the affine with its columns scaled to length 1 (1: orthogonal)."""
MIN_IN_PLANE, MIN_SLICES = 8, 2
MAX_SCALING = float(np.finfo(np.float32).max)

DTYPES: dict[int, str] = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1",
    512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
COMPLEX_CODES = (32, 1792, 2048)
RGB_CODES = (128, 2304)
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""xyzt_units: unknown is taken as mm, then metre, mm, micron."""


@dataclass(frozen=True)
class NiftiHeader:
    """The checked content of a header.

    `shape_ijk` counts voxels along i, j, k (i fastest), `dtype` carries the file's byte order,
    `slope` and `inter` are 1 and 0 where the header has none, `slice_dimension` is 0-2 or None.
    """

    version: int
    byte_order: ByteOrder
    shape_ijk: tuple[int, int, int]
    n_volumes: int
    dtype: np.dtype[Any]
    slope: float
    inter: float
    affine: NDArray[np.float64]
    zooms_mm: tuple[float, float, float]
    slice_dimension: int | None
    data_offset: int

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume."""
        return prod(self.shape_ijk) * self.dtype.itemsize

    @property
    def image_bytes(self) -> int:
        """Bytes of all volumes."""
        return self.volume_bytes * self.n_volumes


def header_layout(start: bytes) -> tuple[int, ByteOrder] | None:
    """(348 or 540, `<` or `>`) if `start` can begin a NIfTI header, else None."""
    for order in BYTE_ORDERS:
        size = int(np.frombuffer(start[:4], dtype=f"{order}i4")[0])
        if size in HEADER_SIZES:
            return size, order
    return None


def parse_header(raw: bytes, name: str) -> NiftiHeader:
    """Check the 348 or 540 bytes of a header; `name` is the file that messages mention.

    Raises SeriesError with the code of the first thing that is impossible or not supported.
    """
    layout = header_layout(raw)
    if layout is None or len(raw) < layout[0]:
        _fail(ErrorCode.IMPOSSIBLE_HEADER, name, "sizeof_hdr is neither 348 nor 540")
    size, order = layout
    version = HEADER_SIZES[size]
    fields = np.frombuffer(
        raw[:size], (nifti1_dtype, nifti2_dtype)[version - 1].newbyteorder(order)
    )
    header = fields[0]
    _check_magic(header, version, name)
    dtype = _dtype(int(header["datatype"]), order, name)
    shape, n_volumes = _shape(header["dim"], name)
    zooms = _zooms(header, name)
    slope, inter = _scaling(header, name)
    checked = NiftiHeader(
        version, order, shape, n_volumes, dtype, slope, inter,
        _affine(header, shape, name), zooms, _slice_dimension(int(header["dim_info"])),
        _data_offset(header, size, name),
    )  # fmt: skip
    if checked.image_bytes > MAX_IMAGE_BYTES:
        _fail(
            ErrorCode.IMPOSSIBLE_HEADER,
            name,
            f"the header announces {checked.image_bytes} bytes of image, more than any MRI series",
        )
    return checked


def _fail(code: ErrorCode, name: str, cause: str) -> NoReturn:
    raise SeriesError(code, f"{name}: {cause}.")


def _check_magic(header: Any, version: int, name: str) -> None:
    magic = bytes(header["magic"])[:3]
    if magic == f"n+{version}".encode():
        return
    if magic == f"ni{version}".encode():
        _fail(ErrorCode.UNSUPPORTED_FORMAT, name, "a .hdr/.img pair; convert it to .nii.gz")
    if version == 1 and magic == b"":
        _fail(ErrorCode.UNSUPPORTED_FORMAT, name, "ANALYZE 7.5 without orientation, not NIfTI")
    _fail(ErrorCode.IMPOSSIBLE_HEADER, name, f"the magic is {magic!r}; `n+{version}` is expected")


def _dtype(code: int, order: ByteOrder, name: str) -> np.dtype[Any]:
    if code in COMPLEX_CODES:
        _fail(ErrorCode.COMPLEX_VALUES, name, "the voxels are complex; give the magnitude image")
    if code in RGB_CODES:
        _fail(ErrorCode.RGB_VALUES, name, "the voxels are colours; give the acquired image")
    if code not in DTYPES:
        allowed = ", ".join(np.dtype(kind).name for kind in DTYPES.values())
        _fail(ErrorCode.UNSUPPORTED_DTYPE, name, f"datatype code {code} is none of {allowed}")
    return np.dtype(order + DTYPES[code])


def _shape(dim: NDArray[Any], name: str) -> tuple[tuple[int, int, int], int]:
    n_dims = int(dim[0])
    sizes = [int(size) for size in dim[1 : max(n_dims, 0) + 1]]
    if not 1 <= n_dims <= 7 or any(size < 1 for size in sizes):
        shown = [int(size) for size in dim]
        _fail(ErrorCode.IMPOSSIBLE_HEADER, name, f"dim is {shown}; counts of 1 or more are needed")
    sizes += [1] * (7 - n_dims)
    shown_shape = " x ".join(str(size) for size in sizes[:n_dims])
    if any(size > 1 for size in sizes[4:]):
        _fail(ErrorCode.FIVE_DIMENSIONAL, name, f"the image is {shown_shape}; 3D or 4D is needed")
    if 1 in sizes[:3]:
        _fail(ErrorCode.TWO_DIMENSIONAL, name, f"the image is {shown_shape}: a single slice")
    spatial = sorted(sizes[:3])
    if spatial[1] < MIN_IN_PLANE or spatial[0] < MIN_SLICES:
        _fail(
            ErrorCode.TOO_SMALL,
            name,
            f"the image is {shown_shape}; {MIN_SLICES} slices of {MIN_IN_PLANE} x {MIN_IN_PLANE} "
            "voxels are the least",
        )
    return (sizes[0], sizes[1], sizes[2]), sizes[3]


def _zooms(header: Any, name: str) -> tuple[float, float, float]:
    unit = MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    zooms = [float(zoom) * unit for zoom in header["pixdim"][1:4]]
    low, high = SPACING_LIMITS_MM
    if not all(low <= zoom <= high for zoom in zooms):
        shown = ", ".join(f"{zoom:g}" for zoom in zooms)
        _fail(
            ErrorCode.IMPOSSIBLE_GEOMETRY,
            name,
            f"the voxel size is ({shown}) mm; {low:g} to {high:g} mm is possible",
        )
    return zooms[0], zooms[1], zooms[2]


def _scaling(header: Any, name: str) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):  # both mean: no scaling
        return 1.0, 0.0
    if not all(abs(number) <= MAX_SCALING for number in (slope, inter)):
        _fail(
            ErrorCode.IMPOSSIBLE_SCALING,
            name,
            f"scl_slope is {slope:g} and scl_inter {inter:g}; finite float32 numbers are needed",
        )
    return slope, inter


def _slice_dimension(dim_info: int) -> int | None:
    slice_code = (dim_info >> 4) & 3
    return slice_code - 1 if slice_code else None


def _data_offset(header: Any, size: int, name: str) -> int:
    offset = float(header["vox_offset"])
    if not size + 4 <= offset <= MAX_PREAMBLE or offset != int(offset):
        _fail(
            ErrorCode.IMPOSSIBLE_HEADER,
            name,
            f"vox_offset is {offset:g}; whole bytes from {size + 4} to {MAX_PREAMBLE} are possible",
        )
    return int(offset)


def _affine(header: Any, shape: tuple[int, int, int], name: str) -> NDArray[np.float64]:
    """The affine in mm: sform if its code is set, else qform, else voxel sizes alone."""
    unit = MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    if int(header["sform_code"]) > 0:
        form, rows = "sform", _sform(header)
    elif int(header["qform_code"]) > 0:
        form, rows = "qform", _qform(header)
    else:
        form, rows = "voxel size", _no_form(header, shape)
    problem = affine_problem(rows)
    if problem:
        _fail(ErrorCode.IMPOSSIBLE_GEOMETRY, name, f"the {form} {problem}")
    affine = np.eye(4)
    affine[:3] = rows * unit
    return affine


def affine_problem(rows: NDArray[np.float64]) -> str | None:
    """What makes the first three rows of an affine impossible, or None."""
    if not np.isfinite(rows).all():
        return "holds numbers that are not finite"
    if np.abs(rows).max() > MAX_AFFINE:
        return f"holds numbers beyond {MAX_AFFINE:g} mm"
    lengths = np.linalg.norm(rows[:, :3], axis=0)
    if lengths.min() < SPACING_LIMITS_MM[0] * 1e-3:
        return "is singular: a voxel axis has no length"
    if abs(np.linalg.det(rows[:, :3] / lengths)) < SINGULAR:
        return "is singular: two voxel axes are parallel"
    return None


def _sform(header: Any) -> NDArray[np.float64]:
    return np.array([header["srow_x"], header["srow_y"], header["srow_z"]], dtype=np.float64)


def _qform(header: Any) -> NDArray[np.float64]:
    """Rotation by the quaternion (a, b, c, d) times pixdim, k negated where pixdim[0] < 0.

    A sum of squares of b, c, d slightly over 1 is rounding; more is impossible and gives NaN.
    """
    bcd = np.array([header[f"quatern_{part}"] for part in "bcd"], dtype=np.float64)
    rows = np.full((3, 4), np.nan)
    square = float(bcd @ bcd) if np.abs(bcd).max() <= 2 else np.inf
    if not square <= 1 + 1e-4:  # also NaN
        return rows
    if square > 1:
        bcd /= np.sqrt(square)
    rotation = _rotation(float(np.sqrt(max(0.0, 1 - square))), *(float(part) for part in bcd))
    zooms = np.array(header["pixdim"][1:4], dtype=np.float64)
    if float(header["pixdim"][0]) < 0:
        zooms[2] = -zooms[2]
    rows[:, :3] = rotation * zooms
    rows[:, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return rows


def _rotation(a: float, b: float, c: float, d: float) -> NDArray[np.float64]:
    """The rotation of a unit quaternion (nifti1.h, method 2)."""
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _no_form(header: Any, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """As nibabel: x to the left, the origin in the middle of the grid."""
    zooms = np.array(header["pixdim"][1:4], dtype=np.float64) * (-1, 1, 1)
    rows = np.zeros((3, 4))
    rows[:, :3] = np.diag(zooms)
    rows[:, 3] = -zooms * (np.array(shape) - 1) / 2
    return rows
