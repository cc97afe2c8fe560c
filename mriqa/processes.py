"""Processes: found by a mark in their environment, ended with a parent, kept apart by locks."""

import ctypes
import errno
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mriqa.errors import MriqaError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems without locks answer."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def marked_processes(variable: str, value: str) -> list[int]:
    """Processes of this host that were started with `variable=value`, this one left out."""
    mark = f"{variable}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if mark in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def session_processes(session: int) -> list[int]:
    """Processes of this host whose session was begun by the process `session`, it included."""
    found = []
    for entry in Path("/proc").iterdir():
        fields = _stat_fields(int(entry.name)) if entry.name.isdigit() else []
        if fields and fields[0] not in "ZX" and int(fields[3]) == session:
            found.append(int(entry.name))
    return found


def title(pid: int) -> str:
    """The command line of a process, or what it calls itself; empty if there is none."""
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return content.replace(b"\0", b" ").decode(errors="replace").strip()


def end_marked_processes(variable: str, value: str, *, patience_s: float = 10.0) -> int:
    """SIGKILL every process that carries `variable=value`; returns how many there were."""
    return end_processes(lambda: marked_processes(variable, value), patience_s=patience_s)


def end_processes(find: Callable[[], list[int]], *, patience_s: float = 10.0) -> int:
    """SIGKILL what `find` finds until it finds nothing more; returns how many there were."""
    ended: set[int] = set()
    until = time.monotonic() + patience_s
    while (left := find()) and time.monotonic() < until:
        for pid in left:
            ended.add(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    return len(ended)


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if there is no such process."""
    fields = _stat_fields(pid)
    return fields[19] if fields and fields[0] not in "ZX" else None


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; none if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()


def boot_id() -> str:
    """Of this machine since it was started; another one after every start."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def lock_at_once(handle: int) -> bool:
    """Take the kernel's lock on an open file (flock), which ends with this process or `handle`.

    False if another process has it. Where the file system has no locks everybody gets it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def dying_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends the child signal `number` when this thread ends.

    Even after a SIGKILL, which no `finally` outlives. Elsewhere than on Linux it does nothing.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:  # it ended before the line above
                os._exit(1)

    return prepare


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into MriqaError, so that every `finally` is run.

    In a thread that is not the main one, where Python handles no signals, it does nothing.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        # once is enough: what follows must not be interrupted
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        name = signal.Signals(number).name
        raise MriqaError(f"stopped by {name}; the same command goes on where this one was")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, stop) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
