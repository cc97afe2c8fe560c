"""Labels of some volumes, some of them wrong, and what networks learn from them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.config import VolumeStageSection
from mriqa.evaluation.hierarchy.volumes import Volumes
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.lesson import Given, Lesson, first_lesson
from mriqa.methods.hierarchy.rounds import UNLABELLED, Classes, Floats
from mriqa.methods.hierarchy.self_training import Outcome, self_train
from mriqa.methods.hierarchy.stage import StageLearner, plain_learner, predict

MODEL_ID = "experiment"


@dataclass(frozen=True)
class Labels:
    """The ratings that n volumes were given: `classes` (n), UNLABELLED for most."""

    classes: Classes
    truth: Classes

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which (n) are wrong."""
        return np.asarray((self.classes != UNLABELLED) & (self.classes != self.truth))

    def given(self, volumes: Volumes) -> Given:
        """As the networks are told."""
        known = self.classes != UNLABELLED
        shares = np.eye(len(RATINGS))[np.where(known, self.classes, 0)] * known[:, None]
        return Given(volumes.targets, volumes.subjects, shares, known.astype(np.float64))


def draw_labels(truth: Classes, fraction: float, noise: float, seed: int) -> Labels:
    """Labels of a `fraction` of the volumes, a share `noise` of them wrong: another of the ratings,
    each as likely. More labels hold the fewer ones of the same seed; among as many labels, more
    wrong ones the fewer wrong ones.
    """
    rng = np.random.default_rng([seed, 1])
    order, wrong_order = rng.permutation(len(truth)), rng.random(len(truth))
    other = (truth + rng.integers(1, len(RATINGS), len(truth))) % len(RATINGS)
    labelled = order[: max(1, round(fraction * len(truth)))]
    surest = labelled[np.argsort(wrong_order[labelled], kind="stable")]
    wrong = surest[: round(noise * len(labelled))]
    classes = np.full(len(truth), UNLABELLED, dtype=np.int64)
    classes[labelled] = truth[labelled]
    classes[wrong] = other[wrong]
    return Labels(classes, truth)


@dataclass(frozen=True)
class Pupil:
    """Networks of the volume stage that learn from `learnt`; what they have done is in `folder`."""

    learnt: Volumes
    section: VolumeStageSection
    folder: Path

    def once(self, labels: Labels, asked: Bags) -> Floats:
        """Learn `labels` as they are; the probabilities (n, classes) of what is `asked`."""
        given = labels.given(self.learnt)
        lesson = first_lesson(given, self.section.rounds.folds, self.section.seed)
        # it is what the first round of self-training learns
        return self._taught(lesson, self._rounds(labels) / "round-1", asked)

    def self_trained(self, labels: Labels, asked: Bags) -> tuple[Floats, Outcome]:
        """The same after rounds of self-training, and those rounds."""
        given, own, folder = labels.given(self.learnt), self.section, self._rounds(labels)
        outcome = self_train(self._learner, given, own.rounds, own.seed, folder)
        return self._taught(outcome.lesson, folder / "last", asked), outcome

    def _rounds(self, labels: Labels) -> Path:
        digest = hashlib.sha256(labels.classes.tobytes()).hexdigest()[:16]
        return self.folder / f"rounds-{digest}"

    def _taught(self, lesson: Lesson, folder: Path, asked: Bags) -> Floats:
        nets = self._learner.trained(lesson, folder)
        return np.asarray(predict(nets, asked).mean(axis=0))

    @property
    def _learner(self) -> StageLearner:
        return plain_learner("volumes", self.learnt.bags, self.section, MODEL_ID)
