"""The columns that the brain metrics fill: MRIQC's names and definitions."""

from typing import Literal

from mriqa.columns import Column

Bounds = tuple[float | None, float | None]
Better = Literal["higher", "lower"] | None

AIR_LEVELS = {
    "zeroed_background": "The background is exactly zero: there is no noise to measure.",
    "too_little_background": "Fewer than 1000 voxels of air above the face were found.",
}

TISSUE_LEVELS = {
    "no_brain": "No brain stands out, or all of it has one intensity.",
    "maps_missing": "A file of the user's mask or maps is not there, or may not be read.",
    "maps_damaged": "A file of the user's mask or maps is no NIfTI image that can be read.",
    "maps_grid": "The user's mask or maps are not on the scan's grid: another shape or affine.",
    "maps_values": "The user's mask or maps hold numbers that are not finite or not in 0 to 1.",
    "maps_empty": "The user's mask or maps hold fewer than 1000 voxels of brain.",
    "maps_incomplete": "Of the user's maps of csf, gm and wm one or two are missing.",
    "maps_ambiguous": "Several files are the user's mask, or the same map, of the series.",
    "no_csf": "The probabilities of cerebrospinal fluid sum up to less than 10 voxels.",
    "no_gm": "The probabilities of grey matter sum up to less than 10 voxels.",
    "no_wm": "The probabilities of white matter sum up to less than 10 voxels.",
}

SOURCE_LEVELS = {
    "own": "Both are mriqa's own.",
    "mask": "The user's brain mask; the tissues in it are mriqa's own.",
    "maps": "The user's tissue maps, within the user's mask if there is one.",
}

INU_LEVELS = {"no_bias_field": "The caller gave tissue maps without a bias field."}

_NAMES = {"csf": "cerebrospinal fluid", "gm": "grey matter", "wm": "white matter", "bg": "air"}

_STATISTICS: tuple[tuple[str, Bounds, str], ...] = (
    ("mean", (0, None), "Mean intensity"),
    ("median", (0, None), "Median intensity"),
    ("stdv", (0, None), "Standard deviation of the intensities"),
    ("mad", (0, None), "Median absolute deviation over 0.6745 (of normal values the deviation)"),
    ("k", (-2, None), "Excess kurtosis of the intensities (0 if normal)"),
    ("p05", (0, None), "5th percentile of the intensities"),
    ("p95", (0, None), "95th percentile of the intensities"),
    ("n", (0, None), "Sum of the probabilities, in voxels,"),
)


def _metric(name: str, better: Better, bounds: Bounds, description: str) -> Column:
    return Column(name, "float64", description, units="1", better=better, bounds=bounds)


def _by_tissue(
    prefix: str, better: Better, bounds: Bounds, description: str, total: str = ""
) -> tuple[Column, ...]:
    """One column a tissue, and one of their mean if `total` describes it."""
    columns = [
        _metric(f"{prefix}_{name}", better, bounds, description.format(tissue=_NAMES[name]))
        for name in ("csf", "gm", "wm")
    ]
    if total:
        columns.append(_metric(f"{prefix}_total", better, bounds, total))
    return tuple(columns)


def _summary(name: str) -> tuple[Column, ...]:
    """Statistics of one tissue, or of the air ("bg")."""
    where = f"of {_NAMES[name]}, white matter's median being 1000."
    return tuple(
        _metric(
            f"summary_{name}_{statistic}",
            None,
            bounds,
            f"{text} of {_NAMES[name]}." if statistic in ("k", "n") else f"{text} {where}",
        )
        for statistic, bounds, text in _STATISTICS
    )


