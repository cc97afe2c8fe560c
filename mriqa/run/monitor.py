"""What a running Snakemake is doing, from the lines that it prints and the logs of its jobs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

STAGES = {
    "convert_shard": "convert",
    "score_shard": "score",
    "train_method": "train",
    "propose_references": "propose",
    "build_bank": "reference",
    "rate_shard": "rate",
    "merge_scores": "merge",
    "write_report": "report",
    "evaluate_ratings": "evaluate",
    "experiment_method": "experiment",
    "ablation": "experiment",
    "comparators": "experiment",
    "index_cohort": "index",
}
"""Name of the stage, its verb and its logs, by rule."""

_MESSAGES = {
    "Convert ": "convert",
    "Score ": "score",
    "Train ": "train",
    "Propose ": "propose",
    "Build ": "reference",
    "Rate ": "rate",
    "Merge ": "merge",
    "Write ": "report",
    "Compare ": "evaluate",
    "Experiment ": "experiment",
    "Tables ": "experiment",
    "Index ": "index",
}
_COUNT = re.compile(r"(\w+) +(\d+)$")
_START = re.compile(r"Job (\d+): (.*)$")
_FINISH = re.compile(r"Finished jobid: (\d+) \(Rule: (\w+)\)")
_ERROR = re.compile(r"Error in rule (\w+)")
_ERROR_FIELD = re.compile(r"    (jobid|log): ([^\s,]+)")
_SLURM = re.compile(r"SLURM run ID: (\S+)")
_SHARD = re.compile(r"shard-\d+")
_BY = re.compile(r" by (\w+)$")
_MODEL = re.compile(r"\b(\w+)-[0-9a-f]{12}\b")
_LOGGED = re.compile(r": (\d+)/(\d+) (?:series|volumes)\b")
_ADVANCED = re.compile(r"\b(\d+/\d+ \w+ \(\d+%\),.*)$", re.MULTILINE)


@dataclass
class Stage:
    """Jobs of one stage; `running` holds the name of each, None where there is only one job.

    A name is that of its log: `shard-00007`, `simclr/shard-00007`, `simclr/simclr-0a1b2c3d4e5f`.
    """

    jobs: int
    running: dict[int, str | None] = field(default_factory=dict)
    finished: list[str | None] = field(default_factory=list)
    started_s: float | None = None
    ended_s: float | None = None


@dataclass(frozen=True)
class FailedJob:
    """A job that Snakemake gave up, and where its output is."""

    stage: str
    name: str | None
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
        begun = [name for name in (*state.finished, *state.running.values()) if name]
        done = sum(self._held(name) for name in state.finished if name)
        for name in filter(None, state.running.values()):
            done += int(self._held(name) * _logged(logs / stage / f"{name}.log"))
        if state.jobs >= len(self._series):  # once for each method that rates
            rounds = state.jobs // max(1, len(self._series))
            return Counts(done, rounds * sum(self._series.values()), exact=True)
        known = sum(self._held(name) for name in begun)
        left = state.jobs - len(begun)
        mean = sum(self._series.values()) / max(1, len(self._series))
        return Counts(done, known + round(left * mean), exact=left == 0)

    def advance(self, stage: str, logs: Path) -> str | None:
        """What a single running job of a stage said last of its progress, as it said it."""
        for name in self.stages[stage].running.values():
            if name and (said := _ADVANCED.findall(_read(logs / stage / f"{name}.log"))):
                return str(said[-1])
        return None

    def _held(self, name: str) -> int:
        return self._series.get(name.rpartition("/")[2], 0)

    def _count(self, stage: str, jobs: int) -> None:
        # the table is printed once more after a checkpoint, then with what is left to do
        finished = len(self.stages[stage].finished) if stage in self.stages else 0
        self.stages.setdefault(stage, Stage(jobs)).jobs = jobs + finished

    def _start(self, job: int, message: str, now_s: float) -> None:
        stage = next((name for text, name in _MESSAGES.items() if message.startswith(text)), None)
        if stage is None:
            return
        state = self.stages.setdefault(stage, Stage(1))
        state.running[job] = _name(message)
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
        failed = FailedJob(stage, _name_of_log(stage, value), value)
        self.failed[(failed.stage, failed.name)] = failed
        if stage in self.stages:
            self.stages[stage].running.pop(job, None)
        self._error = {}


def _name(message: str) -> str | None:
    """The name of a job from its message."""
    if shard := _SHARD.search(message):
        by = _BY.search(message)
        return f"{by[1]}/{shard[0]}" if by else shard[0]
    model = _MODEL.search(message)
    return f"{model[1]}/{model[0]}" if model else None


def _name_of_log(stage: str, log: str) -> str | None:
    """The name of a job from its log; None for `logs/merge.log`."""
    _, found, name = log.partition(f"logs/{stage}/")
    return name.removesuffix(".log") if found else None


def _logged(path: Path) -> Fraction:
    """The share that a job's log says is done."""
    matches = _LOGGED.findall(_read(path))
    return Fraction(*map(int, matches[-1])) if matches and int(matches[-1][1]) else Fraction(0)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
