"""What is learned from few and wrong labels: once, in rounds of self-training, from the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mriqa.evaluation.auc import Sampling, interval
from mriqa.evaluation.hierarchy.figures import Record, accuracies, contested_record, rated
from mriqa.evaluation.hierarchy.lessons import Labels, Pupil, draw_labels
from mriqa.evaluation.hierarchy.volumes import Volumes
from mriqa.methods.hierarchy.rounds import Floats

ONCE, SELF_TRAINED, TRUE = "once", "self-trained", "all true"


@dataclass(frozen=True)
class Exam:
    """Who learns, on whom it is tested, with whose draws of subjects."""

    pupil: Pupil
    held: Volumes
    sampling: Sampling

    def record(self, about: Mapping[str, Any], how: str, probabilities: Floats) -> Record:
        """The figures of what was learned in the way `how`."""
        return {**about, "how": how, **rated(probabilities, self.held, self.sampling)}


@dataclass(frozen=True)
class Marks:
    """Records, and the probabilities (n_held, classes) behind some, by fraction, noise and how."""

    records: list[Record]
    probabilities: dict[tuple[float, float, str], Floats]


def learn_curves(
    exam: Exam, about: Mapping[str, Any], conditions: Sequence[tuple[float, float]], seed: int
) -> Marks:
    """At each (fraction, noise) once and self-trained; and once with all labels, all true."""
    truth = exam.pupil.learnt.truth
    everything = draw_labels(truth, 1.0, 0.0, seed)
    best = exam.pupil.once(everything, exam.held.bags)
    records = [exam.record({**about, "fraction": 1.0, "noise": 0.0}, TRUE, best)]
    known = {(1.0, 0.0, TRUE): best}
    for fraction, noise in conditions:
        labels = draw_labels(truth, fraction, noise, seed)
        here = {**about, "fraction": fraction, "noise": noise}
        once = exam.pupil.once(labels, exam.held.bags)
        again, record = _self_trained(exam, here, labels)
        record["gain"] = _difference(exam, again, once)
        record["short"] = _difference(exam, best, again)
        records += [exam.record(here, ONCE, once), record]
        known |= {(fraction, noise, ONCE): once, (fraction, noise, SELF_TRAINED): again}
    return Marks(records, known)


def _self_trained(exam: Exam, about: Mapping[str, Any], labels: Labels) -> tuple[Floats, Record]:
    found, outcome = exam.pupil.self_trained(labels, exam.held.bags)
    record = exam.record(about, SELF_TRAINED, found)
    record["n_rounds"] = len(outcome.rounds)
    record["contested"] = contested_record(outcome.rounds[-1].probabilities, labels)
    return found, record


def _difference(exam: Exam, better: Floats, worse: Floats) -> Record:
    """Of balanced accuracies, with the interval by subjects, the same in both."""
    first, second = (
        accuracies(one.argmax(axis=1), exam.held.truth, exam.sampling) for one in (better, worse)
    )
    return interval(first - second)
