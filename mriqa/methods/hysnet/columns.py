"""The columns that HyS-Net fills, of volumes and subjects, and its score file.

What it says is a prediction in the unit of its target, not a score: no rating comes from it.
Nothing heavy is imported here: the schemas of the tables are made from it.
"""

from mriqa.columns import Column, arrow_schema

SNR_TOTAL = "snr_total"
"""MRIQC's total SNR, the paper's target; it has a column of its own."""

VOLUME_COLUMNS = (
    Column(
        "hysnet_target",
        "string",
        "What hysnet_prediction predicts: a metric, or the column of a table of one's own "
        "(hysnet.learning.target).",
    ),
    Column(
        "hysnet_prediction",
        "float64",
        "What HyS-Net predicts hysnet_target to be, in its unit: the mean over patches. A "
        "prediction, not a score: no rating comes from it. NULL in contrasts that it has not "
        "learned.",
    ),
    Column(
        "hysnet_spread",
        "float64",
        "Standard deviation of the prediction over the volume's patches, which overlap: how far "
        "its places differ, no confidence interval. NULL of a single patch.",
        bounds=(0, None),
    ),
    Column(
        "hysnet_n_patches",
        "int32",
        "Patches that the prediction is the mean of: cubes, or slices.",
        bounds=(1, None),
    ),
    Column(
        "hysnet_snr_total",
        "float64",
        "hysnet_prediction where the target is MRIQC's snr_total, else NULL.",
        better="higher",
    ),
)
SLICE_COLUMNS: tuple[Column, ...] = ()
SUBJECT_COLUMNS = (
    Column(
        "hysnet_prediction_median",
        "float64",
        "Median of hysnet_prediction over the session's volumes.",
    ),
)

SCORE_COLUMNS = (
    Column("series_id", "string", "Series.", required=True),
    Column("volume", "int32", "Index of the volume in its series, from 0.", required=True),
    Column("problem", "string", "Why there is no prediction; NULL where there is."),
    *VOLUME_COLUMNS,
)
SCORE_SCHEMA = arrow_schema(SCORE_COLUMNS)
"""`scores/hysnet/<shard>.parquet`: a row a volume that was measured. No stratum: what is predicted
of a volume depends on no other."""
