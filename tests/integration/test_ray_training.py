"""Training under a private Ray: the result of one worker, whatever is killed meanwhile.

Every test that starts Ray takes some 20-40 s and is marked slow. The task is `toy_task`: two
workers with gloo repeat each other bit for bit, so "the same model" is meant literally; the model
of one worker differs by the order of a sum, within 1e-5.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_task import toy_job

from mriqa.config.methods import TrainingSection
from mriqa.errors import MriqaError, UserError
from mriqa.processes import (
    end_marked_processes,
    marked_processes,
    session_processes,
    stopped_by_signals,
    title,
)
from mriqa.training.checkpoints import Checkpoint, load, path_of, steps_in
from mriqa.training.launch import train_plainly
from mriqa.training.launch_ray import interface_of, train_with_ray
from mriqa.training.ray_cluster import FOLDER, RECORD, Tail, end_leftovers, held, listens
from mriqa.training.ray_nodes import (
    RUN_VARIABLE,
    Node,
    PrivateRay,
    choose_nodes,
    choose_port,
    ray_environment,
    share_workers,
)

TESTS = Path(__file__).resolve().parents[1]
STEPS = 120
PATIENCE_S = 240
SLEEP = shutil.which("sleep")
STARTED: "list[Run]" = []
CALL = """
import json, sys
from pathlib import Path
from mriqa.config.methods import TrainingSection
from mriqa.errors import MriqaError
from mriqa.training.launch_ray import train_with_ray
from toy_task import toy_job
folder, arguments, section = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
try:
    train_with_ray(toy_job(**arguments), TrainingSection(**section), folder)
except MriqaError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture(autouse=True)
def _put_away() -> Iterator[None]:
    """End what a failed test left running."""
    yield
    while STARTED:
        STARTED.pop().put_away()


class Run:
    """mriqa's process, which trains `toy_task` under Ray in `folder`."""

    def __init__(self, folder: Path, *, max_failures: int = 1, **arguments: Any) -> None:
        section = {"workers": 2, "launcher": "ray", "max_failures": max_failures}
        arguments = {"steps": STEPS, "pause_s": 0.05, **arguments}
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALL, str(folder), json.dumps(arguments), json.dumps(section)],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        STARTED.append(self)

    def put_away(self) -> None:
        """End it, whatever its state; the rest follows it."""
        self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()
        end_leftovers(self.folder / FOLDER)

    def wait_for(self, there: Callable[[], Any]) -> Any:
        """What `there` gives once it is something."""
        until = time.monotonic() + PATIENCE_S
        while not (found := there()):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.02)
        return found

    def record(self) -> dict[str, Any]:
        """How the processes of this run are known, once its driver is among them."""
        path = self.folder / FOLDER / RECORD
        self.wait_for((path.parent / "driver.log").exists)
        found: dict[str, Any] = self.wait_for(lambda: sessions_of(path, 2))
        return found

    def wait_until_step(self, step: int) -> None:
        """Until the checkpoint of `step` is there."""
        self.wait_for(lambda: max(steps_in(self.folder / "checkpoints"), default=0) >= step)

    def kill(self, called: str) -> int:
        """SIGKILL one of the processes of this run that are called so; its pid."""
        pids = [pid for pid in processes(self.record()) if called in title(pid)]
        pid = random.choice(pids)
        os.kill(pid, signal.SIGKILL)
        return pid

    def end(self) -> tuple[int, str]:
        """Exit code and what was said."""
        said = self.process.communicate(timeout=PATIENCE_S)[1]
        return self.process.returncode, said

    def model(self) -> Checkpoint:
        """The last checkpoint; checks that nothing is left of Ray."""
        folder = self.folder / FOLDER
        assert not (folder / RECORD).exists()
        assert not (folder / "token").exists()
        return load(path_of(self.folder / "checkpoints", STEPS))[0]


def sessions_of(path: Path, several: int) -> dict[str, Any] | None:
    """The record, if it is there and has that many sessions."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if len(found["sessions"]) >= several else None


def processes(record: dict[str, Any]) -> list[int]:
    """Everything that Ray started for a run: by its mark, and in the sessions of its parts."""
    marked = marked_processes(RUN_VARIABLE, record["run"])
    return sorted({*marked, *(p for s in record["sessions"] for p in session_processes(s))})


def gone(record: dict[str, Any], within_s: float) -> bool:
    """Whether every process of a run ends within that time, without anybody's help."""
    until = time.monotonic() + within_s
    while processes(record):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def assert_same(one: Checkpoint, other: Checkpoint, tolerance: float = 0.0) -> None:
    assert one.step == other.step == STEPS
    assert one.weights.keys() == other.weights.keys()
    for name, weights in one.weights.items():
        torch.testing.assert_close(weights, other.weights[name], rtol=tolerance, atol=tolerance)


