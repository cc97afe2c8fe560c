"""The encoders that are compared: the run's own, others trained like it, untrained ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.config import PretrainingSection, TrainingSection, section_json
from mriqa.embedding.network import make_network, open_network
from mriqa.embedding.volumes import Encoder
from mriqa.evaluation.simclr.ground import Ground
from mriqa.evaluation.simclr.settings import (
    EncoderAblation,
    ExperimentsSection,
    ModeSection,
    changed_pretraining,
)
from mriqa.methods.simclr.train import FORMAT_VERSION, METHOD, train_into
from mriqa.training.encoders import make_encoder
from mriqa.training.manifest import model_id

TRAINED, UNTRAINED, METRICS, ABLATION = "trained", "untrained", "metrics", "ablation"


@dataclass(frozen=True)
class EncoderPlan:
    """One encoder. `model_id` None: random weights; `name`: that of an ablation, else its kind."""

    kind: str
    name: str
    pretraining: PretrainingSection
    model_id: str | None
    whole_slice_px: int | None = None

    @property
    def seed(self) -> int:
        """Of weights and training."""
        return self.pretraining.seed

    @property
    def label(self) -> str:
        """For progress and notes."""
        return f"{self.name}, seed {self.seed}"

    @property
    def maker(self) -> str:
        """Stands for all that embeddings depend on beside volume and precision."""
        weights = self.model_id or f"untrained-{self.pretraining.encoder}-{self.seed}"
        resized = f"-px{self.whole_slice_px}" if self.whole_slice_px else ""
        return f"{weights}{resized}" if self.model_id else f"{weights}{resized}-{self._gamma}"

    @property
    def _gamma(self) -> str:
        return f"gamma{self.pretraining.gamma:g}"


def plan_encoders(
    ground: Ground, mode: ModeSection, section: ExperimentsSection
) -> list[EncoderPlan]:
    """The encoders of `mode`: the run's own first, then the other seeds, then the ablations'.

    Where the run's own is another cohort's, none is trained beside it.
    """
    own = ground.config.simclr.pretraining
    plans = [EncoderPlan(TRAINED, TRAINED, own, ground.model_id)]
    for number in range(1, mode.trained if ground.trains else 1):
        pretraining = own.model_copy(update={"seed": own.seed + number})
        plans.append(EncoderPlan(TRAINED, TRAINED, pretraining, identify(ground, pretraining)))
    for number in range(mode.untrained):
        pretraining = own.model_copy(update={"seed": number})
        plans.append(EncoderPlan(UNTRAINED, UNTRAINED, pretraining, None))
    if mode.ablation:
        able = [one for one in section.encoders if ground.trains or not one.trained]
        plans += [_ablation(ground, one) for one in able]
    return plans


def _ablation(ground: Ground, one: EncoderAblation) -> EncoderPlan:
    pretraining = changed_pretraining(ground.config.simclr.pretraining, one.pretraining)
    identity = identify(ground, pretraining) if one.trained else None
    return EncoderPlan(ABLATION, one.name, pretraining, identity, one.whole_slice_px)


def identify(ground: Ground, pretraining: PretrainingSection) -> str:
    """The id of a model trained on the run's own pinned series."""
    return model_id(METHOD, section_json(pretraining), ground.pinned, FORMAT_VERSION)


def model_folder(ground: Ground, identity: str) -> Path:
    """The run's own model, or one of the experiments."""
    if identity == ground.model_id:
        return ground.results / "models" / METHOD / identity
    return ground.folder / "models" / identity


def train_missing(ground: Ground, plans: list[EncoderPlan], training: TrainingSection) -> None:
    """Train what is not there, plainly, in this process; a killed training goes on."""
    for plan in plans:
        if plan.model_id is None:
            continue
        folder = model_folder(ground, plan.model_id)
        if not (folder / "provenance.json").is_file():
            run_folder = ground.folder / "training" / plan.model_id
            train_into(
                folder, run_folder, ground.results, plan.model_id, ground.pinned,
                plan.pretraining, training,
            )  # fmt: skip


def open_encoder(ground: Ground, plan: EncoderPlan, training: TrainingSection) -> Encoder:
    """The encoder, ready to embed. Raises UserError if its model is damaged."""
    encoder: Encoder
    if plan.model_id is None:
        weights = make_encoder(plan.pretraining.encoder, seed=plan.seed)
        encoder = make_network(weights, plan.pretraining.gamma, training)
    else:
        encoder = open_network(model_folder(ground, plan.model_id), training)
    return encoder if plan.whole_slice_px is None else Resized(encoder, plan.whole_slice_px)


@dataclass(frozen=True)
class Resized:
    """An encoder that sees whole slices resized to `side_px`, as many pixels along both axes."""

    encoder: Encoder
    side_px: int

    @property
    def n_final(self) -> int:
        """Of an embedding's values the last so many are the network's output."""
        return self.encoder.n_final

    def encode(self, volume: NDArray[np.float32], upper: float) -> NDArray[np.float32]:
        """Embeddings (z, d) of the slices of `volume` (z, y, x), `upper` becoming 1."""
        clean = np.nan_to_num(volume, nan=0.0, posinf=0.0, neginf=0.0)
        return self.encoder.encode(resize(clean, self.side_px), upper)


def resize(volume: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Slices (z, side, side) of `volume` (z, y, x), bilinear between pixel centres, no blurring."""
    for axis in (1, 2):
        size = volume.shape[axis]
        at = np.clip((np.arange(side_px) + 0.5) * size / side_px - 0.5, 0, size - 1)
        low = np.floor(at).astype(np.intp)
        high = np.minimum(low + 1, size - 1)
        share = (at - low).astype(np.float32)
        share = share[:, None] if axis == 1 else share
        below, above = np.take(volume, low, axis), np.take(volume, high, axis)
        volume = below + (above - below) * share
    return np.ascontiguousarray(volume, dtype=np.float32)
