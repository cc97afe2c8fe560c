"""Which way a metric is good, where that is published."""

from fnmatch import fnmatchcase

from mriqa.evaluation.metrics.settings import Better
from mriqa.rating.published import VOLUMES

PUBLISHED: tuple[tuple[str, Better], ...] = (
    ("cjv", "lower"),
    ("cnr", "higher"),
    ("efc", "lower"),
    ("fber", "higher"),
    ("fwhm*", "lower"),
    ("qi", "lower"),
    ("qi1", "lower"),
    ("qi_1", "lower"),
    ("qi_2", "lower"),
    ("rpve_*", "lower"),
    ("snr", "higher"),
    ("snr_*", "higher"),
    ("snrd_*", "higher"),
    ("tpm_overlap_*", "higher"),
)
"""MRIQC's and QAP's names, by MRIQC's documentation (iqms/t1w). Those that are best near some value
(inu_*, wm2max), volume fractions (icvs_*) and summaries (summary_*) have none."""


def published_direction(name: str) -> Better | None:
    """What is better of the metric in column `name`: `higher`, `lower`, or None: not published."""
    for column in VOLUMES:
        if column.name == name:
            return column.better
    return next((better for pattern, better in PUBLISHED if fnmatchcase(name, pattern)), None)
