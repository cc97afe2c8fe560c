"""One shard's likeness to its references: a row a volume that was measured, a row a slice.

A volume that cannot be embedded or has nothing to be compared with gets a row of NULLs and the
reason; nothing stops the shard. Cached embeddings of unchanged series are not computed again.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from mriqa.cohort.manifest import read_shard
from mriqa.config import TrainingSection
from mriqa.embedding.embedder import model_embedder
from mriqa.embedding.judging import ShardReader, judge_shard, table_of, write_judged
from mriqa.embedding.measured import UNKNOWN_SHELL, Measured, read_measured
from mriqa.embedding.shard_files import ShardFiles
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.methods.simclr.bank import Bank, read_bank
from mriqa.methods.simclr.columns import SCORE_SCHEMA
from mriqa.methods.simclr.judge import Judge, Judged, Similarities

FORMAT_VERSION = 4
"""Raise it when the numbers change: all jobs that rate with SimCLR then run again."""

NO_BANK = "no references in this stratum"
TOO_FEW = "references of too few subjects in this stratum"


Row = dict[str, Any]


def score_shard(files: ShardFiles, settings: TrainingSection, *, mem_mb: int) -> None:
    """Compare every measured volume of a shard with the bank and write `files.output`.

    Its schema is SCORE_SCHEMA. Judged are the rows of status `ok` in `files.metric_scores`; stratum
    and person follow from these and from `files.cohort`. The model is loaded only if the cache
    `files.embeddings` lacks a volume, and that is then written anew. Of `settings`, `score_device`
    and `threads` count: the precision is the bank's. A volume that does not fit into `mem_mb` is
    not embedded. Raises UserError if bank, model or an input is missing or damaged.
    """
    series = [one.series_id for one in read_shard(files.manifest)]
    stratum = read_bank(files.bank, ()).stratum_columns
    measured = read_measured(files.metric_scores, series, files.cohort, stratum)
    references = read_bank(files.bank, {one.stratum for one in measured})
    embedder = model_embedder(
        files.model, references.model_id, files.embeddings, references.precision, settings
    )
    reader, name = ShardReader(files.store, mem_mb), f"simclr {files.shard}"
    table = judge_shard(measured, reader, embedder, BankJudge(references), name)
    embedder.save()
    write_judged(files.output, table, references.model_id, mem_mb)


class BankJudge:
    """Judges by the references of the volume's stratum (embedding.judging.VolumeJudge)."""

    schema: pa.Schema = SCORE_SCHEMA

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._judges = {name: Judge(one, bank.section) for name, one in bank.strata.items()}

    def obstacle(self, one: Measured) -> str | None:
        """See `VolumeJudge`."""
        if one.stratum is None:
            return UNKNOWN_SHELL
        if one.stratum in self._judges:
            return None
        return TOO_FEW if one.stratum in self._bank.too_few else NO_BANK

    def rows(self, one: Measured, embedding: VolumeEmbedding) -> pa.Table:
        """See `VolumeJudge`."""
        assert one.stratum is not None
        judge = self._judges[one.stratum]
        judged = judge.volume(embedding, one.person)
        slices = judge.slices(embedding, one.person) if one.with_slices else None
        return _judged_rows(one, judged, slices, self._bank)


def _judged_rows(
    one: Measured, judged: Judged, slices: Similarities | None, bank: Bank
) -> pa.Table:
    assert one.stratum is not None
    calibration = bank.calibration(one.stratum)
    margin = judged.similarities.margin_whitened
    volume = table_of(
        SCORE_SCHEMA,
        {
            "series_id": [one.series_id],
            "volume": [one.volume],
            "stratum": [one.stratum],
            **similarity_values(judged.similarities),
            "simclr_quality_score": calibration.quality(margin) if calibration else [None],
            "simclr_quality_sd": calibration.quality_sd(margin) if calibration else [None],
            "simclr_matching": [judged.matching],
            "simclr_nearest_hq": [judged.nearest_hq],
            "simclr_nearest_lq": [judged.nearest_lq],
        },
        1,
    )
    if slices is None:
        return volume
    count = len(slices.s_hq)
    values = {
        "series_id": [one.series_id] * count,
        "volume": [one.volume] * count,
        "slice": np.arange(count),
        **similarity_values(slices),
    }
    return pa.concat_tables([volume, table_of(SCORE_SCHEMA, values, count)])


def similarity_values(similarities: Similarities) -> Row:
    """By the names of `columns.SIMILARITY_COLUMNS`; None where there is nothing."""
    known = np.isfinite(similarities.s_hq)
    classes = np.where(similarities.is_hq, "HQ", "LQ").astype(object)
    classes[~known] = None
    return {
        "simclr_class": classes,
        "simclr_sim": similarities.sim,
        "simclr_s_hq": similarities.s_hq,
        "simclr_s_lq": similarities.s_lq,
        "simclr_margin": similarities.margin,
        "simclr_margin_whitened": similarities.margin_whitened,
    }
