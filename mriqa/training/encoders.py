"""Encoders: MONAI's ResNets for 2-D and 3-D images, the nonlocal network of slices.

All have global batch normalisation.
"""

import torch
from torch import nn

from mriqa.errors import ConfigError
from mriqa.training.convolution import trust_gradients
from mriqa.training.nonlocal_net import CHANNELS, NONLOCAL_AFTER, NonlocalEncoder
from mriqa.training.normalisation import globalise

EMBEDDING = {
    "resnet18": 512,
    "resnet34": 512,
    "resnet50": 2048,
    "nonlocal": CHANNELS[-1],
    "local": CHANNELS[-1],
}
"""Length of an embedding by encoder."""
NONLOCAL: dict[str, tuple[int, ...]] = {"nonlocal": NONLOCAL_AFTER, "local": ()}
"""Networks of slices: after which stages they have nonlocal blocks; `local` is for comparison."""


def make_encoder(
    name: str,
    spatial_dims: int = 2,
    channels: int = 1,
    seed: int | None = None,
    width: float = 1.0,
) -> nn.Module:
    """An untrained encoder: (n, channels, y, x) or (n, channels, z, y, x) → (n, EMBEDDING[name]).

    Of a ResNet the stem has stride 2 (He et al. 2016; MONAI's own default of 1 is six times slower
    and not the papers'), a global mean over the image ends it. No convolution has a bias: the batch
    norm after it cancels it, and Adam would blow the rounding of its gradient up to whole steps.
    `seed` fixes the weights and leaves torch's random state as it was; without it they come from
    that state. `width` multiplies the channels of a ResNet, and so the length of its embedding.

    Raises:
        ConfigError: No such encoder.
    """
    if name not in EMBEDDING:
        raise ConfigError(f"encoder {name!r} is not known; allowed: {', '.join(EMBEDDING)}")
    if name in NONLOCAL and spatial_dims != 2:
        raise ConfigError(f"encoder {name} is one of slices: it has two dimensions")
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if name in NONLOCAL:
            return globalise(NonlocalEncoder(channels, NONLOCAL[name]))
        return trust_gradients(globalise(_resnet(name, spatial_dims, channels, width)))


def _resnet(name: str, spatial_dims: int, channels: int, width: float) -> nn.Module:
    from monai.networks.nets import resnet

    network: nn.Module = getattr(resnet, name)(
        spatial_dims=spatial_dims,
        n_input_channels=channels,
        conv1_t_stride=2,
        feed_forward=False,
        bias_downsample=False,
        widen_factor=width,
    )
    return network
