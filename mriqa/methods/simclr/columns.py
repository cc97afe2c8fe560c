"""The columns that SimCLR fills, of volumes, slices and subjects, and its score file.

Nothing heavy is imported here: the schemas of the tables are made from it.
"""

from mriqa.columns import Column, arrow_schema

CLASS_LEVELS = {
    "HQ": "more like the high-quality references",
    "LQ": "more like the low-quality references",
}
MATCHING_LEVELS = {
    "sex_height_weight": "of the same sex, and nearest in height and weight",
    "sex_height": "of the same sex, and nearest in height; the weight is not known",
    "sex_weight": "of the same sex, and nearest in weight; the height is not known",
    "sex": "of the same sex; height and weight are not known",
    "height_weight": "nearest in height and weight; the sex is not known, or too few are of it",
    "height": "nearest in height; nothing else is known, or too few are of the sex",
    "weight": "nearest in weight; nothing else is known, or too few are of the sex",
    "none": "drawn by the seed; sex, height and weight are not known",
}
SIMILARITY_COLUMNS = (
    Column(
        "simclr_class",
        "string",
        "Which references it is more like: the larger of simclr_s_hq and simclr_s_lq.",
        levels=CLASS_LEVELS,
    ),
    Column(
        "simclr_sim",
        "float64",
        "SIM as the paper has it: simclr_s_hq of class HQ, 1 - simclr_s_lq of class LQ. It jumps "
        "between the classes; simclr_margin does not.",
        better="higher",
        bounds=(-1, 2),
    ),
    Column(
        "simclr_s_hq",
        "float64",
        "Mean cosine similarity of the encoder's embedding to the high-quality (HQ) references.",
        better="higher",
        bounds=(-1, 1),
    ),
    Column(
        "simclr_s_lq",
        "float64",
        "Mean cosine similarity to the low-quality (LQ, simulated) references.",
        better="lower",
        bounds=(-1, 1),
    ),
    Column(
        "simclr_margin", "float64", "simclr_s_hq - simclr_s_lq.", better="higher", bounds=(-2, 2)
    ),
    Column(
        "simclr_margin_whitened",
        "float64",
        "How much nearer it is to the mean of the stratum's HQ references than to those of the "
        "families of artifacts, after whitening: 1 at that mean, 0 where the families are as near "
        "on average; what is like one family alone may be above 0. quality_score rests on it.",
        better="higher",
        bounds=(-1, 1),
    ),
)
"""Of slices, volumes and subjects."""

_CALIBRATED = (
    Column(
        "simclr_quality_score",
        "float64",
        "1 - expected severity of simulated artifacts, given simclr_margin_whitened.",
        better="higher",
        bounds=(0, 1),
    ),
    Column(
        "simclr_quality_sd",
        "float64",
        "Standard deviation of severity around what is expected: how sure simclr_quality_score is.",
        better="lower",
        bounds=(0, 1),
    ),
)
_REFERENCES = (
    Column(
        "simclr_matching",
        "string",
        "How the references were chosen from those of the stratum.",
        levels=MATCHING_LEVELS,
    ),
    Column(
        "simclr_nearest_hq",
        "string",
        "The nearest HQ reference of its stratum, after whitening: series_id, volume.",
    ),
    Column(
        "simclr_nearest_lq",
        "string",
        "The nearest LQ reference of its stratum, after whitening: series_id, volume, and the "
        "simulated artifact's family and severity.",
    ),
)

VOLUME_COLUMNS = (*SIMILARITY_COLUMNS, *_CALIBRATED, *_REFERENCES)
SLICE_COLUMNS = SIMILARITY_COLUMNS
SUBJECT_COLUMNS = SIMILARITY_COLUMNS

SCORE_COLUMNS = (
    Column("series_id", "string", "Series.", required=True),
    Column("volume", "int32", "Index of the volume in its series, from 0.", required=True),
    Column("slice", "int32", "Index along the slice axis; NULL in the row of a volume."),
    Column("stratum", "string", "What it was compared within; NULL in rows of slices."),
    Column("problem", "string", "Why there are no similarities; NULL where there are."),
    *VOLUME_COLUMNS,
)
SCORE_SCHEMA = arrow_schema(SCORE_COLUMNS)
"""`scores/simclr/<shard>.parquet`: a row a volume that was measured, and a row a slice of it."""
