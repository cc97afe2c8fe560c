"""Checkpoints: the last two, checked when read, never another run's; lack of room costs none."""

import errno
from pathlib import Path

import pytest
import torch

from mriqa.errors import UserError
from mriqa.training import checkpoints
from mriqa.training.checkpoints import (
    Checkpoint,
    DamagedError,
    load,
    newest,
    path_of,
    save,
    steps_in,
)

IDENTITY = {"model_id": "simclr-0123", "steps": 50, "learning_rate": 0.1}


def state(step):
    weights = torch.randn(40, 30, generator=torch.Generator().manual_seed(step))
    optimizer = {"state": {0: {"step": torch.tensor(float(step)), "exp_avg": weights / 2}},
                 "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}]}  # fmt: skip
    return Checkpoint(step, {"w": weights}, optimizer, {"loss": 1.5})


@pytest.fixture
def folder(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, state(step), IDENTITY)
    return tmp_path


def test_what_is_saved_comes_back(folder):
    found = newest(folder, IDENTITY, pytest.fail)
    assert found.step == 30
    assert torch.equal(found.weights["w"], state(30).weights["w"])
    assert found.optimizer["param_groups"] == state(30).optimizer["param_groups"]
    assert found.watched == {"loss": 1.5}


def test_the_last_two_are_kept_and_nothing_else(folder):
    assert steps_in(folder) == [30, 20]
    (folder / ".step-00000040.pt.part-0123456789ab").write_bytes(b"killed while writing")
    save(folder, state(40), IDENTITY)
    assert sorted(path.name for path in folder.iterdir()) == [
        "step-00000030.pt", "step-00000040.pt",
    ]  # fmt: skip


def truncate(path):
    path.write_bytes(path.read_bytes()[:-500])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    at = content.find(state(30).weights["w"].numpy().tobytes()) + 1001
    content[at] ^= 4
    path.write_bytes(content)


def code(path):
    torch.save({"sha256": "0", "run": torch.nn.Linear(1, 1)}, path)


@pytest.mark.parametrize("damage", [truncate, empty, flip, code])
def test_a_damaged_one_is_told_and_the_one_before_it_taken(folder, damage):
    damage(path_of(folder, 30))
    with pytest.raises(DamagedError):
        load(path_of(folder, 30))
    told = []
    assert newest(folder, IDENTITY, told.append).step == 20
    assert len(told) == 1
    assert "step-00000030.pt is damaged" in told[0]
    assert steps_in(folder) == [20]


def test_all_damaged_is_a_new_start(folder):
    for step in (20, 30):
        empty(path_of(folder, step))
    assert newest(folder, IDENTITY, lambda _: None) is None
    assert newest(folder / "absent", IDENTITY, pytest.fail) is None


@pytest.mark.parametrize(
    "other", [{"model_id": "simclr-4567"}, {"learning_rate": 0.2}, {"batch": 64}]
)
def test_another_runs_is_refused_with_what_differs(folder, other):
    (key,) = other
    with pytest.raises(UserError, match=rf"{key} = .*{other[key]}.* is wanted; remove the folder"):
        newest(folder, {**IDENTITY, **other}, pytest.fail)
    assert steps_in(folder) == [30, 20]


def test_one_that_cannot_be_read_just_now_is_not_thrown_away(folder, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(UserError, match=r"step-00000030.pt cannot be read .*go on from"):
        newest(folder, IDENTITY, pytest.fail)
    assert steps_in(folder) == [30, 20]


def disk(room, monkeypatch):
    """write_bytes on a disk that holds `room` checkpoints."""
    real = checkpoints.write_bytes

    def write(path, content):
        if len(steps_in(path.parent)) >= room:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(checkpoints, "write_bytes", write)


def test_where_there_is_room_for_two_the_older_makes_way(folder, monkeypatch):
    disk(2, monkeypatch)
    save(folder, state(40), IDENTITY)
    assert steps_in(folder) == [40, 30]
    assert newest(folder, IDENTITY, pytest.fail).step == 40


def test_where_there_is_room_for_one_the_newest_stays(folder, monkeypatch):
    disk(1, monkeypatch)
    with pytest.raises(OSError, match="No space"):
        save(folder, state(40), IDENTITY)
    assert steps_in(folder) == [30]
    assert newest(folder, IDENTITY, pytest.fail).step == 30


def test_other_errors_cost_no_checkpoint(folder, monkeypatch):
    def fail(*_):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoints, "write_bytes", fail)
    with pytest.raises(OSError, match="Permission"):
        save(folder, state(40), IDENTITY)
    assert steps_in(folder) == [30, 20]


def test_digest_sees_every_part():
    parts = [
        {"a": torch.zeros(2, 3)}, {"a": torch.zeros(3, 2)}, {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)}, {"a": [torch.zeros(2, 3)]}, {"a": 0.0},
        {"a": 0}, {"a": None},
    ]  # fmt: skip
    assert len({checkpoints.digest(part) for part in parts}) == len(parts)
    turned = torch.arange(12.0).reshape(1, 2, 2, 3)
    last = turned.contiguous(memory_format=torch.channels_last)
    assert checkpoints.digest(turned) == checkpoints.digest(last)
