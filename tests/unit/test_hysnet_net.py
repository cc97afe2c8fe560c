"""HyS-Net's network against a loop over its samples, its start, its plain counterpart."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hysnet_volumes import SMALL

from mriqa.config.hysnet import HysnetNetSection
from mriqa.methods.hysnet.net import (
    HyperBranch,
    HysNet,
    Layer,
    PlainNet,
    full,
    make_net,
    predicted,
    rates,
)
from mriqa.training.encoders import make_encoder

PRECISIONS = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def changed(**values):
    return SMALL.model_copy(update=values)


def images(n=3, side=32, dimensions=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, *[side] * dimensions, generator=generator, dtype=dtype)


def one_by_one(x, layers):
    """The predictor as the paper writes it, an image after the other, by torch's own layers."""
    results = []
    for row in range(len(x)):
        q = x[row]
        for number, (weight, bias) in enumerate(layers):
            q = F.linear(torch.sigmoid(q) if number else q, weight[row], bias[row])
        results.append(q[0])
    return torch.stack(results)


def branch_slowly(branch, maps):
    """Each image: two products at every place, their greatest, one layer, reshaped."""
    weights, biases = [], []
    for one in maps:
        places = one.flatten(1).T
        for convolution in (branch.first, branch.second):
            places = F.relu(places @ convolution.weight.flatten(1).T + convolution.bias)
        values = places.max(0).values @ branch.fc.weight.T + branch.fc.bias
        count = branch.outputs * branch.inputs
        weights.append(values[:count].reshape(branch.outputs, branch.inputs))
        biases.append(values[count:])
    return Layer(torch.stack(weights), torch.stack(biases))


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 9), st.integers(1, 7))
def test_layers_applied_at_once_are_a_loop_over_samples(dtype, tolerance, seed, n, wide, narrow):
    """Forward, and the gradients of the input and of every weight."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(wide, narrow), (narrow, 1)]
    made = [torch.randn(n, wide, generator=generator, dtype=dtype)]
    for inputs, outputs in sizes:
        made += [torch.randn(n, outputs, inputs, generator=generator, dtype=dtype)]
        made += [torch.randn(n, outputs, generator=generator, dtype=dtype)]
    found = []
    for way in (predicted, one_by_one):
        x, *parts = (value.clone().requires_grad_() for value in made)
        said = way(x, [Layer(*parts[:2]), Layer(*parts[2:])])
        said.square().sum().backward()
        found.append([said, x.grad, *(part.grad for part in parts)])
    for ours, slow in zip(*found, strict=True):
        torch.testing.assert_close(ours, slow, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_network_and_all_its_gradients_are_those_of_a_loop(dtype, tolerance, dimensions):
    found = []
    for slowly in (False, True):
        net = make_net(changed(dimensions=dimensions), seed=0).to(dtype).train()
        x = images(side=40, dtype=dtype, dimensions=dimensions).requires_grad_()
        if slowly:
            features = net.backbone.features(x)
            assert features.maps.shape[2:] == (2,) * dimensions  # there is something to pool
            layers = [branch_slowly(branch, features.maps) for branch in net.branches]
            said = one_by_one(features.maps.flatten(2).mean(2), layers)
        else:
            said = net(x)
        assert said.shape == (3,)
        (said - torch.arange(3)).abs().mean().backward()
        found.append([said, x.grad, *(p.grad for p in net.parameters())])
    for ours, slow in zip(*found, strict=True):
        # a gradient is a sum over voxels: its rounding goes with its own size
        size = float(slow.detach().abs().max())
        torch.testing.assert_close(ours, slow, rtol=tolerance, atol=tolerance * max(size, 1))


def test_every_parameter_gets_a_gradient():
    net = make_net(SMALL, seed=0).train()
    (net(images(8)) - 3).square().mean().backward()
    assert [name for name, p in net.named_parameters() if not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize("hyper", [True, False])
def test_an_image_is_judged_as_if_alone_and_the_order_changes_nothing(hyper):
    net = make_net(changed(hyper=hyper), seed=0).eval()
    x = images(5)
    together = net(x)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(net(x[order]), together[order], rtol=1e-5, atol=1e-6)
    alone = torch.cat([net(x[row : row + 1]) for row in range(5)])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)


def test_weights_are_flat_rows_of_all_layers_in_their_order():
    net = make_net(SMALL, seed=0).eval()
    x = images()
    flat, layers = net.weights_of(x), net.layers(net.backbone.features(x).maps)
    expected = [part for layer in layers for part in (layer.weight[1].flatten(), layer.bias[1])]
    assert torch.equal(flat[1], torch.cat(expected))
    c = net.backbone.channels
    assert flat.shape == (3, 16 * c + 16 + 8 * 16 + 8 + 8 + 1)
    assert float((flat[0] - flat[1]).detach().abs().max()) > 0


def test_shapes_of_the_paper():
    net = make_net(HysnetNetSection(), seed=0)
    shapes = [(branch.outputs, branch.inputs) for branch in net.branches]
    assert shapes == [(128, 512), (64, 128), (1, 64)]
    assert [branch.fc.in_features for branch in net.branches] == [112] * 3
    assert [branch.second.weight.shape[:2] for branch in net.branches] == [(112, 256)] * 3
    assert net.backbone.conv1.weight.shape == (64, 1, 7, 7, 7)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("hyper", [True, False])
def test_every_network_there_is(backbone, dimensions, hyper):
    section = changed(backbone=backbone, dimensions=dimensions, hyper=hyper, width=1 / 16)
    net = make_net(section, seed=0).eval()
    said = net(images(2, 16, dimensions))
    assert said.shape == (2,)
    assert said.dtype == torch.float32
    assert said.isfinite().all()
    features = net.backbone.features(images(2, 33, dimensions))
    assert features.pooled.shape == (2, net.backbone.channels)
    assert features.maps.shape == (2, net.backbone.channels, *[2] * dimensions)


def test_the_plain_network_has_an_ordinary_head_of_the_same_shape_and_backbone():
    ours, plain = make_net(SMALL, seed=3), make_net(changed(hyper=False), seed=3)
    assert isinstance(ours, HysNet)
    assert isinstance(plain, PlainNet)
    for name, value in ours.backbone.state_dict().items():
        assert torch.equal(plain.backbone.state_dict()[name], value)
    shapes = [(branch.outputs, branch.inputs) for branch in ours.branches]
    assert [tuple(layer.weight.shape) for layer in plain.head] == shapes
    x = images()
    plain.eval()
    layers = [Layer(one.weight.expand(3, -1, -1), one.bias.expand(3, -1)) for one in plain.head]
    torch.testing.assert_close(plain(x), predicted(plain.feature_of(x), layers))


def test_the_seed_fixes_the_weights_and_the_callers_state_stays():
    state = torch.get_rng_state()
    one, same, other = (make_net(SMALL, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["branches.0.fc.weight"], other["branches.0.fc.weight"])


@pytest.mark.parametrize("inputs", [512, 64])
def test_untrained_weights_have_the_variance_of_an_ordinary_layers(inputs):
    """With pooled maps of the mean square that was measured; common to images, or their own."""
    torch.manual_seed(0)
    branch = HyperBranch(64, (256, 112), inputs, 64, 3)
    ordinary = float(torch.nn.Linear(inputs, 64).weight.detach().var())
    h = 8**0.5 * torch.ones(200, 112)
    weights = branch.fc(h)[:, : 64 * inputs]
    assert float(weights.var().detach()) == pytest.approx(ordinary, rel=0.1)
    one = branch.fc(torch.zeros(1, 112))[:, : 64 * inputs]
    assert float(one.var().detach()) == pytest.approx(0.75 * ordinary, rel=0.1)


def test_an_untrained_network_starts_near_the_plain_one():
    """On images of one scale: no sigmoid is saturated, and predictions are of the order of 1."""
    net = make_net(HysnetNetSection(width=0.5), seed=0).train()
    x = images(4, 48)
    with torch.no_grad():
        features = net.backbone.features(x)
        layers = net.layers(features.maps)
        first = layers[0].apply_to(features.pooled)
        for layer, branch in zip(layers, net.branches, strict=True):
            assert 0.5 < 3 * branch.inputs * float(layer.weight.var()) < 2
    assert float(first.abs().max()) < 4
    assert float(predicted(features.pooled, layers).abs().max()) < 2


def test_only_the_hyper_network_learns_at_its_own_rate():
    net = make_net(SMALL, seed=0)
    (one, backbone), (ten, hyper) = rates(net, 10.0)
    assert (one, ten) == (1.0, 10.0)
    own = {id(p) for p in net.branches.parameters()}
    assert {id(p) for p in hyper} == own
    assert len(backbone) + len(hyper) == len({id(p) for p in net.parameters()})
    plain = make_net(changed(hyper=False), seed=0)
    ((factor, everything),) = rates(plain, 10.0)
    assert factor == 1
    assert len(everything) == len(list(plain.parameters()))


@pytest.mark.parametrize("hyper", [True, False])
def test_predictions_are_not_in_half_precision(hyper):
    net = make_net(changed(hyper=hyper), seed=0).eval()
    x = images(4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = net(x)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, net(x).detach(), rtol=0.05, atol=0.05)
    assert not torch.equal(half, half.bfloat16().float())


def test_the_backbone_is_a_resnet_up_to_its_last_maps():
    """MONAI's own forward pass, also where autocast would have pooled in float32."""
    net = make_encoder("resnet18", 3, seed=0, width=0.125).eval()
    backbone = make_net(SMALL, 0).backbone.eval()
    with torch.no_grad():
        torch.testing.assert_close(backbone.features(images()).pooled, net(images()))
        with torch.autocast("cpu", torch.bfloat16):
            found, expected = backbone(images()), net(images())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(full(found).flatten(2).mean(2), expected.float(), rtol=0.02, atol=0)
