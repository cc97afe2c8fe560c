"""A tiny cohort with raters' labels, ready for the hierarchy: what its path is tested on."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from simclr_cohort import RATING, Cohort, degraded, image, save

from mriqa.artifacts import Family
from mriqa.config import (
    LearningSection,
    RoundsSection,
    SimulatedSection,
    SlicePretrainingSection,
    SliceStageSection,
    TableLabels,
    TrainingSection,
    TuningSection,
    section_json,
)
from mriqa.embedding.shard_files import ShardFiles
from mriqa.labels.publish import write_labels
from mriqa.methods.hierarchy.score import score_shard as rate_shard
from mriqa.methods.hierarchy.train import FORMAT_VERSION, train
from mriqa.rating.reference import propose_references
from mriqa.training.manifest import model_id, pin_path, pin_training, read_pinned
from mriqa.training.pinned_labels import (
    labels_path,
    learned_also,
    pin_labels,
    read_pinned_labels,
)

ROUNDS = RoundsSection(folds=3, most=2, keep_from=0.4, change_from=0.6)
STAGE = {"iterations": 60, "channels": 8, "rounds": ROUNDS, "learning_rate": 0.01}
LEARNING = LearningSection(
    pretraining=SlicePretrainingSection(view_px=32, batch=4, iterations=2, projection=8),
    tuning=TuningSection(iterations=3, batch=4, view_px=32),
    simulated=SimulatedSection(proposed=8, copies=3, families=("noise", "ghosting", "dropout")),
    min_subjects=4,
    min_accuracy=0,
    slices=SliceStageSection(**STAGE, batch=64),
    volumes={**STAGE, "batch": 16},
)
TRAINING = TrainingSection(device="cpu", precision="float32", checkpoint_every=20)
N_SUBJECTS, N_BAD = 24, 8


@dataclass(frozen=True)
class Labelled:
    """The cohort, its results with labels, and which series are really bad."""

    cohort: Cohort
    bad: frozenset[str]

    @property
    def results(self) -> Path:
        return self.cohort.results

    def pin(self, section=LEARNING, *, retrain=False) -> str:
        """Pin series and labels; the model's id."""
        pin = pin_training(self.results, "hierarchy", section, retrain=retrain).path
        labels = []
        if section.asks_people:
            pin_labels(self.results, "hierarchy", pin, retrain=retrain)
            labels = read_pinned_labels(labels_path(pin))
        also = learned_also(section, labels, RATING.stratum)
        pinned = read_pinned(pin_path(self.results, "hierarchy", section))
        return model_id("hierarchy", section_json(section.identity), pinned, FORMAT_VERSION, also)

    def train(self, section=LEARNING, training=TRAINING) -> Path:
        """`mriqa propose hierarchy` and `mriqa train hierarchy`."""
        identity = self.pin(section)
        if section.simulates:
            own = section.simulated
            propose_references(self.results, "hierarchy", settings=own, rating=RATING, mem_mb=1000)
        return train(self.results, identity, section, training, RATING)

    def rate(self, model: Path) -> None:
        """`mriqa rate hierarchy` of all shards."""
        for shard in self.cohort.shards():
            files = ShardFiles(self.results, shard, "hierarchy", model.name)
            rate_shard(files, TRAINING, mem_mb=2000)


def write_labelled(folder: Path) -> Labelled:
    """24 subjects, a third of them with much noise, one with a 4D series; a lone contrast; two
    raters, of whom one is wrong about the first bad one."""
    rows, bad = [], []

    def add(subject, path, contrast="T1w"):
        rows.append({"subject": subject, "contrast": contrast, "path": path})

    for number in range(N_SUBJECTS):
        volume = image(number)
        if number % 3 == 0:
            volume = degraded(volume, Family.NOISE, 0.9)
            bad.append(f"{number:03d}")
        add(f"{number:03d}", save(folder / f"{number}.nii.gz", volume))
    add("4d", save(folder / "4d.nii.gz", image(70), degraded(image(71)), image(72)))
    add("lone", save(folder / "lone.nii.gz", image(90)), "T2w")
    cohort = Cohort(folder, rows)
    cohort.measure()
    names = {row["subject"]: row["series_id"] for row in _cohort(cohort.results)}
    known = frozenset(names[subject] for subject in bad)
    _write_ratings(folder / "labels.tsv", names, set(bad))
    write_labels([TableLabels(kind="table", path=folder / "labels.tsv")], cohort.results)
    return Labelled(cohort, known)


def _cohort(results: Path) -> list[dict]:
    return pq.read_table(results / "cohort.parquet").to_pylist()


def _write_ratings(path: Path, names: dict[str, str], bad: set[str]) -> None:
    lines = ["series_id\tvolume\tslice\trater\trating"]
    for number in range(N_SUBJECTS):
        subject = f"{number:03d}"
        rating = "fail" if subject in bad else "pass"
        lines.append(f"{names[subject]}\t\t\tann\t{rating}")
        lines.append(f"{names[subject]}\t\t\tbob\t{'pass' if number == 0 else rating}")
    lines.append(f"{names['4d']}\t1\t\tann\tfail")
    lines.append(f"{names['003']}\t0\t4\tann\tpass")
    path.write_text("\n".join(lines) + "\n")
