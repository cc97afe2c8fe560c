"""The sections of the learned methods: what they learn, what they compare with, how they run."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from mriqa.config.base import Fraction, Section

Method = Literal["simclr", "hierarchy", "hysnet"]
SliceFamily = Literal[
    "jump", "jumps", "breathing", "drift", "noise", "ghosting", "spikes", "low_pass", "wrap",
    "bias", "dropout",
]  # fmt: skip
ArtifactFamily = SliceFamily | Literal["interslice"]
SLICE_FAMILIES: tuple[SliceFamily, ...] = (
    "jump", "jumps", "breathing", "drift", "noise", "ghosting", "spikes", "low_pass", "wrap",
    "bias", "dropout",
)  # fmt: skip
"""Those that a slice shows by itself."""
ARTIFACT_FAMILIES: tuple[ArtifactFamily, ...] = (*SLICE_FAMILIES, "interslice")


class PretrainingSection(Section):
    """Contrastive pretraining of SimCLR's encoder. A change retrains, rebuilds banks, rescores."""

    contrasts: tuple[str, ...] = Field((), description="To train on; none: all that are rated.")
    sites: tuple[str, ...] = Field((), description="To train on; none: all.")
    max_series: int = Field(40_000, ge=2, description="At most so many series, drawn by the seed.")
    encoder: Literal["resnet18", "resnet34", "resnet50", "nonlocal", "local"] = Field(
        "resnet18", description="`local`: the nonlocal network without its nonlocal blocks."
    )
    views: Literal["native_patch", "resized_crop"] = Field(
        "native_patch",
        description="Two patches of a slice at its own resolution, or resized crops.",
    )
    view_px: int = Field(96, ge=32, le=512, description="Side of a view, in pixels.")
    gamma: float = Field(
        0.3, gt=0, le=2, description="Exponent of the scaled intensities; below 1 lifts the air."
    )
    artifact_share: Fraction = Field(
        0.5, description="Slices of the pool that get a simulated artifact before they are viewed."
    )
    temperature: float = Field(0.1, gt=0, le=10, description="Of the NT-Xent loss.")
    projection: int = Field(128, ge=8, description="Length of a projection.")
    batch: int = Field(64, ge=2, description="Slices a step, over all workers; two views of each.")
    accumulate: int = Field(
        1, ge=1, description="Batches a step; negatives come from the slice's own batch."
    )
    iterations: int | None = Field(None, ge=1, description="Steps; without it, `epochs` decides.")
    epochs: float = Field(200, gt=0, description="Passes over all slices of the training series.")
    learning_rate: float = Field(1e-3, gt=0, le=10)
    weight_decay: float = Field(1e-6, ge=0, le=1)
    warmup_share: Fraction = Field(
        0.05, description="Steps of linear warm-up; a cosine to 0 follows."
    )
    seed: int = Field(0, ge=0, description="Of weights, slices, views and artifacts.")

    @property
    def pools_contrasts(self) -> bool:
        """Whether series of several contrasts are learned from where none is named."""
        return True

    @property
    def selection(self) -> "PretrainingSection":
        """What names the series that are learned from."""
        return self

    @property
    def identity(self) -> "PretrainingSection":
        """What decides what is learned."""
        return self


class ReferenceSection(Section):
    """High- and low-quality references (HQ, LQ). A change rebuilds banks and rescores."""

    trusted: Path | None = Field(
        None,
        description="TSV with series_id and, where wanted, volume: scans known to be good. Without "
        "it the metrics propose a list, references/simclr.tsv in the results, for you to edit.",
    )
    proposed: int = Field(
        40,
        ge=2,
        description="HQ volumes proposed a stratum, drawn from those that the metrics pass.",
    )
    per_class: int = Field(
        20, ge=1, description="HQ and LQ references that a volume is compared with."
    )
    min_references: int = Field(
        8, ge=2, description="A stratum with HQ references of fewer subjects has no bank."
    )
    min_auc: Fraction = Field(
        0.7,
        description="Where HQ and LQ references, each judged without its own subject, are told "
        "apart with a smaller AUC, SimCLR gives similarities but no quality_score: the metrics "
        "rate.",
    )
    least_quality: Fraction = Field(
        0.8,
        description="A listed HQ volume that the other references give a smaller quality_score "
        "is not used, unless its line says `confirmed` yes; 0: all are.",
    )
    families: tuple[SliceFamily, ...] = Field(
        SLICE_FAMILIES, min_length=1, description="Simulated in LQ references."
    )
    copies: int = Field(
        8,
        ge=2,
        description="LQ copies of each HQ volume, at severities from 0 to 1, one from each part of "
        "as many: with two, one is severe.",
    )
    copy_slices: int = Field(
        12, ge=1, description="Slices of a copy that are embedded, evenly spread over the body."
    )
    shrinkage: Fraction = Field(
        0.3, description="Of the covariance that whitens embeddings, towards its diagonal mean."
    )
    good_share: float = Field(
        0.8, gt=0, lt=1, description="Share of good volumes that the calibration expects."
    )
    seed: int = Field(0, ge=0, description="Of the artifacts and their severities.")


class SimclrSection(Section):
    """Zero-shot rating by similarity to references (`methods: [simclr]`)."""

    pretrained: Path | None = Field(
        None,
        description="Folder of a model that another cohort has trained (models/simclr/<model_id> "
        "in its results): its encoder is used and nothing is trained. For cohorts of less than "
        "some hundred series, or to apply one study's encoder to another.",
    )
    pretraining: PretrainingSection = PretrainingSection()
    reference: ReferenceSection = ReferenceSection()


class TrainingSection(Section):
    """How training runs, not what it learns. A change retrains nothing, but for `retrain`."""

    workers: int = Field(1, ge=1, description="Processes (GPUs) that share each batch.")
    launcher: Literal["plain", "ray"] = Field(
        "plain", description="`plain`: one process, one worker; `ray`: Ray Train, over any nodes."
    )
    nodes: int = Field(1, ge=1, description="Machines that a SLURM job of training asks for.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the device gains by it."
    )
    threads: int = Field(1, ge=1, description="CPU threads that a worker computes with.")
    feed_workers: int = Field(
        0, ge=0, description="Processes a worker that read slices; 0: itself."
    )
    checkpoint_every: int = Field(100, ge=1, description="Steps from a checkpoint to the next.")
    max_failures: int = Field(3, ge=0, description="Lost workers that a run survives.")
    mem_mb: int = Field(8000, ge=512, description="Of a training job.")
    runtime_minutes: int = Field(1440, ge=1, description="Of a training job at its first attempt.")
    score_device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Of scoring jobs.")
    retrain: bool = Field(
        False, description="Pin the cohort as it is now and train on it, if it has changed."
    )
