"""The slice networks that are compared: tuned on all simulated artifacts, or without some."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mriqa.config import LearningSection, TrainingSection
from mriqa.config.methods import ARTIFACT_FAMILIES, ArtifactFamily
from mriqa.embedding.network import make_network
from mriqa.embedding.volumes import Encoder
from mriqa.evaluation.hierarchy.ground import Ground
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.items import Item
from mriqa.evaluation.one_pass import EmbeddingReader
from mriqa.methods.hierarchy.reading import SliceNetwork
from mriqa.methods.hierarchy.train import FORMAT_VERSION, pretrained
from mriqa.training.manifest import pinned_sha256

MAIN, LEFT_OUT, ABLATION = "main", "left out", "ablation"
EMBEDDINGS, ELSEWHERE = "embeddings", "elsewhere"
"""Folders of what slice networks made of the cohort's volumes, and of another cohort's."""


@dataclass(frozen=True)
class EncoderPlan:
    """One slice network: `kind` says for what, `without` which families it has never seen."""

    kind: str
    name: str
    learning: LearningSection
    without: tuple[ArtifactFamily, ...] = ()

    @property
    def seed(self) -> int:
        """Of its weights and training."""
        return self.learning.pretraining.seed

    @property
    def label(self) -> str:
        """For progress and notes."""
        return f"{self.name}, seed {self.seed}"


def plan_encoders(ground: Ground, section: HierarchyExperiments) -> list[EncoderPlan]:
    """The main ones, a seed each; those of the ablation; those that leave out families."""
    base = ground.config.hierarchy.learning
    plans = [
        EncoderPlan(MAIN, MAIN, _learning(base, section, section.seed + number))
        for number in range(section.seeds)
    ]
    plans += _ablations(base, section)
    for number in range(section.left_out_seeds):
        for group in section.left_out:
            own = _learning(base, section, section.seed + number, group)
            plans.append(EncoderPlan(LEFT_OUT, f"without {', '.join(group)}", own, group))
    return plans


def _ablations(base: LearningSection, section: HierarchyExperiments) -> list[EncoderPlan]:
    """Those that need a slice network of their own."""
    own, plans = _learning(base, section, section.seed), []
    if "simclr_start" in section.ablations:
        shorter = {"iterations": section.simclr_iterations}
        changes = {"init": "simclr", "pretraining": own.pretraining.model_copy(update=shorter)}
        plans.append(EncoderPlan(ABLATION, "SimCLR's start", own.model_copy(update=changes)))
    if "local_slices" in section.ablations:
        local = own.pretraining.model_copy(update={"encoder": "local"})
        changes = {"pretraining": local}
        name = "no nonlocal blocks in slices"
        plans.append(EncoderPlan(ABLATION, name, own.model_copy(update=changes)))
    return plans


def _learning(
    base: LearningSection, section: HierarchyExperiments, seed: int,
    without: Sequence[ArtifactFamily] = (),
) -> LearningSection:  # fmt: skip
    pretraining = base.pretraining.model_copy(update={"seed": seed})
    families = tuple(one for one in ARTIFACT_FAMILIES if one not in without)
    simulated = base.simulated.model_copy(update={"families": families})
    return base.model_copy(
        update={
            "init": "random",
            "pretraining": pretraining,
            "tuning": section.tuning,
            "simulated": simulated,
        }
    )


def identify(ground: Ground, plan: EncoderPlan) -> str:
    """Sixteen hex digits that stand for all that the slice network depends on."""
    own = plan.learning
    about = {
        "init": own.init,
        "pretraining": own.pretraining.model_dump(mode="json"),
        "tuning": own.tuning.model_dump(mode="json"),
        "families": list(own.simulated.slice_families),
        "series": pinned_sha256(ground.pinned),
        "version": FORMAT_VERSION,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def train_encoder(ground: Ground, plan: EncoderPlan, training: TrainingSection) -> SliceNetwork:
    """Train it, or go on where a killed training was; at once if it is done."""
    identity = identify(ground, plan)
    folder = ground.folder / "training" / identity
    return pretrained(ground.results, folder, identity, ground.pinned, plan.learning, training)


def reader_of(
    ground: Ground, plan: EncoderPlan, network: SliceNetwork, training: TrainingSection,
    precision: str, chosen: Callable[[Item], bool], within: str = EMBEDDINGS,
) -> EmbeddingReader:  # fmt: skip
    """What embeds the `chosen` volumes with the network, and keeps what it has made in the folder
    `within` that of the experiments."""

    def opened() -> Encoder:
        how = training.model_copy(update={"precision": precision})
        return make_network(network.encoder, plan.learning.pretraining.gamma, how)

    identity = identify(ground, plan)
    folder = ground.folder / within / identity
    maker = f"{identity} {precision}"
    return EmbeddingReader(opened, folder, maker, chosen=chosen, with_metrics=True)
