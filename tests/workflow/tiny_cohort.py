"""A tiny cohort on disk, and `mriqa run` on it as a user starts it."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
LOCAL = str(ROOT / "profiles" / "local")
RUN_TIMEOUT_S = 1200
"""Of one run; a machine may be busy with other things."""

CONFIG = """\
results: results
cohort:
  name: tiny
  sources:
    - {kind: bids, path: bids}
  withdrawn: withdrawn.txt
  shard_series: 3
rating:
  min_stratum: 3
report:
  worst: 1
  random: 1
"""
SIMCLR = """\
methods: [simclr]
simclr:
  pretraining: {view_px: 32, batch: 8, iterations: 4}
  reference: {proposed: 4, per_class: 2, min_references: 2, copies: 2}
training: {checkpoint_every: 2}
"""
"""To be added to CONFIG: SimCLR, with as little training as there can be."""

HIERARCHY = """\
methods: [hierarchy]
labels: [{kind: table, path: labels.tsv}]
hierarchy:
  learning:
    init: random
    tuning: {iterations: 2, batch: 4, view_px: 32}
    simulated: {proposed: 3, copies: 2, families: [noise, dropout]}
    min_subjects: 2
    min_accuracy: 0
    slices: {iterations: 20, batch: 64, channels: 4, rounds: {folds: 2, most: 2}}
    volumes: {iterations: 20, batch: 8, channels: 4, rounds: {folds: 2, most: 2}}
training: {checkpoint_every: 10}
"""
"""The hierarchy, with as little training as there can be."""

HYSNET = """\
methods: [hysnet]
hysnet:
  learning:
    net: {width: 0.0625, branch: [8, 4], predictor: [4, 4]}
    patches: {sides: [16, 16, 16], steps: [16, 16, 16], per_volume: 1}
    batch: 4
    epochs: 2
training: {checkpoint_every: 1}
"""
"""HyS-Net, with as little training as there can be."""

STAGES = (
    "convert", "score", "train", "propose", "reference", "rate", "merge", "report", "evaluate",
)  # fmt: skip


def stages(output: str) -> set[str]:
    """Stages of which `mriqa run` said that they were done."""
    lines = output.splitlines()
    return {
        stage
        for stage in STAGES
        if any(line.startswith(f"{stage}:") and line[-3:-2] == ":" for line in lines)
    }


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Names that are new, gone or written again."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@dataclass(frozen=True)
class Cohort:
    """A folder with a BIDS dataset, `config.yaml` and `results`."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mriqa", "run", "config.yaml", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`mriqa run`, in a process group of its own, not waited for."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                process.communicate()

    def run(self, *arguments: str, status: int = 0) -> str:
        """`mriqa run` to its end; everything it printed."""
        process = self.start(*arguments)
        output = process.communicate(timeout=RUN_TIMEOUT_S)[0]
        assert process.returncode == status, output
        return output

    def verb(self, *arguments: str, status: int = 0) -> str:
        """Any other verb of `mriqa`; everything it printed."""
        return self._output([sys.executable, "-m", "mriqa", *arguments], status)

    def snakemake(self, *arguments: str, status: int = 0) -> str:
        """Plain `snakemake`, as the README says."""
        snakefile = str(ROOT / "Snakefile")
        command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile]
        return self._output([*command, "--configfile", "config.yaml", *arguments], status)

    def _output(self, command: list[str], status: int) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def edit_config(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def mtimes(self, *patterns: str) -> dict[str, int]:
        """Modification time of every file below `results` that matches."""
        found = {}
        for pattern in patterns or ("**/*",):
            for path in self.results.glob(pattern):
                name = str(path.relative_to(self.results))
                if path.is_file() and not name.startswith((".snakemake", ".mriqa", "logs")):
                    found[name] = path.stat().st_mtime_ns
        return found

    def tables(self) -> dict[str, pa.Table]:
        """The published tables without what differs from run to run."""
        tables = {}
        for name in ("volumes", "subjects", "failures"):
            table = pq.ParquetFile(self.results / "tables" / f"{name}.parquet").read()
            tables[name] = table.drop_columns(["run_id"])
        slices = pq.read_table(self.results / "tables" / "slices").drop_columns(["run_id"])
        keys = ["series_id", "volume", "slice"]
        tables["slices"] = slices.sort_by([(key, "ascending") for key in keys])
        return tables


def write_subject(bids: Path, number: int, *, noise: float = 10.0, seed: int = 0) -> Path:
    """One T1w volume, 32x32x24, of a cylinder in noise."""
    subject = f"sub-{number:02d}"
    path = bids / subject / "anat" / f"{subject}_T1w.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, number])
    x, y, _ = np.mgrid[:32, :32, :24]
    body = 300.0 * ((x - 16) ** 2 + (y - 16) ** 2 < 140)
    real, imaginary = rng.normal(0, noise, (2, *body.shape))
    image = nib.Nifti1Image(
        np.hypot(body + real, imaginary).astype(np.int16), np.diag([2.0, 2.0, 4.0, 1.0])
    )
    nib.save(image, path)
    return path


def write_participants(bids: Path, ages: dict[int, int]) -> None:
    rows = "".join(f"sub-{number:02d}\t{age}\tF\n" for number, age in sorted(ages.items()))
    (bids / "participants.tsv").write_text("participant_id\tage\tsex\n" + rows)
