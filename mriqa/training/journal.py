"""What a training run tells: progress lines, a log file and TensorBoard scalars.

Only worker 0 writes. A full disk silences the files, never the training: tensorboardX's own writer
thread would die of it and then block the loop for ever, so events are written here, one by one.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

from mriqa.progress import LOG_EVERY_S
from mriqa.training.world import World


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
    """Opened for the steps `first` … `steps` of a run; a context manager."""

    def __init__(self, folder: Path, world: World, first: int, pace: Pace) -> None:
        self._folder, self._speaks = folder, world.leads
        self._first, self._steps = first, pace.steps
        self._samples = pace.samples
        self._start = self._told = self._last = time.monotonic()
        self._events: EventsWriter | None = None
        self._files = self._speaks

    def __enter__(self) -> "Journal":
        if self._speaks:
            self._guard(self._open)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._events is not None:
            events, self._events = self._events, None
            self._guard(events.close)

    def _open(self) -> None:
        folder = self._folder / "tensorboard"
        folder.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(str(folder / "events"), f".{self._first}")
        # TensorBoard drops what a killed run had written of the steps that are now repeated.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._events.write_event(
            event_pb2.Event(wall_time=time.time(), step=self._first + 1, session_log=start)
        )

    def _guard(self, write: object, *arguments: object) -> None:
        """Call `write`; at an OSError give the files up, with one line."""
        try:
            write(*arguments)  # type: ignore[operator]
        except OSError as error:
            self._files, self._events = False, None
            print_line(f"training: no more log and TensorBoard files: {error}")

    def tell(self, sentence: str) -> None:
        """One line to stderr and the run's log."""
        if not self._speaks:
            return
        print_line(sentence)
        if self._files:
            self._guard(self._append, sentence)

    def _append(self, sentence: str) -> None:
        with (self._folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {sentence}\n")

    def step(self, done: int, values: Mapping[str, float]) -> None:
        """Keep the `values` of a step; tell of it from time to time, and of the last one."""
        if not self._speaks:
            return
        now = time.monotonic()
        rate = self._samples / max(now - self._last, 1e-9)
        self._last = now
        if self._events is not None:
            self._guard(self._scalars, done, {**values, "samples_per_s": rate})
        if now - self._told >= LOG_EVERY_S or done == self._steps:
            self._told = now
            self.tell(self._line(done, values["loss"], now - self._start))
            if self._events is not None:
                self._guard(self._events.flush)

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        assert self._events is not None
        for name, value in values.items():
            event = event_pb2.Event(
                wall_time=time.time(), step=step, summary=scalar(f"train/{name}", value)
            )
            self._events.write_event(event)

    def _line(self, done: int, loss: float, elapsed_s: float) -> str:
        rate = (done - self._first) / max(elapsed_s, 1e-9)
        return (
            f"training: {done}/{self._steps} steps ({100 * done // self._steps}%), "
            f"loss {loss:.4f}, {rate * self._samples:.1f} samples/s, "
            f"ETA {duration((self._steps - done) / rate)}"
        )


def print_line(sentence: str) -> None:
    """One line to stderr, at once."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
