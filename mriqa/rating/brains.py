"""MRIQC's metrics of the volumes that are brains, by what the configuration says is one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.maps.model import MapFile, MapPaths, paths_of
from mriqa.config import BrainSection
from mriqa.errors import MapsError, SeriesError
from mriqa.images.aligned import Grid, grid_of_stored, read_aligned
from mriqa.images.store import SeriesAttributes
from mriqa.metrics.brain import measure_brain
from mriqa.metrics.brain.air import Up, up_of_orientation
from mriqa.metrics.brain.mixture import Contrast

NO_BRAIN = "no_brain"


def brain_metrics(
    image: NDArray[np.float32],
    known: SeriesAttributes,
    contrast: str,
    section: BrainSection,
    files: Sequence[MapFile] = (),
) -> dict[str, Any]:
    """The columns of `metrics.brain` of a volume (z, y, x); none for what is no brain by `section`.

    `files`: the user's mask and tissue maps of its series. Where they cannot be used, or no brain
    is found, `brain_tissue_null_reason` says so.
    """
    if contrast not in (*section.t1w, *section.t2w):
        return {}
    weighting: Contrast = "T1w" if contrast in section.t1w else "T2w"
    up = up_of_orientation(known.stored_orientation)
    try:
        paths = paths_of(files)
        return measured_by(image, known.spacing_mm, weighting, paths, grid_of_stored(known), up)
    except MapsError as error:
        return {"brain_tissue_null_reason": error.reason, "brain_maps_problem": error.message}


def measured_by(
    image: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    weighting: Contrast,
    paths: MapPaths,
    grid: Grid,
    up: Up | None,
) -> dict[str, Any]:
    """The columns of a volume (z, y, x) on `grid` by the user's files in `paths`.

    Raises MapsError where these cannot be used.
    """
    from mriqa.metrics.brain.given import (  # dipy
        Given,
        checked_maps,
        checked_mask,
        tissue_of_given,
    )

    brain = maps = None
    if paths.mask is not None:
        brain = checked_mask(read_aligned(paths.mask, grid), str(paths.mask))
    if paths.tissues is not None:
        csf, gm, wm = paths.tissues
        read = read_aligned(csf, grid), read_aligned(gm, grid), read_aligned(wm, grid)
        maps = checked_maps(read, (str(csf), str(gm), str(wm)))
    given = Given(brain, maps)
    try:
        tissue = tissue_of_given(image, spacing_mm, weighting, given, up=up)
        values = measure_brain(image, spacing_mm, tissue).values
    except SeriesError:
        return {"brain_tissue_null_reason": NO_BRAIN, "brain_source": given.source}
    return {**values, "brain_source": given.source}
