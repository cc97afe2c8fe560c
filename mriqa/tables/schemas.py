"""Columns of the published tables, before those that metrics and methods add.

Additive only: a column is never renamed, retyped or removed; `SCHEMA_VERSION` counts additions.
"""

from mriqa.columns import Column
from mriqa.errors import ERROR_DESCRIPTIONS

SCHEMA_VERSION = 6

STATUS_LEVELS = {
    "ok": "rated",
    "failed": "cannot be rated: see error_code",
    "excluded": "left out on purpose: see excluded_by",
    "no_reference": "measured, but nothing comparable to judge it by",
}
RATING_LEVELS = {
    "pass": "good enough for analysis",
    "questionable": "a person should look",
    "fail": "should not be analysed",
}
RATING_SOURCE_LEVELS = {
    "metrics": "hand-made metrics: robust z-scores within the stratum, no learned model",
    "hierarchy": "networks that learned slice, volume and subject ratings from labels",
    "simclr": "similarity to high- and low-quality references (SimCLR), calibrated on simulated "
    "severity",
}
SUBJECT_SOURCE_LEVELS = {
    **RATING_SOURCE_LEVELS,
    "mixed": "the volumes of the session were rated by different methods",
}
FLAG_REASONS = {
    "failed": "the series or volume could not be rated (error_code)",
    "low_snr": "signal-to-noise ratio far below its stratum",
    "ghosting": "ghost energy along an in-plane axis far above its stratum",
    "blur": "sharpness far below its stratum",
    "entropy": "entropy focus criterion (EFC) far above its stratum: ghosts, blur or noise",
    "background": "energy outside the body (FBER) far above its stratum",
    "border": "signal at the border of the field of view far above its stratum: fold-over",
    "slice_inconsistency": "slices differ from their neighbours far more than usual",
    "nonfinite": "more than 0.1% of voxels are not finite numbers",
    "networks": "the hierarchy's networks do not rate it pass, though no metric is unusual",
    "unlike_references": "nearer to low-quality references than a good volume, though no metric is "
    "unusual",
}
EXCLUDED_LEVELS = {
    "withdrawn": "the subject is on the withdrawal list",
    "contrast": "the contrast is excluded by the configuration",
}
BACKGROUND_LEVELS = {
    "air": "the background is acquired noise",
    "zeroed": "the provider set the background to zero; metrics of air are NULL",
}

