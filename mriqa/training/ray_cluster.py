"""A private Ray of one training run: its processes are started, watched and ended from here.

Ray is not imported: a driver of Ray's dies with Ray's head, and somebody must be left to put things
away and to start again. All processes carry the run's mark in their environment, and the kernel
kills them when this process dies. What even that leaves behind (other machines but ours, a folder
in /tmp) is recorded in the run folder, and ended or removed by the next run there.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mriqa.errors import MriqaError, UserError
from mriqa.files import write_json
from mriqa.processes import (
    boot_id,
    dying_with_parent,
    end_processes,
    lock_at_once,
    marked_processes,
    session_processes,
    title,
)
from mriqa.training.ray_nodes import (
    RAYS_OWN,
    RUN_VARIABLE,
    Node,
    PrivateRay,
    choose_port,
    head_command,
    member_command,
    on_node,
    ray_environment,
)

FOLDER = "ray"
"""Of Ray's logs, token and records, in the run folder."""
RECORD = "run.json"
LOGS = "logs"
HEAD_PATIENCE_S = 120.0
STOP_PATIENCE_S = 15.0


@contextmanager
def held(run_folder: Path) -> Iterator[Path]:
    """Hold the run folder for this process, and end what a killed one left; Ray's folder in it.

    Raises:
        UserError: Another process trains in this folder.
    """
    folder = run_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        if not lock_at_once(lock.fileno()):
            raise UserError(
                f"{run_folder}: another process trains this model; wait for it, or stop it first"
            )
        end_leftovers(folder)
        yield folder


def end_leftovers(folder: Path) -> int:
    """End what is left of the private Ray recorded in `folder`; how many processes that was."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0  # none was killed here
    if record["host"] != socket.gethostname():
        return 0  # out of reach; Ray's nodes end by themselves once their head is gone
    ended = 0
    if record["boot_id"] == boot_id():
        ended = end_processes(lambda: own_processes(record["run"], record["sessions"]))
    shutil.rmtree(record["temporary"], ignore_errors=True)
    (folder / RECORD).unlink(missing_ok=True)
    return ended


def own_processes(run: str, sessions: Sequence[int]) -> list[int]:
    """Processes of this host that belong to a private Ray.

    Some of Ray's write their title over their environment, and lose our mark: they are known by
    their session, whose number nothing else gets while one of them lives.
    """
    titled = (
        pid
        for session in sessions
        for pid in session_processes(session)
        if title(pid).startswith("ray::")
    )
    return sorted({*marked_processes(RUN_VARIABLE, run), *titled})


@dataclass
class _Part:
    """A process of the private Ray, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Cluster:
    """A running private Ray; made by `running`."""

    def __init__(self, ray: PrivateRay, nodes: Sequence[Node], folder: Path, threads: int) -> None:
        self.ray = ray
        self._nodes, self._folder = tuple(nodes), folder
        self._alone = ray.head.name is None
        self._environment = ray_environment(ray, os.environ, alone=self._alone, threads=threads)
        self._parts: list[_Part] = []

    def start(self, name: str, node: Node, command: list[str]) -> subprocess.Popen[bytes]:
        """Start `command` on `node`; its output goes to `<name>.log`."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                on_node(node, command, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self._environment,
                # a Ctrl-C of the terminal comes to us alone, and we end them in order
                start_new_session=True,
                umask=0o077,
                # safe: this process has no other threads that hold locks
                # at SIGTERM srun ends its step and Ray its processes, some of which else live on
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )
        self._parts.append(_Part(name, process, log))
        self._write_record()
        return process

    def _write_record(self) -> None:
        """For the next run in this folder, should this process be killed."""
        content = {
            "run": self.ray.run,
            "host": socket.gethostname(),
            "boot_id": boot_id(),
            "temporary": str(self.ray.temporary),
            "sessions": self._sessions(),
        }
        write_json(self._folder / RECORD, content)

    def _sessions(self) -> list[int]:
        return [part.process.pid for part in self._parts]

    def start_nodes(self) -> None:
        """Start the head, then the other nodes as soon as it listens.

        Raises:
            MriqaError: The head does not come up; says what it said last.
        """
        self.start("head", self.ray.head, head_command(self.ray))
        others = self._nodes[1:]
        if others:
            self._await_head()
        for node in others:
            self.start(f"node-{node.name}", node, member_command(self.ray, node))

    def _await_head(self) -> None:
        until = time.monotonic() + HEAD_PATIENCE_S
        while not listens(self.ray.head.address, self.ray.port):
            if (lost := self.lost()) is not None:
                raise MriqaError(f"Ray did not start: {lost}")
            if time.monotonic() > until:
                raise MriqaError(f"Ray did not start within {HEAD_PATIENCE_S:.0f} s")
            time.sleep(0.2)

    def lost(self) -> str | None:
        """Which node ended although it should not have, and its last words; None if none did."""
        for part in self._parts:
            if part.name != "driver" and part.process.poll() is not None:
                return f"{part.name} ended: {last_line(part.log)} ({part.log})"
        return None

    def stop(self) -> None:
        """End every process and remove what is in temporary folders. Nothing need be put away."""
        for part in reversed(self._parts):
            part.process.terminate()
        until = time.monotonic() + STOP_PATIENCE_S
        for part in reversed(self._parts):
            try:
                part.process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
        end_processes(lambda: own_processes(self.ray.run, self._sessions()))
        self._keep_logs()
        shutil.rmtree(self.ray.temporary, ignore_errors=True)
        for node in self._nodes if not self._alone else ():
            self._clear(node)

    def _clear(self, node: Node) -> None:
        """Remove the temporary folder of a node of SLURM's; says so where it cannot.

        What ends there may write its last lines while the folder goes: rm is asked again then.
        """
        path = str(self.ray.temporary)
        patient = 'for pause in 0 1 3; do sleep $pause; rm -rf "$0" && exit; done'
        remove = ["sh", "-c", patient, path]
        try:
            done = subprocess.run(
                on_node(node, remove, os.environ), env=self._environment, check=False,
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            problem = done.stderr.strip() or f"exit code {done.returncode}"
            problem = problem if done.returncode else ""
        except subprocess.TimeoutExpired:
            problem = "no answer within 60 s"
        if problem:
            sys.stderr.write(f"training: {path} on {node.name} was not removed: {problem}\n")

    def _keep_logs(self) -> None:
        """Ray's own logs of this machine, for whoever must find out why it failed."""
        found = self.ray.temporary / RAYS_OWN / "session_latest" / "logs"
        kept = self._folder / LOGS
        if found.is_dir():
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(found.resolve(), kept, ignore_dangling_symlinks=True)


