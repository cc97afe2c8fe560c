"""Pieces of embeddings."""

import numpy as np
from numpy.typing import NDArray

from mriqa.embedding.volumes import SLICE_METRICS


def no_metrics(count: int) -> NDArray[np.float32]:
    """Of `count` slices, none of which was measured."""
    return np.full((count, len(SLICE_METRICS)), np.nan, dtype=np.float32)
