"""The metrics of one file, as a run would measure it: the verb `mriqa metrics`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.maps.model import MapPaths
from mriqa.columns import Column
from mriqa.errors import MapsError, SeriesError, UserError
from mriqa.images.aligned import grid_of_file
from mriqa.images.geometry import place, to_stored
from mriqa.images.intensity import scaled
from mriqa.images.nifti import NiftiHeader
from mriqa.images.source import open_nifti
from mriqa.metrics import measure
from mriqa.metrics.brain.air import up_of_orientation
from mriqa.metrics.brain.columns import BRAIN_COLUMNS, BRAIN_SOURCE_COLUMNS
from mriqa.metrics.brain.mixture import Contrast
from mriqa.metrics.columns import BODY_VOLUME_COLUMNS
from mriqa.metrics.null_reasons import null_reason
from mriqa.rating.brains import measured_by

UPPER_PERCENTILE = 99.0
"""The default of `score.foreground_percentile`."""
BRAIN = (*BRAIN_COLUMNS, *(one for one in BRAIN_SOURCE_COLUMNS if one.name == "brain_source"))
COLUMNS = (*BODY_VOLUME_COLUMNS, *BRAIN)
WEIGHTINGS: dict[str | None, Contrast] = {"t1w": "T1w", "t2w": "T2w"}
"""As the command line and `score.brain` spell them."""


def measure_file(
    path: Path,
    weighting: Contrast | None = None,
    paths: MapPaths | None = None,
    *,
    volume: int | None = None,
) -> dict[str, Any]:
    """The metrics of a NIfTI's volume by the names of the tables' columns.

    Without a `volume` it is the first, and a line on stderr says so if there are others. Those of
    brains only where `weighting` says that it is one; `paths` are the user's mask and tissue maps
    of it. Raises SeriesError if the file cannot be measured, or mask or maps cannot be read;
    UserError if these are not of the image.
    """
    header, image = _read(path, volume)
    placement = place(header.zooms_mm, header.affine, header.slice_dimension)
    stored = np.ascontiguousarray(to_stored(image, placement.axes)[0])
    z, y, x = (header.zooms_mm[axis] for axis in placement.axes)
    try:
        values: dict[str, Any] = measure(stored, (z, y, x), upper=UPPER_PERCENTILE).volume
    except SeriesError as error:
        raise SeriesError(error.code, f"{path}: {error.message}") from None
    if weighting is None:
        return values
    up = up_of_orientation(placement.stored_orientation)
    grid = grid_of_file(header, placement)
    try:
        brain = measured_by(stored, (z, y, x), weighting, paths or MapPaths(), grid, up)
    except MapsError as error:
        if isinstance(error.__cause__, SeriesError):  # as if the image were this file
            raise error.__cause__ from None
        raise UserError(error.message) from None
    missing = dict.fromkeys(one.name for one in BRAIN)
    return {**values, **missing, **brain}


def as_table(values: dict[str, Any]) -> str:
    """A line a metric: name, value, which direction is good; `NULL` where not computed, and why.

    The reasons' own lines, and other words, are followed by what they mean.
    """
    rows = [
        (one.name, _shown(values[one.name]), _remark(one, values))
        for one in COLUMNS
        if one.name in values
    ]
    widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
    lines = (f"{name:<{widths[0]}}  {value:<{widths[1]}}  {text}" for name, value, text in rows)
    return "\n".join(line.rstrip() for line in lines)


def _read(path: Path, volume: int | None) -> tuple[NiftiHeader, NDArray[np.float32]]:
    """Header and one volume as (1, k, j, i); what is not finite is NaN."""
    with open_nifti(path) as source:
        header = source.header
        if volume is None:
            volume = 0
            if header.n_volumes > 1:
                last = header.n_volumes - 1
                sys.stderr.write(f"{path}: has volumes 0 to {last}; these are of volume 0\n")
        if not 0 <= volume < header.n_volumes:
            raise UserError(f"{path}: has volumes 0 to {header.n_volumes - 1}, no volume {volume}")
        raw = np.empty((1, *header.shape_ijk[::-1]), header.dtype)
        for _ in range(volume + 1):
            source.read_into(raw)
    image = scaled(raw, header.slope, header.inter)
    image[~np.isfinite(image)] = np.nan
    return header, image


def _remark(column: Column, values: dict[str, Any]) -> str:
    value = values[column.name]
    if value is None and (reason := null_reason(column.name, values)) is not None:
        return reason
    if column.levels:
        return column.levels.get(value, "")
    return "" if column.better is None else f"{column.better} is better"


def _shown(value: float | str | None) -> str:
    return "NULL" if value is None else value if isinstance(value, str) else f"{value:.6g}"
