"""The loop: its learning rate, accumulation, resuming at every step, logs and clear errors."""

import math
import struct
from itertools import pairwise

import pytest
import torch
from tensorboardX.proto import event_pb2
from torch import nn
from training_workers import make_tiny_task, tiny_settings

from mriqa.errors import MriqaError, UserError
from mriqa.training.checkpoints import newest
from mriqa.training.loop import (
    CHECKPOINTS,
    Gradient,
    backward,
    channels_last,
    learning_rate,
    place,
    step_seed,
    train,
)
from mriqa.training.world import World

CPU = torch.device("cpu")


def run(folder, task=None, report=lambda *_: None, **changes):
    settings = tiny_settings(**changes)
    task = task or make_tiny_task({"seed": 0, "batch": settings.batch}, World())
    state = train(task, settings, folder, world=World(), device=CPU, report=report)
    return state, {name: value.clone() for name, value in task.module.state_dict().items()}


def equal(first, second):
    return list(first) == list(second) and all(
        torch.equal(first[name], second[name]) for name in first
    )


class Stops(Exception):
    """Stands for a kill that leaves no chance to tidy up."""


class Interrupted:
    """The tiny task with dropout, so that the random state matters; may stop in a step."""

    def __init__(self, stop_at=None):
        self.inner = make_tiny_task({"seed": 0, "batch": 12}, World())
        self.module = self.inner.module
        self.stop_at = stop_at

    def batches(self, first, count, world):
        for number, batch in enumerate(self.inner.batches(first, count, world), first):
            if number == self.stop_at:
                raise Stops
            yield batch

    def loss(self, module, batch, world):
        return self.inner.loss(module, nn.functional.dropout(batch, 0.2), world)


def test_learning_rate_in_closed_form():
    settings = tiny_settings(steps=110, warmup_steps=10, learning_rate=2.0)
    rates = [learning_rate(step, settings) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(1.0)
    assert 0 < rates[-1] < 1e-3
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))
    assert learning_rate(0, tiny_settings(warmup_steps=0, learning_rate=2.0)) == 2.0


def test_a_halved_learning_rate_in_closed_form():
    settings = tiny_settings(steps=50, warmup_steps=0, learning_rate=2.0, halve_every=10)
    rates = [learning_rate(step, settings) for step in range(50)]
    assert rates == [2.0] * 10 + [1.0] * 10 + [0.5] * 10 + [0.25] * 10 + [0.125] * 10
    warmed = tiny_settings(steps=50, warmup_steps=4, learning_rate=2.0, halve_every=10)
    assert [learning_rate(step, warmed) for step in (0, 3, 4, 9, 10)] == [0.5, 2, 2, 2, 1]


def test_a_schedule_is_part_of_a_runs_identity_only_where_there_is_one(tmp_path):
    assert "halve_every" not in tiny_settings().identity()  # as checkpoints have always been
    run(tmp_path)
    with pytest.raises(UserError, match="halve_every = None, but 3 is wanted"):
        run(tmp_path, halve_every=3)


def test_a_task_that_asks_for_nothing_is_trained_by_adam_alone(tmp_path):
    """Bit for bit, and its checkpoints hold nothing that they did not hold before."""
    _, weights = run(tmp_path, steps=5, weight_decay=1e-3)
    task, settings = make_tiny_task({"seed": 0, "batch": 12}, World()), tiny_settings(steps=5)
    module = place(task.module, CPU, "float32").train()
    optimizer = torch.optim.Adam(module.parameters(), weight_decay=1e-3, fused=True)
    for step, batch in enumerate(task.batches(0, 5, World())):
        optimizer.param_groups[0]["lr"] = learning_rate(step, settings)
        optimizer.zero_grad()
        task.loss(module, batch, World())[0].backward()
        optimizer.step()
    assert equal(weights, module.state_dict())
    (saved,) = newest(tmp_path / CHECKPOINTS, tiny_settings(steps=5, weight_decay=1e-3).identity(),
                      print).optimizer["param_groups"]  # fmt: skip
    assert saved == optimizer.state_dict()["param_groups"][0]


