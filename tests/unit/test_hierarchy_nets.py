"""The volume network and the loss of the hierarchy, against slow references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.methods.hierarchy.loss import balanced, focal_terms
from mriqa.methods.hierarchy.volume_net import (
    NonlocalSlices,
    VolumeNet,
    described,
    pooled,
)


def batch(lengths, features=6, seed=0):
    """Volumes of these many slices, padded to the longest with rubbish."""
    generator = torch.Generator().manual_seed(seed)
    slices = torch.randn(len(lengths), max(lengths), features, generator=generator)
    is_there = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return slices, is_there


def net(seed=0):
    torch.manual_seed(seed)
    made = VolumeNet(features=6, channels=8, blocks=2, classes=3, dropout=0.1).eval()
    for block in made.blocks:
        torch.nn.init.normal_(block.norm.weight)
    torch.nn.init.normal_(made.direct.weight)
    made.scale.running_mean.normal_()
    made.scale.running_var.uniform_(0.5, 2)
    return made


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99))
def test_volumes_of_any_depth_are_judged_as_if_they_were_alone(lengths, seed):
    slices, is_there = batch(lengths, seed=seed)
    model = net()
    together = model(slices, is_there)
    for number, length in enumerate(lengths):
        alone = model(slices[number : number + 1, :length], is_there[number : number + 1, :length])
        torch.testing.assert_close(together[number : number + 1], alone, rtol=1e-4, atol=1e-5)


def test_the_order_of_slices_changes_nothing():
    slices, is_there = batch([7])
    order = torch.randperm(7)
    torch.testing.assert_close(net()(slices[:, order], is_there), net()(slices, is_there))


def test_slices_see_one_another():
    slices, is_there = batch([5])
    block = NonlocalSlices(6).eval()
    torch.testing.assert_close(block(slices, is_there), slices)  # at first nothing is added
    torch.nn.init.ones_(block.norm.weight)
    other = slices.clone()
    other[0, 4] += 3
    assert (block(slices, is_there) - block(other, is_there))[0, 0].abs().max() > 1e-3


def test_pooling_is_the_mean_and_maximum_of_what_is_there():
    x, is_there = torch.tensor([[[1.0], [-2.0], [9.0]]]), torch.tensor([[True, True, False]])
    assert pooled(x, is_there).tolist() == [[-0.5, 1.0]]


def test_slices_are_described_by_what_is_there():
    slices, is_there = batch([5, 1])
    found = described(slices, is_there)
    own = slices[0, :5].numpy()
    expected = [own.mean(0), own.std(0), own.min(0), own.max(0)]
    np.testing.assert_allclose(found[0], np.concatenate(expected), rtol=1e-5, atol=1e-6)
    one = slices[1, 0]
    torch.testing.assert_close(found[1], torch.cat([one, 0 * one, one, one]))


def test_the_direct_layer_adds_nothing_at_first_and_learns():
    slices, is_there = batch([5, 3, 4])
    torch.manual_seed(0)
    made = VolumeNet(features=6, channels=8, blocks=1, classes=3, dropout=0.0)
    logits = made(slices, is_there)
    deep = made.head(pooled(made.blocks[0](made.enter(slices).relu(), is_there), is_there))
    torch.testing.assert_close(logits, deep + made.direct.bias)
    logits[:, 0].sum().backward()
    assert made.direct.weight.grad[0].abs().max() > 0


def test_padding_does_not_count_in_the_scale_of_features():
    slices, is_there = batch([5, 3, 4])
    rubbish = torch.where(is_there[..., None], slices, torch.tensor(1e6))
    found = []
    for one in (slices, rubbish):
        torch.manual_seed(0)
        made = VolumeNet(features=6, channels=8, blocks=1, classes=3, dropout=0.0)
        made(one, is_there)
        found.append(made.scale.running_mean)
    torch.testing.assert_close(found[0], described(slices, is_there).mean(0))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(("length", "most"), [(1, 4), (2, 1), (6, 0.5)])
def test_a_volume_of_few_slices_is_not_judged_by_their_number(length, most):
    """Places vary little where all are as deep: of one that was broken off they do not decide."""
    torch.manual_seed(0)
    made = VolumeNet(features=6, channels=8, blocks=1, classes=3, dropout=0.0)
    optimizer = torch.optim.AdamW(made.parameters(), lr=2e-3)
    slices, is_there = batch([29, 30, 31] * 8)
    slices[..., 5] = torch.linspace(-1, 1, 31)
    for _ in range(200):
        optimizer.zero_grad()
        logits = made(slices, is_there)
        torch.nn.functional.cross_entropy(logits, torch.arange(24) // 8).backward()
        optimizer.step()
    short = slices[:3, :length].clone()
    short[..., 5] = torch.linspace(-1, 1, length)
    seen = []
    made.direct.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    made.eval()(short, is_there[:3, :length])
    of_places = [5, 11, 17, 23]  # their mean, spread, least and greatest
    said = seen[0][:, of_places] @ made.direct.weight[:, of_places].T
    assert said.abs().max() < most


def focal_loss(*arguments):
    return focal_terms(*arguments).loss()


def slow_loss(logits, targets, class_weights, weights, gamma):
    total, count = 0.0, 0.0
    for row, target, weight in zip(
        logits.tolist(), targets.tolist(), weights.tolist(), strict=True
    ):
        normaliser = sum(math.exp(one) for one in row)
        for one, share, class_weight in zip(row, target, class_weights.tolist(), strict=True):
            p = math.exp(one) / normaliser
            total -= weight * share * class_weight * (1 - p) ** gamma * math.log(p)
            count += weight * share * class_weight
    return total / count


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 1.0, 2.0]))
def test_the_loss_is_its_formula(seed, gamma):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(7, 3, generator=generator)
    targets = torch.rand(7, 3, generator=generator)
    targets /= targets.sum(1, keepdim=True)
    class_weights, weights = (torch.rand(n, generator=generator) + 0.1 for n in (3, 7))
    found = focal_loss(logits, targets, class_weights, weights, gamma)
    assert float(found) == pytest.approx(
        slow_loss(logits, targets, class_weights, weights, gamma), rel=1e-4
    )


def test_without_focus_it_is_torchs_own_cross_entropy():
    logits, classes = torch.randn(9, 3), torch.tensor([0, 1, 2] * 3)
    class_weights = torch.tensor([0.5, 1.0, 2.0])
    targets = torch.nn.functional.one_hot(classes, 3).float()
    expected = torch.nn.functional.cross_entropy(logits, classes, class_weights)
    found = focal_loss(logits, targets, class_weights, torch.ones(9), 0.0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scale", [1, 10])
@pytest.mark.parametrize("seed", range(30))
def test_what_does_not_count_changes_nothing_and_nothing_at_all_is_zero(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(4, 3, generator=generator)).requires_grad_()
    targets, weights = torch.eye(3)[[0, 1, 2, 0]], torch.tensor([1.0, 0.0, 1.0, 0.0])
    some = focal_loss(logits, targets, torch.ones(3), weights, 2.0)
    few = focal_loss(logits[[0, 2]], targets[[0, 2]], torch.ones(3), torch.ones(2), 2.0)
    torch.testing.assert_close(some, few)
    none = focal_loss(logits, targets, torch.ones(3), torch.zeros(4), 2.0)
    none.backward()
    assert (float(none.detach()), float(logits.grad.abs().max())) == (0, 0)


def test_several_networks_are_each_as_if_alone_and_parts_add_up():
    logits, targets = torch.randn(2, 6, 3), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    weights, class_weights = torch.rand(2, 6), torch.rand(3)
    both = focal_terms(logits, targets, class_weights, weights, 2.0)
    for number in range(2):
        alone = focal_terms(logits[number], targets, class_weights, weights[number], 2.0)
        torch.testing.assert_close(both.losses[number], alone.losses)
        torch.testing.assert_close(both.weights[number], alone.weights)
    parts = [
        focal_terms(logits[:, rows], targets[rows], class_weights, weights[:, rows], 2.0)
        for rows in (slice(0, 2), slice(2, 6))
    ]
    torch.testing.assert_close(parts[0].losses + parts[1].losses, both.losses)
    torch.testing.assert_close(parts[0].weights + parts[1].weights, both.weights)


def test_classes_weigh_the_same_and_absent_ones_nothing():
    targets = torch.eye(4)[[0, 0, 0, 1, 1, 2]]
    weights = torch.tensor([1.0, 1, 1, 1, 1, 2])
    found = balanced(targets, weights)
    sums = (targets * weights[:, None]).sum(0) * found
    torch.testing.assert_close(sums, torch.tensor([7 / 3, 7 / 3, 7 / 3, 0.0]))
    assert float(sums.sum()) == pytest.approx(float(weights.sum()))
