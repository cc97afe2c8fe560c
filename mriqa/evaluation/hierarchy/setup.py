"""What the experiments need: slice networks, and the features that each has of all volumes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mriqa.config import Config, ReferenceSection, TrainingSection
from mriqa.config.methods import ARTIFACT_FAMILIES
from mriqa.embedding.embedder import fingerprint
from mriqa.embedding.network import open_network, scoring_precision
from mriqa.evaluation.hierarchy.elsewhere import OneSeries, draw_series
from mriqa.evaluation.hierarchy.encoders import (
    ELSEWHERE,
    EncoderPlan,
    identify,
    plan_encoders,
    reader_of,
    train_encoder,
)
from mriqa.evaluation.hierarchy.ground import Ground, draw_items, read_ground
from mriqa.evaluation.hierarchy.lessons import Pupil
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.hierarchy.unseen import simclr_rater
from mriqa.evaluation.hierarchy.volumes import Embedded, Volumes, usual_levels, volumes_of
from mriqa.evaluation.items import Item, Stores
from mriqa.evaluation.one_pass import EmbeddingReader, forget_strangers, look_at_all
from mriqa.evaluation.simclr.ground import read_ground as read_simclr
from mriqa.evaluation.truth import CLEAN
from mriqa.methods.hierarchy.reading import SliceNetwork
from mriqa.methods.hierarchy.rounds import Floats
from mriqa.methods.simclr.train import METHOD as SIMCLR

Rater = Callable[[Volumes, Volumes], Floats]


@dataclass(frozen=True)
class Setup:
    """All that results are computed from. `failed` says which volumes could not be used."""

    ground: Ground
    section: HierarchyExperiments
    plans: tuple[EncoderPlan, ...]
    networks: dict[EncoderPlan, SliceNetwork]
    readers: dict[EncoderPlan, EmbeddingReader]
    learnt: tuple[Item, ...]
    held: tuple[Item, ...]
    stores: Stores
    simclr: tuple[EmbeddingReader, ReferenceSection] | None
    elsewhere: tuple[EmbeddingReader, list[OneSeries]] | None
    failed: dict[str, str]

    def pupil(self, plan: EncoderPlan) -> tuple[Pupil, Volumes]:
        """Networks that learn from the features of a slice network, and whom they are tested on."""
        network, reader = self.networks[plan], self.readers[plan]
        learnt = {
            item: network.read(one) for item, one in self._embedded(self.learnt, reader).items()
        }
        held = {item: network.read(one) for item, one in self._embedded(self.held, reader).items()}
        levels = usual_levels(learnt)
        name = identify(self.ground, plan)
        folder = self.ground.folder / "lessons" / f"{name}-{self.section.digest}"
        pupil = Pupil(volumes_of(self.learnt, learnt, levels), self.section.volumes, folder)
        return pupil, volumes_of(self.held, held, levels)

    @cached_property
    def rater(self) -> Rater | None:
        """SimCLR's zero-shot rule, where the run has SimCLR."""
        if self.simclr is None:
            return None
        reader, section = self.simclr
        embedded = self._embedded((*self.learnt, *self.held), reader)
        return simclr_rater(embedded, section, self.section.bootstraps, self.section.seed)

    def _embedded(self, items: Sequence[Item], reader: EmbeddingReader) -> Embedded:
        states = {
            one.scan.series_id: fingerprint(self.stores.attributes(one.scan)) for one in items
        }
        found = {
            one: reader.get(one, states[one.scan.series_id]) for one in items if reader.asks(one)
        }
        return {item: embedding for item, embedding in found.items() if embedding is not None}


def prepare(config: Config, section: HierarchyExperiments, threads: int) -> Setup:
    """Train and embed what is missing. Raises UserError if the run cannot be experimented with."""
    ground, stores = read_ground(config, section), Stores(config.results)
    forget_strangers(ground.folder, ground.results)
    training = config.training.model_copy(
        update={"launcher": "plain", "workers": 1, "threads": threads}
    )
    # first of all: nobody wants to hear after an hour that there is nothing of use
    away = draw_series(section.elsewhere, section.seed) if section.elsewhere else None
    plans = tuple(plan_encoders(ground, section))
    networks = {plan: train_encoder(ground, plan, training) for plan in plans}
    precision = scoring_precision(training)
    learnt, held = _items(ground, stores, section)
    readers = {
        plan: reader_of(
            ground, plan, networks[plan], training, precision,
            frozenset(_asked(plan, learnt, held)).__contains__,
        )
        for plan in plans
    }  # fmt: skip
    simclr = _simclr(config, ground, training) if SIMCLR in config.methods else None
    everyone = [*readers.values(), *([simclr[0]] if simclr else [])]
    failed = look_at_all([*learnt, *held], everyone, stores)
    elsewhere = None
    if away is not None:
        first = plans[0], networks[plans[0]]
        reader = reader_of(ground, *first, training, precision, lambda _: True, ELSEWHERE)
        elsewhere = reader, away
    return Setup(
        ground, section, plans, networks, readers, learnt, held, stores, simclr, elsewhere, failed
    )


def _items(
    ground: Ground, stores: Stores, section: HierarchyExperiments
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """What is learned from, and what tests."""
    learnt, held = (
        tuple(draw_items(scans, stores, count, section, ARTIFACT_FAMILIES))
        for scans, count in (
            (ground.learnt, section.copies),
            (ground.held, section.held_copies),
        )
    )
    return learnt, held


def _asked(plan: EncoderPlan, learnt: Sequence[Item], held: Sequence[Item]) -> list[Item]:
    """What a slice network is shown: not to learn from what it must not know, and of that alone
    whether it is found."""
    if not plan.without:
        return [*learnt, *held]
    asked = [one for one in learnt if one.family not in plan.without]
    return asked + [one for one in held if one.family in (CLEAN, *plan.without)]


def _simclr(
    config: Config, ground: Ground, training: TrainingSection
) -> tuple[EmbeddingReader, ReferenceSection]:
    run = read_simclr(config)
    how = training.model_copy(update={"precision": run.bank.precision})
    model = run.results / "models" / SIMCLR / run.model_id
    reader = EmbeddingReader(
        lambda: open_network(model, how),
        ground.folder / "embeddings" / run.model_id,
        f"{run.model_id} {run.bank.precision}",
    )
    return reader, run.bank.section