class AtTwoRates(Interrupted):
    """Whose projection head learns three times as fast as the rest."""

    def rates(self, module):
        fast = list(module.head.parameters())
        slow = [p for p in module.parameters() if all(p is not one for one in fast)]
        return [(1.0, slow), (3.0, fast)]


def test_parameters_learn_at_the_rates_that_their_task_asks_for(tmp_path):
    """The first step of Adam moves every weight by the learning rate, whatever its gradient."""
    task = AtTwoRates()
    before = {name: value.detach().clone() for name, value in task.module.named_parameters()}
    run(tmp_path, task, steps=1, warmup_steps=0, learning_rate=1e-3, weight_decay=0.0)
    for name, value in task.module.named_parameters():
        factor = 3 if name.startswith("head") else 1
        moved = float((value.detach() - before[name]).abs().max())
        assert moved == pytest.approx(factor * 1e-3, rel=0.01)


def test_rates_and_halving_go_on_after_a_stop(tmp_path):
    settings = {"steps": 9, "halve_every": 2, "warmup_steps": 0}
    _, weights = run(tmp_path / "whole", AtTwoRates(), **settings)
    with pytest.raises(Stops):
        run(tmp_path / "stopped", AtTwoRates(6), **settings)
    state, again = run(tmp_path / "stopped", AtTwoRates(), **settings)
    assert state.resumed_from == 4
    assert equal(again, weights)
    _, plain = run(tmp_path / "plain", Interrupted(), **settings)
    assert not equal(plain, weights)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_stopped_at_any_step_ends_as_the_undisturbed_one(tmp_path, accumulate):
    undisturbed, weights = run(tmp_path / "whole", Interrupted(), steps=9, accumulate=accumulate)
    for stop in (0, 4 * accumulate - 1, 4 * accumulate, 9 * accumulate - 1):
        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(Stops):
            run(folder, Interrupted(stop), steps=9, accumulate=accumulate)
        state, again = run(folder, Interrupted(), steps=9, accumulate=accumulate)
        assert state.resumed_from == stop // accumulate // 4 * 4
        assert equal(again, weights)
        assert state.watched == undisturbed.watched


