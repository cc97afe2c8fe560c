"""Progress of a run: one line that changes on a terminal, a line now and then in a log."""

import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

from mriqa.progress import LOG_EVERY_S, progress_line
from mriqa.run.monitor import Monitor, Stage

REFRESH_S = 0.5
OF_SHARDS = ("convert", "score", "rate")
"""Stages with a job a shard; the others say themselves how far they are."""


class Display:
    """Writes to `stream` how far the stages of `monitor` are."""

    def __init__(self, monitor: Monitor, logs: Path, stream: TextIO = sys.stderr) -> None:
        self._monitor = monitor
        self._logs = logs
        self._stream = stream
        self._live = stream.isatty()
        self._shown_s = time.monotonic()
        self._reported: set[str] = set()
        self._width = 0

    def update(self) -> None:
        """Say what is new; cheap, to be called often."""
        now = time.monotonic()
        for name, stage in self._monitor.stages.items():
            if stage.ended_s is not None and name not in self._reported:
                self._reported.add(name)
                self._say(finished_line(name, stage, self._monitor, self._logs))
        every = REFRESH_S if self._live else LOG_EVERY_S
        if now - self._shown_s < every:
            return
        self._shown_s = now
        lines = [
            running_line(name, stage, self._monitor, self._logs, now)
            for name, stage in self._monitor.stages.items()
            if stage.running
        ]
        if self._live:
            self._overwrite(" | ".join(lines) or "Snakemake is planning ...")
        else:
            for line in lines:
                self._say(line)

    def close(self) -> None:
        """Leave the terminal with a clean line."""
        self._overwrite("")

    def _say(self, line: str) -> None:
        self._overwrite("")
        self._stream.write(line + "\n")
        self._stream.flush()

    def _overwrite(self, line: str) -> None:
        if not self._live:
            return
        line = line[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + line.ljust(self._width) + ("" if line else "\r"))
        self._stream.flush()
        self._width = len(line)


def running_line(name: str, stage: Stage, monitor: Monitor, logs: Path, now_s: float) -> str:
    """`convert: 212/360 series (58%), 12.3 series/s, ETA 0:12`."""
    elapsed = now_s - (stage.started_s or now_s)
    if name not in OF_SHARDS:
        return f"{name}: {monitor.advance(name, logs) or f'{elapsed:.0f} s'}"
    counts = monitor.counts(name, logs)
    about = "" if counts.exact else "about "
    return about_line(name, counts.done, counts.total, elapsed, about)


def about_line(name: str, done: int, total: int, elapsed_s: float, about: str) -> str:
    """A progress line whose total may be an estimate; without an ETA while none can be given."""
    if done == 0:
        return f"{name}: 0 of {about}{total} series after {elapsed_s:.0f} s"
    line = progress_line(name, "series", done, max(done, total), elapsed_s)
    return line.replace("/", f" of {about}", 1) if about else line


def finished_line(name: str, stage: Stage, monitor: Monitor, logs: Path) -> str:
    """`convert: 360 series in 6 shards, 0:41`."""
    elapsed = (stage.ended_s or 0) - (stage.started_s or 0)
    minutes, seconds = divmod(round(elapsed), 60)
    if name not in OF_SHARDS:
        return f"{name}: done, {minutes}:{seconds:02d}"
    done = monitor.counts(name, logs).done
    shards = "1 shard" if stage.jobs == 1 else f"{stage.jobs} shards"
    return f"{name}: {done} series in {shards}, {minutes}:{seconds:02d}"
