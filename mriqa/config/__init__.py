"""The configuration: its sections, and how it is read."""

from mriqa.config.base import Fraction, Section
from mriqa.config.hierarchy import RoundsSection, VolumeStageSection
from mriqa.config.labels import LabelSource, MriqcLabels, ScansLabels, TableLabels
from mriqa.config.loading import check_config, load_config, load_section, section_json
from mriqa.config.methods import (
    ArtifactFamily,
    Method,
    PretrainingSection,
    ReferenceSection,
    SimclrSection,
    TrainingSection,
)
from mriqa.config.sections import (
    BidsSource,
    CohortSection,
    Config,
    ConvertSection,
    EvaluationSection,
    FolderSource,
    RatingSection,
    ReportSection,
    ResourcesSection,
    ScoreSection,
    Source,
    SplitSection,
    StratumColumn,
    TableSource,
)

__all__ = [
    "ArtifactFamily",
    "BidsSource",
    "CohortSection",
    "Config",
    "ConvertSection",
    "EvaluationSection",
    "FolderSource",
    "Fraction",
    "LabelSource",
    "Method",
    "MriqcLabels",
    "PretrainingSection",
    "RatingSection",
    "ReferenceSection",
    "ReportSection",
    "ResourcesSection",
    "RoundsSection",
    "ScansLabels",
    "ScoreSection",
    "Section",
    "SimclrSection",
    "Source",
    "SplitSection",
    "StratumColumn",
    "TableLabels",
    "TableSource",
    "TrainingSection",
    "VolumeStageSection",
    "check_config",
    "load_config",
    "load_section",
    "section_json",
]
