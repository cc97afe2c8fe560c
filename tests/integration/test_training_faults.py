"""Training that is killed or runs out of disk: it goes on and ends as if nothing had happened.

With one worker on a CPU in float32 that is bit for bit; with two over gloo as well, for a sum of
two is the same in either order; with another number of workers than before, to 1e-5.
"""

import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from training_workers import FORKS, make_tiny_task, tiny_job, tiny_settings, with_workers

from mriqa.errors import FAILED, MriqaError
from mriqa.files import temporary_name
from mriqa.training import checkpoints
from mriqa.training.launch import finished, run_worker
from mriqa.training.loop import train
from mriqa.training.world import World

STEPS = 12


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_step(number, monkey):
    """Kill this process in the loss of step `number`."""
    real = monkey.loss

    def loss(module, batch, world):
        monkey.seen = getattr(monkey, "seen", 0) + 1
        if monkey.seen == number:
            kill()
        return real(module, batch, world)

    monkey.loss = loss


def die_writing(number, _task):
    """Kill this process half-way through the bytes of checkpoint `number`."""
    real = checkpoints.write_bytes

    def write(path, content):
        if path == checkpoints.path_of(path.parent, number):
            path.parent.mkdir(exist_ok=True)
            temporary_name(path).write_bytes(content[: len(content) // 2])
            kill()
        real(path, content)

    checkpoints.write_bytes = write


def die_written(number, _task):
    """Kill this process when checkpoint `number` is there and the old one not yet removed."""
    real = checkpoints.prune

    def prune(folder, kept):
        if checkpoints.steps_in(folder)[:1] == [number]:
            kill()
        real(folder, kept)

    checkpoints.prune = prune


def child(folder, sabotage, number, steps_seen):
    """Train in a process that may be killed."""
    torch.set_num_threads(1)
    job = tiny_job(steps=STEPS)
    task = make_tiny_task(job.arguments, World())
    if sabotage:
        sabotage(number, task)
    if steps_seen is not None:
        task.loss = counted(task.loss, steps_seen)
    train(task, job.settings, folder, world=World(), device=torch.device("cpu"),
          report=lambda *_: None)  # fmt: skip


def counted(loss, steps_seen):
    """`loss`, slower, counting its calls where another process sees it."""

    def slow(*given):
        steps_seen.value += 1
        time.sleep(0.005)
        return loss(*given)

    return slow


def start(folder, sabotage=None, number=0, steps_seen=None):
    process = FORKS.Process(target=child, args=(folder, sabotage, number, steps_seen))
    process.start()
    return process


def ended(folder, steps=STEPS):
    return finished(tiny_settings(steps=steps), folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    return ended(folder)


def assert_same(found, expected):
    assert checkpoints.digest(found.weights) == checkpoints.digest(expected.weights)
    assert checkpoints.digest(found.optimizer) == checkpoints.digest(expected.optimizer)
    assert found.watched == expected.watched


@pytest.mark.parametrize(
    ("sabotage", "number", "left"),
    [
        (die_in_step, 1, []),
        (die_in_step, 4, []),
        (die_in_step, 5, [4]),
        (die_in_step, STEPS, [8, 4]),
        (die_writing, 4, []),
        (die_writing, 8, [4]),
        (die_writing, STEPS, [8, 4]),
        (die_written, STEPS, [STEPS, 8, 4]),
    ],
)
def test_killed_at_any_point_ends_bit_for_bit_the_same(
    tmp_path, undisturbed, sabotage, number, left
):
    process = start(tmp_path, sabotage, number)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert checkpoints.steps_in(tmp_path / "checkpoints") == left
    again = start(tmp_path)
    again.join()
    assert again.exitcode == 0
    assert_same(ended(tmp_path), undisturbed)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000008.pt", "step-00000012.pt",
    ]  # fmt: skip


def test_killed_again_and_again_at_random_times(tmp_path, undisturbed):
    draws = random.Random(int(os.environ.get("MRIQA_TEST_SEED", "0")))
    kills = 0
    while True:
        seen = FORKS.Value("i", 0)
        process = start(tmp_path, steps_seen=seen)
        wanted = draws.randint(1, 8)
        while process.is_alive() and seen.value < wanted:
            time.sleep(0.001)
        time.sleep(draws.uniform(0, 0.02))
        if process.exitcode == 0:
            break
        process.kill()
        process.join()
        kills += 1
    assert kills > 1
    assert_same(ended(tmp_path), undisturbed)


def one_worker(world, folder, die_at):
    """A worker of several; worker 1 may be killed in a step."""
    job = tiny_job(steps=STEPS)
    task = make_tiny_task(job.arguments, world)
    if die_at and world.rank == 1:
        die_in_step(die_at, task)
    state = train(task, job.settings, Path(folder), world=world, device=torch.device("cpu"),
                  report=lambda *_: None)  # fmt: skip
    return state.resumed_from


def test_a_killed_worker_ends_the_others_and_the_rerun_is_the_same(tmp_path, undisturbed):
    assert with_workers(2, tmp_path / "a", one_worker, str(tmp_path / "whole"), 0) == [0, 0]
    with pytest.raises(AssertionError):
        with_workers(2, tmp_path / "b", one_worker, str(tmp_path / "killed"), 7)
    assert checkpoints.steps_in(tmp_path / "killed" / "checkpoints") == [4]
    assert with_workers(2, tmp_path / "c", one_worker, str(tmp_path / "killed"), 0) == [4, 4]
    whole, found = ended(tmp_path / "whole"), ended(tmp_path / "killed")
    assert_same(found, whole)
    for name, value in undisturbed.weights.items():
        torch.testing.assert_close(found.weights[name], value, rtol=1e-5, atol=1e-5)


def test_goes_on_with_another_number_of_workers(tmp_path, undisturbed):
    process = start(tmp_path, die_in_step, 7)
    process.join()
    assert with_workers(2, tmp_path / "meet", one_worker, str(tmp_path), 0) == [4, 4]
    for name, value in ended(tmp_path).weights.items():
        torch.testing.assert_close(value, undisturbed.weights[name], rtol=1e-5, atol=1e-5)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 400 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    """Leave no byte on the disk of `folder`."""
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass


class Meddling:
    """The tiny task, with something done before the losses of some steps."""

    def __init__(self, doing):
        self.inner = make_tiny_task(tiny_job().arguments, World())
        self.module, self.batches = self.inner.module, self.inner.batches
        self.doing, self.step = doing, 0

    def loss(self, module, batch, world):
        self.step += 1
        if self.step in self.doing:
            self.doing[self.step]()
        return self.inner.loss(module, batch, world)


def train_on(folder, doing):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train(Meddling(doing), tiny_settings(steps=STEPS), folder, world=World(),
                     device=torch.device("cpu"), report=lambda *_: None)  # fmt: skip
    finally:
        torch.set_num_threads(threads)


def test_a_disk_that_is_full_for_a_while_costs_nothing(small_disk, undisturbed, capsys):
    free = (small_disk / "filler").unlink
    train_on(small_disk, {6: lambda: fill(small_disk), 10: free})
    assert_same(ended(small_disk), undisturbed)
    told = capsys.readouterr().err
    assert "no checkpoint of step 8 ([Errno 28] No space left on device)" in told
    assert "the one of step 4 is kept; training goes on: mend that" in told


def test_a_disk_that_stays_full_ends_with_what_to_do(small_disk, undisturbed):
    with pytest.raises(MriqaError, match=r"no checkpoint of step 12 .*step 4 is kept\. Make room"):
        train_on(small_disk, {6: lambda: fill(small_disk)})
    assert checkpoints.steps_in(small_disk / "checkpoints") == [4]
    (small_disk / "filler").unlink()
    assert train_on(small_disk, {}).resumed_from == 4
    assert_same(ended(small_disk), undisturbed)


def test_a_limit_on_file_size_leaves_the_last_good_checkpoint(tmp_path, undisturbed):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    tight = (2_000, before[1])
    try:
        with pytest.raises(
            MriqaError, match=r"no checkpoint of step 12 .*step 8 is kept"
        ) as caught:
            train_on(tmp_path, {10: lambda: resource.setrlimit(resource.RLIMIT_FSIZE, tight)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.exit_code == FAILED
    assert train_on(tmp_path, {}).resumed_from == 8
    assert_same(ended(tmp_path), undisturbed)


def test_a_worker_is_the_same_whoever_starts_it(tmp_path, undisturbed):
    """`run_worker`, which every launcher wraps, is that same training."""
    run_worker(tiny_job(steps=STEPS), World(), tmp_path, lambda *_: None)
    assert_same(ended(tmp_path), undisturbed)
