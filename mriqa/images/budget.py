"""Sharing a job's memory between the series that are converted at a time."""

import ctypes
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition

from mriqa.images.layout import MIB

RESERVE_BYTES = 24 * MIB
"""For what no series accounts for: the status table, read buffers, fragmentation."""

LEAST_BYTES = 32 * MIB
"""A job whose interpreter takes nearly all of its memory still converts, in small objects."""
LARGE_BLOCK_BYTES = 4 * MIB
M_MMAP_THRESHOLD = -3
"""Of malloc.h."""


class MemoryBudget:
    """Bytes that series claim before they allocate; who asked first is served first."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._free = total_bytes
        self._waiting: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def claim(self, n_bytes: int) -> Iterator[None]:
        """Hold `n_bytes` (at most the total), waiting until they are free."""
        n_bytes = min(n_bytes, self.total_bytes)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket and n_bytes <= self._free)
            self._waiting.popleft()
            self._free -= n_bytes
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += n_bytes
                self._changed.notify_all()


def job_budget(mem_mb: int) -> MemoryBudget:
    """What a job of `mem_mb` MiB has left for images beside the interpreter and its libraries."""
    return_freed_memory()
    return MemoryBudget(max(LEAST_BYTES, mem_mb * MIB - resident_bytes() - RESERVE_BYTES))


def return_freed_memory() -> None:
    """Make glibc hand large freed blocks back at once; elsewhere nothing happens.

    Left alone it raises its threshold to 32 MiB as blocks are freed, and every thread then keeps
    what it once used: a third more than the series claimed.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def resident_bytes() -> int:
    """Memory that this process holds now (Linux; 0 where /proc is not there)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
