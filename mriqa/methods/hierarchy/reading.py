"""What the stages' networks are told of a slice: what the slice network was tuned to say of it.

[P] How likely each simulated artifact is, and how severe: a dozen numbers, beside the metrics of
the slice. From the hundreds of features behind them a few hundred labels, some of them wrong, teach
less (docs/results).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.training.severity import SeverityNet


@dataclass(frozen=True)
class Reading:
    """Of d values of the slice network's output k are made: `weight` (k, d), `bias` (k)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of_network(cls, net: SeverityNet) -> "Reading":
        """The heads of a tuned network: logits of the families, and severity."""
        head = net.head
        weight, bias = (one.detach().cpu().float().numpy() for one in (head.weight, head.bias))
        return cls(weight, bias)

    def of(self, embedding: VolumeEmbedding) -> VolumeEmbedding:
        """The same slices with k values each."""
        final = embedding.slices[:, -embedding.n_final :].astype(np.float32)
        said = (final @ self.weight.T + self.bias).astype(np.float16)
        return replace(embedding, slices=said, n_final=said.shape[1])


@dataclass(frozen=True)
class SliceNetwork:
    """The slice network `encoder`, and how it is read; `reading` None: all its stages' features, as
    it was not tuned."""

    encoder: nn.Module
    reading: Reading | None

    def read(self, embedding: VolumeEmbedding) -> VolumeEmbedding:
        """What the networks of the stages are told."""
        return embedding if self.reading is None else self.reading.of(embedding)
