"""A tiny cohort ready for HyS-Net: what its path is tested on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from simclr_cohort import Cohort, image, save

from mriqa.config import HysnetLearningSection, TrainingSection, section_json
from mriqa.config.hysnet import HysnetNetSection, HysnetPatchSection
from mriqa.embedding.shard_files import ShardFiles
from mriqa.methods.hysnet.score import score_shard as rate_shard
from mriqa.methods.hysnet.target_sources import targets_digest
from mriqa.methods.hysnet.train import FORMAT_VERSION, train
from mriqa.training.manifest import model_id, pin_training, read_pinned

LEARNING = HysnetLearningSection(
    contrasts=("T1w",),
    net=HysnetNetSection(width=0.0625, branch=(8, 4), predictor=(4, 4)),
    patches=HysnetPatchSection(sides=(16, 32, 32), steps=(8, 16, 16), per_volume=2),
    batch=8,
    epochs=2,
    learning_rate=1e-3,
)
TRAINING = TrainingSection(device="cpu", precision="float32", checkpoint_every=2)
N_SUBJECTS = 20


@dataclass(frozen=True)
class Measured:
    """The cohort, indexed, converted and scored."""

    cohort: Cohort

    @property
    def results(self) -> Path:
        return self.cohort.results

    def identity(self, section=LEARNING) -> str:
        """Pin the series; the model's id."""
        pin = pin_training(self.results, "hysnet", section, retrain=False).path
        pinned = read_pinned(pin)
        series = [one.series_id for one in pinned]
        also = targets_digest(section.target, self.results / "cohort.parquet", series)
        return model_id("hysnet", section_json(section.identity), pinned, FORMAT_VERSION, [also])

    def train(self, section=LEARNING, training=TRAINING) -> Path:
        """`mriqa train hysnet`."""
        return train(self.results, self.identity(section), section, training)

    def rate(self, model: Path, mem_mb: int = 2000) -> None:
        """`mriqa rate hysnet` of all shards."""
        for shard in self.cohort.shards():
            files = ShardFiles(self.results, shard, "hysnet", model.name)
            rate_shard(files, TRAINING, mem_mb=mem_mb)

    def said(self) -> dict[tuple[str, int], dict]:
        """The rows of all score files, by series and volume."""
        rows = [
            row
            for shard in self.cohort.shards()
            for row in pq.read_table(self.results / "scores" / "hysnet" / f"{shard}.parquet")
            .to_pylist()
        ]  # fmt: skip
        return {(row["series_id"], row["volume"]): row for row in rows}


def write_measured(folder: Path) -> Measured:
    """20 subjects of various noise, one with a 4D series that has a constant volume, another
    contrast, and a file that is cut off."""
    rows = []

    def add(subject, path, contrast="T1w"):
        rows.append({"subject": subject, "contrast": contrast, "path": path})

    for number in range(N_SUBJECTS):
        add(f"{number:03d}", save(folder / f"{number}.nii.gz", image(number, noise=3.0 + number)))
    add("4d", save(folder / "4d.nii.gz", image(70), np.full((8, 40, 36), 7.0), image(72)))
    add("lone", save(folder / "lone.nii.gz", image(90)), "T2w")
    cut = folder / "cut.nii.gz"
    cut.write_bytes((folder / "0.nii.gz").read_bytes()[:3000])
    add("cut", cut)
    cohort = Cohort(folder, rows)
    cohort.measure()
    return Measured(cohort)
