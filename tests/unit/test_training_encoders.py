"""Encoders: shapes, seeds, the stem of the paper."""

import pytest
import torch

from mriqa.errors import ConfigError
from mriqa.training.encoders import EMBEDDING, make_encoder


@pytest.mark.parametrize("name", sorted(EMBEDDING))
def test_length_of_an_embedding(name):
    encoder = make_encoder(name, seed=0).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(2, 1, 40, 33)).shape == (2, EMBEDDING[name])


def test_three_dimensions_and_channels():
    encoder = make_encoder("resnet18", spatial_dims=3, channels=2, seed=0).eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 2, 16, 20, 24)).shape == (1, 512)


def test_width_multiplies_the_channels():
    narrow = make_encoder("resnet50", seed=0, width=0.125).eval()
    with torch.no_grad():
        assert narrow(torch.zeros(1, 1, 40, 33)).shape == (1, 2048 // 8)
    same = make_encoder("resnet18", seed=0, width=1.0).state_dict()
    for name, value in make_encoder("resnet18", seed=0).state_dict().items():
        assert torch.equal(same[name], value)


def test_weights_are_the_seeds_and_nothing_else_is_touched():
    before = torch.get_rng_state()
    first, second, other = (make_encoder("resnet18", seed=seed).conv1.weight for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_stem_halves_the_image():
    assert make_encoder("resnet18", seed=0).conv1.stride == (2, 2)


def test_an_unknown_encoder_is_named_with_what_is_allowed():
    with pytest.raises(ConfigError, match="vgg.*resnet18, resnet34, resnet50"):
        make_encoder("vgg")
