"""k workers are one worker with k times the batch: in value, gradient, statistics and weights.

Real processes that talk over gloo. float32, sums in another order: numbers agree to TOLERANCE of
the largest of their kind.
"""

from pathlib import Path

import pytest
import torch
from hysnet_volumes import SECTION, blobs, task_of
from torch import nn
from training_workers import make_tiny_task, random_pairs, tiny_net, tiny_settings, with_workers

from mriqa.errors import ConfigError
from mriqa.methods.hysnet.feed import Batch
from mriqa.training.contrastive import ContrastiveTask, nt_xent
from mriqa.training.loop import Gradient, train
from mriqa.training.normalisation import globalise
from mriqa.training.world import World

TOLERANCE = 2e-6
N = 12
SHAPES = {1: (N, 4), 2: (N, 4, 6, 5), 3: (N, 4, 3, 4, 2)}
EXACT = 1e-10
"""In float64."""
KINDS = ("contrastive", "labelled", "hysnet")
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def drawn(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def own_rows(world, x):
    share = len(x) // world.size
    return x[world.rank * share : (world.rank + 1) * share].clone().requires_grad_()


def exchanged(world):
    """A loss in which every worker weighs everybody's rows by numbers of its own."""
    x = own_rows(world, drawn((N, 3), 0))
    weights = drawn((world.size, N, 3), 1)[world.rank]
    total = world.sum_(x.sum(0)) * drawn((world.size, 3), 2)[world.rank]
    ((world.gather(x) * weights).sum() + total.sum() + world.mean(x.sum())).backward()
    return {"gathered": world.gather(x.detach()), "gradient": x.grad}


def contrasted(world):
    views = [own_rows(world, drawn((N, 7), seed)) for seed in (3, 4)]
    loss = nt_xent(*views, 0.2, world)
    loss.backward()
    return {"loss": loss.detach(), "gradients": torch.stack([z.grad for z in views]) / world.size}


def normalised(world, dims, affine=True, autocast=False, momentum=0.1):
    torch.manual_seed(dims)
    layer = globalise(NORMS[dims](4, affine=affine, momentum=momentum))
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    x = own_rows(world, 3 + 2 * drawn(SHAPES[dims], 5))
    given = x.to(torch.bfloat16) if autocast else x
    if dims == 2:
        given = given.contiguous(memory_format=torch.channels_last)
    for _ in range(2):
        y = layer(given)
    (y.float() * own_rows(world, drawn(SHAPES[dims], 6)).detach()).sum().backward()
    seen = {"y": y.detach(), "dx": x.grad, "mean": layer.running_mean, "var": layer.running_var}
    if affine:
        seen |= {"parameters": torch.stack([layer.weight.grad, layer.bias.grad])}
    last = y.is_contiguous(memory_format=torch.channels_last) if dims == 2 else True
    return seen | {"channels_last": last, "dtype": y.dtype}


def gradient_of_net(world):
    task = make_tiny_task({"seed": 0, "batch": N}, world)
    gradient = Gradient(task.module, world)
    loss, _ = task.loss(task.module, next(task.batches(0, 1, world)), world)
    loss.backward()
    norm = gradient.average()
    flat = torch.cat([p.grad.flatten() for p in task.module.parameters()])
    return {"loss": loss.detach(), "flat": flat, "norm": norm}


class LabelledTask:
    """What a method with labels looks like: the mean over the worker's own samples, no exchange."""

    def __init__(self, world):
        torch.manual_seed(world.rank)  # worker 0's weights must win
        self.module = globalise(
            nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                          nn.Flatten(), nn.Linear(400, 3))
        )  # fmt: skip

    def batches(self, first, count, world):
        for pairs in random_pairs(1, N)(first, count, world):
            images = pairs[:, 0]
            yield {"images": images, "labels": images.mean((1, 2, 3)).mul(20).long().clamp(0, 2)}

    def loss(self, module, batch, world):
        scores = module(batch["images"])
        right = (scores.argmax(1) == batch["labels"]).float().mean()
        return nn.functional.cross_entropy(scores, batch["labels"]), {"accuracy": right}


class ExactHysnet:
    """HyS-Net's task in float64: its deep layers normalise few voxels, which blows rounding up."""

    def __init__(self):
        self.inner = task_of(blobs(5, 0))
        assert SECTION.batch == N
        self.module = self.inner.module.double()
        self.loss, self.rates = self.inner.loss, self.inner.rates

    def batches(self, first, count, world):
        for images, targets in self.inner.batches(first, count, world):
            yield Batch(images.double(), targets.double())


def gradient_of_hysnet(world):
    task = ExactHysnet()
    task.module.train()
    gradient = Gradient(task.module, world)
    batch = next(task.batches(0, 1, world))
    loss, _ = task.loss(task.module, batch, world)
    loss.backward()
    norm = gradient.average()
    flat = torch.cat([p.grad.flatten() for p in task.module.parameters()])
    statistics = torch.cat([b.flatten() for b in task.module.buffers() if b.is_floating_point()])
    return {
        "loss": world.mean(loss.detach()), "flat": flat, "norm": norm, "statistics": statistics,
        "images": batch.images, "targets": batch.targets,
    }  # fmt: skip


