"""MRIQC's metrics of the volumes that are brains, by what the configuration says is one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.config import BrainSection
from mriqa.errors import SeriesError
from mriqa.images.store import SeriesAttributes
from mriqa.metrics.brain import measure_brain
from mriqa.metrics.brain.air import up_of_orientation
from mriqa.metrics.brain.mixture import Contrast

NO_BRAIN = "no_brain"


def brain_metrics(
    image: NDArray[np.float32], known: SeriesAttributes, contrast: str, section: BrainSection
) -> dict[str, Any]:
    """The columns of `metrics.brain` of a volume (z, y, x); none for what is no brain by `section`.

    Where no brain is found, `brain_tissue_null_reason` says so.
    """
    if contrast not in (*section.t1w, *section.t2w):
        return {}
    from mriqa.metrics.brain.tissue import estimate_tissue  # dipy

    weighting: Contrast = "T1w" if contrast in section.t1w else "T2w"
    up = up_of_orientation(known.stored_orientation)
    try:
        tissue = estimate_tissue(image, known.spacing_mm, weighting, up=up)
        return dict(measure_brain(image, known.spacing_mm, tissue).values)
    except SeriesError:
        return {"brain_tissue_null_reason": NO_BRAIN}
