"""Hand-made metrics of brain T1w and T2w volumes, with MRIQC's names and definitions."""

from mriqa.metrics.brain.columns import BRAIN_COLUMNS
from mriqa.metrics.brain.maps import BrainTissue, tissue_of_labels, tissue_of_maps
from mriqa.metrics.brain.measure import BrainMeasurement, measure_brain

__all__ = [
    "BRAIN_COLUMNS",
    "BrainMeasurement",
    "BrainTissue",
    "measure_brain",
    "tissue_of_labels",
    "tissue_of_maps",
]
