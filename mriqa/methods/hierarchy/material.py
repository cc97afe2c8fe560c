"""All that training reads, in one file: so that any worker on any node learns from the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.files import write_bytes
from mriqa.labels.model import Label, Target
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.items import TRAIN, Item, slices_given, volumes_given
from mriqa.methods.hierarchy.lesson import Given
from mriqa.methods.hierarchy.levels import Levels

_PLAIN = [field.name for field in fields(Item) if field.name != "affected"]


@dataclass(frozen=True)
class Material:
    """Items, their levelled slices, and `numbers` (m): which slice of its volume each of them is.

    `weight` is that of a simulated label.
    """

    items: tuple[Item, ...]
    bags: Bags
    numbers: NDArray[np.int32]
    labels: tuple[Label, ...]
    weight: float

    @property
    def learnt(self) -> "Material":
        """What is learned from: items of training subjects."""
        return self._those([one.split == TRAIN for one in self.items])

    def held(self, split: str) -> "Material":
        """The items of `validation` or `test` subjects."""
        return self._those([one.split == split for one in self.items])

    @cached_property
    def volumes(self) -> Given:
        """The labels of the items."""
        return volumes_given(self.items, self.labels, self.weight)

    @cached_property
    def slices(self) -> Given:
        """The labels of the items' slices."""
        ends = np.cumsum(self.bags.counts)[:-1]
        return slices_given(self.items, np.split(self.numbers, ends), self.labels, self.weight)

    def _those(self, chosen: Sequence[bool]) -> "Material":
        rows = np.flatnonzero(chosen)
        items = tuple(self.items[row] for row in rows.tolist())
        slices = np.isin(self.bags.owner, rows)
        bags = Bags(self.bags.values[slices], self.bags.counts[rows])
        return Material(items, bags, self.numbers[slices], self.labels, self.weight)


def make_material(
    embedded: Sequence[tuple[Item, VolumeEmbedding]],
    levels: Levels,
    labels: Sequence[Label],
    weight: float,
) -> Material:
    """From embeddings; the items of strata that `levels` does not know are left out."""
    known = [(item, one) for item, one in embedded if levels.knows(item.stratum)]
    bags = Bags.of([levels.bag(one, item.stratum) for item, one in known])
    numbers = np.concatenate([np.flatnonzero(one.is_body) for _, one in known])
    items = tuple(item for item, _ in known)
    return Material(items, bags, numbers.astype(np.int32), tuple(labels), weight)


def write_material(path: Path, material: Material) -> None:
    """Write it as one safetensors file."""
    affected = [np.array(one.affected, dtype=bool) for one in material.items]
    tensors: dict[str, NDArray[Any]] = {
        "values": material.bags.values,
        "counts": material.bags.counts,
        "numbers": material.numbers,
        "affected": np.concatenate([*affected, np.zeros(1, dtype=bool)]),
        "n_affected": np.array([len(one) for one in affected], dtype=np.int64),
    }
    about = {
        "items": json.dumps([[getattr(one, name) for name in _PLAIN] for one in material.items]),
        "labels": json.dumps([asdict(one) for one in material.labels]),
        "weight": repr(material.weight),
    }
    write_bytes(path, save(tensors, about))


def read_material(path: Path) -> Material:
    """What `write_material` wrote."""
    with safe_open(path, framework="numpy") as opened:
        about: Mapping[str, str] = opened.metadata() or {}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    ends = np.cumsum(tensors["n_affected"]).tolist()
    affected = [
        tuple(tensors["affected"][end - count : end].tolist())
        for count, end in zip(tensors["n_affected"].tolist(), ends, strict=True)
    ]
    items = tuple(
        Item(**dict(zip(_PLAIN, row, strict=True)), affected=own)
        for row, own in zip(json.loads(about["items"]), affected, strict=True)
    )
    labels = tuple(
        Label(**{**row, "target": Target(*row["target"]), "as_given": tuple(row["as_given"])})
        for row in json.loads(about["labels"])
    )
    bags = Bags(tensors["values"], tensors["counts"])
    return Material(items, bags, tensors["numbers"], labels, float(about["weight"]))
