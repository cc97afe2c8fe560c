"""Pretraining of SimCLR's encoder on the pinned series: what `mriqa train simclr` calls."""

from pathlib import Path

from mriqa.config import PretrainingSection, RatingSection, TrainingSection, section_json
from mriqa.errors import UserError
from mriqa.training.manifest import PinnedSeries, model_id, pin_path, pinned_sha256, read_pinned
from mriqa.training.model_folder import Origin, write_model
from mriqa.training.pretraining import pretrain

FORMAT_VERSION = 2
"""Raise it when training gives other weights from the same settings: models get other ids."""

METHOD = "simclr"
SETTINGS = PretrainingSection
SECTION = "simclr.pretraining"


def train(
    results: Path,
    model_id: str,
    settings: PretrainingSection,
    training: TrainingSection,
    _rating: RatingSection | None = None,
) -> Path:
    """Train and write `results/models/simclr/<model_id>`; returns that folder.

    Reads the pinned list `results/training/simclr-*.parquet` of these settings and the stores
    `results/zarr/`; resumes from `results/training/simclr/<model_id>/`. Raises UserError if
    `model_id` is not that of settings and list, or nothing can be trained on.
    """
    pinned = read_pinned(pin_path(results, METHOD, settings))
    check_id(model_id, settings, pinned)
    folder = results / "models" / METHOD / model_id
    run_folder = results / "training" / METHOD / model_id
    return train_into(folder, run_folder, results, model_id, pinned, settings, training)


def train_into(
    folder: Path, run_folder: Path, results: Path, model_id: str, pinned: list[PinnedSeries],
    settings: PretrainingSection, training: TrainingSection,
) -> Path:  # fmt: skip
    """Train on the `pinned` series of `results`, in `run_folder`; write and return `folder`."""
    net, trained = pretrain(results, run_folder, model_id, SECTION, pinned, settings, training)
    config = {"method": METHOD, "pretraining": settings.model_dump(mode="json")}
    metrics = {"steps": trained.step, **trained.watched}
    origin = Origin(model_id, pinned_sha256(pinned), settings.seed, FORMAT_VERSION)
    write_model(folder, net.encoder, config, metrics, origin)
    return folder


def check_id(given: str, settings: PretrainingSection, pinned: list[PinnedSeries]) -> None:
    """Raise UserError if `given` is not the model's id."""
    own = model_id(METHOD, section_json(settings), pinned, FORMAT_VERSION)
    if given != own:
        raise UserError(
            f"model {given}: the settings and the pinned list of series give {own}; run "
            "`mriqa run CONFIG`, which names it"
        )
