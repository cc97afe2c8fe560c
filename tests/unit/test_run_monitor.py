"""Snakemake's own lines, as a run of it printed them, and what is made of them."""

import io
from pathlib import Path

import pytest

from mriqa.run.display import Display, finished_line, running_line
from mriqa.run.monitor import Counts, Monitor

SERIES = {"shard-00000": 3, "shard-00001": 3, "shard-00002": 2}
PLANNED = """\
Job stats:
job              count
-------------  -------
convert_shard        3
score_shard          3
merge_scores         1
all                  1
total                8
"""
FAILED = """\
[Sun Nov 22 11:28:44 2026]
Error in rule convert_shard:
    message: SLURM-job '5' failed, SLURM status is: 'FAILED'.
    jobid: 3
    input: shards/shard-00001.parquet
    output: convert/shard-00001.parquet
    log: logs/convert/shard-00001.log, /x/5.log (check log file(s) for error details)
"""


def monitor_after(*texts: str) -> Monitor:
    monitor = Monitor(SERIES)
    for text in (PLANNED, *texts):
        for line in text.splitlines(keepends=True):
            monitor.feed(line, 10.0)
    return monitor


def test_the_plan_gives_the_jobs_of_each_stage() -> None:
    stages = monitor_after().stages
    assert {name: stage.jobs for name, stage in stages.items()} == {
        "convert": 3,
        "score": 3,
        "merge": 1,
    }


def test_series_of_finished_shards_and_of_the_logs_of_running_ones_count(tmp_path: Path) -> None:
    log = tmp_path / "convert" / "shard-00002.log"
    log.parent.mkdir()
    log.write_text("convert shard-00002: 1/2 series (50%), 0.1 series/s, ETA 0:10\n")
    monitor = monitor_after(
        "Job 2: Convert shard-00000 to Zarr\n",
        "Finished jobid: 2 (Rule: convert_shard)\n1 of 8 steps (12%) done\n",
        "Job 4: Convert shard-00002 to Zarr\n",
    )
    assert monitor.counts("convert", tmp_path) == Counts(done=4, total=8, exact=True)
    monitor.stages["convert"].jobs = 2
    assert monitor.counts("convert", tmp_path) == Counts(done=4, total=5, exact=True)


def test_the_number_of_series_of_unknown_shards_is_an_estimate(tmp_path: Path) -> None:
    monitor = monitor_after("Job 2: Convert shard-00000 to Zarr\n")
    monitor.stages["convert"].jobs = 2
    counts = monitor.counts("convert", tmp_path)
    assert (counts.done, counts.total, counts.exact) == (0, 6, False)
    line = running_line("convert", monitor.stages["convert"], monitor, tmp_path, 15.0)
    assert line == "convert: 0 of about 6 series after 5 s"


def test_a_stage_ends_when_all_its_jobs_have(tmp_path: Path) -> None:
    monitor = monitor_after("Job 1: Merge the scores into the tables\n")
    assert monitor.stages["merge"].ended_s is None
    monitor.feed("Finished jobid: 1 (Rule: merge_scores)\n", 75.0)
    assert monitor.stages["merge"].ended_s == 75.0
    assert finished_line("merge", monitor.stages["merge"], monitor, tmp_path) == "merge: done, 1:05"


def test_a_failed_job_is_kept_with_its_log_unless_it_is_tried_again() -> None:
    start = "Job 3: Convert shard-00001 to Zarr\n"
    monitor = monitor_after(start, FAILED)
    (job,) = monitor.failed.values()
    assert (job.stage, job.name, job.log) == (
        "convert",
        "shard-00001",
        "logs/convert/shard-00001.log",
    )
    assert monitor.stages["convert"].running == {}
    assert monitor_after(start, FAILED, start).failed == {}


def test_the_name_of_the_slurm_run_and_an_empty_plan_are_seen() -> None:
    monitor = monitor_after("SLURM run ID: 13b2cabf-1\n", "Nothing to be done (all is there).\n")
    assert monitor.slurm_run == "13b2cabf-1"
    assert monitor.nothing_to_do


def test_other_lines_are_ignored() -> None:
    monitor = monitor_after(
        "Job with a colon: x\n", "convert_shard\n", "\x00\xff\n", "    jobid: 1\n"
    )
    assert monitor.failed == {}
    assert monitor.stages["convert"].jobs == 3


