"""Hand-made quality metrics of any anatomy."""

from mriqa.metrics.columns import (
    BODY_SLICE_COLUMNS,
    METRICS_VERSION,
    SLICE_COLUMNS,
    SUBJECT_COLUMNS,
    VOLUME_COLUMNS,
)
from mriqa.metrics.measure import Measurement, body_of, measure

__all__ = [
    "BODY_SLICE_COLUMNS",
    "METRICS_VERSION",
    "SLICE_COLUMNS",
    "SUBJECT_COLUMNS",
    "VOLUME_COLUMNS",
    "Measurement",
    "body_of",
    "measure",
]
