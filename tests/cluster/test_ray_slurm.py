"""Training over two nodes of a real SLURM equals training on one machine.

Needs root on a throwaway machine, and MRIQA_ALLOW_TEST_SLURM=1, which `.ci/run` sets.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from test_slurm import queued_jobs, slurm  # noqa: F401  (a fixture)
from toy_task import toy_job

from mriqa.processes import marked_processes
from mriqa.training.checkpoints import load, path_of, steps_in
from mriqa.training.launch import train_plainly
from mriqa.training.ray_cluster import FOLDER, RECORD
from mriqa.training.ray_nodes import RUN_VARIABLE

TESTS = Path(__file__).resolve().parents[1]
STEPS = 60
CALL = """
import json, sys
from pathlib import Path
from mriqa.config.methods import TrainingSection
from mriqa.errors import MriqaError
from mriqa.training.launch_ray import train_with_ray
from toy_task import toy_job
section = TrainingSection(workers=2, nodes=2, launcher="ray", max_failures=1)
try:
    train_with_ray(toy_job(**json.loads(sys.argv[2])), section, Path(sys.argv[1]))
except MriqaError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def submit(folder: Path, **arguments: Any) -> str:
    """A job of two nodes that trains `toy_task` in `folder`; its number."""
    command = shlex.join([sys.executable, "-c", CALL, str(folder), json.dumps(arguments)])
    done = subprocess.run(
        ["sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1",
         f"--output={folder}/said", f"--wrap={command}"],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def wait_for_end(job: str, patience_s: float = 400) -> None:
    until = time.monotonic() + patience_s
    while job in queued_jobs():
        assert time.monotonic() < until
        time.sleep(0.5)


def wait_for_record(folder: Path, job: str, patience_s: float = 120) -> dict[str, Any]:
    """What the job's private Ray has written of itself, as soon as it has."""
    path, until = folder / FOLDER / RECORD, time.monotonic() + patience_s
    while not path.exists():
        assert job in queued_jobs()
        assert time.monotonic() < until
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.usefixtures("slurm")
def test_two_nodes_learn_what_one_machine_learns(tmp_path: Path) -> None:
    alone = train_plainly(toy_job(STEPS), tmp_path / "alone")
    job = submit(tmp_path, steps=STEPS)
    temporary = wait_for_record(tmp_path, job)["temporary"]
    wait_for_end(job)
    said = (tmp_path / "said").read_text()
    assert f"training: {STEPS}/{STEPS} steps (100%)" in said, said
    found = load(path_of(tmp_path / "checkpoints", STEPS))[0]
    for name, weights in found.weights.items():
        torch.testing.assert_close(weights, alone.weights[name], rtol=1e-5, atol=1e-5)
    for log in ("head.log", "node-n2.log"):
        assert "Ray runtime started" in (tmp_path / FOLDER / log).read_text()
    assert not (tmp_path / FOLDER / RECORD).exists()
    assert not Path(temporary).exists(), "nothing of Ray's is left"


@pytest.mark.usefixtures("slurm")
def test_a_cancelled_job_leaves_nothing_and_is_finished_by_the_next(tmp_path: Path) -> None:
    job = submit(tmp_path, steps=STEPS, pause_s=0.2)
    until = time.monotonic() + 400
    while max(steps_in(tmp_path / "checkpoints"), default=0) < 10:
        assert job in queued_jobs(), (tmp_path / "said").read_text()
        assert time.monotonic() < until
        time.sleep(0.1)
    run = json.loads((tmp_path / FOLDER / RECORD).read_text())["run"]
    assert len(marked_processes(RUN_VARIABLE, run)) >= 6, "two raylets, two workers, ..."
    subprocess.run(["scancel", job], check=True)
    wait_for_end(job, 60)
    until = time.monotonic() + 60
    while marked_processes(RUN_VARIABLE, run):
        assert time.monotonic() < until
        time.sleep(0.2)
    wait_for_end(submit(tmp_path, steps=STEPS))
    said = (tmp_path / "said").read_text()
    assert "training goes on from" in said, said
    found = load(path_of(tmp_path / "checkpoints", STEPS))[0]
    alone = train_plainly(toy_job(STEPS), tmp_path / "alone")
    for name, weights in found.weights.items():
        torch.testing.assert_close(weights, alone.weights[name], rtol=1e-5, atol=1e-5)
