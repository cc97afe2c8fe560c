"""The nonlocal network of slices: its attention against loops, its padding, its start."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.errors import ConfigError
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.nonlocal_net import (
    LEAST_PX,
    NonlocalBlock,
    NonlocalEncoder,
    attended,
    padded,
)


def slowly(query, key, value, is_there):
    """Wang et al. 2018, eq. 4: softmax over the places of θ(x_i)·φ(x_j), times g(x_j)."""
    out = torch.zeros(*query.shape[:2], value.shape[2])
    for n in range(len(query)):
        for i in range(query.shape[1]):
            places = [j for j in range(key.shape[1]) if is_there[n][j]]
            weights = [math.exp(float(query[n, i] @ key[n, j])) for j in places]
            for weight, j in zip(weights, places, strict=True):
                out[n, i] += weight / sum(weights) * value[n, j]
    return out


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 5))
def test_attention_is_the_softmax_over_the_places_that_are_there(seed, places, length):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(2, places, length, generator=generator) for _ in range(3))
    is_there = torch.rand(2, places, generator=generator) < 0.7
    is_there[:, 0] = True
    expected = slowly(query, key, value, is_there)
    torch.testing.assert_close(
        attended(query, key, value, is_there), expected, rtol=1e-4, atol=1e-5
    )
    everything = torch.ones(2, places, dtype=torch.bool)
    torch.testing.assert_close(
        attended(query, key, value), slowly(query, key, value, everything), rtol=1e-4, atol=1e-5
    )


def test_what_is_not_there_changes_nothing_and_gets_no_gradient():
    query, key = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    value = torch.randn(1, 3, 4, requires_grad=True)
    is_there = torch.tensor([[True, True, False]])
    attended(query, key, value, is_there)[0, 0].sum().backward()
    assert value.grad[0, 2].abs().max() == 0
    assert value.grad[0, :2].abs().min() > 0


def test_a_nonlocal_block_begins_as_if_it_were_not_there_and_then_learns():
    block = NonlocalBlock(8)
    x = torch.randn(2, 8, 5, 4)
    torch.testing.assert_close(block(x), x)
    block(x).square().sum().backward()
    assert block.norm.weight.grad.abs().max() > 0  # the first step opens it


def test_a_place_sees_the_whole_image():
    """What a nonlocal block is for: the far corner changes what is said of this one."""
    block = NonlocalBlock(4).eval()
    torch.nn.init.ones_(block.norm.weight)
    x = torch.randn(1, 4, 9, 9)
    other = x.clone()
    other[..., 8, 8] += 5
    assert (block(x) - block(other))[..., 0, 0].abs().max() > 1e-4


def test_features_have_the_registered_length_and_the_seed_fixes_them():
    x = torch.randn(2, 1, 40, 36)
    one, same, other = (make_encoder("nonlocal", seed=seed).eval() for seed in (0, 0, 1))
    assert one(x).shape == (2, EMBEDDING["nonlocal"])
    torch.testing.assert_close(one(x), same(x))
    assert (one(x) - other(x)).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="one of slices"):
        make_encoder("nonlocal", spatial_dims=3)


@pytest.mark.parametrize("shape", [(1, 1), (7, 40), (LEAST_PX, LEAST_PX), (LEAST_PX + 3, 5)])
def test_images_smaller_than_the_strides_are_padded_around(shape):
    x = torch.ones(1, 1, *shape)
    out = padded(x, LEAST_PX)
    assert out.shape[-2:] == tuple(max(LEAST_PX, size) for size in shape)
    assert out.sum() == x.sum()
    assert NonlocalEncoder().eval()(x).isfinite().all()


def test_every_parameter_is_trained():
    """Also those of the blocks, once the first step has opened them."""
    net = NonlocalEncoder()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    x = torch.randn(8, 1, 32, 32)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x) - 1).square().mean().backward()
        optimizer.step()
    # a bias of phi adds the same to every place's score, which the softmax takes away
    still = {name for name, p in net.named_parameters() if p.grad.abs().max() < 1e-12}
    assert all(name.endswith(("theta.bias", "phi.bias")) for name in still)


def test_without_nonlocal_blocks_it_is_a_residual_network():
    names = [name for name, _ in NonlocalEncoder(nonlocal_after=()).named_parameters()]
    assert names
    assert not any("theta" in name for name in names)