def test_a_log_gets_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monitor = monitor_after("Job 2: Convert shard-00000 to Zarr\n")
    monkeypatch.setattr("mriqa.run.display.LOG_EVERY_S", 0.0)
    display = Display(monitor, tmp_path, stream)
    display.update()
    display.close()
    assert stream.getvalue().startswith("convert: 0 of 8 series after ")
    assert stream.getvalue().count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monitor = monitor_after("Job 2: Convert shard-00000 to Zarr\n", "Job 5: Score shard-00001\n")
    monkeypatch.setattr("mriqa.run.display.REFRESH_S", 0.0)
    display = Display(monitor, tmp_path, stream)
    display.update()
    assert "convert: 0 of 8" in stream.getvalue()
    assert " | score: 0 of 8" in stream.getvalue()
    assert "\n" not in stream.getvalue()
    display.close()
    assert stream.getvalue().endswith(" \r")


LEARNED = """\
Job stats:
job                   count
------------------  -------
train_method              1
propose_references        1
build_bank                1
rate_shard                3
total                     6
"""
MODEL = "simclr-0123456789ab"


def learned_after(*texts: str, planned: str = LEARNED) -> Monitor:
    monitor = Monitor(SERIES)
    for line in "\n".join([planned, *texts]).splitlines():
        monitor.feed(line, 10.0)
    return monitor


def test_training_says_itself_how_far_it_is(tmp_path: Path) -> None:
    monitor = learned_after(f"Job 7: Train {MODEL}")
    stage = monitor.stages["train"]
    assert running_line("train", stage, monitor, tmp_path, 14.0) == "train: 4 s"
    log = tmp_path / "train" / "simclr" / f"{MODEL}.log"
    log.parent.mkdir(parents=True)
    log.write_text(
        "training: open: 8/8 series (100%), 90.0 series/s, ETA 0:00\n"
        "training: 20/400 steps (5%), loss 3.1, 11.0 samples/s, ETA 9:00\n"
        "(TrainWorker pid=17) training: 120/400 steps (30%), loss 2.1, 51.0 samples/s, ETA 5:51\n"
        "some warning\n"
    )
    line = running_line("train", stage, monitor, tmp_path, 14.0)
    assert line == "train: 120/400 steps (30%), loss 2.1, 51.0 samples/s, ETA 5:51"
    monitor.feed("Finished jobid: 7 (Rule: train_method)", 135.0)
    assert finished_line("train", stage, monitor, tmp_path) == "train: done, 2:05"


def test_stages_of_learned_methods_are_told_apart(tmp_path: Path) -> None:
    monitor = learned_after(
        "Job 1: Propose references for simclr",
        f"Job 2: Build the reference bank of {MODEL}",
        "Job 3: Rate shard-00000 by simclr",
        "Job 4: Merge the scores into the tables",
    )
    running = {name: [*stage.running.values()] for name, stage in monitor.stages.items()}
    assert running == {
        "train": [],
        "propose": [None],
        "reference": [f"simclr/{MODEL}"],
        "rate": ["simclr/shard-00000"],
        "merge": [None],
    }


def test_rating_counts_series_once_for_each_method(tmp_path: Path) -> None:
    log = tmp_path / "rate" / "simclr" / "shard-00001.log"
    log.parent.mkdir(parents=True)
    log.write_text("simclr shard-00001: 14/20 volumes (70%), 1.0 volumes/s, ETA 0:06\n")
    started = (
        "Job 3: Rate shard-00000 by simclr",
        "Finished jobid: 3 (Rule: rate_shard)",
        "Job 4: Rate shard-00001 by simclr",
    )
    monitor = learned_after(*started)
    assert monitor.counts("rate", tmp_path) == Counts(done=5, total=8, exact=True)
    two = learned_after(*started, planned=LEARNED.replace("            3", "            6"))
    assert monitor.stages["rate"].jobs == 3
    assert two.counts("rate", tmp_path) == Counts(done=5, total=16, exact=True)


def test_a_failed_job_of_a_method_is_named_by_its_log() -> None:
    monitor = learned_after(
        "Job 3: Rate shard-00001 by simclr",
        "Error in rule rate_shard:",
        "    jobid: 3",
        "    log: logs/rate/simclr/shard-00001.log (check log file(s) for error details)",
    )
    (job,) = monitor.failed.values()
    assert (job.stage, job.name) == ("rate", "simclr/shard-00001")
    assert monitor.stages["rate"].running == {}
    monitor.feed("Job 3: Rate shard-00001 by simclr", 20.0)
    assert monitor.failed == {}
