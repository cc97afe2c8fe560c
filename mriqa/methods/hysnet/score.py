"""One shard by HyS-Net: what it predicts of every volume that was measured.

A volume of a contrast that was not learned, or that cannot be read, gets a row of NULLs and the
reason; nothing stops the shard. Predictions are not cached: they are all there is, and the score
file holds them.
"""

from functools import cached_property
from pathlib import Path

import pyarrow as pa

from mriqa.cohort.manifest import read_shard
from mriqa.config import TrainingSection
from mriqa.embedding.judging import OTHER_MB, ShardReader, judge_each, table_of, write_judged
from mriqa.embedding.measured import Measured, read_measured
from mriqa.embedding.shard_files import ShardFiles
from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.store import StoredSeries
from mriqa.methods.hysnet.columns import SCORE_SCHEMA, SNR_TOTAL
from mriqa.methods.hysnet.model import About, open_predictor, read_about
from mriqa.methods.hysnet.predicting import Predictor, working_mb
from mriqa.methods.hysnet.target import VolumePrediction
from mriqa.methods.hysnet.volumes import ArrayVolumes

FORMAT_VERSION = 1
"""Raise it when the numbers change: all jobs that predict with HyS-Net then run again."""


def score_shard(files: ShardFiles, settings: TrainingSection, *, mem_mb: int) -> None:
    """Predict of every measured volume of a shard and write `files.output` (SCORE_SCHEMA).

    Predicted is of the rows of status `ok` in `files.metric_scores`, whose contrast is that of
    `files.cohort`. Of `settings`, `score_device` and `threads` count: the precision is the model's.
    A volume that does not fit into `mem_mb` is left out. Raises UserError if the model or an input
    is missing or damaged.
    """
    about = read_about(files.model)
    series = [one.series_id for one in read_shard(files.manifest)]
    measured = read_measured(files.metric_scores, series, files.cohort, ("contrast",))
    beside = OTHER_MB + working_mb(about.parts, about.section.net)
    judge = HysnetJudge(files.model, about, ShardReader(files.store, mem_mb, beside), settings)
    table = judge_each(measured, judge.obstacle, judge.rows, SCORE_SCHEMA, f"hysnet {files.shard}")
    write_judged(files.output, table, about.model_id, mem_mb)


class HysnetJudge:
    """Predicts of volumes whose stratum, here the contrast, was learned."""

    def __init__(
        self, model: Path, about: About, reader: ShardReader, settings: TrainingSection
    ) -> None:
        self._model, self._about = model, about
        self._reader, self._settings = reader, settings

    @cached_property
    def _predictor(self) -> Predictor:
        """Opened for the first volume that it can say something of."""
        return open_predictor(self._model, self._about, self._settings)

    def obstacle(self, one: Measured) -> str | None:
        """Why nothing can be predicted of a volume; None where it can."""
        if one.stratum in self._about.contrasts:
            return None
        return f"contrast not learned: those are {', '.join(self._about.contrasts)}"

    def rows(self, one: Measured) -> pa.Table:
        """The row of a volume. Raises SeriesError if it cannot be read."""
        stored = self._reader.series(one.series_id)
        upper = _upper(stored, one, self._about.section.patches.upper_percentile)
        volumes = ArrayVolumes([stored.volume(one.volume)], [upper])
        return _row(one, self._predictor.predict(volumes, 0), self._about.target)


def _upper(stored: StoredSeries, one: Measured, percent: float) -> float:
    """The intensity that becomes 1."""
    upper = stored.attributes.percentile(one.volume, percent)
    if upper is None or not upper > 0:
        raise SeriesError(
            ErrorCode.NO_FOREGROUND, f"{one.series_id} {one.volume}: no foreground to look at"
        )
    return upper


def _row(one: Measured, found: VolumePrediction, target: str) -> pa.Table:
    return table_of(
        SCORE_SCHEMA,
        {
            "series_id": [one.series_id],
            "volume": [one.volume],
            "hysnet_target": [target],
            "hysnet_prediction": [found.value],
            "hysnet_spread": [found.spread],
            "hysnet_n_patches": [found.n_patches],
            "hysnet_snr_total": [found.value if target.lower() == SNR_TOTAL else None],
        },
        1,
    )
