"""Hand-made quality metrics of any anatomy."""

from mriqa.metrics.columns import SLICE_COLUMNS, VOLUME_COLUMNS
from mriqa.metrics.measure import Measurement, measure

__all__ = ["SLICE_COLUMNS", "VOLUME_COLUMNS", "Measurement", "measure"]
