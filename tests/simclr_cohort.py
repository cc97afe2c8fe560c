"""A tiny cohort through index, convert and score, with an untrained encoder as its model."""

import csv
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from mriqa.artifacts import Family, apply, draw
from mriqa.cohort.index import index_cohort
from mriqa.config import (
    CohortSection,
    ConvertSection,
    PretrainingSection,
    RatingSection,
    ReferenceSection,
    ScoreSection,
    TableSource,
    TrainingSection,
)
from mriqa.embedding.shard_files import ShardFiles
from mriqa.images.convert import convert_shard
from mriqa.methods.simclr.score import score_shard as rate_shard
from mriqa.rating.score import score_shard
from mriqa.training.encoders import make_encoder
from mriqa.training.model_folder import Origin, write_model

MODEL = "simclr-0123456789ab"
SPACING = (4.0, 2.0, 2.0)
RATING = RatingSection(min_stratum=5, stratum=("contrast", "b_class"))
REFERENCE = ReferenceSection(
    per_class=4,
    min_references=3,
    proposed=8,
    copies=2,
    least_quality=0.0,
    families=("noise", "ghosting", "dropout"),
)
TRAINING = TrainingSection(precision="float32")


def image(seed: int, *, noise: float = 6.0, shape=(8, 40, 36)) -> np.ndarray:
    """An ellipse with organs in Rician noise, (z, y, x) float32."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    size = rng.uniform(0.65, 0.75)
    body = 300.0 * ((y / size) ** 2 + (x / 0.75) ** 2 + 0.2 * z**2 < 1)
    for _ in range(5):
        cy, cx = rng.uniform(-0.4, 0.4, 2)
        body[(y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(0.1, 0.2) ** 2] *= rng.uniform(0.5, 1.5)
    real, imaginary = rng.normal(0, noise, (2, *shape))
    return np.hypot(body + real, imaginary).astype(np.float32)


def degraded(volume: np.ndarray, family: Family = Family.NOISE, severity: float = 1.0):
    """A volume with an artifact."""
    return apply(volume, SPACING, draw(family, severity, volume.shape, SPACING, seed=1))


def save(path: Path, *volumes: np.ndarray) -> Path:
    """One or several volumes as an int16 NIfTI."""
    stacked = np.stack([volume.T for volume in volumes], axis=-1)
    voxels = stacked[..., 0] if len(volumes) == 1 else stacked
    made = nibabel.Nifti1Image(np.rint(voxels).astype(np.int16), np.diag([2.0, 2.0, 4.0, 1.0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(made, path)
    return path


@dataclass
class Cohort:
    """Sources and results of a cohort in `folder`; `rows` of its table may be changed."""

    folder: Path
    rows: list[dict]

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def model(self) -> Path:
        return self.results / "models" / "simclr" / MODEL

    @property
    def bank(self) -> Path:
        return self.model / "bank"

    def measure(self, **section) -> None:
        """Index, convert and score."""
        table = self.folder / "series.csv"
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with table.open("w", newline="") as out:
            writer = csv.DictWriter(out, names)
            writer.writeheader()
            writer.writerows(self.rows)
        source = TableSource(kind="table", path=table)
        cohort = CohortSection(name="t", sources=(source,), shard_series=6, **section)
        index_cohort(cohort, self.results)
        for name in self.shards():
            files = (
                self.results / part / f"{name}.parquet" for part in ("shards", "convert", "scores")
            )
            manifest, status, scores = files
            store = self.results / "zarr" / f"{name}.zarr"
            convert_shard(manifest, store, status, settings=ConvertSection(), threads=1, mem_mb=900)
            settings = ScoreSection()
            score_shard(manifest, store, status, scores, settings=settings, threads=1, mem_mb=900)

    def shards(self) -> list[str]:
        return sorted(path.stem for path in (self.results / "shards").glob("shard-*.parquet"))

    def cache(self, shard: str) -> Path:
        return self.results / "embeddings" / "simclr" / MODEL / f"{shard}.safetensors"

    def rate(self, shard: str) -> Path:
        """`mriqa rate simclr`."""
        files = ShardFiles(self.results, shard, "simclr", self.model.name)
        rate_shard(files, TRAINING, mem_mb=2000)
        return files.output

    def rate_all(self) -> None:
        for shard in self.shards():
            self.rate(shard)


def write_cohort(folder: Path, n_good: int = 12) -> Cohort:
    """Good T1w volumes, two bad ones, a 4D series, a lone contrast and a damaged file."""
    rows = []

    def add(subject, contrast, path, **values):
        person = {"sex": "FM"[len(rows) % 2], "height_cm": 160 + len(rows), "weight_kg": 60}
        rows.append({"subject": subject, "contrast": contrast, "path": path, **person, **values})

    for number in range(n_good):
        add(f"{number:03d}", "T1w", save(folder / f"good{number}.nii.gz", image(number)))
    bad = degraded(image(100)), degraded(image(101), Family.GHOSTING)
    for number, volume in enumerate(bad):
        add(f"bad{number}", "T1w", save(folder / f"bad{number}.nii.gz", volume))
    series = save(folder / "series.nii.gz", image(102), np.full((8, 40, 36), 7.0))
    add("4d", "T1w", series, sex="", height_cm="", weight_kg="")
    add("lone", "T2w", save(folder / "lone.nii.gz", image(103)))
    cut = folder / "cut.nii.gz"
    cut.write_bytes((folder / "good0.nii.gz").read_bytes()[:3000])
    add("cut", "T1w", cut)
    return Cohort(folder, rows)


def write_untrained(folder: Path, seed: int = 0) -> None:
    """A model folder of an encoder with the weights that the seed gives."""
    section = PretrainingSection(seed=seed)
    encoder = make_encoder(section.encoder, seed=seed)
    config = {"method": "simclr", "pretraining": section.model_dump(mode="json")}
    write_model(folder, encoder, config, {}, Origin(MODEL, "0" * 64, seed, 1))
