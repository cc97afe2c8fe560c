"""One shard's likeness to its references: a row a volume that was measured, a row a slice.

A volume that cannot be embedded or has nothing to be compared with gets a row of NULLs and the
reason; nothing stops the shard. Cached embeddings of unchanged series are not computed again.
"""

from pathlib import Path

from mriqa.config import TrainingSection

FORMAT_VERSION = 1
"""Raise it when the numbers change: all jobs that rate with SimCLR then run again."""


def score_shard(
    manifest: Path,
    store: Path,
    convert_status: Path,
    metric_scores: Path,
    cohort: Path,
    model: Path,
    bank: Path,
    output: Path,
    *,
    embeddings: Path,
    settings: TrainingSection,
    mem_mb: int,
) -> None:
    """Compare every measured volume of a shard with the bank and write `output` (SCORE_SCHEMA).

    `mriqa rate simclr` calls it. `metric_scores` is the shard's file of `mriqa score`: its rows of
    status `ok` are judged, and what it says of spacing, b-value and background makes the stratum,
    with `cohort` (cohort.parquet: contrast, station, scanner, sex, height, weight). What makes a
    stratum and the number of references stand in `bank`, the folder of a built bank. `model` is
    loaded only if a volume has no valid embedding in `embeddings`, the cache file
    `embeddings/simclr/<model_id>/<shard>.safetensors`, which is rewritten where that was so. Of
    `settings`, `score_device`, `precision` and `threads` count.

    Raises UserError if bank, model or an input is missing or damaged.
    """
    raise NotImplementedError
