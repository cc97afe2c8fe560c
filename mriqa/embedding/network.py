"""The trained encoder as it scores: whole slices of any size, many at a time.

Batch norms are folded into the convolutions before them, which changes nothing but the time; where
the device gains, convolutions run in bfloat16 and channels-last. The means over the image are taken
in float32: in bfloat16 their last rounding alone would be 0.4% of the embedding.
"""

import copy
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mriqa.config import PretrainingSection, TrainingSection
from mriqa.errors import ConfigError
from mriqa.training.encoders import make_encoder
from mriqa.training.launch import choose_device, choose_precision
from mriqa.training.loop import place
from mriqa.training.model_folder import read_model
from mriqa.training.nonlocal_net import LEAST_PX, NonlocalEncoder, padded
from mriqa.training.views import prepare

CHUNK_PIXELS = 2**19
"""Slices go through the encoder together up to so many pixels: some 150 MB of activations. More
gain nothing on a CPU."""
STEM = ("conv1", "bn1", "act", "maxpool")
STAGES = ("layer1", "layer2", "layer3", "layer4")
ENCODER = "encoder."
"""Begins the names of an encoder's weights in a model that has other networks, too."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Network:
    """An encoder, ready to embed."""

    def __init__(self, encoder: nn.Module, gamma: float, device: str, precision: str) -> None:
        self._gamma = gamma
        self._device = torch.device(device)
        self._dtype = PRECISIONS[precision]
        folded = fold_batch_norms(encoder).to(self._dtype)
        stages = _StageMeans(folded)
        self._n_final = stages.n_final
        self._module = place(stages, self._device, precision).eval()

    @property
    def n_final(self) -> int:
        """Of an embedding's values the last so many are the network's output."""
        return self._n_final

    def encode(self, volume: NDArray[np.float32], upper: float) -> NDArray[np.float32]:
        """Embeddings (z, d) of the slices of `volume` (z, y, x), `upper` becoming 1.

        The means over the image of all stages of the network, the last one's at the end.
        """
        per_slice = volume.shape[1] * volume.shape[2]
        step = max(1, CHUNK_PIXELS // per_slice)
        parts = [
            self._encode(volume[start : start + step], upper)
            for start in range(0, len(volume), step)
        ]
        return np.concatenate(parts)

    def _encode(self, slices: NDArray[np.float32], upper: float) -> NDArray[np.float32]:
        images = torch.from_numpy(prepare(slices, upper, self._gamma))[:, None]
        with torch.inference_mode():
            embedded: Tensor = self._module(images.to(self._device, self._dtype))
        return embedded.float().cpu().numpy()


class _StageMeans(nn.Module):
    """An encoder read out after each of its stages: (n, 1, y, x) → (n, d) float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.least_px = 1
        if isinstance(network, NonlocalEncoder):
            self.stem: nn.Module = network.stem
            self.stages = network.stages
            self.least_px = LEAST_PX
        else:  # a MONAI ResNet
            self.stem = nn.Sequential(*(getattr(network, name) for name in STEM))
            self.stages = nn.ModuleList(getattr(network, name) for name in STAGES)

    @property
    def n_final(self) -> int:
        """Channels of the last stage."""
        last = self.stages[-1]
        convolutions = [one for one in last.modules() if isinstance(one, nn.Conv2d)]
        return convolutions[-1].out_channels

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(padded(x, self.least_px))
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean((2, 3), dtype=torch.float32))
        return torch.cat(means, 1)


def fold_batch_norms(encoder: nn.Module) -> nn.Module:
    """A copy of an encoder, to be used in evaluation only, without its batch norms.

    Folded is what follows a convolution: in a sequence, as `norm` after `out` (nonlocal blocks), or
    as `bn1` after `conv1` and so on (MONAI's ResNets).
    """
    folded = copy.deepcopy(encoder).eval().float()
    for module in folded.modules():
        for convolution, norm in _pairs(module):
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                _fold(module, convolution, norm)
    return folded


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of children that may be a convolution and its batch norm."""
    named = [("out", "norm"), *((f"conv{number}", f"bn{number}") for number in "123")]
    if not isinstance(module, nn.Sequential):
        return [pair for pair in named if hasattr(module, pair[0])]
    return [
        (str(place), str(place + 1))
        for place, child in enumerate(module)
        if isinstance(child, nn.Conv2d)
    ]


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    fused = fuse_conv_bn_eval(
        cast(nn.Conv2d, getattr(parent, convolution)),
        cast(nn.BatchNorm2d, getattr(parent, norm)),
    )
    setattr(parent, convolution, fused)
    setattr(parent, norm, nn.Identity())


def open_network(model: Path, settings: TrainingSection) -> Network:
    """The network of a model folder; of `settings`, score_device, precision and threads count.

    Raises UserError if the folder is no whole model, or the device is not there.
    """
    folder = read_model(model)
    section = PretrainingSection.model_validate(folder.config["pretraining"])
    encoder = make_encoder(section.encoder, seed=section.seed)
    is_part = any(name.startswith(ENCODER) for name in folder.weights)
    folder.load_into(encoder, ENCODER if is_part else "")
    return make_network(encoder, section.gamma, settings)


def make_network(encoder: nn.Module, gamma: float, settings: TrainingSection) -> Network:
    """`encoder`, trained or not, as `settings` says that scoring runs."""
    torch.set_num_threads(settings.threads)
    device = score_device(settings)
    return Network(encoder, gamma, device, choose_precision(settings, device))


def scoring_precision(settings: TrainingSection) -> str:
    """`float32` or `bfloat16`, by what is set and by the device that scores."""
    return choose_precision(settings, score_device(settings))


def score_device(settings: TrainingSection) -> str:
    """`cpu` or `cuda`, as `training.score_device` says; raises ConfigError if it is not there."""
    try:
        return choose_device(settings.model_copy(update={"device": settings.score_device}))
    except ConfigError as error:
        raise ConfigError(str(error).replace("training.device", "training.score_device")) from None
