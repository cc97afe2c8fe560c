"""One picture of a volume: slices side by side, as a radiologist would hang them."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SLICES = 8
COLUMNS = 4
LEAST_TILE = 96
"""Slices of fewer voxels are enlarged to so many pixels."""
GAP, GAP_GREY = 2, 56
"""A thin line between slices, so that two bodies do not look like one."""
MARGIN = 0.08
"""Share of the slices at either end that is not shown: they seldom hold anatomy."""
_DOWN = {"A": "P", "P": "P", "S": "I", "I": "I", "L": "L", "R": "L"}
_RIGHT = {"L": "L", "R": "L", "A": "P", "P": "P", "S": "I", "I": "I"}


def slices_shown(
    n_slices: int, with_slice: int | None = None, count: int = SLICES
) -> tuple[int, ...]:
    """Indices of at most `count` slices, evenly over all but the outermost 8% at either end.

    `with_slice` takes the place of the nearest of them: a fault in one slice must not be missed.
    """
    if n_slices <= count:
        return tuple(range(n_slices))
    first = min(MARGIN * (n_slices - 1), (n_slices - count) / 2)  # steps of one slice at least
    last = n_slices - 1 - first
    even = [math.floor(at + 0.5) for at in np.linspace(first, last, count)]
    if with_slice is not None and 0 <= with_slice < n_slices:
        even[min(range(count), key=lambda at: abs(even[at] - with_slice))] = with_slice
    return tuple(even)


def hung(
    slices: NDArray[np.float32], directions: str, spacing_mm: tuple[float, float]
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Slices (n, y, x) turned so that rows go to posterior or inferior, columns to the left.

    `directions` are the anatomical directions that y and x grow towards (letters of LRPAIS), as in
    `SAL`[1:]; `spacing_mm` (dy, dx). An axial slice is seen from the feet, a coronal one from the
    front, a sagittal one from the left, anterior on the left of the picture. Letters that are none
    of these leave the slices as they are.
    """
    if len(directions) != 2 or not set(directions) <= set(_DOWN):
        return slices, spacing_mm
    y, x = directions[0], directions[1]
    if _must_swap(y, x):
        slices, spacing_mm, (y, x) = slices.transpose(0, 2, 1), spacing_mm[::-1], (x, y)
    if _DOWN[y] != y:
        slices = slices[:, ::-1]
    if _RIGHT[x] != x:
        slices = slices[:, :, ::-1]
    return slices, spacing_mm


def _must_swap(y: str, x: str) -> bool:
    """Whether x, not y, should run down the picture: superior at the top, else anterior."""
    rank = {"S": 0, "I": 0, "A": 1, "P": 1, "L": 2, "R": 2}
    return rank[x] < rank[y]


def grey(slices: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Intensities as grey levels: `low` black, `high` white; NaN is black."""
    width = high - low
    if not (math.isfinite(low) and math.isfinite(width) and width > 0):
        finite = slices[np.isfinite(slices)]
        low = float(finite.min()) if finite.size else 0.0
        width = (float(finite.max()) - low if finite.size else 0.0) or 1.0
    scaled = np.nan_to_num((slices.astype(np.float32) - low) / width, nan=0.0)
    return np.asarray(np.clip(scaled, 0, 1) * 255 + 0.5, dtype=np.uint8)


def mosaic(
    slices: NDArray[np.uint8],
    spacing_mm: tuple[float, float],
    tile: int,
    columns: int = COLUMNS,
    least: int = LEAST_TILE,
) -> Image.Image:
    """Slices (n, y, x) in rows of `columns`, square voxels; longer side of one ≤ `tile` pixels.

    One of fewer voxels is enlarged to `least` pixels.
    """
    n_slices, n_rows, n_columns = slices.shape
    height_mm, width_mm = n_rows * spacing_mm[0], n_columns * spacing_mm[1]
    finest = max(n_rows, n_columns, height_mm / spacing_mm[1], width_mm / spacing_mm[0])
    scale = min(tile, max(least, math.ceil(finest))) / max(height_mm, width_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    across = min(columns, n_slices)
    down = math.ceil(n_slices / across)
    step = (size[0] + GAP, size[1] + GAP)
    canvas = Image.new("L", (across * step[0] - GAP, down * step[1] - GAP), GAP_GREY)
    for index in range(n_slices):
        picture = Image.fromarray(np.ascontiguousarray(slices[index]))
        corner = (index % across * step[0], index // across * step[1])
        canvas.paste(picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3), corner)
    return canvas


def below(upper: Image.Image, lower: Sequence[Image.Image]) -> Image.Image:
    """`upper`, and beneath it `lower` side by side."""
    width = max(upper.width, sum(one.width + GAP for one in lower) - GAP)
    height = upper.height + GAP + max(one.height for one in lower)
    canvas = Image.new("L", (width, height), GAP_GREY)
    canvas.paste(upper, (0, 0))
    left = 0
    for one in lower:
        canvas.paste(one, (left, upper.height + GAP))
        left += one.width + GAP
    return canvas


def lossless_uri(picture: Image.Image) -> str:
    """The picture as lossless WebP in a data URI: for what is drawn, not scanned."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=True, quality=80, method=4, exact=True)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def data_uri(picture: Image.Image, quality: int = 82) -> str:
    """The picture as WebP in a data URI."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def caption(shown: Sequence[int], n_slices: int) -> str:
    """`slices 2, 6, 10 of 44, counted from 0`."""
    return f"slices {', '.join(map(str, shown))} of {n_slices}, counted from 0"
