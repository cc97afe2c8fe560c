"""The configuration: one frozen model a section, unknown keys refused at every level.

`config/config.yaml` is generated from these models (`mriqa config --write`); a test holds it.
Paths are relative to the folder that the command is run in.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mriqa.config.base import Fraction, Section
from mriqa.config.brain_maps import MapsSource
from mriqa.config.hierarchy import HierarchySection
from mriqa.config.hysnet import HysnetSection
from mriqa.config.labels import LabelSource
from mriqa.config.methods import Method, SimclrSection, TrainingSection

StratumColumn = Literal["contrast", "station", "protocol", "b_class", "background"]


class BidsSource(Section):
    """A BIDS dataset; participants.tsv is joined."""

    kind: Literal["bids"]
    path: Path = Field(description="Root of the dataset (holds dataset_description.json).")


class TableSource(Section):
    """A CSV, TSV or Parquet table with a row a series (columns: config/README.md)."""

    kind: Literal["table"]
    path: Path = Field(description="The table; relative paths in it start at its own folder.")


class FolderSource(Section):
    """A folder of files whose names follow a pattern."""

    kind: Literal["folder"]
    path: Path = Field(description="The folder.")
    pattern: str = Field(
        description="Path below the folder with {subject} and, where known, {session}, "
        "{contrast}, {station} or any BIDS entity, e.g. '{subject}/{contrast}_{run}.nii.gz'."
    )


Source = Annotated[BidsSource | TableSource | FolderSource, Field(discriminator="kind")]


class SplitSection(Section):
    """Shares of subjects; a subject's split depends on seed and subject alone."""

    train: Fraction = 0.7
    validation: Fraction = 0.15
    test: Fraction = 0.15

    @model_validator(mode="after")
    def _sum_is_one(self) -> "SplitSection":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total:g}; it must be 1")
        return self