SERIES_COLUMNS = (
    Column("series_id", "string", "Cohort and all BIDS entities of the file.", required=True),
    Column("subject", "string", "Subject label, without `sub-`.", required=True),
    Column("session", "string", "Session label, without `ses-`."),
    Column("contrast", "string", "BIDS suffix, or the acq label of Dixon images.", required=True),
    Column("station", "string", "Table position of a multi-station scan (BIDS chunk)."),
)
VOLUME_COLUMN = Column(
    "volume",
    "int32",
    "Index of the volume in its series, from 0; NULL in the one row of a series that was not read.",
    bounds=(0, None),
)
STATUS_COLUMNS = (
    Column("status", "string", "What became of it.", levels=STATUS_LEVELS, required=True),
    Column(
        "error_code",
        "string",
        "Why it failed.",
        levels={code.value: text for code, text in ERROR_DESCRIPTIONS.items()},
    ),
    Column("error_message", "string", "One sentence that names file and cause."),
    Column("excluded_by", "string", "Why it was left out.", levels=EXCLUDED_LEVELS),
)
RATING_COLUMNS = (
    Column(
        "quality_score",
        "float64",
        "Quality. From rating_source `simclr` it is 1 - the expected severity of artifacts, "
        "calibrated on simulated ones; from `hierarchy` the same by the probabilities of the "
        "three ratings. From `metrics` it is metrics_score: how unusual the volume "
        "is, not a calibrated severity.",
        better="higher",
        bounds=(0, 1),
    ),
    Column(
        "rating",
        "string",
        "quality_score against two thresholds, or the hierarchy's own rating; at best "
        "questionable where more than 0.1% of the voxels are not finite.",
        levels=RATING_LEVELS,
    ),
    Column("rating_source", "string", "What the rating rests on.", levels=RATING_SOURCE_LEVELS),
    Column("flag", "bool", "True: look at it. NULL: excluded, or nothing to judge it by."),
    Column("flag_reason", "string", "Foremost reason of the flag.", levels=FLAG_REASONS),
    Column(
        "metrics_score",
        "float64",
        "1/(1+(d/4)^2), d the largest robust z-score of a metric in its bad direction, within the "
        "stratum. Below the threshold of `fail` it raises the flag, whatever the rating.",
        better="higher",
        bounds=(0, 1),
    ),
)
STRATUM_COLUMNS = (
    Column("stratum", "string", "Volumes of equal stratum are compared with one another."),
    Column("protocol", "string", "Scanner, and voxel size in mm rounded: the acquisition's kind."),
    Column(
        "b_value_s_per_mm2", "float64", "Diffusion weighting.", units="s/mm^2", bounds=(0, None)
    ),
    Column(
        "b_class",
        "string",
        "`b0` below 50 s/mm^2, else b rounded to 100; `none` of what is not diffusion, "
        "`unknown` where b-values are missing or not as many as volumes.",
    ),
    Column("background", "string", "What lies outside the body.", levels=BACKGROUND_LEVELS),
)
GEOMETRY_COLUMNS = (
    Column("n_slices", "int32", "Slices along the acquisition's slice axis.", bounds=(1, None)),
    Column("n_rows", "int32", "Voxels along the first in-plane axis (y).", bounds=(1, None)),
    Column("n_columns", "int32", "Voxels along the second in-plane axis (x).", bounds=(1, None)),
    Column("spacing_z_mm", "float64", "Distance of slices.", units="mm", bounds=(0, None)),
    Column("spacing_y_mm", "float64", "Voxel size along y.", units="mm", bounds=(0, None)),
    Column("spacing_x_mm", "float64", "Voxel size along x.", units="mm", bounds=(0, None)),
    Column(
        "nonfinite_fraction",
        "float64",
        "Share of voxels of the volume that are not finite numbers; the others are used.",
        better="lower",
        bounds=(0, 1),
    ),
)
PERSON_COLUMNS = (
    Column("site", "string", "Imaging centre."),
    Column("scanner", "string", "Manufacturer, model and field strength, where known."),
    Column("sex", "string", "Sex.", levels={"F": "female", "M": "male", "O": "other"}),
    Column("age", "float64", "Age at the scan.", units="year", bounds=(0, None)),
    Column("height_cm", "float64", "Standing height.", units="cm", bounds=(0, None)),
    Column("weight_kg", "float64", "Body weight.", units="kg", bounds=(0, None)),
    Column(
        "split",
        "string",
        "Part of the cohort, a hash of seed and subject.",
        levels={"train": "training", "validation": "validation", "test": "test"},
    ),
)
SOURCE_COLUMNS = (
    Column("source_path", "string", "File that the series was read from."),
    Column("sha256", "string", "SHA-256 of that file's bytes, where it was read."),
    Column("shard", "int32", "Shard that holds the series.", bounds=(0, None)),
)
PROVENANCE_COLUMNS = (
    Column("schema_version", "int32", "Version of this table's columns.", required=True),
    Column("model_id", "string", "Learned model behind the row; NULL: none."),
    Column("run_id", "string", "Row of the runs table.", required=True),
)

VOLUME_HEAD = (
    *SERIES_COLUMNS,
    VOLUME_COLUMN,
    *STATUS_COLUMNS,
    *RATING_COLUMNS,
    *STRATUM_COLUMNS,
    *GEOMETRY_COLUMNS,
)
VOLUME_TAIL = (*PERSON_COLUMNS, *SOURCE_COLUMNS, *PROVENANCE_COLUMNS)

