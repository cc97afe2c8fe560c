"""NT-Xent against a slow, obvious reference; its gradient; its memory; what is watched."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training_workers import make_tiny_task, tiny_settings

from mriqa.training import contrastive
from mriqa.training.contrastive import alignment_and_uniformity, nt_xent
from mriqa.training.loop import train
from mriqa.training.world import World

ALONE = World()


def slow_nt_xent(z1, z2, temperature):
    """Equation 1 of the paper, an anchor and a candidate at a time."""
    z = [row / row.norm() for row in [*z1, *z2]]
    n = len(z1)
    losses = []
    for i in range(2 * n):
        positive = torch.exp(z[i] @ z[(i + n) % (2 * n)] / temperature)
        others = sum(torch.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i)
        losses.append(-torch.log(positive / others))
    return sum(losses) / (2 * n)


def projections(n, d=5, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, dtype=dtype, generator=generator).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_value_and_gradient_are_the_papers(monkeypatch, chunk, temperature):
    monkeypatch.setattr(contrastive, "CHUNK", chunk)
    views = projections(7)
    expected = slow_nt_xent(*views, temperature)
    wanted = torch.autograd.grad(expected, views)
    loss = nt_xent(*views, temperature, ALONE)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for ours, theirs in zip(torch.autograd.grad(loss, views), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-14)


def test_gradient_is_that_of_the_value(monkeypatch):
    monkeypatch.setattr(contrastive, "CHUNK", 4)
    assert torch.autograd.gradcheck(lambda a, b: 3 * nt_xent(a, b, 0.2, ALONE), projections(6, 3))


def test_perfect_and_useless_projections():
    n, d = 4, 4
    apart = torch.eye(n, d)
    assert nt_xent(apart, apart, 0.02, ALONE) < 1e-6
    same = torch.ones(n, d)
    assert nt_xent(same, same, 0.1, ALONE) == pytest.approx(math.log(2 * n - 1), rel=1e-6)


def test_small_temperatures_do_not_overflow():
    views = projections(8, dtype=torch.float32)
    loss = nt_xent(*views, 1e-3, ALONE)
    gradients = torch.autograd.grad(loss, views)
    assert all(torch.isfinite(value).all() for value in (loss, *gradients))


def test_autocast_does_not_touch_it():
    views = projections(16, dtype=torch.float32)
    plain = nt_xent(*views, 0.1, ALONE)
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent(*views, 0.1, ALONE) == plain


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return out


def test_no_matrix_of_all_by_all_is_ever_made():
    n, d = 1000, 16
    views = projections(n, d, dtype=torch.float32)
    with Largest() as seen:
        nt_xent(*views, 0.1, ALONE).backward()
    assert seen.numel == 2 * n * contrastive.CHUNK < (2 * n) ** 2 / 10


def test_alignment_and_uniformity_of_known_projections():
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    alignment, uniformity = alignment_and_uniformity(square, 2 * square)
    assert alignment == 0
    # of 6 pairs, 4 are at squared distance 2 and 2 at 4
    assert uniformity == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6))
    alignment, _ = alignment_and_uniformity(square, -square)
    assert alignment == 4
    collapsed = torch.ones(5, 3)
    assert alignment_and_uniformity(collapsed, collapsed)[1] == 0


def test_training_learns_to_tell_slices_apart(tmp_path):
    """What the loss is for: a slice's other view is found among those of all others."""
    settings = tiny_settings(steps=80, batch=32, checkpoint_every=1000)
    task = make_tiny_task({"seed": 0, "batch": 32}, ALONE)

    def found():
        with torch.no_grad():
            batch = next(task.batches(10_000, 1, ALONE))
            z1, z2 = task.module(batch.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
            nearest = torch.cosine_similarity(z1[:, None], z2[None], dim=2).argmax(1)
            return (nearest == torch.arange(len(z1))).float().mean().item()

    before = found()
    train(task, settings, tmp_path, world=ALONE, device=torch.device("cpu"), report=lambda *_: None)
    assert found() > before + 0.25
