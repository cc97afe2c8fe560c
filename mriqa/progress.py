"""Progress of anything that takes more than a few seconds.

A bar on a terminal; in a log one line every `LOG_EVERY_S` seconds with count, rate and ETA.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG_EVERY_S = 10.0


def track(items: Iterable[T], total: int, what: str, unit: str = "series") -> Iterator[T]:
    """Yield `items`, showing how many of `total` are done on stderr."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=f" {unit}")
        return
    yield from _log_lines(items, total, what, unit, sys.stderr)


def _log_lines(items: Iterable[T], total: int, what: str, unit: str, stream: TextIO) -> Iterator[T]:
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= LOG_EVERY_S:
            last = now
            stream.write(progress_line(what, unit, done, total, now - start) + "\n")
            stream.flush()
    elapsed = time.monotonic() - start
    told_all = last != start and done == total and time.monotonic() - last < 1
    if elapsed >= LOG_EVERY_S / 2 and not told_all:
        stream.write(progress_line(what, unit, done, total, elapsed) + "\n")
        stream.flush()


def progress_line(what: str, unit: str, done: int, total: int, elapsed_s: float) -> str:
    """One log line: `convert: 12/40 series (30%), 1.5 series/s, ETA 0:19`."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    share = 100 * done // total if total else 100
    left = (total - done) / rate if rate > 0 else 0.0
    minutes, seconds = divmod(round(left), 60)
    return (
        f"{what}: {done}/{total} {unit} ({share}%), {rate:.1f} {unit}/s, "
        f"ETA {minutes}:{seconds:02d}"
    )
