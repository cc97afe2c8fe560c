"""Pretraining of SimCLR's encoder on the pinned series: what `mriqa train simclr` calls."""

from pathlib import Path

from mriqa.config import PretrainingSection, TrainingSection

FORMAT_VERSION = 1
"""Raise it when training gives other weights from the same settings: models get other ids."""


def train(
    results: Path, model_id: str, settings: PretrainingSection, training: TrainingSection
) -> Path:
    """Train and write `results/models/simclr/<model_id>`; returns that folder.

    Reads the pinned list `results/training/simclr-*.parquet` of these settings and the stores
    `results/zarr/`; resumes from `results/training/simclr/<model_id>/`. Raises UserError if
    `model_id` is not that of settings and list.
    """
    raise NotImplementedError