_RATIOS = (
    *_by_tissue(
        "snr",
        "higher",
        (0, None),
        "Signal-to-noise ratio inside {tissue}: median / (stdv sqrt(n / (n - 1))), weighted by "
        "its probabilities (QAP, MRIQC).",
        "Total signal-to-noise ratio: mean of snr_csf, snr_gm and snr_wm.",
    ),
    *_by_tissue(
        "snrd",
        "higher",
        (0, None),
        "Signal-to-noise ratio of {tissue} against air: 0.6551364 median / MAD of the air "
        "(Dietrich 2007, MRIQC). NULL without air.",
        "Mean of snrd_csf, snrd_gm and snrd_wm. NULL without air.",
    ),
    _metric(
        "cnr",
        "higher",
        (0, None),
        "Contrast-to-noise ratio |median wm - median gm| / sqrt(stdv air² + stdv wm² + stdv gm²) "
        "(Magnotta 2006, MRIQC). NULL without air (MRIQC: as if its noise were 0).",
    ),
    _metric(
        "cjv",
        "lower",
        (0, None),
        "Coefficient of joint variation (MAD wm + MAD gm) / |median wm - median gm| (Ganzetti "
        "2016, MRIQC): motion and shading raise it.",
    ),
    _metric(
        "efc",
        "lower",
        (0, 1),
        "Entropy focus criterion (Atkinson 1997, MRIQC) of the bias-corrected volume: 0 if all "
        "energy is in one voxel, 1 if all voxels are equal.",
    ),
    _metric(
        "fber",
        "higher",
        (0, None),
        "Foreground-background energy ratio median(head²) / median(background²) (Shehzad 2015; "
        "medians, as MRIQC). NULL without air.",
    ),
    _metric(
        "qi_1",
        "lower",
        (0, 1),
        "Share of the air above the face that holds artifacts (Mortamet 2009, MRIQC). NULL "
        "without air.",
    ),
    _metric(
        "wm2max",
        None,
        (0, None),
        "Median of white matter over the 99.95th percentile of the volume (MRIQC); 0.6 to 0.8 is "
        "usual, less where vessels, fat or spikes shine.",
    ),
)

_BIAS = (
    _metric(
        "inu_range",
        "lower",
        (0, None),
        "95th less 5th percentile of the bias field in the brain. The field is a cubic polynomial "
        "fitted to log intensities of the tissues, not MRIQC's N4: its range is lower.",
    ),
    _metric(
        "inu_med",
        None,
        (0, None),
        "Median of the bias field in the brain. mriqa's own estimate is scaled to about 1, "
        "MRIQC's N4 is not.",
    ),
)

_MAPS = (
    *_by_tissue(
        "icvs",
        None,
        (0, 1),
        "Share of {tissue} in the intracranial volume, from the sums of the probabilities.",
    ),
    *_by_tissue(
        "rpve",
        "lower",
        (0, None),
        "Residual partial voluming of {tissue} (MRIQC): as there, every voxel outside of the "
        "tissue adds 1, so that it depends on the field of view.",
    ),
)

_WIDTHS = (
    *(
        _metric(
            f"fwhm_{axis}",
            "lower",
            (0, None),
            f"Smoothness along array axis {axis} in voxels: width of an equivalent Gaussian kernel "
            "(Forman 1995, as AFNI's classic 3dFWHMx) inside the brain. MRIQC names axes after "
            "turning the volume to RAS.",
        )
        for axis in "xyz"
    ),
    _metric("fwhm_avg", "lower", (0, None), "Mean of fwhm_x, fwhm_y and fwhm_z, in voxels."),
)

_REASONS = (
    Column(
        "brain_air_null_reason",
        "string",
        "Why the metrics of air (snrd_*, cnr, fber, qi_1, summary_bg_*) are NULL; NULL where "
        "they are not.",
        levels=AIR_LEVELS,
    ),
    Column(
        "brain_tissue_null_reason",
        "string",
        "Why metrics of a tissue, and those that need all three, are NULL; the first of them in "
        "the order wm, gm, csf. NULL where they are not.",
        levels=TISSUE_LEVELS,
    ),
    Column(
        "brain_inu_null_reason",
        "string",
        "Why inu_range and inu_med are NULL; NULL where they are not.",
        levels=INU_LEVELS,
    ),
)

BRAIN_COLUMNS: tuple[Column, ...] = (
    *_RATIOS,
    *_BIAS,
    *_MAPS,
    *(column for name in ("bg", "csf", "gm", "wm") for column in _summary(name)),
    *_WIDTHS,
    *_REASONS,
)

BRAIN_SOURCE_COLUMNS: tuple[Column, ...] = (
    Column(
        "brain_source",
        "string",
        "Whose brain mask and tissues the metrics of brains rest on; NULL where there are none. "
        "Compare volumes of one source with one another.",
        levels=SOURCE_LEVELS,
    ),
    Column(
        "brain_maps_problem",
        "string",
        "One sentence that names the file of the user's mask or maps that cannot be used, and why: "
        "the metrics of brains are NULL then.",
    ),
)

AIR_METRICS = tuple(
    column.name
    for column in BRAIN_COLUMNS
    if column.name.startswith(("snrd_", "summary_bg_")) or column.name in ("cnr", "fber", "qi_1")
)
"""Columns that are NULL where there is no air to measure."""
