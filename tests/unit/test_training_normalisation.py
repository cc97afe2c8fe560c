"""Global batch norm with one worker: torch's own (with several: test_training_workers)."""

import pytest
import torch
from torch import nn

from mriqa.training.encoders import make_encoder
from mriqa.training.normalisation import (
    GlobalBatchNorm1d,
    GlobalBatchNorm2d,
    GlobalBatchNorm3d,
    globalise,
)

KINDS = [
    (GlobalBatchNorm1d, nn.BatchNorm1d, (6, 4)),
    (GlobalBatchNorm2d, nn.BatchNorm2d, (6, 4, 5, 3)),
    (GlobalBatchNorm3d, nn.BatchNorm3d, (6, 4, 3, 2, 2)),
]


@pytest.mark.parametrize(("ours", "theirs", "shape"), KINDS)
def test_one_worker_is_torchs_own(ours, theirs, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    layers = [kind(4) for kind in (ours, theirs)]
    seen = []
    for layer in layers:
        own = x.clone().requires_grad_()
        y = layer(own)
        y.square().sum().backward()
        layer.eval()
        seen.append([y, own.grad, layer.weight.grad, *layer.buffers(), layer(x)])
    for mine, its in zip(*seen, strict=True):
        assert torch.equal(mine, its)


def test_globalise_keeps_weights_and_names():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.BatchNorm2d(4, momentum=0.3)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = list(network.parameters())
    assert globalise(network) is network
    assert isinstance(network[1][0], GlobalBatchNorm2d)
    assert network[1][0].momentum == 0.3
    assert list(network.parameters()) == parameters
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_batch_norm_alone_becomes_global():
    layer = nn.BatchNorm3d(2)
    assert isinstance(globalise(layer), GlobalBatchNorm3d)


@pytest.mark.parametrize("dims", [2, 3])
def test_no_local_batch_norm_is_left_in_an_encoder(dims):
    kinds = {type(module) for module in make_encoder("resnet18", dims, seed=0).modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d}
    assert kinds & {GlobalBatchNorm2d, GlobalBatchNorm3d}
