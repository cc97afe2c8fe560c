"""The columns that the hierarchy fills, of slices, volumes and subjects, and its score file.

Nothing heavy is imported here: the schemas of the tables are made from it.
"""

from mriqa.columns import Column, arrow_schema

RATING_LEVELS = {
    "pass": "good enough for analysis",
    "questionable": "a person should look",
    "fail": "should not be analysed",
}
PROBABILITY_COLUMNS = tuple(
    Column(
        f"hierarchy_p_{rating}",
        "float64",
        f"Probability of the rating {rating}, after temperature scaling on validation subjects.",
        bounds=(0, 1),
    )
    for rating in RATING_LEVELS
)
_RATING = Column(
    "hierarchy_rating",
    "string",
    "The most probable of the three ratings.",
    levels=RATING_LEVELS,
)
VOLUME_COLUMNS = (
    *PROBABILITY_COLUMNS,
    _RATING,
    Column(
        "hierarchy_quality_score",
        "float64",
        "1 - expected severity: 0.9 of pass, 0.6 of questionable, 0.2 of fail, by their "
        "probabilities. NULL where validation subjects showed that the networks tell them too "
        "badly: then others rate.",
        better="higher",
        bounds=(0, 1),
    ),
    Column(
        "hierarchy_worst_slice",
        "int32",
        "Index of the slice with the greatest probability of fail.",
        bounds=(0, None),
    ),
    Column(
        "hierarchy_n_slices_fail",
        "int32",
        "Slices whose most probable rating is fail.",
        better="lower",
        bounds=(0, None),
    ),
)
SLICE_COLUMNS = PROBABILITY_COLUMNS
SUBJECT_COLUMNS = (
    Column(
        "hierarchy_rating",
        "string",
        "Of the session, by the expected shares of its volumes that fail and pass, against "
        "thresholds fitted on validation subjects; fail from 30% on at the latest.",
        levels=RATING_LEVELS,
    ),
    Column(
        "hierarchy_share_fail",
        "float64",
        "Share of the session's volumes that fail, by their probabilities: their mean "
        "hierarchy_p_fail.",
        better="lower",
        bounds=(0, 1),
    ),
    Column(
        "hierarchy_share_pass",
        "float64",
        "Share of the session's volumes that pass, by their probabilities: their mean "
        "hierarchy_p_pass.",
        better="higher",
        bounds=(0, 1),
    ),
    Column(
        "hierarchy_usable",
        "string",
        "Volumes that do not fail, of all that were rated, by shell: `b0 6/6, b1000 55/60`; "
        "`none` is what is no diffusion.",
    ),
    Column(
        "hierarchy_blamed",
        "string",
        "Volumes that fail, the worst first, ten at most, each with its worst slice: "
        "`series_id 17 (slice 23)`; the likeliest, where a session fails and none does for sure.",
    ),
)

SCORE_COLUMNS = (
    Column("series_id", "string", "Series.", required=True),
    Column("volume", "int32", "Index of the volume in its series, from 0.", required=True),
    Column("slice", "int32", "Index along the slice axis; NULL in the row of a volume."),
    Column("stratum", "string", "What it was compared within; NULL in rows of slices."),
    Column("problem", "string", "Why there are no probabilities; NULL where there are."),
    *VOLUME_COLUMNS,
)
SCORE_SCHEMA = arrow_schema(SCORE_COLUMNS)
"""`scores/hierarchy/<shard>.parquet`: a row a volume that was measured, and a row a slice of it."""
