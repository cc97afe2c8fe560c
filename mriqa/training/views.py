"""Two views of one slice: what contrastive pretraining takes for the same thing.

Only place, size and mirroring differ between views. Blur, noise and contrast jitter would teach
the encoder to ignore image quality.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.config import PretrainingSection

Image = NDArray[np.float32]
BRIGHTEST = 4.0
"""Intensities above so many times the upper percentile are cut: spikes, vessels, metal."""
SMALLEST_AREA = 0.2
"""Share of the slice that a resized crop covers at least."""
WIDEST = 4 / 3
"""Greatest ratio of a resized crop's sides, in either direction (Chen et al. 2020, Appendix A)."""
DRAWS = 6
"""Random numbers that a view takes."""


@dataclass(frozen=True)
class View:
    """A box of a slice, in pixels of it, shown as a square of `side` pixels, perhaps mirrored.

    A box of `side` by `side` is shown pixel by pixel, any other is resampled. It may reach over
    the slice's edges, where it shows zeros.
    """

    y0: int
    x0: int
    height: int
    width: int
    side: int
    flip_y: bool
    flip_x: bool

    @property
    def box(self) -> tuple[slice, slice]:
        """The part of the box that may lie inside the slice, as an index (y, x)."""
        return (
            slice(max(self.y0, 0), self.y0 + self.height),
            slice(max(self.x0, 0), self.x0 + self.width),
        )


def prepare(image: NDArray[Any], upper: float, gamma: float) -> Image:
    """`clip(image / upper, 0, 4) ** gamma` as float32, of any shape.

    `upper` is the volume's foreground percentile 99.5, in the image's units. What is not finite,
    or negative, becomes 0. Raises ValueError unless `upper` is positive.
    """
    if not upper > 0:
        raise ValueError(f"upper is {upper:g}; it must be positive")
    scaled = np.asarray(image, np.float32) * np.float32(1 / upper)
    if not np.isfinite(scaled).all():
        scaled[~np.isfinite(scaled)] = 0
    np.clip(scaled, 0, BRIGHTEST, out=scaled)
    if gamma == 1:
        return scaled
    # Five times as fast as `**`, equal to its sixth digit: log(0) is -inf, exp(-inf) is 0.
    with np.errstate(divide="ignore"):
        np.log(scaled, out=scaled)
    scaled *= np.float32(gamma)
    np.exp(scaled, out=scaled)
    return scaled


def draw_views(
    rng: np.random.Generator, shape_yx: tuple[int, int], section: PretrainingSection
) -> tuple[View, View]:
    """Two views of a slice of `shape_yx`, each placed and mirrored for itself."""
    drawer = _native_patch if section.views == "native_patch" else _resized_crop
    first, second = rng.random((2, DRAWS)).tolist()
    return drawer(first, shape_yx, section.view_px), drawer(second, shape_yx, section.view_px)


def apply_view(image: Image, view: View) -> Image:
    """The view of a prepared slice (y, x), as (side, side); nothing is drawn here."""
    part = image[view.box]
    if (view.height, view.width) != (view.side, view.side):
        part = _resampled(part, view.side)
    elif part.shape != (view.side, view.side):
        part = _padded(part, view)
    return part[:: -1 if view.flip_y else 1, :: -1 if view.flip_x else 1]


def _native_patch(drawn: list[float], shape_yx: tuple[int, int], side: int) -> View:
    """Wholly inside along an axis that is long enough, else around all of it."""
    y0, x0 = (_start(draw, size, side) for draw, size in zip(drawn, shape_yx, strict=False))
    return View(y0, x0, side, side, side, drawn[4] < 0.5, drawn[5] < 0.5)


def _resized_crop(drawn: list[float], shape_yx: tuple[int, int], side: int) -> View:
    rows, columns = shape_yx
    area = (SMALLEST_AREA + drawn[2] * (1 - SMALLEST_AREA)) * rows * columns
    ratio = WIDEST ** (2 * drawn[3] - 1)
    # At an edge the other side grows instead, so that the area stays what was drawn.
    height = min(rows, max(math.sqrt(area * ratio), area / columns))
    height = max(1, math.ceil(height))
    width = min(columns, max(1, math.ceil(area / height)))
    y0, x0 = _start(drawn[0], rows, height), _start(drawn[1], columns, width)
    return View(y0, x0, height, width, side, drawn[4] < 0.5, drawn[5] < 0.5)


def _start(draw: float, size: int, length: int) -> int:
    """A start from 0 to `size - length`, or from there to 0 where `length` is the greater."""
    room = size - length
    low = min(room, 0)
    return low + min(int(draw * (abs(room) + 1)), abs(room))


def _padded(part: Image, view: View) -> Image:
    result = np.zeros((view.side, view.side), np.float32)
    y, x = max(-view.y0, 0), max(-view.x0, 0)
    result[y : y + part.shape[0], x : x + part.shape[1]] = part
    return result


def _resampled(part: Image, side: int) -> Image:
    """Bilinear, without antialiasing: smoothing would take the noise away.

    As torch's `interpolate`, which for a single slice costs more to call than to compute.
    """
    by_row = _between_rows(part, side)
    return _between_rows(np.ascontiguousarray(by_row.T), side).T


def _between_rows(part: Image, side: int) -> Image:
    first, second, share = _row_weights(len(part), side)
    result, change = part[first], part[second]
    change -= result
    change *= share
    result += change
    return result


@lru_cache(maxsize=4096)
def _row_weights(rows: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Image]:
    """For each of `side` new rows the two old ones around its centre; the share of the second."""
    centre = np.maximum((np.arange(side) + 0.5) * (rows / side) - 0.5, 0)
    first = np.minimum(centre.astype(np.intp), rows - 1)
    share = (centre - first).astype(np.float32)[:, None]
    return first, np.minimum(first + 1, rows - 1), share
