"""What a running Snakemake is doing, from the lines that it prints and the logs of its jobs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

STAGES = {
    "convert_shard": "convert",
    "score_shard": "score",
    "merge_scores": "merge",
    "write_report": "report",
    "evaluate_ratings": "evaluate",
    "index_cohort": "index",
}
"""Name of the stage, its verb and its logs, by rule."""

_MESSAGES = {
    "Convert ": "convert",
    "Score ": "score",
    "Rate ": "merge",
    "Write ": "report",
    "Compare ": "evaluate",
    "Index ": "index",
}
_COUNT = re.compile(r"(\w+) +(\d+)$")
_START = re.compile(r"Job (\d+): (.*)$")
_FINISH = re.compile(r"Finished jobid: (\d+) \(Rule: (\w+)\)")
_ERROR = re.compile(r"Error in rule (\w+)")
_ERROR_FIELD = re.compile(r"    (jobid|log): ([^\s,]+)")
_SLURM = re.compile(r"SLURM run ID: (\S+)")
_SHARD = re.compile(r"shard-\d+")
_LOGGED = re.compile(r": (\d+)/(\d+) series")


@dataclass
class Stage:
    """Jobs of one stage; `running` holds the shard of each, None where there is only one job."""

    jobs: int
    running: dict[int, str | None] = field(default_factory=dict)
    finished: list[str | None] = field(default_factory=list)
    started_s: float | None = None
    ended_s: float | None = None


@dataclass(frozen=True)
class FailedJob:
    """A job that Snakemake gave up, and where its output is."""

    stage: str
    shard: str | None
    log: str | None


@dataclass(frozen=True)
class Counts:
    """Series of one stage: done, and in all its jobs (an estimate unless `exact`)."""

    done: int
    total: int
    exact: bool


class Monitor:
    """State of a run. `series` says how many series each shard has."""

    def __init__(self, series: Mapping[str, int]) -> None:
        self.stages: dict[str, Stage] = {}
        self.failed: dict[tuple[str, str | None], FailedJob] = {}
        self.slurm_run: str | None = None
        self.nothing_to_do = False
        self._series = series
        self._error: dict[str, str] = {}

    def feed(self, line: str, now_s: float) -> None:
        """Take one line of Snakemake's output; lines that say nothing of use are ignored."""
        line = line.rstrip()
        if match := _FINISH.match(line):
            self._finish(int(match[1]), now_s)
        elif match := _START.match(line):
            self._start(int(match[1]), match[2], now_s)
        elif match := _ERROR.match(line):
            self._error = {"rule": match[1]}
        elif self._error and (match := _ERROR_FIELD.match(line)):
            self._note_error(match[1], match[2])
        elif match := _SLURM.match(line):
            self.slurm_run = match[1]
        elif (match := _COUNT.match(line)) and match[1] in STAGES:
            self._count(STAGES[match[1]], int(match[2]))
        elif line.startswith("Nothing to be done"):
            self.nothing_to_do = True

    def counts(self, stage: str, logs: Path) -> Counts:
        """Series of a stage, those included that its running jobs say in `logs` are done."""
        state = self.stages[stage]
        begun = [shard for shard in (*state.finished, *state.running.values()) if shard]
        done = sum(self._series.get(shard, 0) for shard in state.finished if shard)
        done += sum(_logged(logs / stage / f"{s}.log") for s in state.running.values() if s)
        if state.jobs >= len(self._series):
            return Counts(done, sum(self._series.values()), exact=True)
        known = sum(self._series.get(shard, 0) for shard in begun)
        left = state.jobs - len(begun)
        mean = sum(self._series.values()) / max(1, len(self._series))
        return Counts(done, known + round(left * mean), exact=left == 0)

    def _count(self, stage: str, jobs: int) -> None:
        # the table is printed once more after a checkpoint, then with what is left to do
        finished = len(self.stages[stage].finished) if stage in self.stages else 0
        self.stages.setdefault(stage, Stage(jobs)).jobs = jobs + finished

    def _start(self, job: int, message: str, now_s: float) -> None:
        stage = next((name for text, name in _MESSAGES.items() if message.startswith(text)), None)
        if stage is None:
            return
        shard = _SHARD.search(message)
        state = self.stages.setdefault(stage, Stage(1))
        state.running[job] = shard[0] if shard else None
        if state.started_s is None:
            state.started_s = now_s
        # a job that is tried again has not failed yet
        self.failed.pop((stage, state.running[job]), None)

    def _finish(self, job: int, now_s: float) -> None:
        for state in self.stages.values():
            if job in state.running:
                state.finished.append(state.running.pop(job))
                if len(state.finished) >= state.jobs:
                    state.ended_s = now_s

    def _note_error(self, key: str, value: str) -> None:
        self._error[key] = value
        if key != "log":
            return
        stage = STAGES.get(self._error["rule"], self._error["rule"])
        job = int(self._error.get("jobid", -1))
        shard = _SHARD.search(value)
        failed = FailedJob(stage, shard[0] if shard else None, value)
        self.failed[(failed.stage, failed.shard)] = failed
        if stage in self.stages:
            self.stages[stage].running.pop(job, None)
        self._error = {}


def _logged(path: Path) -> int:
    """How many series a job's log says are done."""
    try:
        matches = _LOGGED.findall(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return 0
    return int(matches[-1][0]) if matches else 0
