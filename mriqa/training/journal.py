"""What a training run tells: progress lines, a log file and TensorBoard scalars.

Only worker 0 writes. A full disk silences the files, never the training: tensorboardX's own writer
thread would die of it and then block the loop for ever, so events are written here, one by one.
"""

import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from mriqa.progress import LOG_EVERY_S
from mriqa.training.world import World

RETRY_S = 60.0
"""After a file could not be written, TensorBoard is left alone for so long."""


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `5:02:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(frozen=True)
class Pace:
    """How long a run is: its steps, and the samples of each step."""

    steps: int
    samples: int


class Journal:
    """Opened for the steps after `first`; a context manager."""

    def __init__(self, folder: Path, world: World, first: int, pace: Pace) -> None:
        self._folder, self._speaks = folder, world.leads
        self._first, self._pace = first, pace
        self._start = self._told = self._last = time.monotonic()
        self._events: RecordWriter | None = None
        self._open_at = self._start
        self._complained = False

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def tell(self, sentence: str) -> None:
        """One line to stderr and the run's log."""
        if self._speaks:
            print_line(sentence)
            self._guard(self._append, sentence)

    def step(self, done: int, values: Mapping[str, float]) -> None:
        """Keep the `values` of a step; tell of it from time to time, and of the last one."""
        if not self._speaks:
            return
        now = time.monotonic()
        rate = self._pace.samples / max(now - self._last, 1e-9)
        self._last = now
        if self._events is None and now >= self._open_at:
            self._guard(self._open, done)
        self._guard(self._scalars, done, {**values, "samples_per_s": rate})
        if now - self._told >= LOG_EVERY_S or done == self._pace.steps:
            self._told = now
            self.tell(self._line(done, values["loss"], now - self._start))
            self._guard(self._flush)

    def _guard(self, write: Callable[..., None], *arguments: Any) -> None:
        """Call `write`; after an OSError leave TensorBoard alone for a while, with one line."""
        try:
            write(*arguments)
        except OSError as error:
            self._close()
            self._open_at = time.monotonic() + RETRY_S
            if not self._complained:
                print_line(f"training: the log and TensorBoard have gaps from now on: {error}")
            self._complained = True

    def _append(self, sentence: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {sentence}\n")

    def _open(self, step: int) -> None:
        """A new event file; what a killed run wrote of `step` and later ones is forgotten."""
        folder = self._folder / "tensorboard"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{step}"
        self._events = RecordWriter(str(folder / name))
        self._write(event_pb2.Event(file_version="brain.Event:2"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(event_pb2.Event(step=step, session_log=start))

    def _write(self, event: Any) -> None:
        if self._events is not None:
            event.wall_time = time.time()
            self._events.write(event.SerializeToString())

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._write(event_pb2.Event(step=step, summary=scalar(f"train/{name}", value)))

    def _flush(self) -> None:
        if self._events is not None:
            self._events.flush()

    def _close(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            with suppress(OSError):  # the file is closed all the same
                events.close()

    def _line(self, done: int, loss: float, elapsed_s: float) -> str:
        rate = (done - self._first) / max(elapsed_s, 1e-9)
        return (
            f"training: {done}/{self._pace.steps} steps ({100 * done // self._pace.steps}%), "
            f"loss {loss:.4f}, {rate * self._pace.samples:.1f} samples/s, "
            f"ETA {duration((self._pace.steps - done) / rate)}"
        )


def print_line(sentence: str) -> None:
    """One line to stderr, at once."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
