"""Training the hierarchy: what `mriqa train hierarchy` calls.

Contrastive pretraining of the slice network, features of all volumes and of simulated copies, then
the rounds of both stages in one job. A killed run goes on at its round.
"""

from pathlib import Path

from mriqa.artifacts import Family
from mriqa.config import LearningSection, RatingSection, TrainingSection, section_json
from mriqa.errors import UserError
from mriqa.methods.hierarchy.gather import Sources
from mriqa.methods.hierarchy.model import METHOD, write_hierarchy
from mriqa.methods.hierarchy.reading import Reading, SliceNetwork
from mriqa.methods.hierarchy.teaching import Teaching
from mriqa.references.listing import HqVolume, list_name
from mriqa.references.trusted import trusted_volumes
from mriqa.training.encoders import make_encoder
from mriqa.training.journal import print_line
from mriqa.training.manifest import PinnedSeries, model_id, pin_path, pinned_sha256, read_pinned
from mriqa.training.model_folder import Origin
from mriqa.training.pinned_labels import (
    PinnedLabel,
    labels_path,
    learned_also,
    of_files_now,
    read_pinned_labels,
)
from mriqa.training.pretraining import pretrain
from mriqa.training.severity import Tuning, tune

FORMAT_VERSION = 5
"""Raise it when training gives other weights from the same settings: models get other ids."""

SETTINGS = LearningSection
SECTION = "hierarchy.learning"
ROUNDS, SECOND_LOOK = "rounds.parquet", "second_look.parquet"
"""In a model's folder: every round's decisions, and the labels that the last ones contest."""


def train(
    results: Path,
    model_id: str,
    settings: LearningSection,
    training: TrainingSection,
    rating: RatingSection,
) -> Path:
    """Train and write `results/models/hierarchy/<model_id>`; returns that folder.

    Reads the pinned series and labels `results/training/hierarchy-*.parquet` of these settings, the
    scores and stores of the shards that hold them, and the list of trusted volumes. Raises
    UserError if `model_id` is not that of all this, or nothing can be learned from.
    """
    pin = pin_path(results, METHOD, settings)
    pinned = read_pinned(pin)
    labels = read_pinned_labels(labels_path(pin)) if settings.asks_people else []
    check_id(model_id, settings, pinned, labels, rating)
    sources = _sources(results, settings, pinned, labels, rating)
    run_folder = results / "training" / METHOD / model_id
    network = pretrained(results, run_folder, model_id, pinned, settings, training)
    teaching = Teaching(results, model_id, network, settings, training, rating.stratum)
    taught = teaching.teach(sources, run_folder / "stages")
    folder = results / "models" / METHOD / model_id
    data = f"{pinned_sha256(pinned)} {' '.join(learned_also(settings, labels, rating.stratum))}"
    origin = Origin(model_id, data, settings.volumes.seed, FORMAT_VERSION)
    tables = {ROUNDS: taught.rounds, SECOND_LOOK: taught.second_look}
    write_hierarchy(folder, taught.trained, origin, tables)
    return folder


def check_id(
    given: str,
    settings: LearningSection,
    pinned: list[PinnedSeries],
    labels: list[PinnedLabel],
    rating: RatingSection,
) -> None:
    """Raise UserError if `given` is not the model's id."""
    also = learned_also(settings, labels, rating.stratum)
    own = model_id(METHOD, section_json(settings.identity), pinned, FORMAT_VERSION, also)
    if given != own:
        raise UserError(
            f"model {given}: the settings and the pinned lists of series and labels give {own}; "
            "run `mriqa run CONFIG`, which names it"
        )


def _sources(
    results: Path,
    settings: LearningSection,
    pinned: list[PinnedSeries],
    labels: list[PinnedLabel],
    rating: RatingSection,
) -> Sources:
    used = [one.label for one in of_files_now(results, labels)]
    trusted: list[HqVolume] = []
    if settings.simulates:
        own = settings.simulated.trusted
        path = own or results / "references" / list_name(METHOD)
        trusted, notes = trusted_volumes(results, path, rating.stratum, strict=own is not None)
        for line in notes:
            print_line(line)
    if not used and not trusted:
        raise UserError(
            "hierarchy.learning: nothing to learn from: no label is given (section labels), and "
            f"hierarchy.learning.labels is {settings.labels}; name labels, or set it to simulated"
        )
    return Sources(pinned, used, trusted)


def pretrained(
    results: Path, run_folder: Path, model_id: str, pinned: list[PinnedSeries],
    settings: LearningSection, training: TrainingSection,
) -> SliceNetwork:  # fmt: skip
    """The slice network: from contrastive pretraining, or as the seed makes it; tuned."""
    own = settings.pretraining
    families = tuple(map(Family, settings.simulated.slice_families))
    encoder = make_encoder(own.encoder, seed=own.seed)
    if settings.init == "simclr":
        folder = run_folder / "pretraining"
        encoder = pretrain(
            results, folder, model_id, f"{SECTION}.pretraining", pinned, own, training, families
        )[0].encoder
    if settings.tuning.iterations == 0:
        return SliceNetwork(encoder, None)
    tuning = Tuning(f"{SECTION}.tuning", settings.tuning, own, families)
    net = tune(encoder, results, run_folder / "tuning", model_id, pinned, tuning, training)
    return SliceNetwork(net.encoder, Reading.of_network(net))