SLICE_HEAD = (
    *SERIES_COLUMNS,
    Column("volume", "int32", "Index of the volume in its series, from 0.", required=True),
    Column("slice", "int32", "Index along the slice axis, from 0.", required=True),
)
SLICE_TAIL = PROVENANCE_COLUMNS

_COUNTS = {
    "n_series": "Series of the session.",
    "n_volumes": "Volumes of the session that were read.",
    "n_ok": "Rated volumes.",
    "n_failed": "Failed rows: series that were not read, volumes that could not be rated.",
    "n_excluded": "Excluded series.",
    "n_no_reference": "Volumes without anything comparable.",
    "n_pass": "Volumes rated pass.",
    "n_questionable": "Volumes rated questionable.",
    "n_fail": "Volumes rated fail.",
}
SUBJECT_HEAD = (
    Column("subject", "string", "Subject label, without `sub-`.", required=True),
    Column("session", "string", "Session label, without `ses-`."),
    *(
        Column(name, "int32", text, bounds=(0, None), required=True)
        for name, text in _COUNTS.items()
    ),
    Column(
        "quality_score",
        "float64",
        "Median quality_score of the session's rated volumes.",
        better="higher",
        bounds=(0, 1),
    ),
    Column(
        "quality_score_min",
        "float64",
        "Lowest quality_score of the session's rated volumes.",
        better="higher",
        bounds=(0, 1),
    ),
    Column(
        "rating",
        "string",
        "quality_score against two thresholds, or hierarchy_rating where it counts.",
        levels=RATING_LEVELS,
    ),
    Column("rating_source", "string", "What the rating rests on.", levels=SUBJECT_SOURCE_LEVELS),
    Column(
        "flag",
        "bool",
        "True: rating is not pass, or a volume is rated fail, failed a check of the metrics, could "
        "not be rated or is not finite.",
    ),
    Column("flag_reason", "string", "Foremost reason of the flag.", levels=FLAG_REASONS),
)
SUBJECT_TAIL = (*PERSON_COLUMNS, *PROVENANCE_COLUMNS)
FAILURE_COLUMNS = (
    *SERIES_COLUMNS,
    VOLUME_COLUMN,
    Column(
        "error_code",
        "string",
        "Why it failed.",
        levels={code.value: text for code, text in ERROR_DESCRIPTIONS.items()},
        required=True,
    ),
    Column("error_message", "string", "One sentence that names file and cause.", required=True),
    Column("site", "string", "Imaging centre."),
    Column("scanner", "string", "Manufacturer, model and field strength, where known."),
    *SOURCE_COLUMNS,
    *PROVENANCE_COLUMNS,
)
RUN_COLUMNS = (
    Column("run_id", "string", "Identifies the tables of one run.", required=True),
    Column("finished", "timestamp", "When the tables were complete (UTC).", required=True),
    Column("mriqa_version", "string", "Version of mriqa.", required=True),
    Column("python_version", "string", "Version of Python.", required=True),
    Column("library_versions", "string", "JSON: package to version.", required=True),
    Column("settings", "string", "JSON of the rating section.", required=True),
    Column("methods", "string", "JSON: learned method to the model_id that rated."),
    Column("cohort_sha256", "string", "SHA-256 of the list of series.", required=True),
    Column("n_indexed", "int64", "Series indexed.", bounds=(0, None), required=True),
    Column("n_ok", "int64", "Series with a rated volume.", bounds=(0, None), required=True),
    Column("n_failed", "int64", "Series without a usable volume.", bounds=(0, None), required=True),
    Column("n_excluded", "int64", "Series left out.", bounds=(0, None), required=True),
    Column("n_no_reference", "int64", "Series never judged.", bounds=(0, None), required=True),
    Column("schema_version", "int32", "Version of the tables' columns.", required=True),
)
