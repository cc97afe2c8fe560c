"""Simulated copies of good volumes, as the store would give them back.

A copy looks as if it had been stored: its values lie on the source's own grid of numbers, and its
intensities are scaled by what is measured of the copy. Otherwise networks would learn to tell
simulated volumes from real ones by that alone.
"""

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact, apply
from mriqa.artifacts.model import Dropout, Spikes
from mriqa.images.grid import as_stored
from mriqa.images.store import SeriesAttributes

Volume = NDArray[np.float32]


def simulate_copy(image: Volume, attributes: SeriesAttributes, artifact: Artifact) -> Volume:
    """`image` (z, y, x) with the artifact, as the store would give it back."""
    return as_stored(apply(image, attributes.spacing_mm, artifact), image, attributes)


def affected_slices(artifact: Artifact) -> NDArray[np.bool_]:
    """Which slices (z) the artifact changes: of some families only some."""
    affected = np.ones(artifact.shape[0], dtype=bool)
    if isinstance(artifact, Dropout):
        affected[:] = False
        affected[list(artifact.slices)] = True
    elif isinstance(artifact, Spikes) and artifact.acquisition == "2d":
        affected[:] = False
        affected[[spike.slice for spike in artifact.spikes]] = True
    return affected
