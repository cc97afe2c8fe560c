"""Pieces of embeddings."""

import numpy as np
from numpy.typing import NDArray

from mriqa.embedding.volumes import N_FIT


def no_fit(count: int) -> NDArray[np.float16]:
    """Of `count` slices that nothing is known of but themselves."""
    return np.full((count, N_FIT), np.nan, dtype=np.float16)
