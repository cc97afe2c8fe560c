"""The lock of a results folder: held once, taken over only from the provably dead."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mriqa.errors import UserError
from mriqa.run.lock import (
    LOCK_NAME,
    TOKEN_VARIABLE,
    end_processes,
    hold,
    hold_for_process,
    hold_or_join,
    read_owner,
    run_processes,
    take,
)

HOLDER = """
import sys, time
from pathlib import Path
from mriqa.run.lock import take
take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def holder(results: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(results)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_released_folder_can_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path / "results") as lock:
            assert lock.killed_owner is None
            assert read_owner(lock.path) == lock.owner
            assert lock.owner.pid == os.getpid()
        assert read_owner(lock.path) is None


def test_an_error_releases(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(tmp_path):
        raise RuntimeError
    assert read_owner(tmp_path / LOCK_NAME) is None


def test_a_live_owner_is_named(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(UserError, match=f"process {process.pid} on .* works on this folder"):
            take(tmp_path)
        process.kill()


def test_a_killed_owner_is_followed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    with hold(tmp_path) as lock:
        assert lock.killed_owner is not None
        assert lock.killed_owner.pid == process.pid


def test_a_record_without_flock_still_protects_a_live_owner(tmp_path: Path) -> None:
    """As on a file system without locks, or in a copy of the folder."""
    with holder(tmp_path / "a") as process:
        record = (tmp_path / "a" / LOCK_NAME).read_bytes()
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / LOCK_NAME).write_bytes(record)
        with pytest.raises(UserError, match=f"process {process.pid}"):
            take(tmp_path / "b")
        process.kill()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_only_a_file_system_without_locks_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("mriqa.processes.fcntl.flock", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            take(tmp_path)
    else:
        with hold(tmp_path):
            assert read_owner(tmp_path / LOCK_NAME) is not None


def test_a_later_process_of_the_same_pid_is_not_the_owner(tmp_path: Path) -> None:
    with hold(tmp_path) as lock:
        record = json.loads(lock.path.read_text())
    (tmp_path / LOCK_NAME).write_text(json.dumps({**record, "started": "1"}))
    with hold(tmp_path) as lock:
        assert lock.killed_owner is not None


def test_before_the_last_boot_nothing_lives(tmp_path: Path) -> None:
    with hold(tmp_path) as lock:
        record = json.loads(lock.path.read_text())
    (tmp_path / LOCK_NAME).write_text(json.dumps({**record, "boot_id": "earlier"}))
    take(tmp_path).release()


def test_another_host_cannot_be_judged(tmp_path: Path) -> None:
    with hold(tmp_path) as lock:
        record = json.loads(lock.path.read_text())
    (tmp_path / LOCK_NAME).write_text(json.dumps({**record, "host": "login2", "pid": 12}))
    with pytest.raises(UserError, match=r"process 12 on login2 .* delete .*\.mriqa-run\.lock"):
        take(tmp_path)


def test_a_record_cut_short_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text('{"host": "log')
    take(tmp_path).release()


def test_processes_of_a_run_are_found_and_ended(tmp_path: Path) -> None:
    with hold(tmp_path) as lock:
        token = lock.owner.token
    environment = {**os.environ, TOKEN_VARIABLE: token}
    shell = subprocess.Popen(["bash", "-c", "sleep 60 & sleep 60; true"], env=environment)
    until = time.monotonic() + 10
    while len(run_processes(token)) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert shell.pid in run_processes(token)
    assert end_processes(token) == 3
    shell.wait()
    assert run_processes(token) == []


def test_jobs_of_a_holding_run_do_not_take_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(tmp_path) as lock:
        monkeypatch.setenv(TOKEN_VARIABLE, lock.owner.token)
        hold_for_process(tmp_path)
        with hold_or_join(tmp_path):
            assert read_owner(lock.path) == lock.owner
        assert read_owner(lock.path) == lock.owner
        monkeypatch.delenv(TOKEN_VARIABLE)
        with pytest.raises(UserError, match="works on this folder"):
            hold_for_process(tmp_path)


def test_results_that_can_be_no_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"results: {results}: cannot be made a folder"):
            take(results)
