"""One run at a time on a results folder.

The lock is an advisory lock of the kernel (flock) on `results/.mriqa-run.lock`, which ends with
its process, and a record in that file of who holds it. A record that outlived its owner means that
the owner was killed. It is taken over only where that can be proven: on the host of the owner.
All processes of a run carry its token in their environment, so that what a killed run left behind
can be found and ended before another one writes to the same files.
"""

import atexit
import json
import os
import socket
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mriqa.errors import UserError
from mriqa.processes import (
    boot_id,
    end_marked_processes,
    lock_at_once,
    marked_processes,
    start_time,
)

LOCK_NAME = ".mriqa-run.lock"
TOKEN_VARIABLE = "MRIQA_RUN_TOKEN"  # noqa: S105  (not a password)


@dataclass(frozen=True)
class Owner:
    """Who holds a results folder; `started` tells a process from a later one of the same pid."""

    host: str
    boot_id: str
    pid: int
    started: str
    token: str
    command: str
    slurm_run: str | None = None


class RunLock:
    """A held lock. `killed_owner` is the run that was killed while it held the folder, if any."""

    def __init__(self, path: Path, handle: int, owner: Owner, killed_owner: Owner | None) -> None:
        self.path = path
        self.owner = owner
        self.killed_owner = killed_owner
        self._handle = handle

    def note_slurm_run(self, name: str) -> None:
        """Remember under which name this run's jobs are known to SLURM."""
        self.owner = replace(self.owner, slurm_run=name)
        _write_record(self._handle, self.owner)

    def release(self) -> None:
        """Give the folder free; a second call does nothing."""
        if self._handle >= 0:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = -1


@contextmanager
def hold(results: Path) -> Iterator[RunLock]:
    """Hold `results` for one run; raises UserError if another run has it."""
    lock = take(results)
    try:
        yield lock
    finally:
        lock.release()


@contextmanager
def hold_or_join(results: Path) -> Iterator[None]:
    """Hold `results`, or work under the lock of the run that started this process."""
    if _started_by_holder(results):
        yield
        return
    with hold(results):
        yield


def hold_for_process(results: Path) -> None:
    """Hold `results` until this process ends, unless the run that started it holds it already.

    Processes that it starts later carry its token.
    """
    if _started_by_holder(results):
        return
    lock = take(results)
    os.environ[TOKEN_VARIABLE] = lock.owner.token
    atexit.register(lock.release)


def _started_by_holder(results: Path) -> bool:
    owner = read_owner(results / LOCK_NAME)
    return owner is not None and owner.token == os.environ.get(TOKEN_VARIABLE)


def take(results: Path) -> RunLock:
    """Take the lock, also from an owner that is provably dead; raises UserError otherwise."""
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"results: {results}: cannot be made a folder ({error.strerror}); "
            "name another one in the configuration"
        ) from None
    path = results / LOCK_NAME
    handle = _open_locked(path)
    try:
        previous = _parse(os.pread(handle, 65536, 0))
        if previous and not _is_dead(previous):
            raise UserError(_refusal(path, previous))
        if previous:
            end_processes(previous.token)
        owner = _this_process()
        _write_record(handle, owner)
    except BaseException:
        os.close(handle)
        raise
    return RunLock(path, handle, owner, previous)


def read_owner(path: Path) -> Owner | None:
    """The record in a lock file; None if nobody holds it."""
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None


def run_processes(token: str) -> list[int]:
    """Processes of this host that belong to the run with `token`, this one left out."""
    return marked_processes(TOKEN_VARIABLE, token)


def end_processes(token: str, *, patience_s: float = 10.0) -> int:
    """Kill what is left of a run; returns how many processes. Outputs are complete or absent."""
    return end_marked_processes(TOKEN_VARIABLE, token, patience_s=patience_s)


def _open_locked(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not lock_at_once(handle):  # where there are no locks the record alone must do
            raise UserError(_refusal(path, read_owner(path)))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _refusal(path: Path, owner: Owner | None) -> str:
    if owner is None:
        return f"{path.parent}: another run is about to start here; try again when it is done"
    who = f"process {owner.pid} on {owner.host} ({owner.command})"
    if owner.host == socket.gethostname():
        return f"{path.parent}: {who} works on this folder; wait for it, or stop it first"
    return (
        f"{path.parent}: {who} works on this folder, or was killed. Whether it still runs can only "
        f"be seen on {owner.host}: if it does not, delete {path}, run there or run again here"
    )


def _is_dead(owner: Owner) -> bool:
    """True only if the owner provably does not run any more."""
    if owner.host != socket.gethostname():
        return False
    if owner.boot_id != boot_id():
        return True
    return start_time(owner.pid) != owner.started


def _this_process() -> Owner:
    pid = os.getpid()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:300]
    started = start_time(pid) or ""
    return Owner(socket.gethostname(), boot_id(), pid, started, uuid.uuid4().hex, command)


def _parse(content: bytes) -> Owner | None:
    try:
        return Owner(**json.loads(content))
    except (ValueError, TypeError):
        return None  # empty: released; cut short: the owner died while taking it


def _write_record(handle: int, owner: Owner) -> None:
    content = json.dumps(asdict(owner)).encode()
    os.ftruncate(handle, 0)
    os.pwrite(handle, content, 0)
    os.fsync(handle)