@contextmanager
def running(nodes: Sequence[Node], folder: Path, threads: int, attempt: int) -> Iterator[Cluster]:
    """A private Ray on `nodes`, whose logs, token and record are in `folder`.

    Raises:
        MriqaError: It does not come up.
    """
    run = secrets.token_hex(8)
    alone = nodes[0].name is None
    token = folder / "token"
    temporary = _temporary_root(alone) / f"mriqa-ray-{run[:8]}"
    port = choose_port(os.environ, attempt, alone=alone)
    ray = PrivateRay(run, nodes[0], port, temporary, token)
    with ExitStack() as stack:
        stack.callback((folder / RECORD).unlink, missing_ok=True)
        if alone:
            temporary.mkdir(mode=0o700)
        _write_token(token)
        stack.callback(token.unlink, missing_ok=True)
        cluster = Cluster(ray, nodes, folder, threads)
        stack.callback(cluster.stop)
        cluster.start_nodes()
        yield cluster


def _temporary_root(alone: bool) -> Path:
    """Where Ray's sockets go: a path of theirs has 108 bytes, of which Ray needs some 75."""
    own = Path(tempfile.gettempdir())
    return own if alone and len(str(own)) <= 16 else Path("/tmp")  # noqa: S108


def _write_token(path: Path) -> None:
    path.unlink(missing_ok=True)
    with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(secrets.token_hex(32))


def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def last_line(log: Path) -> str:
    """The last line of a log that says something of its own; srun only repeats the exit code."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log"
    said = [
        line.strip()
        for line in lines
        if line.strip() and not line.startswith(("srun: ", "slurmstepd"))
    ]
    return said[-1] if said else "nothing was said"


class Tail:
    """Copies to stderr what is appended to a file from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0

    def copy(self) -> None:
        """Copy the whole lines that are new."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                whole = file.read().rpartition(b"\n")[0]
        except OSError:
            return
        if whole:
            self._position += len(whole) + 1
            sys.stderr.write(whole.decode("utf-8", errors="replace") + "\n")
            sys.stderr.flush()
