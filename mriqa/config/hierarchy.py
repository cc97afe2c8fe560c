"""The sections of the hierarchy: how its networks learn, and how labels are doubted."""

from pydantic import Field, model_validator

from mriqa.config.base import Fraction, Section


class RoundsSection(Section):
    """Self-training: what a round does with labels, given and added."""

    folds: int = Field(
        5,
        ge=2,
        le=20,
        description="Each label is judged by a network that has not seen its subject.",
    )
    keep_from: Fraction = Field(
        0.7, description="A label is kept if its class is the likeliest and has this probability."
    )
    change_from: Fraction = Field(
        0.9,
        description="Probability from which another class takes a label's place, and from which an "
        "unlabelled item enters.",
    )
    cap: float = Field(
        2.0, ge=0, description="Unlabelled items that enter, a class, as a multiple of its labels."
    )
    stop_share: Fraction = Field(0.01, description="Less than this share of labels changed: done.")
    most: int = Field(5, ge=1, description="Rounds at most.")

    @model_validator(mode="after")
    def _thresholds_ordered(self) -> "RoundsSection":
        if self.keep_from > self.change_from:
            raise ValueError(
                f"keep_from {self.keep_from:g} must not exceed change_from {self.change_from:g}: "
                "to change a label takes more than to keep it"
            )
        return self


class VolumeStageSection(Section):
    """The network over a volume's slices."""

    channels: int = Field(64, ge=2, description="Of what a slice says after the first layer.")
    blocks: int = Field(1, ge=0, description="Nonlocal blocks; 0: slices do not see one another.")
    dropout: float = Field(0.3, ge=0, lt=1)
    focus: float = Field(2.0, ge=0, description="γ of the focal loss; 0: cross-entropy.")
    batch: int = Field(64, ge=2, description="Volumes a step, over all workers.")
    iterations: int = Field(300, ge=1, description="Steps a round.")
    learning_rate: float = Field(2e-3, gt=0, le=10)
    weight_decay: float = Field(1e-4, ge=0, le=1)
    warmup_share: Fraction = 0.1
    rounds: RoundsSection = RoundsSection()
    seed: int = Field(0, ge=0, description="Of weights, batches and folds.")
