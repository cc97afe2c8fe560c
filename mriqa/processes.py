"""Processes of this machine: found by a mark in their environment, known by when they started."""

import os
import signal
import time
from pathlib import Path


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


def end_marked_processes(variable: str, value: str, *, patience_s: float = 10.0) -> int:
    """SIGKILL every process that carries `variable=value`; returns how many there were."""
    ended: set[int] = set()
    until = time.monotonic() + patience_s
    while (left := marked_processes(variable, value)) and time.monotonic() < until:
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
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def boot_id() -> str:
    """Of this machine since it was started; another one after every start."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
