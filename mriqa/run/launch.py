"""`mriqa run`: index, then Snakemake, watched from its start to its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import yaml

import mriqa
from mriqa.config import Config, HysnetLearningSection, load_config
from mriqa.errors import ConfigError, MriqaError, UserError
from mriqa.processes import stopped_by_signals
from mriqa.references.listing import read_list
from mriqa.run.display import Display
from mriqa.run.index import index_results
from mriqa.run.learned import Learned
from mriqa.run.lock import TOKEN_VARIABLE, RunLock, end_processes, hold, run_processes
from mriqa.run.monitor import FailedJob, Monitor
from mriqa.run.plan import read_loads
from mriqa.run.retry import retry_passed
from mriqa.run.summary import check_failed_fraction, describe_results
from mriqa.run.tidy import tidy_results
from mriqa.training.imported import imported_id
from mriqa.training.pinned_labels import LabelPin

POLL_S = 0.1
STOP_PATIENCE_S = 20.0
LOG_TAIL_LINES = 15
RERUN_TRIGGERS = ("mtime", "params", "input")
DRY_RUN = {"-n", "--dry-run", "--dryrun"}
SOURCE = Path(mriqa.__file__).resolve().parent.parent


def run_workflow(config: Path, *, profile: Path, cores: int | None, extra: list[str]) -> None:
    """Index the cohort, run everything that is due, and say what came out.

    `extra` goes to Snakemake as it is. Raises UserError if the configuration, the profile or
    another run on the same results stands in the way; MriqaError if a job failed, if more than
    `rating.max_failed_fraction` of the series did, or if a signal stopped the run.
    """
    settings = load_config(config)
    _check_files(settings)
    snakefile, profile = find_snakefile(), find_profile(profile)
    with stopped_by_signals(), hold(settings.results) as lock:
        _prepare(settings, lock)
        command = snakemake_command(snakefile, config, profile, cores, extra)
        if DRY_RUN & set(extra):
            _check_exit(subprocess.run(command, env=_environment(lock), check=False).returncode)
            return
        monitor = _watch(command, settings, lock)
    if monitor.nothing_to_do:
        say("nothing to do: everything is up to date")
    if not (settings.results / "tables" / "runs.parquet").is_file():
        say("done; no tables yet, as Snakemake was told to stop before them")
        return
    say(describe_results(settings))
    check_failed_fraction(settings)


def _check_files(config: Config) -> None:
    truth = config.evaluation.truth
    if truth is not None and not truth.is_file():
        raise ConfigError(
            f"evaluation.truth: {truth}: no such file; take the key away to run without evaluation"
        )
    for method in config.methods:
        learned = Learned(config, Path())
        if (source := learned.imported(method)) is not None:
            imported_id(method, source)  # raises where no model is
        _check_targets(method, learned)
        trusting = learned.trusting(method)
        trusted = None if trusting is None else trusting.trusted
        if trusted is not None and not trusted.is_file():
            named = "reference" if method in learned.banked else "learning.simulated"
            raise ConfigError(
                f"{method}.{named}.trusted: {trusted}: no such file; take the key away and the "
                "metrics propose references"
            )
        listed = config.results / learned.reference_list(method)
        if trusting is not None and listed.is_file():
            read_list(listed)  # raises: better now than after the training


def _check_targets(method: str, learned: Learned) -> None:
    learning = learned.learning(method)
    if not isinstance(learning, HysnetLearningSection) or learned.imported(method) is not None:
        return
    table = learning.target.table
    if table is not None and not table.is_file():
        raise ConfigError(
            f"{method}.learning.target.table: {table}: no such file; take the key away to learn a "
            "metric of mriqa's own"
        )


def find_snakefile() -> Path:
    """The Snakefile beside the package, or in the working directory."""
    for folder in (SOURCE, Path.cwd()):
        if (folder / "Snakefile").is_file() and (folder / "workflow" / "rules").is_dir():
            return folder / "Snakefile"
    raise UserError(
        f"no Snakefile in {SOURCE} or {Path.cwd()}: `mriqa run` needs the project's folder; "
        "start it there, or install mriqa from a clone with `pip install -e .`"
    )


def find_profile(profile: Path) -> Path:
    """The profile's folder: as given, or below the project's folder."""
    for folder in (profile, SOURCE / profile):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError(
        f"--profile {profile}: no config.yaml there; try profiles/local or profiles/slurm"
    )


def snakemake_command(
    snakefile: Path, config: Path, profile: Path, cores: int | None, extra: Sequence[str]
) -> list[str]:
    """The command line of Snakemake; what the user adds comes last and wins."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--configfile", str(config), "--profile", str(profile)]
    command += ["--rerun-triggers", *RERUN_TRIGGERS]
    if cores is not None:
        command += ["--cores", str(cores)]
    if memory := local_memory_mb(profile, extra):
        command += ["--resources", f"mem_mb={memory}"]
    # last: options that take several values must not swallow what the user adds
    return [*command, "--rerun-incomplete", *extra]


def local_memory_mb(profile: Path, extra: Sequence[str]) -> int | None:
    """Memory that local jobs share; None where the profile or the user decides, or SLURM."""
    content = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8")) or {}
    elsewhere = content.get("executor", "local") != "local" or "resources" in content
    if elsewhere or {"--resources", "--res", "--executor", "-e"} & set(extra):
        return None
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(total * 0.9 / 2**20)


