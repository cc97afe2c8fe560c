"""Convolutions of few slices or channels: right gradients, whatever happens to be in memory."""

import pytest
import torch
from torch import nn

from mriqa.training.convolution import ShallowConv3d, ThinnedConv2d, trust_gradients
from mriqa.training.encoders import make_encoder
from mriqa.training.loop import channels_last

KERNELS = [(3, 1, 16), (3, 2, 16), (7, 2, 1), (1, 1, 16), (1, 2, 16)]

SHAPES = [(depth, 14, 14) for depth in range(1, 10)]
SHAPES += [(6, 1, 4), (7, 4, 1), (2, 6, 1), (6, 1, 1), (2, 2, 2), (1, 1, 1), (5, 2, 3)]


def poison():
    """Leave NaN in the memory that is given out next."""
    kept = [torch.full((2**power,), float("nan")) for power in range(8, 22, 2) for _ in range(3)]
    del kept


def results(convolution, x, autocast=False):
    """Output, gradient of the weights, gradient of the input of a sum with fixed factors."""
    convolution.zero_grad()
    x = x.clone().requires_grad_()
    poison()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = convolution(x)
    factors = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y.to(x.dtype) * factors).sum().backward()
    return y.detach(), convolution.weight.grad, x.grad


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kernel", "stride", "inputs"), KERNELS)
def test_gradients_of_few_slices_are_those_of_float64(kernel, stride, inputs, shape, layout):
    torch.manual_seed(0)
    plain = nn.Conv3d(inputs, 16, kernel, stride, kernel // 2, bias=False)
    reference = nn.Conv3d(inputs, 16, kernel, stride, kernel // 2, bias=False).double()
    reference.load_state_dict(plain.state_dict())
    (ours,) = trust_gradients(nn.Sequential(plain))
    assert type(ours) is ShallowConv3d
    if layout == "last":
        ours.weight.data = channels_last(ours.weight.data)
    x = torch.randn(2, inputs, *shape)
    expected = results(reference, x.double())
    for autocast, tolerance in [(False, 1e-5), (True, 0.03)] * 2:
        for found, right in zip(results(ours, x, autocast), expected, strict=True):
            assert found.shape == right.shape
            size = float(right.abs().max())
            torch.testing.assert_close(found.double(), right, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize(("channels", "side"), [(4, 80), (8, 80), (8, 81), (12, 128)])
def test_gradients_of_few_channels_are_those_of_float64(channels, side, layout):
    """oneDNN's own end the process."""
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, 2 * channels, 1, 2, bias=False)
    reference = nn.Conv2d(channels, 2 * channels, 1, 2, bias=False).double()
    reference.load_state_dict(plain.state_dict())
    (ours,) = trust_gradients(nn.Sequential(plain))
    assert type(ours) is ThinnedConv2d
    x = torch.randn(2, channels, side, side)
    expected = results(reference, x.double())
    if layout == "last":
        ours.weight.data, x = channels_last(ours.weight.data), channels_last(x)
    for autocast, tolerance in [(False, 1e-5), (True, 0.03)] * 3:
        found = results(ours, x, autocast)
        for one, right in zip(found, expected, strict=True):
            torch.testing.assert_close(
                one.double(), right, rtol=0, atol=tolerance * float(right.abs().max())
            )
        assert found[0].is_contiguous(memory_format=torch.channels_last) == (layout == "last")


def test_encoders_of_usual_width_keep_their_convolutions():
    for width, narrow in ((1.0, False), (0.25, False), (0.125, True)):
        found = {type(one) for one in make_encoder("resnet18", 2, seed=0, width=width).modules()}
        assert (ThinnedConv2d in found) == narrow


def test_results_keep_their_layout():
    ours = ShallowConv3d(4, 8, 3, padding=1)
    ours.weight.data = channels_last(ours.weight.data)
    x = channels_last(torch.randn(2, 4, 2, 6, 6))
    assert ours(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_encoders_of_volumes_have_no_other_convolutions():
    volumes, slices = (make_encoder("resnet18", dims, seed=0, width=0.125) for dims in (3, 2))
    assert {type(one) for one in volumes.modules() if isinstance(one, nn.Conv3d)} == {ShallowConv3d}
    assert not any(isinstance(one, nn.Conv3d) for one in slices.modules())


@pytest.mark.parametrize(
    "shape", [(2, 32, 32), (16, 32, 32), (32, 32, 32), (48, 32, 32), (64, 32, 16), (100, 16, 48)]
)
def test_a_whole_encoder_has_the_gradients_of_float32(shape):
    """In whose stages images of two slices and of one row occur."""
    encoder = make_encoder("resnet18", 3, seed=0, width=0.125).eval()
    x, norms = torch.rand(3, 1, *shape), []
    for autocast in (False, True, True, True):
        encoder.zero_grad()
        poison()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            said = encoder(x)
        said.float().square().sum().backward()
        norms.append([float(p.grad.norm()) for p in encoder.parameters()])
    for found in norms[1:]:
        assert found == pytest.approx(norms[0], rel=0.2, abs=0.02 * max(norms[0]))