class CohortSection(Section):
    """What there is: sources, exclusions, shards. A change reruns `index`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", description="Begins every series id.")
    sources: tuple[Source, ...] = Field(min_length=1, description="Where the series are.")
    participants: Path | None = Field(
        None, description="CSV/TSV/Parquet joined by participant_id to sources without their own."
    )
    withdrawn: Path | None = Field(
        None, description="Text file, a subject a line: these are excluded everywhere."
    )
    exclude_contrasts: tuple[str, ...] = Field((), description="Contrasts that are not rated.")
    shard_mb: int = Field(2048, ge=1, description="Bytes of sources that one job handles, in MiB.")
    shard_series: int = Field(512, ge=1, description="At most so many series a shard.")
    seed: int = Field(0, ge=0, description="Of the split.")
    split: SplitSection = SplitSection()


class ConvertSection(Section):
    """Volumes to Zarr. A change reruns everything from `convert` on."""

    slice_axis: dict[str, Literal["i", "j", "k"]] = Field(
        default_factory=dict,
        description="Slice axis of the acquisition by contrast, where the header is wrong.",
    )
    codec: Literal["blosc-zstd", "blosc-lz4"] = Field(
        "blosc-zstd",
        description="blosc-lz4 converts a quarter faster and takes a fifth more space.",
    )
    object_mb: int = Field(
        64, ge=1, description="Volumes share one stored object up to so many MB."
    )


class BrainSection(Section):
    """MRIQC's metrics of brains. They take some seconds a volume, and must be asked for: what is
    no brain would get them, too."""

    t1w: tuple[str, ...] = Field((), description="Contrasts of T1-weighted brains, e.g. [T1w].")
    t2w: tuple[str, ...] = Field((), description="Contrasts of T2-weighted brains, e.g. [T2w].")

    @model_validator(mode="after")
    def _one_weighting_each(self) -> "BrainSection":
        if both := sorted({*self.t1w} & {*self.t2w}):
            raise ValueError(f"{both[0]!r} is in t1w and in t2w; a contrast has one weighting")
        return self


class ScoreSection(Section):
    """Metrics of slices and volumes. A change reruns scoring and the tables."""

    foreground_percentile: float = Field(
        99.0, gt=50, le=100, description="Upper percentile that scales intensities to 1."
    )
    slices: bool = Field(True, description="Also write a row a slice.")
    brain: BrainSection = BrainSection()


class RatingSection(Section):
    """From metrics to quality_score and rating. A change rewrites the tables only."""

    stratum: tuple[StratumColumn, ...] = Field(
        ("contrast", "station", "protocol", "b_class", "background"),
        description="Volumes equal in these columns are comparable with one another.",
    )
    min_stratum: int = Field(
        10, ge=3, description="Volumes of this many sessions at least, else `no_reference`."
    )
    pass_from: Fraction = Field(0.8, description="quality_score from which a volume passes.")
    fail_below: Fraction = Field(0.4, description="quality_score below which a volume fails.")
    max_failed_fraction: Fraction = Field(
        0.5, description="More failed series than this share stop the run after its tables."
    )

    @model_validator(mode="after")
    def _thresholds_ordered(self) -> "RatingSection":
        if self.fail_below > self.pass_from:
            raise ValueError(
                f"fail_below {self.fail_below:g} must not exceed pass_from {self.pass_from:g}"
            )
        return self


class ReportSection(Section):
    """The HTML page. A change rewrites the page only."""

    title: str = "mriqa"
    worst: int = Field(24, ge=0, le=200, description="Pictures of the lowest-scoring volumes.")
    random: int = Field(12, ge=0, le=200, description="Pictures of volumes drawn at random.")
    seed: int = Field(0, ge=0, description="Of the random sample.")


class EvaluationSection(Section):
    """Comparison with a truth table. A change reruns `evaluate` only."""

    truth: Path | None = Field(
        None, description="Table of series_id, volume, family, severity; none: no evaluation."
    )
    bootstraps: int = Field(200, ge=0, description="Resamples of subjects for intervals.")
    seed: int = Field(0, ge=0, description="Of the bootstrap.")
    hysnet: Path | None = Field(
        None,
        description="A file like config/hysnet_experiments.yaml, for the rules `ablation` and "
        "`comparators`; none: its defaults.",
    )
    elsewhere: Path | None = Field(
        None,
        description="Results of another cohort's finished run, to whose volumes `ablation` adds "
        "noise; none: not asked.",
    )


class ResourcesSection(Section):
    """Memory of the jobs. A change reruns what had not fit."""

    convert_mem_mb: int = Field(
        2000,
        ge=256,
        description="Of a convert job at its first attempt; more where a series exceeds shard_mb.",
    )
    score_mem_mb: int = Field(
        2000,
        ge=256,
        description="Of a score job at its first attempt; more where a series exceeds shard_mb.",
    )
    rate_mem_mb: int = Field(
        4000,
        ge=1024,
        description="Of the jobs that embed volumes by a learned method: rating and its bank.",
    )
    merge_mem_mb: int = Field(4000, ge=256, description="Of the merge job.")
    convert_threads: int = Field(2, ge=1, description="Series converted at a time in a job.")
    score_threads: int = Field(1, ge=1, description="Volumes scored at a time in a job.")
    rate_threads: int = Field(1, ge=1, description="CPU threads of a learned method's rating job.")
    bank_threads: int = Field(
        1, ge=1, description="CPU threads of the job that builds its reference bank."
    )


class Config(Section):
    """The whole configuration."""

    results: Path = Field(description="Folder of everything that is written.")
    methods: tuple[Method, ...] = Field(
        (),
        description="Learned methods beside the hand-made metrics: [simclr, hierarchy, hysnet]; "
        "the last predicts a number and does not rate.",
    )
    cohort: CohortSection
    labels: tuple[LabelSource, ...] = Field(
        (), description="What raters said of scans; their agreement is reported."
    )
    convert: ConvertSection = ConvertSection()
    score: ScoreSection = ScoreSection()
    brain_maps: tuple[MapsSource, ...] = Field(
        (),
        description="Your own brain masks and tissue maps of the contrasts in score.brain: "
        "[{kind: derivatives, path: ...}, {kind: table, path: ...}].",
    )
    rating: RatingSection = RatingSection()
    simclr: SimclrSection = SimclrSection()
    hierarchy: HierarchySection = HierarchySection()
    hysnet: HysnetSection = HysnetSection()
    training: TrainingSection = TrainingSection()
    report: ReportSection = ReportSection()
    evaluation: EvaluationSection = EvaluationSection()
    resources: ResourcesSection = ResourcesSection()

    @field_validator("brain_maps")
    @classmethod
    def _maps_are_of_brains(
        cls, sources: tuple[MapsSource, ...], info: ValidationInfo
    ) -> tuple[MapsSource, ...]:
        score = info.data.get("score")  # not there where it is wrong itself
        if sources and score is not None and not (score.brain.t1w or score.brain.t2w):
            raise ValueError(
                "score.brain names no contrast that these could be of; add, e.g., "
                "score: {brain: {t1w: [T1w]}}"
            )
        return sources
