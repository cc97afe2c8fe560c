"""The analyst's columns: stratum, quality_score, rating, flag and its reason."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mriqa.config import RatingSection
from mriqa.rating.robust import Judgement, RatedMetric, adverse_z, judge
from mriqa.tables.strata import comparable

NONFINITE_LIMIT = 1e-3
"""Share of non-finite voxels from which a volume is flagged."""

METHOD_SCORES = {"hierarchy": "hierarchy_quality_score", "simclr": "simclr_quality_score"}
"""Methods whose score is preferred to that of the metrics, and its column; the first counts."""

METHOD_RATINGS = {"hierarchy": "hierarchy_rating"}
"""Methods that rate themselves, not by thresholds on their score."""

UNUSUAL = {"hierarchy": "networks"}
"""Reason of a flag, where no metric is unusual; of other methods `unlike_references`."""

LEAST_BORDER_SIGMA = 0.05
"""That of acquired backgrounds is 0.02 to 0.06; where the provider zeroed it, the border is 0."""

RATED_METRICS: tuple[RatedMetric, ...] = (
    # Entropy and coverage are measured but not rated: neither direction of them is bad.
    RatedMetric("body_snr", True, "low_snr", logarithmic=True),
    RatedMetric("body_snr_tissue", True, "low_snr", logarithmic=True, stands_in_for="body_snr"),
    RatedMetric("body_efc", False, "entropy"),
    RatedMetric("body_fber", True, "background", logarithmic=True),
    RatedMetric("body_sharpness", True, "blur"),
    RatedMetric("body_sharpness_y", True, "blur"),
    RatedMetric("body_sharpness_x", True, "blur"),
    RatedMetric("body_ghosting_y", False, "ghosting"),
    RatedMetric("body_ghosting_x", False, "ghosting"),
    RatedMetric("body_border_y", False, "border", least_sigma=LEAST_BORDER_SIGMA),
    RatedMetric("body_border_x", False, "border", least_sigma=LEAST_BORDER_SIGMA),
    RatedMetric("body_slice_dropout", False, "slice_inconsistency"),
    RatedMetric("body_slice_noise_excess", False, "slice_inconsistency"),
    RatedMetric("body_slice_consistency_drop", False, "slice_inconsistency"),
    RatedMetric("body_slice_tearing", False, "slice_inconsistency"),
)


def rate_volumes(volumes: pa.Table, section: RatingSection) -> pa.Table:
    """Add quality_score, rating, rating_source, flag, flag_reason, metrics_score.

    `volumes` has the columns of `add_strata`, the metrics, and those in METHOD_SCORES of methods
    that have run. The score is that of the first method that has one, else that of the metrics. A
    stratum needs volumes of `min_stratum` sessions for the latter. A volume without any score gets
    the status `no_reference`; so do diffusion volumes whose b-value cannot be told.
    """
    strata = _strata(volumes, section)
    metrics = {
        metric.name: np.asarray(
            volumes[metric.name].to_numpy(zero_copy_only=False), dtype=np.float64
        )
        for metric in RATED_METRICS
    }
    judgement = judge(adverse_z(metrics, RATED_METRICS, strata))
    return _analyst_columns(volumes, judgement, section)


def _strata(volumes: pa.Table, section: RatingSection) -> list[NDArray[np.intp]]:
    """Rows of each stratum that has measured volumes of enough sessions."""
    codes = pc.dictionary_encode(volumes["stratum"]).combine_chunks()
    sessions = pc.binary_join_element_wise(
        volumes["subject"], pc.fill_null(volumes["session"], ""), "/"
    )
    person = pc.dictionary_encode(sessions).combine_chunks().indices.to_numpy()
    stratum = codes.indices.to_numpy(zero_copy_only=False)  # NaN where NULL
    stratum = np.where(comparable(volumes, section.stratum).to_numpy(), stratum, -1)
    rows_of = [np.flatnonzero(stratum == code) for code in range(len(codes.dictionary))]
    return [rows for rows in rows_of if np.unique(person[rows]).size >= section.min_stratum]


def _analyst_columns(volumes: pa.Table, judgement: Judgement, section: RatingSection) -> pa.Table:
    score, source = _preferred_scores(volumes, judgement.quality_score)
    measured, failed = (
        np.asarray(pc.equal(volumes["status"], one).to_numpy(zero_copy_only=False))
        for one in ("ok", "failed")
    )
    status = np.asarray(volumes["status"].to_pylist(), dtype=object)
    status[measured & ~np.isfinite(score)] = "no_reference"
    nonfinite = volumes["nonfinite_fraction"].to_numpy(zero_copy_only=False) > NONFINITE_LIMIT
    rating = _own_ratings(volumes, source, rate_scores(score, section))
    # What little is left of such a volume may look usual.
    rating[nonfinite & (rating == "pass")] = "questionable"
    flag, reason = _flags(score, rating, source, failed, nonfinite, judgement, section)
    return _with_columns(
        volumes,
        {
            "status": pa.array(status, pa.string()),
            "quality_score": pa.array(score, pa.float64(), from_pandas=True),
            "rating": pa.array(rating, pa.string()),
            "rating_source": pa.array(source, pa.string()),
            "flag": pa.array(flag, pa.bool_()),
            "flag_reason": pa.array(reason, pa.string()),
            "metrics_score": pa.array(judgement.quality_score, pa.float64(), from_pandas=True),
        },
    )


def _preferred_scores(
    volumes: pa.Table, metrics: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """The score that counts, NaN where there is none, and what gave it."""
    score = metrics.copy()
    source = np.full(len(score), None, dtype=object)
    source[np.isfinite(metrics)] = "metrics"
    for method, column in reversed(METHOD_SCORES.items()):
        if column in volumes.column_names:
            own = volumes[column].cast(pa.float64()).to_numpy(zero_copy_only=False)
            known = np.isfinite(own)
            score[known], source[known] = own[known], method
    return score, source


def _own_ratings(
    volumes: pa.Table, source: NDArray[np.object_], rating: NDArray[np.object_]
) -> NDArray[np.object_]:
    """`rating`, and instead of it that of the method which gave the score, where it has one."""
    for method, column in METHOD_RATINGS.items():
        if column in volumes.column_names:
            own = np.asarray(volumes[column].to_pylist(), dtype=object)
            rating = np.where(source == method, own, rating)
    return rating


def _flags(
    score: NDArray[np.float64],
    rating: NDArray[np.object_],
    source: NDArray[np.object_],
    failed: NDArray[np.bool_],
    nonfinite: NDArray[np.bool_],
    judgement: Judgement,
    section: RatingSection,
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Whether to look at a volume, and why: the metric's reason where the metrics see one too."""
    judged = np.isfinite(score)
    bad = judged & (rating != "pass")
    unusual = judgement.quality_score < section.fail_below  # a check failed, whoever rates
    flag = np.full(len(score), None, dtype=object)
    flag[judged] = False
    flag[bad | unusual | failed | nonfinite] = True
    reason = np.full(len(score), None, dtype=object)
    reason[bad] = "unlike_references"
    for method, name in UNUSUAL.items():
        reason[bad & (source == method)] = name
    seen = (bad | unusual) & (judgement.quality_score < section.pass_from)
    reasons = np.array([metric.reason for metric in RATED_METRICS], dtype=object)
    reason[seen] = reasons[judgement.worst[seen]]
    reason[nonfinite] = "nonfinite"
    reason[failed] = "failed"
    return flag, reason


def rate_scores(score: NDArray[np.float64], section: RatingSection) -> NDArray[np.object_]:
    """`pass`, `questionable` or `fail` by the two thresholds; None where the score is NaN."""
    rating = np.full(score.shape, None, dtype=object)
    rating[score >= section.pass_from] = "pass"
    rating[(score < section.pass_from) & (score >= section.fail_below)] = "questionable"
    rating[score < section.fail_below] = "fail"
    return rating


def _with_columns(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, values in columns.items():
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, values)
        else:
            table = table.append_column(name, values)
    return table
