"""The columns that the metrics fill, of volumes and of slices."""

from typing import Literal

from mriqa.columns import Column
from mriqa.metrics.brain.columns import BRAIN_COLUMNS, BRAIN_SOURCE_COLUMNS

Bounds = tuple[float | None, float | None]

METRICS_VERSION = 1
"""Raise it when a metric says something else of a slice, beside `rating.score.FORMAT_VERSION`: what
networks have learned of the metrics then counts no more (`methods.hierarchy.features`)."""

AIR_LEVELS = {
    "zeroed_background": "The background is exactly zero: there is no noise to measure.",
    "too_little_background": "The body fills the field of view; too little air is left.",
}


def _metric(
    name: str, better: Literal["higher", "lower"] | None, bounds: Bounds, description: str
) -> Column:
    return Column(name, "float64", description, units="1", better=better, bounds=bounds)


_SHARED = (
    _metric(
        "body_foreground_fraction",
        None,
        (0, 1),
        "Share of the voxels that lie in the body (Otsu's threshold on cube-root block means, "
        "large components, filled).",
    ),
    _metric(
        "body_snr",
        "higher",
        (0, None),
        "Signal-to-noise ratio against air: sqrt(|median(body)² - s²|) / s with "
        "s = median(air) / sqrt(2 ln 2) (Gudbjartsson & Patz 1995). NULL without air.",
    ),
    _metric(
        "body_snr_tissue",
        "higher",
        (0, None),
        "Signal-to-noise ratio inside the body, also where the background is zeroed: "
        "median(body) / s with s from the median of Immerkær's (1996) noise residual.",
    ),
    _metric(
        "body_efc",
        "lower",
        (0, 1),
        "Entropy focus criterion as MRIQC and QAP compute it (Atkinson 1997): entropy of the "
        "intensities, 0 if all energy is in one voxel, 1 if all voxels are equal.",
    ),
    _metric(
        "body_fber",
        "higher",
        (0, None),
        "Foreground-background energy ratio mean(body²) / mean(air²) (QAP, Shehzad 2015; mean, "
        "not MRIQC's median). NULL without air.",
    ),
    _metric(
        "body_sharpness",
        "higher",
        (None, None),
        "Energy of intensity differences over 2 voxels by that over 4, in the body, both in-plane "
        "axes; from products of adjacent lines, so that noise cancels. 0.5 for steps, 0.25 for "
        "edges wider than 4 voxels.",
    ),
    _metric(
        "body_sharpness_y",
        "higher",
        (None, None),
        "As body_sharpness, but differences along y over 1 voxel by those over 3 (0.33 for steps, "
        "0.11 for wide edges): motion and missing k-space lines along y lower it.",
    ),
    _metric(
        "body_sharpness_x",
        "higher",
        (None, None),
        "As body_sharpness_y, with differences along x.",
    ),
    _metric(
        "body_ghosting_y",
        "lower",
        (None, None),
        "Ghosts along the rows' axis (array axis y): (rms of air above and below the body - rms "
        "of the corners) / rms of the body. NULL without such air.",
    ),
    _metric(
        "body_ghosting_x",
        "lower",
        (None, None),
        "Ghosts along the columns' axis (array axis x): (rms of air left and right of the body - "
        "rms of the corners) / rms of the body. NULL without such air.",
    ),
    _metric(
        "body_border_y",
        "lower",
        (0, None),
        "Mean intensity of the first and last lines across y over the body's mean: signal that "
        "wraps around along y. High by right where the body exceeds the field of view.",
    ),
    _metric(
        "body_border_x",
        "lower",
        (0, None),
        "As body_border_y, across x.",
    ),
    _metric(
        "body_entropy",
        None,
        (0, 1),
        "Shannon entropy of the body's intensities in 64 bins up to the upper foreground "
        "percentile, over log2(64).",
    ),
    _metric(
        "body_slice_consistency",
        None,
        (-1, 1),
        "Correlation of a slice with its neighbours over the body they share; of a volume, the "
        "mean over its slices. Noise and slices out of place lower it, blur raises it.",
    ),
    _metric(
        "body_slice_tearing",
        "lower",
        (-2, 2),
        "Correlation of the two slices around a slice with one another, less body_slice_consistency"
        " of the slice; of a volume, the mean over its slices. Below 0 in an intact volume; motion "
        "between the turns in which every second slice is acquired raises it. The end slices have "
        "none.",
    ),
    _metric(
        "body_slice_dropout",
        "lower",
        (None, 1),
        "Share of the signal that a slice lacks against the geometric mean of its neighbours over "
        "the body they share; of a volume, that of its worst slice. The end slices have none.",
    ),
    _metric(
        "body_slice_noise_excess",
        "lower",
        (None, None),
        "ln of a slice's high-frequency energy (rms of Immerkær's residual) over the median of "
        "five slices around it; of a volume, that of its worst slice. Spikes raise it.",
    ),
)

_VOLUME_ONLY = (
    _metric(
        "body_slice_consistency_drop",
        "lower",
        (0, 2),
        "Median less minimum of body_slice_consistency over the slices: one slice that fits worse "
        "than the others.",
    ),
    Column(
        "body_air_null_reason",
        "string",
        "Why body_snr, body_fber and the ghosting columns are NULL; NULL where they are not.",
        levels=AIR_LEVELS,
    ),
)

AIR_METRICS = ("body_snr", "body_fber", "body_ghosting_y", "body_ghosting_x")
"""Columns that are NULL where there is no air to measure."""

_LACKING = _metric(
    "dwi_slice_lacking",
    "lower",
    (None, 1),
    "Of diffusion: share of the signal that a slice lacks against the same slice in the other "
    "volumes of its shell, each volume's own level set aside; of a volume, that of its worst "
    "slice. NULL in shells of fewer than 5 volumes.",
)
_OUTLIERS = Column(
    "dwi_n_outlier_slices",
    "int32",
    "Of diffusion: slices that lack 10% or more, and lie more than 3.5 robust standard deviations "
    "below the shell (Sairanen et al. 2018). NULL in shells of fewer than 5 volumes.",
    better="lower",
    bounds=(0, None),
)

BODY_VOLUME_COLUMNS: tuple[Column, ...] = _SHARED + _VOLUME_ONLY
BODY_SLICE_COLUMNS: tuple[Column, ...] = _SHARED
"""Of any anatomy."""
DIFFUSION_VOLUME_COLUMNS = (_LACKING, _OUTLIERS)
DIFFUSION_SLICE_COLUMNS = (_LACKING,)
SUBJECT_COLUMNS = (
    Column(
        "dwi_outlier_slices",
        "string",
        "Of diffusion: slices that are outliers (dwi_n_outlier_slices), of all that were compared, "
        "by shell: `b0 0/150, b1000 7/1500`.",
    ),
)

VOLUME_COLUMNS = (
    *BODY_VOLUME_COLUMNS,
    *DIFFUSION_VOLUME_COLUMNS,
    *BRAIN_COLUMNS,
    *BRAIN_SOURCE_COLUMNS,
)
SLICE_COLUMNS = BODY_SLICE_COLUMNS + DIFFUSION_SLICE_COLUMNS
"""All that the tables hold."""
