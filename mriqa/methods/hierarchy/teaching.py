"""From a slice network and sources to the trained stages: features, rounds, what comes of them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from mriqa.cohort.manifest import shard_name
from mriqa.config import LearningSection, TrainingSection
from mriqa.embedding.cache import EmbeddingCache
from mriqa.embedding.embedder import Embedder
from mriqa.embedding.network import Network, make_network, scoring_precision
from mriqa.errors import UserError
from mriqa.methods.hierarchy.assess import figures, fit
from mriqa.methods.hierarchy.gather import (
    Embedded,
    Sources,
    choose_items,
    embed_copies,
    embed_items,
)
from mriqa.methods.hierarchy.items import TRAIN
from mriqa.methods.hierarchy.learning import (
    FACTORY,
    MATERIAL,
    Networks,
    for_volumes,
    learn_slices,
    self_train_volumes,
    volume_learner,
)
from mriqa.methods.hierarchy.levels import Levels, fit_levels
from mriqa.methods.hierarchy.material import Material, make_material, write_material
from mriqa.methods.hierarchy.model import METHOD, Hierarchy, Trained
from mriqa.methods.hierarchy.reading import SliceNetwork
from mriqa.methods.hierarchy.second_look import contested
from mriqa.methods.hierarchy.self_training import all_rounds
from mriqa.methods.hierarchy.stage import make_nets, settings_of
from mriqa.training.journal import print_line
from mriqa.training.launch import Job, Worker, choose_device, finished, launch
from mriqa.training.world import World


@dataclass(frozen=True)
class Taught:
    """The trained model, every round of both stages, and the labels that the last ones contest."""

    trained: Trained
    rounds: pa.Table
    second_look: pa.Table


@dataclass(frozen=True)
class Teaching:
    """What decides what is learned, with the slice `network`; `results` hold the cohort."""

    results: Path
    model_id: str
    network: SliceNetwork
    section: LearningSection
    training: TrainingSection
    stratum: tuple[str, ...]

    def teach(self, sources: Sources, folder: Path) -> Taught:
        """Learn from `sources`, going on from what is in `folder`. Raises UserError if no stratum
        can be learned."""
        material, levels = self._material(sources)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_material(folder / MATERIAL, material)
            if not self.section.volumes.trees:
                launch(self._job(), folder, self.training)
        finally:
            (folder / MATERIAL).unlink(missing_ok=True)  # persons' features, made anew if needed
        return self._finished(material, levels, folder)

    def _material(self, sources: Sources) -> tuple[Material, Levels]:
        embedded = self._embedded(sources)
        usual: dict[str, list[Any]] = {}
        for item, embedding in embedded:
            if item.split == TRAIN and item.copy is None:
                usual.setdefault(item.stratum, []).append(embedding)
        if not usual:
            raise UserError(
                "hierarchy.learning: no stratum has enough volumes of training subjects "
                f"(min_subjects is {self.section.min_subjects}); lower it, raise unlabelled, or "
                "add subjects"
            )
        levels = fit_levels(usual)
        weight = self.section.simulated.weight
        return make_material(embedded, levels, sources.labels, weight), levels

    def _embedded(self, sources: Sources) -> list[Embedded]:
        """Scans and, where they are wanted, simulated copies of trusted ones."""
        items = choose_items(self.results, sources, self.section, self.stratum)
        made = embed_items(self.results, items, lambda shard: self._embedder(shard_name(shard)))
        if self.section.simulates:
            copies = self._embedder("copies")
            made += embed_copies(self.results, items, copies, self.section.simulated)
        return [(item, self.network.read(one)) for item, one in made]

    def _embedder(self, name: str) -> Embedder:
        """The one that keeps what it makes as `name`, where scoring looks for it."""
        folder = self.results / "embeddings" / METHOD / self.model_id
        path, maker = folder / f"{name}.safetensors", f"{self.model_id} {self.precision}"
        return Embedder(lambda: self._ready, EmbeddingCache(path, maker, with_metrics=True))

    @cached_property
    def precision(self) -> str:
        """Of features, in training as in scoring."""
        return scoring_precision(self.training)

    @cached_property
    def _ready(self) -> Network:
        threads = self.training.threads * self.training.workers
        how = self.training.model_copy(update={"precision": self.precision, "threads": threads})
        return make_network(self.network.encoder, self.section.pretraining.gamma, how)

    def _job(self) -> Job:
        every = self.training.checkpoint_every
        arguments = {
            "learning": self.section.identity.model_dump(mode="json"),
            "model_id": self.model_id,
            "checkpoint_every": every,
        }
        settings = settings_of("volumes", self.section.volumes, self.model_id, every)
        device = choose_device(self.training)
        return Job(FACTORY, arguments, settings, device, self.training.threads)

    def _finished(self, material: Material, levels: Levels, folder: Path) -> Taught:
        """What the workers have left in `folder`, or, of forests, what is learned here."""
        worker = Worker(World(), folder, torch.device("cpu"))
        every, learnt, section = self.training.checkpoint_every, material.learnt, self.section
        slices = learn_slices(learnt, section, self.model_id, every, worker)
        bags = for_volumes(learnt.bags, slices.said)
        learner = volume_learner(bags, section.volumes, self.model_id, every, worker)
        outcome = self_train_volumes(learner, learnt, section.volumes, worker)
        if section.volumes.trees:
            volumes = learner.trained(outcome.lesson, folder)
        else:
            volumes = make_nets(bags.length, section.volumes)
            volumes.load_state_dict(finished(self._job().settings, folder).weights)
        networks = Networks(slices.nets.cpu().eval(), volumes.eval())
        made = Hierarchy(
            self.model_id,
            networks,
            self.network.reading,
            levels,
            fit(networks, material),
            self.stratum,
            self.precision,
            section.min_accuracy,
        )
        if not made.rates:
            print_line(
                f"training: validation volumes are told with a balanced accuracy of "
                f"{made.fitted.accuracy:.2f} only (hierarchy.learning.min_accuracy is "
                f"{section.min_accuracy:g}): the hierarchy says what it thinks, but others "
                "rate. More labels or copies, or longer tuning, help"
            )
        labels = material.labels
        doubts = [
            contested("volume", learnt.volumes, outcome.rounds[-1], labels),
            contested("slice", learnt.slices, slices.outcome.rounds[-1], labels),
        ]
        rounds = [
            all_rounds("volume", folder / "volumes", outcome),
            all_rounds("slice", folder / "slices", slices.outcome),
        ]
        metrics = self._metrics(material, networks, doubts)
        trained = Trained(self.network.encoder, made, section, metrics)
        return Taught(trained, pa.concat_tables(rounds), pa.concat_tables(doubts))

    def _metrics(
        self, material: Material, networks: Networks, doubts: list[pa.Table]
    ) -> dict[str, Any]:
        items = material.learnt.items
        return {
            "n_volumes": sum(one.copy is None for one in items),
            "n_copies": sum(one.copy is not None for one in items),
            "n_labels": len(material.labels),
            "n_contested": sum(one.num_rows for one in doubts),
            **figures(networks, material),
        }
