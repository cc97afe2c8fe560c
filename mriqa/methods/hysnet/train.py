"""Training HyS-Net on the pinned series: what `mriqa train hysnet` calls.

A killed training goes on at its newest checkpoint; trying the model on held-out subjects, which
follows, begins again.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mriqa.config import HysnetLearningSection, RatingSection, TrainingSection, section_json
from mriqa.errors import UserError
from mriqa.methods.hysnet.assess import assess
from mriqa.methods.hysnet.gather import Lessons, gather_lessons
from mriqa.methods.hysnet.learning import make_job
from mriqa.methods.hysnet.model import METHOD, About, predictor_of, write_hysnet
from mriqa.methods.hysnet.net import make_net
from mriqa.methods.hysnet.patches import parts_from_json
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.target_sources import targets_digest
from mriqa.methods.hysnet.volumes import Example
from mriqa.training.launch import Job, launch
from mriqa.training.manifest import PinnedSeries, model_id, pin_path, pinned_sha256, read_pinned
from mriqa.training.model_folder import Origin

FORMAT_VERSION = 1
"""Raise it when training gives other weights from the same settings: models get other ids."""

SETTINGS = HysnetLearningSection


def train(
    results: Path,
    model_id: str,
    settings: HysnetLearningSection,
    training: TrainingSection,
    _rating: RatingSection | None = None,
) -> Path:
    """Train and write `results/models/hysnet/<model_id>`; returns that folder.

    Reads the pinned list `results/training/hysnet-*.parquet` of these settings, the scores and
    stores of the shards that hold it, and the table of targets if there is one; resumes from
    `results/training/hysnet/<model_id>/`. Raises UserError if `model_id` is not that of all this,
    or nothing can be learned from.
    """
    pinned = read_pinned(pin_path(results, METHOD, settings))
    check_id(model_id, settings, pinned, results)
    lessons = gather_lessons(results, pinned, settings)
    scale = TargetScale.of([one.target for one in lessons.train], settings.target.column)
    job = make_job(lessons.train, scale, settings, model_id, training)
    trained = launch(job, results / "training" / METHOD / model_id, training)
    module = make_net(settings.net, settings.seed)
    module.load_state_dict(trained.weights)
    about = _about(model_id, settings, lessons, scale, job)
    torch.set_num_threads(training.threads)  # where cores are shared, more wait for one another
    held_out = _tried(module, about, lessons, job)
    metrics = {
        "steps": trained.step,
        "n_volumes": len(lessons.train),
        **trained.watched,
        **held_out,
    }
    data = f"{pinned_sha256(pinned)} {targets_sha256(lessons.train)}"
    folder = results / "models" / METHOD / model_id
    write_hysnet(
        folder, module, about, metrics, Origin(model_id, data, settings.seed, FORMAT_VERSION)
    )
    return folder


def _tried(module: nn.Module, about: About, lessons: Lessons, job: Job) -> dict[str, Any]:
    percentile = about.section.patches.upper_percentile
    return assess(predictor_of(module, about, job.device), lessons.held_out, percentile)


def check_id(
    given: str, settings: HysnetLearningSection, pinned: Sequence[PinnedSeries], results: Path
) -> None:
    """Raise UserError if `given` is not the model's id."""
    series = [one.series_id for one in pinned]
    also = targets_digest(settings.target, results / "cohort.parquet", series)
    own = model_id(METHOD, section_json(settings.identity), pinned, FORMAT_VERSION, [also])
    if given != own:
        raise UserError(
            f"model {given}: the settings, the pinned list of series and the table of targets give "
            f"{own}; run `mriqa run CONFIG`, which names it"
        )


def targets_sha256(examples: Sequence[Example]) -> str:
    """Fingerprint of the numbers that were learned."""
    rows: list[list[Any]] = sorted([one.series_id, one.volume, one.target] for one in examples)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _about(
    model_id: str,
    settings: HysnetLearningSection,
    lessons: Lessons,
    scale: TargetScale,
    job: Job,
) -> About:
    return About(
        model_id,
        settings.target.column,
        lessons.contrasts,
        parts_from_json(job.arguments["parts"]),
        scale,
        job.settings.precision,
        settings,
        settings.target.table is not None,
    )
