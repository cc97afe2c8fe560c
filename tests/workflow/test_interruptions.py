"""Killed, stopped, or started twice: the next run finishes and the tables are the same."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

import pyarrow as pa
import pytest
from tiny_cohort import LOCAL, Cohort

from mriqa.run.lock import LOCK_NAME, read_owner, run_processes


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until `condition` holds; fails if the run ends before."""
    until = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.01)


def token_of(cohort: Cohort) -> str:
    owner = read_owner(cohort.results / LOCK_NAME)
    assert owner is not None
    return owner.token


def kill_everything(process: subprocess.Popen[str], token: str) -> None:
    """SIGKILL for `mriqa run`, Snakemake and the jobs at once, as when the machine goes down."""
    for pid in [process.pid, *run_processes(token)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()
    while left := run_processes(token):
        for pid in left:
            os.kill(pid, signal.SIGKILL)


def finishes(cohort: Cohort, expected: dict[str, pa.Table]) -> str:
    output = cohort.run()
    assert cohort.tables() == expected
    left = [*cohort.results.glob("**/.*.part-*"), *cohort.results.glob(".merge-*")]
    assert left == []
    return output


def make_due(cohort: Cohort) -> None:
    """Every stage has to run once more."""
    for folder in ("convert", "scores", "zarr", "tables", "report"):
        shutil.rmtree(cohort.results / folder)


STARTED = {
    "index": ".mriqa-run.lock",
    "convert": "logs/convert/shard-00000.log",
    "score": "logs/score/shard-0000?.log",
    "merge": "logs/merge.log",
    "report": "logs/report.log",
}


@pytest.mark.parametrize(
    "stage",
    [
        "convert",
        pytest.param("index", marks=pytest.mark.slow),
        pytest.param("score", marks=pytest.mark.slow),
        pytest.param("merge", marks=pytest.mark.slow),
        pytest.param("report", marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_stage_costs_nothing(cohort: Cohort, stage: str) -> None:
    expected = cohort.tables()
    make_due(cohort)
    shutil.rmtree(cohort.results / "logs")
    process = cohort.start()
    wait_for(lambda: read_owner(cohort.results / LOCK_NAME) is not None, process)
    wait_for(lambda: any(cohort.results.glob(STARTED[stage])), process)
    time.sleep(random.uniform(0, 0.8))
    kill_everything(process, token_of(cohort))
    output = finishes(cohort, expected)
    assert f"the run of process {process.pid} was killed" in output


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_kills_at_random_times_cost_nothing(cohort: Cohort, seed: int) -> None:
    expected = cohort.tables()
    make_due(cohort)
    draw = random.Random(seed)
    for _ in range(2):
        process = cohort.start()
        wait_for(lambda: read_owner(cohort.results / LOCK_NAME) is not None, process)
        token = token_of(cohort)
        time.sleep(draw.uniform(0, 15))
        kill_everything(process, token)
    finishes(cohort, expected)


@pytest.mark.slow
def test_what_a_killed_mriqa_left_running_is_ended_first(cohort: Cohort) -> None:
    expected = cohort.tables()
    make_due(cohort)
    process = cohort.start()
    wait_for(lambda: any((cohort.results / "convert").glob("*")), process)
    token = token_of(cohort)
    process.kill()
    process.communicate()
    assert run_processes(token)
    finishes(cohort, expected)
    assert not run_processes(token)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_leaves_no_process_and_no_lock(
    cohort: Cohort, number: signal.Signals
) -> None:
    expected = cohort.tables()
    make_due(cohort)
    process = cohort.start()
    wait_for(lambda: any(cohort.results.glob("convert/*.parquet")), process)
    token = token_of(cohort)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert f"stopped by {number.name}" in output
    assert run_processes(token) == []
    assert read_owner(cohort.results / LOCK_NAME) is None
    assert "was killed" not in finishes(cohort, expected)


def test_a_second_run_refuses_and_the_first_finishes(cohort: Cohort) -> None:
    expected = cohort.tables()
    make_due(cohort)
    first = cohort.start()
    wait_for(lambda: read_owner(cohort.results / LOCK_NAME) is not None, first)
    first.send_signal(signal.SIGSTOP)  # else it may be done before the others have begun
    refusal = cohort.run(status=2)
    assert f"process {first.pid} on" in refusal
    assert "works on this folder" in refusal
    assert "works on this folder" in cohort.verb("index", "config.yaml", status=2)
    # plain snakemake is refused as well, by our lock or by its own
    refusal = cohort.snakemake("--profile", LOCAL, status=1)
    assert "works on this folder" in refusal or "cannot be locked" in refusal
    first.send_signal(signal.SIGCONT)
    output = first.communicate(timeout=300)[0]
    assert first.returncode == 0, output
    assert cohort.tables() == expected


def test_a_run_of_another_host_is_never_taken_over(cohort: Cohort) -> None:
    lock = cohort.results / LOCK_NAME
    lock.write_text(
        json.dumps(
            {"host": "login2", "boot_id": "x", "pid": 4711, "started": "1", "token": "t",
             "command": "mriqa run config.yaml"}
        )
    )  # fmt: skip
    refusal = cohort.run(status=2)
    assert "process 4711 on login2" in refusal
    assert f"delete {lock.relative_to(cohort.folder)}" in refusal


@pytest.mark.slow
def test_two_results_folders_run_at_the_same_time(cohort: Cohort) -> None:
    expected = cohort.tables()
    make_due(cohort)
    other = cohort.folder / "other.yaml"
    other.write_text(cohort.config.read_text().replace("results: results", "results: elsewhere"))
    first = cohort.start()
    second = subprocess.run(
        [*cohort.command()[:-1], "other.yaml"],
        cwd=cohort.folder, env=cohort.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 0, second.stdout + second.stderr
    output = first.communicate(timeout=300)[0]
    assert first.returncode == 0, output
    assert cohort.tables() == expected
    assert (cohort.folder / "elsewhere" / "tables" / "volumes.parquet").is_file()
