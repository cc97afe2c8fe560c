"""The trained hierarchy as a model folder, and as what rates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from mriqa.config import LearningSection
from mriqa.embedding.volumes import MEASURED, VolumeEmbedding
from mriqa.methods.hierarchy.assess import Fitted
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.features import KEY, check_features
from mriqa.methods.hierarchy.learning import Networks, untrained
from mriqa.methods.hierarchy.levels import Levels
from mriqa.methods.hierarchy.reading import Reading
from mriqa.training.imported import IMPORTED_FROM
from mriqa.training.model_folder import ModelFolder, Origin, read_model, write_model

METHOD = "hierarchy"
_READING_WEIGHT, _READING_BIAS = "reading_weight", "reading_bias"


class _All(nn.Module):
    """Everything with weights, by the names that they have in the folder."""

    def __init__(self, encoder: nn.Module, own: "Hierarchy") -> None:
        super().__init__()
        networks, levels = own.networks, own.levels
        self.encoder = encoder
        self.slices = networks.slices
        self.volumes = networks.volumes
        self.register_buffer("centre", torch.from_numpy(levels.centre))
        self.register_buffer("spread", torch.from_numpy(levels.spread))
        if own.reading is not None:
            self.register_buffer(_READING_WEIGHT, torch.from_numpy(own.reading.weight))
            self.register_buffer(_READING_BIAS, torch.from_numpy(own.reading.bias))


@dataclass(frozen=True)
class Hierarchy:
    """A trained hierarchy without its slice network: from embeddings to probabilities."""

    model_id: str
    networks: Networks
    reading: Reading | None
    levels: Levels
    fitted: Fitted
    stratum_columns: tuple[str, ...]
    precision: str
    min_accuracy: float

    @property
    def rates(self) -> bool:
        """Whether its ratings are good enough to be given."""
        return self.fitted.accuracy is None or self.fitted.accuracy >= self.min_accuracy

    def bag(self, embedding: VolumeEmbedding, stratum: str) -> Bags:
        """What its networks see of a volume. Raises ValueError if they do not know the stratum."""
        read = embedding if self.reading is None else self.reading.of(embedding)
        return Bags.of([self.levels.bag(read, stratum)])


@dataclass(frozen=True)
class Trained:
    """What training gives, to be written."""

    encoder: nn.Module
    hierarchy: Hierarchy
    section: LearningSection
    metrics: dict[str, Any]


def write_hierarchy(
    folder: Path, trained: Trained, origin: Origin, tables: Mapping[str, pa.Table]
) -> None:
    """Write the model folder, with `tables` by the names of their files."""
    own, section = trained.hierarchy, trained.section
    config = {
        "method": METHOD,
        "learning": section.identity.model_dump(mode="json"),
        "pretraining": section.pretraining.model_dump(mode="json"),
        "strata": list(own.levels.strata),
        "stratum_columns": list(own.stratum_columns),
        "precision": own.precision,
        KEY: MEASURED,
        "fitted": own.fitted.to_json(),
    }
    module = _All(trained.encoder, own)
    write_model(folder, module, config, trained.metrics, origin, tables)


def read_hierarchy(folder: Path) -> Hierarchy:
    """The hierarchy in a model folder; raises UserError if it is no whole one."""
    return _hierarchy(read_model(folder))


def _hierarchy(model: ModelFolder) -> Hierarchy:
    check_features(model.config, model.path, imported=IMPORTED_FROM in model.provenance)
    section = LearningSection.model_validate(model.config["learning"])
    centre, spread = (model.weights[name].numpy() for name in ("centre", "spread"))
    levels = Levels(tuple(model.config["strata"]), centre, spread)
    networks = untrained(centre.shape[1] + 1, section)
    model.load_into(networks.slices, "slices.")
    model.load_into(networks.volumes, "volumes.")
    return Hierarchy(
        model.model_id,
        networks,
        _reading(model),
        levels,
        Fitted.from_json(model.config["fitted"]),
        tuple(model.config["stratum_columns"]),
        str(model.config["precision"]),
        section.min_accuracy,
    )


def _reading(model: ModelFolder) -> Reading | None:
    if _READING_WEIGHT not in model.weights:
        return None
    return Reading(*(model.weights[name].numpy() for name in (_READING_WEIGHT, _READING_BIAS)))
