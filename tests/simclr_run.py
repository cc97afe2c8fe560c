"""A tiny cohort after a whole run with SimCLR, with its truth: what the experiments stand on."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from simclr_cohort import RATING, REFERENCE, TRAINING, Cohort, degraded, image, save

from mriqa.artifacts import Family
from mriqa.config import (
    CohortSection,
    Config,
    EvaluationSection,
    PretrainingSection,
    SimclrSection,
    TableSource,
    section_json,
)
from mriqa.embedding.shard_files import ShardFiles
from mriqa.methods.simclr.score import score_shard as rate_shard
from mriqa.methods.simclr.train import FORMAT_VERSION, train
from mriqa.rating.publish import publish_tables
from mriqa.rating.reference import make_bank
from mriqa.training.manifest import model_id, pin_path, pin_training, read_pinned

PRETRAINING = PretrainingSection(
    view_px=32, batch=4, iterations=2, projection=8, contrasts=("T1w",)
)
N_SUBJECTS, N_PAIRS = 24, 4


@dataclass(frozen=True)
class Run:
    """The configuration of a finished run, the folder it lies in, and its model's id."""

    folder: Path
    config: Config
    model_id: str

    @property
    def results(self) -> Path:
        return self.config.results


def write_run(folder: Path) -> Run:
    """24 good subjects, three degraded ones, and four scanned holding their breath and not."""
    cohort, known = _write_sources(folder)
    cohort.measure()
    results = cohort.results
    truth = _write_truth(folder / "truth.tsv", results, known)
    pin_training(results, "simclr", PRETRAINING, retrain=False)
    pinned = read_pinned(pin_path(results, "simclr", PRETRAINING))
    identity = model_id("simclr", section_json(PRETRAINING), pinned, FORMAT_VERSION)
    train(results, identity, PRETRAINING, TRAINING)
    make_bank(results, identity, settings=REFERENCE, rating=RATING, training=TRAINING, mem_mb=1000)
    _rate(results, identity, cohort.shards())
    publish_tables(results, RATING, methods=("simclr",))
    config = Config(
        results=results,
        methods=("simclr",),
        cohort=CohortSection(
            name="t", sources=(TableSource(kind="table", path=folder / "series.csv"),)
        ),
        rating=RATING,
        simclr=SimclrSection(pretraining=PRETRAINING, reference=REFERENCE),
        training=TRAINING,
        evaluation=EvaluationSection(truth=truth),
    )
    return Run(folder, config, identity)


def _write_sources(folder: Path) -> tuple[Cohort, dict[str, tuple[str, float, str]]]:
    """The files, and by name of each its family, severity and breath_hold."""
    rows, known = [], {}

    def add(name, volume, family="none", severity=0.0, held="", **values):
        path = save(folder / f"{name}.nii.gz", volume)
        size = {"sex": "FM"[len(rows) % 2], "height_cm": 160 + len(rows) % 20, "weight_kg": 60}
        rows.append({"path": path, **size, "session": "", **values})
        known[path.name] = family, severity, held

    for number in range(N_SUBJECTS):
        add(f"good{number}", image(number), subject=f"{number:03d}", contrast="T1w")
    for number in range(3):
        made = degraded(image(100 + number))
        add(f"bad{number}", made, "noise", 1.0, subject=f"bad{number}", contrast="T1w")
    for number in range(N_PAIRS):
        who = {"subject": f"pair{number}", "contrast": "T2w"}
        held, free = image(200 + number, noise=9), image(200 + number, noise=9)
        add(f"held{number}", held, held="true", session="bh", **who)
        made = degraded(free, Family.BREATHING)
        add(f"free{number}", made, "breathing", 1.0, "false", session="fb", **who)
    return Cohort(folder, rows), known


def _write_truth(path: Path, results: Path, known: dict[str, tuple[str, float, str]]) -> Path:
    lines = ["series_id\tfamily\tseverity\tbreath_hold"]
    for row in pq.read_table(results / "cohort.parquet").to_pylist():
        family, severity, held = known[Path(row["source_path"]).name]
        lines.append(f"{row['series_id']}\t{family}\t{severity}\t{held}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _rate(results: Path, identity: str, shards: list[str]) -> None:
    for shard in shards:
        rate_shard(ShardFiles(results, shard, "simclr", identity), TRAINING, mem_mb=2000)
