"""Pictures of picked volumes, read from the Zarr stores of a results folder."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mriqa.cohort.manifest import shard_name
from mriqa.images.store import SeriesAttributes, StoredSeries, open_store
from mriqa.report.mosaic import (
    COLUMNS,
    GAP,
    below,
    caption,
    data_uri,
    grey,
    hung,
    mosaic,
    slices_shown,
)
from mriqa.report.picks import Pick

WINDOW_PERCENTILE = 99.5
"""Foreground percentile that is white: brighter voxels (vessels, spikes) do not darken the rest."""
THICK = 1.5
"""Slices so many times as thick as voxels are wide are acquired one by one, in turns."""
LEAST_ACROSS = 4
"""Planes across fewer slices show nothing."""
WITH_PLANES = 1.45
"""What a picture with planes takes of the page, at most or so, in pictures of eight slices."""
MAX_TILE = 224
MIN_TILE = 64
FULL_SIZE_PICTURES = 40
"""Up to so many pictures have slices of MAX_TILE pixels; more share the same bytes."""


@dataclass(frozen=True)
class Picture:
    """`uri` and its size in pixels, and what it shows; or `problem`: why there is none."""

    uri: str | None
    width: int
    height: int
    caption: str
    problem: str | None = None


Pictures = Mapping[tuple[str, int], Picture]
"""Pictures by series_id and volume."""


def tile_pixels(n_pictures: float) -> int:
    """Longer side of a slice, so that the page's size does not grow with the pictures.

    A picture of fewer slices counts as the part that it is of one of eight.
    """
    scale = min(1.0, (FULL_SIZE_PICTURES / max(1, n_pictures)) ** 0.5)
    return max(MIN_TILE, int(MAX_TILE * scale))


def take_pictures(
    results: Path, picks: Iterable[Pick], tile: int
) -> Iterator[tuple[tuple[str, int], Picture]]:
    """Yield the picture of each volume by (series_id, volume); one that cannot be read says why."""
    for pick in picks:
        yield (pick.series_id, pick.volume), take_picture(results, pick, tile)


def take_picture(results: Path, pick: Pick, tile: int) -> Picture:
    """The mosaic of one volume; never raises for what is wrong with the store."""
    return from_store(
        results,
        pick.shard,
        pick.series_id,
        lambda series: picture_of(series, pick.volume, tile, pick.telling_slice),
    )


def from_store(
    results: Path, shard: int, series_id: str, take: Callable[[StoredSeries], Picture]
) -> Picture:
    """`take` of a stored series, or why there is no picture; never raises."""
    place = f"zarr/{shard_name(shard)}.zarr"
    if not (results / place).is_dir():
        return missing(f"{place} is not there")
    try:
        return take(open_store(results / place).series(series_id))
    except Exception as error:  # whatever ails one store must not cost the page
        return missing(str(error).replace(f"{results}/", "") or type(error).__name__)


def missing(problem: str) -> Picture:
    """No picture, and why."""
    return Picture(None, 0, 0, "", problem)


def picture_of(
    series: StoredSeries, volume: int, tile: int, with_slice: int | None = None
) -> Picture:
    """Slices of one volume in grey, from its least value to the foreground's 99.5th percentile.

    Below them, of thick slices, two planes across: where slices do not fit, these are torn.
    """
    shown = slices_shown(series.attributes.shape_zyx[0], with_slice)
    if not _is_thick(series.attributes):
        slices = np.stack([series.slice(volume, z) for z in shown])
        return drawn(slices, shown, series, volume, tile)
    whole = series.volume(volume)
    slices = whole[list(shown)]
    image, low, high = _mosaic(slices, series, volume, tile, COLUMNS)
    width = (image.width - GAP) // 2
    planes = [_plane(whole, axis, series.attributes, (low, high), width) for axis in (1, 2)]
    text = f"{caption(shown, len(whole))}; below them planes across, a row a slice"
    return _told(below(image, planes), text)


def _is_thick(known: SeriesAttributes) -> bool:
    thickness, *in_plane = known.spacing_mm
    return known.shape_zyx[0] >= LEAST_ACROSS and thickness >= THICK * max(in_plane)


def _plane(
    whole: NDArray[np.float32],
    axis: int,
    known: SeriesAttributes,
    window: tuple[float, float],
    width: int,
) -> Image.Image:
    """The middle plane of `whole` (z, y, x) across `axis`, 1 or 2; the first slice is on top."""
    plane = np.take(whole, whole.shape[axis] // 2, axis)[None]
    spacing = (known.spacing_mm[0], known.spacing_mm[3 - axis])
    return mosaic(grey(plane, *window), spacing, width, 1, least=width)


def drawn(
    slices: NDArray[np.float32],
    shown: Sequence[int],
    series: StoredSeries,
    volume: int,
    tile: int,
    columns: int = COLUMNS,
) -> Picture:
    """`slices` (n, y, x), those called `shown`, with orientation and window of a stored volume."""
    image, *_ = _mosaic(slices, series, volume, tile, columns)
    return _told(image, caption(shown, series.attributes.shape_zyx[0]))


def _told(image: Image.Image, text: str) -> Picture:
    return Picture(data_uri(image), image.width, image.height, text)


def _mosaic(
    slices: NDArray[np.float32], series: StoredSeries, volume: int, tile: int, columns: int
) -> tuple[Image.Image, float, float]:
    """The picture of slices, and which intensities are black and white in it."""
    known = series.attributes
    in_plane = (known.spacing_mm[1], known.spacing_mm[2])
    slices, in_plane = hung(slices, known.stored_orientation[1:], in_plane)
    white = known.percentile(volume, WINDOW_PERCENTILE)
    finite = slices[np.isfinite(slices)]
    low = float(finite.min()) if finite.size else 0.0
    high = math.nan if white is None else white
    return mosaic(grey(slices, low, high), in_plane, tile, columns), low, high