def listening(record: dict[str, Any]) -> list[str]:
    """Addresses on which processes of a run accept connections, as /proc/net writes them."""
    inodes = set()
    for pid in processes(record):
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(handle.readlink())
            except OSError:
                continue
            if match := re.fullmatch(r"socket:\[(\d+)\]", target):
                inodes.add(match[1])
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [fields[1] for fields in lines if fields[3] == "0A" and fields[9] in inodes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The model of a run under Ray that nobody disturbs; looks at what it opens meanwhile."""
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    record = run.record()
    temporary = Path(record["temporary"])
    run.wait_until_step(5)
    token = run.folder / FOLDER / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700
    addresses = listening(record)
    assert len(addresses) > 3, "Ray's own, and gloo's"
    loopback = ("0100007F", "0" * 16 + "FFFF00000100007F", "0" * 31 + "1")
    assert [one for one in addresses if not one.startswith(loopback)] == []
    code, said = run.end()
    assert code == 0, said
    assert re.search(rf"training: {STEPS}/{STEPS} steps .* samples/s, ETA 0:00", said)
    assert "ray::" not in said
    assert "WARNING" not in said
    assert gone(record, 5)
    assert not temporary.exists()
    assert not stat.S_IMODE((run.folder / "log").stat().st_mode) & 0o077 ^ 0o044 & ~umask()
    return run.model()


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


@pytest.mark.slow
def test_two_workers_learn_what_one_learns(undisturbed: Checkpoint, tmp_path: Path) -> None:
    alone = train_plainly(toy_job(STEPS), tmp_path)
    assert_same(undisturbed, alone, tolerance=1e-5)
    assert undisturbed.watched == pytest.approx(alone.watched, rel=1e-4)


@pytest.mark.slow
def test_killed_worker_is_replaced(undisturbed: Checkpoint, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.wait_until_step(5 * random.randint(1, STEPS // 5 - 4))
    time.sleep(random.uniform(0, 0.2))
    run.kill("ray::RayTrainWorker")
    code, said = run.end()
    assert code == 0, said
    assert "training goes on from" in said
    assert "Traceback" not in said
    assert "starting Ray" not in said.partition("\n")[2], "Ray itself lived on"
    assert_same(run.model(), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("called", ["gcs_server", "launch_ray"])
def test_lost_ray_is_started_again(undisturbed: Checkpoint, tmp_path: Path, called: str) -> None:
    run = Run(tmp_path, max_failures=2)
    record = run.record()
    run.wait_until_step(5 * random.randint(1, STEPS // 5 - 4))
    run.kill(called)
    code, said = run.end()
    assert code == 0, said
    assert "Ray was lost" in said
    assert "training goes on from" in said
    assert gone(record, 5)
    assert_same(run.model(), undisturbed)


@pytest.mark.slow
def test_lost_node_is_an_error_once_no_attempt_is_left(
    undisturbed: Checkpoint, tmp_path: Path
) -> None:
    run = Run(tmp_path, max_failures=0)
    record = run.record()
    run.wait_until_step(20)
    run.kill("raylet/raylet ")
    code, said = run.end()
    assert code == 1
    assert "MriqaError: " in said
    assert "run again" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert gone(record, 5)
    again = Run(tmp_path, max_failures=0)
    code, said = again.end()
    assert code == 0, said
    assert_same(again.model(), undisturbed)


@pytest.mark.slow
def test_killed_mriqa_leaves_no_orphans(undisturbed: Checkpoint, tmp_path: Path) -> None:
    run = Run(tmp_path)
    record = run.record()
    temporary = Path(record["temporary"])
    run.wait_until_step(5 * random.randint(1, STEPS // 5 - 4))
    run.process.kill()
    run.process.communicate()
    assert gone(record, 30), [title(pid) for pid in processes(record)]
    reached = max(steps_in(tmp_path / "checkpoints"))
    again = Run(tmp_path)
    code, said = again.end()
    assert code == 0, said
    assert f"step-{reached:08d}.pt" in said
    assert not temporary.exists()
    assert_same(again.model(), undisturbed)


@pytest.mark.slow
def test_stopped_run_puts_everything_away(tmp_path: Path) -> None:
    run = Run(tmp_path)
    record = run.record()
    temporary = Path(record["temporary"])
    run.wait_until_step(5)
    run.process.terminate()
    code, said = run.end()
    assert code == 1
    assert said.splitlines()[-1].startswith("MriqaError: stopped by SIGTERM")
    assert processes(record) == []
    assert not temporary.exists()
    assert not (tmp_path / FOLDER / RECORD).exists()


@pytest.mark.slow
def test_error_of_ours_comes_out_as_its_sentence(tmp_path: Path) -> None:
    code, said = Run(tmp_path, refuse=1).end()
    assert code == 1
    assert said.splitlines()[-1] == "UserError: toy.refuse: this rank refuses; take another one"
    assert "Traceback" not in said


@pytest.mark.slow
def test_bug_comes_out_as_one_sentence(tmp_path: Path) -> None:
    code, said = Run(tmp_path, bug=1, max_failures=0).end()
    assert code == 1
    assert "worker 1: ZeroDivisionError: a bug of the task" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "a bug of the task" in (tmp_path / FOLDER / "worker-1-errors.log").read_text()


# --- without Ray ---


def test_finished_training_starts_no_ray(tmp_path: Path) -> None:
    alone = train_plainly(toy_job(20), tmp_path)
    began = time.monotonic()
    section = TrainingSection(workers=2, launcher="ray")
    found = train_with_ray(toy_job(20), section, tmp_path)
    assert found.step == alone.step == 20
    assert list((tmp_path / FOLDER).iterdir()) == [tmp_path / FOLDER / "lock"]
    assert time.monotonic() - began < 60


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from mriqa.training.ray_cluster import held\n"
        "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS.parent,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another process trains this model"), held(tmp_path):
        pass
    holder.communicate("")
    with held(tmp_path):
        pass


def test_what_a_killed_run_left_is_ended(tmp_path: Path) -> None:
    temporary = tmp_path / "sockets"
    temporary.mkdir()
    orphan = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_VARIABLE: "f00"})
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, RUN_VARIABLE: "f001"})
    # as Ray's agents do: the mark is gone, title and session are left
    untitled = subprocess.Popen(["ray::Agent", "60"], executable=SLEEP, start_new_session=True)
    foreign = subprocess.Popen(["sleep", "60"], start_new_session=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    record = {
        "run": "f00", "host": socket.gethostname(), "boot_id": boot, "temporary": str(temporary),
        "sessions": [untitled.pid, foreign.pid],
    }  # fmt: skip
    (tmp_path / RECORD).write_text(json.dumps({**record, "host": "elsewhere"}))
    assert end_leftovers(tmp_path) == 0, "pids of another machine mean nothing here"
    (tmp_path / RECORD).write_text(json.dumps(record))
    assert end_leftovers(tmp_path) == 2
    assert orphan.wait(5) == untitled.wait(5) == -signal.SIGKILL
    assert other.poll() is foreign.poll() is None
    foreign.kill()
    foreign.wait(5)
    assert not temporary.exists()
    assert end_leftovers(tmp_path) == 0
    assert end_marked_processes(RUN_VARIABLE, "f001") == 1
    other.wait(5)


def test_child_dies_with_its_parent() -> None:
    code = (
        "import subprocess, signal, time; from mriqa.processes import dying_with_parent\n"
        "child = subprocess.Popen(['sleep', '60'], "
        "preexec_fn=dying_with_parent(signal.SIGKILL))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=TESTS.parent
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert title(child).startswith("sleep")
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 10
    while title(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert title(child) == ""


def test_nodes_are_this_machine_or_those_of_the_job() -> None:
    here = choose_nodes(TrainingSection(workers=3), {})
    assert here == (Node(None, "127.0.0.1", 3),)
    with pytest.raises(UserError, match=r"training\.nodes is 2, but this is no SLURM job"):
        choose_nodes(TrainingSection(workers=4, nodes=2), {})
    with pytest.raises(UserError, match=r"training\.workers is 2, fewer than training\.nodes, 4"):
        choose_nodes(TrainingSection(workers=2, nodes=4), {})


@pytest.mark.parametrize(
    ("workers", "nodes", "shares"), [(5, 2, [3, 2]), (8, 4, [2, 2, 2, 2]), (7, 3, [3, 2, 2])]
)
def test_workers_are_spread_evenly(workers: int, nodes: int, shares: list[int]) -> None:
    assert share_workers(workers, nodes) == shares


def test_port_follows_from_the_job_and_changes_with_the_attempt() -> None:
    first, second = (
        choose_port({"SLURM_JOB_ID": "4711"}, attempt, alone=False) for attempt in (0, 1)
    )
    assert first == choose_port({"SLURM_JOB_ID": "4711"}, 0, alone=False) != second
    assert 1024 < first < 32768
    assert not listens("127.0.0.1", choose_port({}, 0, alone=True))


def test_an_outer_steps_options_do_not_reach_srun(tmp_path: Path) -> None:
    ray = PrivateRay("r", Node("n1", "10.0.0.1", 1), 12345, tmp_path, tmp_path / "token")
    outer = {
        "PATH": "/bin", "SLURM_CONF": "/c", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "4",
        "SLURM_GPUS_PER_TASK": "1", "RAY_ADDRESS": "somebody:6379",
    }  # fmt: skip
    inner = ray_environment(ray, outer, alone=False, threads=2)
    assert [name for name in inner if name.startswith("SLURM")] == ["SLURM_CONF"]
    assert "RAY_ADDRESS" not in inner, "never join somebody else's Ray"
    assert inner["RAY_AUTH_MODE"] == "token"
    assert inner["RAY_USAGE_STATS_ENABLED"] == "0"
    assert inner["PATH"] == "/bin"


def test_interface_is_found_by_its_address() -> None:
    assert interface_of("127.0.0.1") in {name for _, name in socket.if_nameindex()}
    assert interface_of("203.0.113.7") is None


def test_tail_copies_new_whole_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "worker-0.log"
    path.write_text("old\n")
    tail = Tail(path)
    with path.open("a") as log:
        log.write("new\nhal")
    tail.copy()
    assert capsys.readouterr().err == "new\n"
    with path.open("a") as log:
        log.write("f\n")
    tail.copy()
    tail.copy()
    assert capsys.readouterr().err == "half\n"


def test_signal_becomes_an_error_of_ours() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(MriqaError, match="stopped by SIGTERM"), stopped_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before