def trained(world, folder, kind, accumulate):
    task = LabelledTask(world)
    if kind == "contrastive":
        task = ContrastiveTask(tiny_net(), random_pairs(0, N), 0.2)
    if kind == "hysnet":
        task = ExactHysnet()
    settings = tiny_settings(steps=3, accumulate=accumulate, warmup_steps=1)
    state = train(
        task, settings, Path(folder) / f"{kind}-{accumulate}",
        world=world, device=torch.device("cpu"), report=lambda *_: None,
    )  # fmt: skip
    return {"weights": dict(task.module.state_dict()), "watched": state.watched}


def everything(world, folder):
    """All of the above in one start of the processes."""
    return {
        "exchanged": exchanged(world),
        "contrasted": contrasted(world),
        "normalised": {dims: normalised(world, dims) for dims in NORMS},
        "plain": normalised(world, 2, affine=False, momentum=None),
        "autocast": normalised(world, 2, autocast=True),
        "net": gradient_of_net(world),
        "hysnet": gradient_of_hysnet(world),
        "trained": {
            (kind, accumulate): trained(world, folder, kind, accumulate)
            for kind in KINDS
            for accumulate in (1, 2)
        },
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one worker computes with the whole batch."""
    return everything(World(), str(tmp_path_factory.mktemp("one")))


@pytest.fixture(scope="module", params=[2, 3])
def shared(request, tmp_path_factory):
    """What each of several workers computes."""
    folder = tmp_path_factory.mktemp(f"of-{request.param}")
    return with_workers(request.param, folder / "meet", everything, str(folder))


def assert_near(found, expected, tolerance=TOLERANCE):
    torch.testing.assert_close(
        found, expected, rtol=0, atol=tolerance * max(expected.abs().max().item(), 1.0)
    )


def rows(shared, *keys):
    """The workers' rows, joined."""
    found = shared
    for key in keys:
        found = [one[key] for one in found]
    return torch.cat(found)


def test_gradients_of_what_was_gathered_are_summed(shared):
    size = len(shared)
    weights, scale = drawn((size, N, 3), 1).sum(0), drawn((size, 3), 2).sum(0)
    assert_near(rows(shared, "exchanged", "gradient"), weights + scale + 1)
    for one in shared:
        assert torch.equal(one["exchanged"]["gathered"], drawn((N, 3), 0))


def test_nt_xent_is_that_of_the_whole_batch(shared, alone):
    for one in shared:
        assert_near(one["contrasted"]["loss"], alone["contrasted"]["loss"])
    found = torch.cat([one["contrasted"]["gradients"] for one in shared], dim=1)
    assert_near(found, alone["contrasted"]["gradients"])


@pytest.mark.parametrize("case", [1, 2, 3, "plain"])
def test_batch_norm_is_that_of_the_whole_batch(shared, alone, case):
    def of(one):
        return one["plain"] if case == "plain" else one["normalised"][case]

    for name in ("y", "dx"):
        assert_near(torch.cat([of(one)[name] for one in shared]), of(alone)[name], 1e-5)
    for one in shared:
        for name in ("mean", "var"):
            assert_near(of(one)[name], of(alone)[name])
        assert of(one)["channels_last"]
    if case != "plain":
        summed = sum(of(one)["parameters"] for one in shared)
        assert_near(summed, of(alone)["parameters"], 1e-5)


def test_batch_norm_in_bfloat16_keeps_statistics_in_float32(shared, alone):
    x = (3 + 2 * drawn(SHAPES[2], 5)).bfloat16().float()
    expected = x.mean((0, 2, 3)) * 0.19  # two steps of momentum 0.1
    for one in shared:
        assert one["autocast"]["dtype"] == torch.bfloat16
        assert_near(one["autocast"]["mean"], expected)
    for name in ("y", "dx"):
        found = rows(shared, "autocast", name).float()
        assert_near(found, alone["autocast"][name].float(), 0.02)


def test_gradient_of_a_network_is_that_of_one_worker(shared, alone):
    for one in shared:
        for name in ("loss", "flat", "norm"):
            assert_near(one["net"][name], alone["net"][name], 1e-5)


def test_hysnets_patches_are_shared_out_each_to_one_worker(shared, alone):
    for name in ("images", "targets"):
        assert torch.equal(rows(shared, "hysnet", name), alone["hysnet"][name])


def test_value_gradient_and_statistics_of_hysnet_are_those_of_one_worker(shared, alone):
    """Its loss is a mean over the worker's own patches; its batch norms see everybody's."""
    for one in shared:
        for name in ("loss", "flat", "norm", "statistics"):
            assert_near(one["hysnet"][name], alone["hysnet"][name], EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_are_those_of_one_worker_after_three_steps(shared, alone, kind, accumulate):
    expected = alone["trained"][kind, accumulate]
    for one in shared:
        found = one["trained"][kind, accumulate]
        for name, value in expected["weights"].items():
            assert_near(found["weights"][name].float(), value.float(), 1e-5)
        assert found["watched"]["loss"] == pytest.approx(expected["watched"]["loss"], rel=1e-6)


def test_workers_agree_bit_for_bit(shared):
    for case in shared[0]["trained"]:
        first, *others = (one["trained"][case]["weights"] for one in shared)
        for other in others:
            assert all(torch.equal(value, other[name]) for name, value in first.items())


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    task = make_tiny_task({"seed": 0, "batch": 12}, World())
    settings = tiny_settings(batch=12)
    for size in (5, 12):
        with pytest.raises(ConfigError, match=rf"simclr.pretraining.batch 12 .* {size} workers"):
            train(task, settings, tmp_path, world=World(0, size), device=torch.device("cpu"),
                  report=lambda *_: None)  # fmt: skip
