"""Global batch norm with one worker: torch's own (with several: test_training_workers)."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mriqa.training.encoders import make_encoder
from mriqa.training.normalisation import (
    GlobalBatchNorm1d,
    GlobalBatchNorm2d,
    GlobalBatchNorm3d,
    _Normalise,
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


def test_what_flows_back_sums_to_nothing_in_bfloat16_too(tmp_path):
    """The mean of a channel changes no output, so gradients of a channel sum to zero: also those
    of a loss that wants all of them larger."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 8, 12, 12, generator=generator).bfloat16().requires_grad_()
    weight, bias = (torch.rand(8, generator=generator) + 0.5).requires_grad_(), torch.zeros(8)
    wanted = (torch.randn(x.shape, generator=generator) + 5).bfloat16()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        y = _Normalise.apply(x, weight, bias, 1e-5, 1)[0]
        (dx,) = torch.autograd.grad(y, x, wanted)
    finally:
        dist.destroy_process_group()
    dx = dx.float()
    assert (dx.mean((0, 2, 3)).abs() / dx.square().mean((0, 2, 3)).sqrt()).max() < 0.01