def _prepare(config: Config, lock: RunLock) -> None:
    if lock.killed_owner:
        say(f"the run of process {lock.killed_owner.pid} was killed; going on where it was")
        _cancel_slurm_jobs(lock.killed_owner.slurm_run)
    indexed = index_results(config)
    summary = indexed.summary
    models = Learned(config, Path()).model_ids()
    said = tidy_results(config.results, set(read_loads(config.results)), models)
    say(
        f"index: {summary.n_series} series of {_counted(summary.n_subjects, 'subject')} in "
        f"{_counted(summary.shards_total, 'shard')} ({summary.shards_new} new, "
        f"{summary.shards_changed} changed), {summary.n_excluded} excluded, "
        f"{summary.n_failed} unreadable"
    )
    if summary.n_vanished:
        what = "series that was" if summary.n_vanished == 1 else "series that were"
        say(
            f"index: {summary.n_vanished} {what} indexed before are in no source any more "
            "and leave the tables; is everything mounted?"
        )
    if summary.n_problems:
        where = config.results / "index_problems.parquet"
        say(f"index: {_counted(summary.n_problems, 'problem')} with the sources: {where}")
    for told in filter(None, (indexed.maps, indexed.labels)):
        say(f"index: {told}")
    for pin in indexed.pins:
        if pin.written or (isinstance(pin, LabelPin) and not pin.is_current):
            say(f"index: {pin}")
    for sentence in said:
        say(sentence)
    memory_mb = {
        "convert": config.resources.convert_mem_mb,
        "scores": config.resources.score_mem_mb,
        "rate": config.resources.rate_mem_mb,
    }
    if again := retry_passed(config.results, set(read_loads(config.results)), memory_mb):
        say(f"{len(again)} jobs run again, as causes of their failures have passed: {again[0]} ...")


def _cancel_slurm_jobs(name: str | None) -> None:
    if name is None:
        return
    try:
        subprocess.run(["scancel", "--me", f"--name={name}"], check=False)  # noqa: S607
    except FileNotFoundError:
        say(f"scancel is not here: make sure that no SLURM job named {name} is left")


def _environment(lock: RunLock) -> dict[str, str]:
    """Of Snakemake and all its jobs: the run's token, and this very package."""
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    return {**os.environ, TOKEN_VARIABLE: lock.owner.token, "PYTHONPATH": path}


def _watch(command: list[str], config: Config, lock: RunLock) -> Monitor:
    """Run Snakemake to its end; raises MriqaError if it fails."""
    monitor = Monitor({name: load.n_series for name, load in read_loads(config.results).items()})
    log = config.results / "logs" / f"run-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    display = Display(monitor, log.parent)
    with log.open("wb") as sink, log.open(encoding="utf-8", errors="replace") as lines:
        # its own session: a Ctrl-C of the terminal comes to us alone, and we end it in order
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, env=_environment(lock), start_new_session=True
        )
        try:
            while process.poll() is None:
                _follow(lines, monitor, lock)
                display.update()
                time.sleep(POLL_S)
            _follow(lines, monitor, lock)
            display.update()
        finally:
            display.close()
            if process.poll() is None:
                say("stopping ...")
                _stop(process, lock)
    if process.returncode != 0:
        raise MriqaError(explain_failure(monitor, log, config.results))
    return monitor


def _follow(lines: TextIO, monitor: Monitor, lock: RunLock) -> None:
    for line in lines:
        monitor.feed(line, time.monotonic())
    if monitor.slurm_run and monitor.slurm_run != lock.owner.slurm_run:
        lock.note_slurm_run(monitor.slurm_run)


def _stop(process: subprocess.Popen[bytes], lock: RunLock) -> None:
    """End Snakemake, which cancels its SLURM jobs, and every process that it started."""
    token = lock.owner.token
    for pid in run_processes(token):
        if pid != process.pid:
            _signal(pid, signal.SIGTERM)
    _signal(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _cancel_slurm_jobs(lock.owner.slurm_run)
    end_processes(token)
    process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def explain_failure(monitor: Monitor, log: Path, results: Path) -> str:
    """Which jobs failed and their last words; else the last words of Snakemake."""
    if not monitor.failed:
        return f"Snakemake failed; all its output is in {log}\n{_tail(log)}"
    jobs = list(monitor.failed.values())
    parts = [_explain_job(job, results) for job in jobs[:3]]
    if len(jobs) > 3:
        parts.append(f"... and {len(jobs) - 3} more failed jobs")
    parts.append(f"{_counted(len(jobs), 'failed job')}; all output of Snakemake is in {log}")
    return "\n".join(parts)


def _explain_job(job: FailedJob, results: Path) -> str:
    what = f"{job.stage} of {job.name}" if job.name else job.stage
    if job.log is None:
        return f"{what} failed"
    path = results / job.log
    return f"{what} failed; the end of {path}:\n{_tail(path)}"


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = ["(no log)"]
    return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:])


def _check_exit(status: int) -> None:
    if status != 0:
        raise MriqaError(f"Snakemake ended with {status}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(text: str) -> None:
    """Print a line of progress or result at once."""
    print(text, flush=True)  # noqa: T201
