"""Both stages, one after the other: what every worker does, and what is left when they are done.

The slice stage self-trains on single slices; what its networks say of them, out of fold, goes to
the volume stage beside the slices' features. Everything goes on from what is in the run's folder.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from mriqa.config import LearningSection, StageSection
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.lesson import out_of_fold
from mriqa.methods.hierarchy.material import Material, read_material
from mriqa.methods.hierarchy.rounds import Floats
from mriqa.methods.hierarchy.self_training import Outcome, self_train
from mriqa.methods.hierarchy.stage import StageLearner, StageTask, make_nets, predict
from mriqa.training.launch import Worker

FACTORY = f"{__name__}:make_task"
MATERIAL = "material.safetensors"
SAID = 3.0
"""A probability p is shown to the volume stage as SAID·(p − 1/3): as large as other features."""


@dataclass(frozen=True)
class SliceStage:
    """The slice stage's end: its rounds, its networks, what they say of each slice (m, classes)."""

    outcome: Outcome
    nets: nn.Module
    said: Floats


def learn_slices(
    material: Material, section: LearningSection, model_id: str, every: int, worker: Worker
) -> SliceStage:
    """Self-train on the slices of `material`, then learn the last lesson."""
    own, folder = section.slices, worker.run_folder / "slices"
    learner = StageLearner(
        "slices", material.bags.single, own, model_id, every, worker.device, worker.world
    )
    given = material.slices
    outcome = self_train(learner, given, own.rounds, own.seed, folder, worker.world)
    nets = learner.trained(outcome.lesson, folder / "last")
    said = out_of_fold(predict(nets, learner.features), outcome.lesson, given)
    return SliceStage(outcome, nets, said)


def for_volumes(bags: Bags, said: Floats) -> Bags:
    """What the volume stage sees: slices, and what the slice stage has `said` (m, classes)."""
    return bags.with_columns(SAID * (said - 1 / said.shape[1]))


def volume_learner(
    bags: Bags, section: StageSection, model_id: str, every: int, worker: Worker
) -> StageLearner:
    """The learner of volumes; `bags` are those of `for_volumes`."""
    return StageLearner("volumes", bags, section, model_id, every, worker.device, worker.world)


def self_train_volumes(
    learner: StageLearner, material: Material, section: StageSection, worker: Worker
) -> Outcome:
    """The rounds of the volume stage."""
    folder = worker.run_folder / "volumes"
    return self_train(learner, material.volumes, section.rounds, section.seed, folder, worker.world)


def make_task(arguments: dict[str, Any], worker: Worker) -> StageTask:
    """The last training, that of volumes, from `Job.arguments`; all before it is done here."""
    section = LearningSection.model_validate(arguments["learning"])
    model_id, every = str(arguments["model_id"]), int(arguments["checkpoint_every"])
    material = read_material(worker.run_folder / MATERIAL).learnt
    slices = learn_slices(material, section, model_id, every, worker)
    bags = for_volumes(material.bags, slices.said)
    learner = volume_learner(bags, section.volumes, model_id, every, worker)
    outcome = self_train_volumes(learner, material, section.volumes, worker)
    nets = make_nets(bags.length, section.volumes)
    return StageTask(nets, bags, outcome.lesson, section.volumes)


@dataclass(frozen=True)
class Networks:
    """The trained networks of both stages, one a fold each."""

    slices: nn.Module
    volumes: nn.Module

    def rate(self, bags: Bags) -> tuple[Floats, Floats]:
        """Probabilities of all slices (m, classes) and items (n, classes): means over the folds."""
        said = predict(self.slices, bags.single).mean(axis=0)
        return said, predict(self.volumes, for_volumes(bags, said)).mean(axis=0)


def untrained(features: int, section: LearningSection) -> Networks:
    """Networks to load weights into, of slices with so many features."""
    classes = 3
    return Networks(
        make_nets(features, section.slices).eval(),
        make_nets(features + classes, section.volumes).eval(),
    )
