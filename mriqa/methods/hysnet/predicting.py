"""What a trained network says of volumes: every part of each, and one number from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mriqa.config.hysnet import HysnetNetSection
from mriqa.methods.hysnet.feed import read_part
from mriqa.methods.hysnet.net import HysNet, PlainNet, full
from mriqa.methods.hysnet.patches import Parts
from mriqa.methods.hysnet.target import TargetScale, VolumePrediction, volume_prediction
from mriqa.methods.hysnet.volumes import ArrayVolumes, Volumes
from mriqa.training.loop import place

BATCH = 8
"""Parts that are judged at a time."""
VOXEL_BYTES = {3: 80, 2: 160}
"""Of activations, a voxel of a part, by dimensions: of cubes measured, resnet50 (resnet18: 65)."""


def working_mb(parts: Parts, net: HysnetNetSection) -> int:
    """Memory in MB that the activations of BATCH parts take, in float32."""
    each = VOXEL_BYTES[net.dimensions] * net.width + 2 * np.dtype(np.float32).itemsize
    return math.ceil(BATCH * math.prod(parts.shape) * each / 2**20)


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation, the parts that it sees, the target's scale; made by `of`.

    `gamma` is the exponent of normalised intensities, as in training.
    """

    module: nn.Module
    parts: Parts
    scale: TargetScale
    gamma: float
    device: torch.device
    precision: str  # "float32" or "bfloat16" (autocast)

    @classmethod
    def of(
        cls, module: nn.Module, parts: Parts, scale: TargetScale, gamma: float,
        device: str, precision: str,
    ) -> "Predictor":  # fmt: skip
        """Of `module`, trained or not, which is moved to `device` and set to evaluation."""
        target = torch.device(device)
        ready = place(module, target, precision).eval()
        return cls(ready, parts, scale, gamma, target, precision)

    def predict(self, volumes: Volumes, number: int) -> VolumePrediction:
        """The target of volume `number`: the mean over all its parts [S].

        Raises:
            SeriesError: The volume cannot be read, or the network gives no number.
        """
        outputs = self._of_parts(self.module, volumes, number)
        return volume_prediction(outputs, self.scale, volumes.name(number))

    def weights(self, volumes: Volumes, number: int) -> NDArray[np.float32]:
        """The generated weights (d), the mean over the volume's parts (Fig. 3).

        Raises:
            SeriesError: The volume cannot be read.
            TypeError: The network has no hyper-network.
        """
        if not isinstance(self.module, HysNet):
            raise TypeError("a plain network generates no weights")
        found = self._of_parts(self.module.weights_of, volumes, number)
        return np.asarray(found.mean(axis=0), dtype=np.float32)

    def features(self, volumes: Volumes, number: int) -> NDArray[np.float32]:
        """The backbone's pooled feature (channels), the mean over the volume's parts.

        Raises:
            SeriesError: The volume cannot be read.
        """
        assert isinstance(self.module, HysNet | PlainNet)
        found = self._of_parts(self.module.feature_of, volumes, number)
        return np.asarray(found.mean(axis=0), dtype=np.float32)

    @torch.inference_mode()
    def _of_parts(
        self, ask: Callable[[Tensor], Tensor], volumes: Volumes, number: int
    ) -> NDArray[np.floating]:
        """What `ask` says of every part (parts, ...). The volume is read once, as parts overlap."""
        shape = volumes.shape(number)
        everything = volumes.content(number, (slice(0, shape[0]), slice(None), slice(None)))
        whole = ArrayVolumes([everything], [volumes.upper(number)])
        places = self.parts.grid(shape)
        said = []
        for start in range(0, len(places), BATCH):
            parts = [
                read_part(whole, self.parts, 0, one, self.gamma)
                for one in places[start : start + BATCH]
            ]
            images = torch.from_numpy(np.stack(parts))[:, None].to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, self.precision == "bfloat16"):
                said.append(full(ask(images)).cpu().numpy())
        return np.concatenate(said)