def test_random_draws_differ_between_steps_and_workers():
    seeds = {step_seed(0, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds | {step_seed(1, 0, 0)}) == 201


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(tmp_path, steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_finished_run_is_not_trained_again(tmp_path):
    _, weights = run(tmp_path, steps=4)
    seen = []
    state, again = run(tmp_path, steps=4, report=lambda *call: seen.append(call))
    assert state.resumed_from == 4
    assert equal(again, weights)
    assert seen == [(4, state.watched)]


def test_every_checkpoint_and_the_end_are_reported(tmp_path):
    seen = []
    run(tmp_path, steps=10, report=lambda step, values: seen.append((step, sorted(values))))
    names = ["alignment", "gradient_norm", "loss", "uniformity"]
    assert seen == [(4, names), (8, names), (10, names)]


def test_accumulation_averages_the_gradients_of_its_batches():
    settings = tiny_settings(accumulate=3)
    task = make_tiny_task({"seed": 0, "batch": 12}, World())
    gradient = Gradient(task.module, World())
    values = backward(task, task.module, task.batches(0, 3, World()), settings, World(), CPU)
    gradient.average()
    found = [p.grad.clone() for p in task.module.parameters()]
    gradient.clear()
    losses = [task.loss(task.module, batch, World())[0] for batch in task.batches(0, 3, World())]
    (sum(losses) / 3).backward()
    assert values["loss"].item() == pytest.approx(sum(losses).item() / 3)
    for ours, parameter in zip(found, task.module.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_what_to_change(tmp_path, bad):
    class Bad(Interrupted):
        def loss(self, module, batch, world):
            loss, seen = super().loss(module, batch, world)
            self.done = getattr(self, "done", 0) + 1
            return loss * (bad if self.done == 6 else 1), seen

    expected = (
        rf"training step 6 of 12: the loss is {bad} .*float32.*lower "
        r"simclr.pretraining.learning_rate \(0.01\), or set training.precision"
    )
    with pytest.raises(MriqaError, match=expected):
        run(tmp_path, Bad())
    state, weights = run(tmp_path, Interrupted())  # the checkpoint before it is whole
    assert state.resumed_from == 4
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_gradient_that_is_not_finite_stops_as_well(tmp_path):
    class Bad(Interrupted):
        def loss(self, module, batch, world):
            loss, seen = super().loss(module, batch, world)
            zero = next(module.parameters()).sum() * 0
            return loss + torch.sqrt(zero), seen

    with pytest.raises(MriqaError, match="training step 1 of 12: the gradient_norm is nan"):
        run(tmp_path, Bad())


def test_a_feed_that_ends_early_is_told(tmp_path):
    class Short(Interrupted):
        def batches(self, first, count, world):
            return super().batches(first, count - 1, world)

    with pytest.raises(MriqaError, match="feed ended"):
        run(tmp_path, Short())


def test_the_feed_is_closed_when_training_fails(tmp_path):
    class Watched(Interrupted):
        closed = False

        def batches(self, first, count, world):
            try:
                yield from super().batches(first, count, world)
            finally:
                self.closed = True

        def loss(self, module, batch, world):
            raise Stops

    task = Watched()
    with pytest.raises(Stops):
        run(tmp_path, task)
    assert task.closed


def test_checkpoints_of_other_settings_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(UserError, match=r"learning_rate = 0\.01, but 0\.5 is wanted; remove"):
        run(tmp_path, learning_rate=0.5)
    run(tmp_path, checkpoint_every=3, precision="bfloat16")  # how it runs may change


def test_bfloat16_trains_to_nearly_the_same(tmp_path):
    losses = [
        run(tmp_path / precision, steps=20, precision=precision)[0].watched["loss"]
        for precision in ("float32", "bfloat16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]


def events(folder):
    """Every event of the TensorBoard files in `folder`, in the order of writing."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(event_pb2.Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def test_tensorboard_gets_every_step_and_forgets_repeated_ones(tmp_path):
    with pytest.raises(Stops):
        run(tmp_path, Interrupted(7), steps=9)
    run(tmp_path, Interrupted(), steps=9)
    written = events(tmp_path / "tensorboard")
    starts = [event.step for event in written if event.HasField("session_log")]
    assert starts == [1, 5]
    losses = {}
    for event in written:
        if event.HasField("session_log"):
            losses = {step: loss for step, loss in losses.items() if step < event.step}
        for value in event.summary.value:
            losses.setdefault(event.step, {})[value.tag] = value.simple_value
    assert sorted(losses) == list(range(1, 10))
    assert set(losses[9]) == {
        "train/loss", "train/alignment", "train/uniformity", "train/gradient_norm",
        "train/learning_rate", "train/samples_per_s",
    }  # fmt: skip
    assert losses[2]["train/learning_rate"] == pytest.approx(0.01)


def test_the_log_says_how_far_and_how_fast(tmp_path, capsys):
    run(tmp_path)
    line = (tmp_path / "log").read_text().splitlines()[-1]
    assert "training: 12/12 steps (100%), loss " in line
    assert " samples/s, ETA 0:00" in line
    assert line.endswith(capsys.readouterr().err.splitlines()[-1])


def test_only_worker_zero_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda x: x.mul_(2))
    monkeypatch.setattr(torch.distributed, "broadcast", lambda x, src: None)
    task = Interrupted()
    task.loss = lambda module, batch, world: (module(batch[:, 0]).square().mean(), {})
    train(task, tiny_settings(), tmp_path, world=World(1, 2), device=CPU, report=lambda *_: None)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shape", [(4, 1, 7, 5), (4, 3, 7, 5), (2, 1, 3, 4, 5), (6, 2)])
def test_channels_last_moves_values_nowhere(shape):
    x = torch.randn(shape)
    moved = channels_last(x)
    assert torch.equal(moved, x)
    if len(shape) > 2:
        assert moved.movedim(1, -1).is_contiguous()
        assert moved.stride(1) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stem_with_one_channel_computes_channels_last(precision):
    """torch itself would keep the layout of one channel, and pool five times slower."""
    stem = place(nn.Conv2d(1, 8, 3), CPU, precision)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        assert stem(torch.randn(2, 1, 9, 9)).is_contiguous(memory_format=torch.channels_last)
