"""A small cohort through a real SLURM with two virtual nodes: the tables equal the local run's.

Needs root on a throwaway machine, and MRIQA_ALLOW_TEST_SLURM=1, which `.ci/run` sets.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mriqa.run.lock import LOCK_NAME, read_owner

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REFUSED = 3

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running SLURM; its home folder."""
    if os.environ.get("MRIQA_ALLOW_TEST_SLURM") != "1":
        pytest.skip("starts a SLURM on this machine: set MRIQA_ALLOW_TEST_SLURM=1 to allow it")
    home = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "SLURM_HOME": str(home)}
    up = subprocess.run(
        [HERE / "slurm-up.sh"], env=environment, capture_output=True, text=True, check=False
    )
    if up.returncode == REFUSED:
        pytest.skip(up.stderr.strip().splitlines()[-1])
    assert up.returncode == 0, up.stdout + up.stderr
    yield home
    subprocess.run([HERE / "slurm-down.sh"], env=environment, check=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six subjects, one of them with an empty file, and a profile for this SLURM."""
    folder = tmp_path_factory.mktemp("study")
    x, y, _ = np.mgrid[:32, :32, :24]
    body = 300.0 * ((x - 16) ** 2 + (y - 16) ** 2 < 140)
    for number in range(6):
        path = folder / "bids" / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        noise = np.random.default_rng(number).normal(0, 8 + number, (2, *body.shape))
        values = np.hypot(body + noise[0], noise[1]).astype(np.int16)
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 4.0, 1.0])), path)
    path.write_bytes(b"")
    (folder / "bids" / "dataset_description.json").write_text(
        json.dumps({"Name": "tiny", "BIDSVersion": "1.9.0"})
    )
    for name in ("local", "slurm", "killed"):
        config = {
            "results": name,
            "cohort": {
                "name": "tiny",
                "sources": [{"kind": "bids", "path": "bids"}],
                "shard_series": 3,
            },
            "rating": {"min_stratum": 3},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    # the profile as it is shipped, but that looks after its jobs more often
    shutil.copytree(ROOT / "profiles" / "slurm", folder / "profile")
    profile = folder / "profile" / "config.yaml"
    text = profile.read_text()
    assert "status-checks: 10" in text
    profile.write_text(text.replace("status-checks: 10", "status-checks: 2"))
    return folder


def start(study: Path, config: str, profile: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mriqa", "run", config, "--profile", str(profile)],
        cwd=study,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(study: Path, config: str, profile: Path) -> str:
    process = start(study, config, profile)
    output = process.communicate(timeout=540)[0]
    assert process.returncode == 0, output
    return output


def queued_jobs() -> list[str]:
    """Jobs that wait or run, by their number."""
    squeue = ["squeue", "-h", "-o", "%i", "-t", "PD,R,CF"]
    return subprocess.run(squeue, capture_output=True, text=True, check=True).stdout.split()


def start_until_queued(study: Path) -> subprocess.Popen[str]:
    """A run on SLURM, left alone as soon as SLURM has a job of it."""
    process = start(study, "killed.yaml", study / "profile")
    until = time.monotonic() + 120
    while not queued_jobs():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def tables(results: Path) -> dict[str, pa.Table]:
    found = {}
    for name in ("volumes", "subjects", "failures"):
        table = pq.ParquetFile(results / "tables" / f"{name}.parquet").read()
        found[name] = table.drop_columns(["run_id"])
    slices = pq.read_table(results / "tables" / "slices").drop_columns(["run_id"])
    keys = ("series_id", "volume", "slice")
    found["slices"] = slices.sort_by([(key, "ascending") for key in keys])
    return found


def completed_jobs(slurm: Path) -> list[str]:
    log = slurm / "log" / "jobcomp.txt"
    return [line for line in log.read_text().splitlines() if "JobState=COMPLETED" in line]


def test_tables_of_slurm_equal_those_of_one_machine(slurm: Path, study: Path) -> None:
    output = run(study, "slurm.yaml", study / "profile")
    assert "6 series: 5 rated, 1 failed" in output
    jobs = completed_jobs(slurm)
    assert len(jobs) == 6, "2 convert, 2 score, merge, report"
    assert any("TimeLimit=20" in job for job in jobs), "runtime of the rules reaches SLURM"
    run(study, "local.yaml", ROOT / "profiles" / "local")
    assert tables(study / "slurm") == tables(study / "local")


LEARNED = {
    "methods": ["simclr"],
    "simclr": {
        "pretraining": {"view_px": 32, "batch": 4, "iterations": 6, "projection": 8},
        "reference": {"trusted": "trusted.tsv", "min_references": 2, "min_auc": 0.0},
    },
    "training": {"workers": 2, "nodes": 2, "launcher": "ray", "mem_mb": 1500},
}


def test_a_model_is_trained_over_two_nodes_as_one_job(slurm: Path, study: Path) -> None:
    ids = [f"tiny_sub-{number}_T1w" for number in range(5)]
    (study / "trusted.tsv").write_text("\n".join(["series_id", *ids]) + "\n")
    plain = yaml.safe_load((study / "slurm.yaml").read_text())
    (study / "learned.yaml").write_text(yaml.safe_dump({**plain, **LEARNED, "results": "learned"}))
    before = completed_jobs(slurm)
    run(study, "learned.yaml", study / "profile")
    done = completed_jobs(slurm)[len(before) :]
    assert len(done) == 10, "2 convert, 2 score, train, references, 2 rate, merge, report"
    (training,) = [job for job in done if "NodeCnt=2" in job]
    assert "NodeList=n[1-2]" in training
    (log,) = (study / "learned" / "logs" / "train" / "simclr").glob("*.log")
    assert "training: 6/6 steps (100%)" in log.read_text()
    rated = tables(study / "learned")["volumes"].to_pylist()
    assert {row["rating_source"] for row in rated if row["status"] == "ok"} == {"simclr"}
    assert {row["model_id"] for row in rated if row["status"] == "ok"} == {log.stem}
    before = completed_jobs(slurm)
    assert "nothing to do" in run(study, "learned.yaml", study / "profile")
    assert completed_jobs(slurm) == before


def test_nothing_is_submitted_when_nothing_changed(slurm: Path, study: Path) -> None:
    before = completed_jobs(slurm)
    assert "nothing to do" in run(study, "slurm.yaml", study / "profile")
    assert completed_jobs(slurm) == before


def test_a_stopped_run_cancels_its_jobs(slurm: Path, study: Path) -> None:
    process = start_until_queued(study)
    process.terminate()
    output = process.communicate(timeout=120)[0]
    assert "stopped by SIGTERM" in output
    assert queued_jobs() == []


def test_a_killed_run_is_finished_and_its_old_jobs_cancelled(slurm: Path, study: Path) -> None:
    process = start_until_queued(study)
    # until the lock has the name under which SLURM knows the jobs
    lock = study / "killed" / LOCK_NAME
    until = time.monotonic() + 60
    while (owner := read_owner(lock)) is None or owner.slurm_run is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    process.communicate()
    output = run(study, "killed.yaml", study / "profile")
    assert f"the run of process {process.pid} was killed" in output
    assert tables(study / "killed") == tables(study / "local")


def test_the_script_refuses_a_real_cluster(slurm: Path) -> None:
    allowed = {key: value for key, value in os.environ.items() if key != "MRIQA_ALLOW_TEST_SLURM"}
    done = subprocess.run(
        [HERE / "slurm-up.sh"], env=allowed, capture_output=True, text=True, check=False
    )
    assert done.returncode == REFUSED
    assert "throwaway" in done.stderr
