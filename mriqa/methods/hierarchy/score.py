"""One shard rated by the hierarchy: a row a volume that was measured, a row a slice.

A volume that cannot be embedded, or whose stratum was not learned, gets a row of NULLs and the
reason; nothing stops the shard. Cached embeddings of unchanged series are not computed again.
"""

import numpy as np
import pyarrow as pa

from mriqa.cohort.manifest import read_shard
from mriqa.config import TrainingSection
from mriqa.embedding.embedder import model_embedder
from mriqa.embedding.judging import ShardReader, judge_shard, table_of, write_judged
from mriqa.embedding.measured import UNKNOWN_SHELL, Measured, read_measured
from mriqa.embedding.shard_files import ShardFiles
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.calibration import at_temperature
from mriqa.methods.hierarchy.columns import PROBABILITY_COLUMNS, SCORE_SCHEMA
from mriqa.methods.hierarchy.model import Hierarchy, read_hierarchy
from mriqa.methods.hierarchy.rounds import Floats

FORMAT_VERSION = 1
"""Raise it when the numbers change: all jobs that rate with the hierarchy then run again."""

NOT_LEARNED = "nothing of this stratum was learned from"
QUALITY = np.array([0.9, 0.6, 0.2])
"""1 - the mean severity of each rating, where severities are spread evenly (artifacts.severity)."""
FAIL = len(RATINGS) - 1


def score_shard(files: ShardFiles, settings: TrainingSection, *, mem_mb: int) -> None:
    """Rate every measured volume of a shard and write `files.output` (SCORE_SCHEMA).

    Judged are the rows of status `ok` in `files.metric_scores`; their strata follow from these and
    from `files.cohort`. Of `settings`, `score_device` and `threads` count: the precision is the
    model's. A volume that does not fit into `mem_mb` is not embedded. Raises UserError if the model
    or an input is missing or damaged.
    """
    hierarchy = read_hierarchy(files.model)
    series = [one.series_id for one in read_shard(files.manifest)]
    measured = read_measured(files.metric_scores, series, files.cohort, hierarchy.stratum_columns)
    embedder = model_embedder(
        files.model, hierarchy.model_id, files.embeddings, hierarchy.precision, settings,
        with_metrics=True,
    )  # fmt: skip
    reader, name = ShardReader(files.store, mem_mb), f"hierarchy {files.shard}"
    table = judge_shard(measured, reader, embedder, HierarchyJudge(hierarchy), name)
    embedder.save()
    write_judged(files.output, table, hierarchy.model_id, mem_mb)


class HierarchyJudge:
    """Rates volumes of the strata that were learned (embedding.judging.VolumeJudge)."""

    schema: pa.Schema = SCORE_SCHEMA

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy

    def obstacle(self, one: Measured) -> str | None:
        """See `VolumeJudge`."""
        if one.stratum is None:
            return UNKNOWN_SHELL
        return None if self._hierarchy.levels.knows(one.stratum) else NOT_LEARNED

    def rows(self, one: Measured, embedding: VolumeEmbedding) -> pa.Table:
        """See `VolumeJudge`."""
        assert one.stratum is not None
        own = self._hierarchy
        said, rated = own.networks.rate(own.bag(embedding, one.stratum))
        slices = np.full((len(embedding.is_body), len(RATINGS)), np.nan)
        slices[embedding.is_body] = at_temperature(said, own.fitted.slices)
        volume = at_temperature(rated, own.fitted.volumes)[0]
        row = _volume_row(one, volume, slices, rates=own.rates)
        return pa.concat_tables([row, _slice_rows(one, slices)]) if one.with_slices else row


def _volume_row(one: Measured, p: Floats, slices: Floats, *, rates: bool) -> pa.Table:
    classes = np.where(np.isnan(slices[:, 0]), -1, np.nan_to_num(slices).argmax(axis=1))
    return table_of(
        SCORE_SCHEMA,
        {
            "series_id": [one.series_id],
            "volume": [one.volume],
            "stratum": [one.stratum],
            **_probabilities(p[None]),
            "hierarchy_rating": [RATINGS[int(p.argmax())]],
            "hierarchy_quality_score": [float(p @ QUALITY) if rates else None],
            "hierarchy_worst_slice": [int(np.nanargmax(slices[:, FAIL]))],
            "hierarchy_n_slices_fail": [int(np.count_nonzero(classes == FAIL))],
        },
        1,
    )


def _slice_rows(one: Measured, slices: Floats) -> pa.Table:
    count = len(slices)
    values = {
        "series_id": [one.series_id] * count,
        "volume": [one.volume] * count,
        "slice": np.arange(count),
    }
    return table_of(SCORE_SCHEMA, {**values, **_probabilities(slices)}, count)


def _probabilities(p: Floats) -> dict[str, Floats]:
    return {column.name: values for column, values in zip(PROBABILITY_COLUMNS, p.T, strict=True)}
