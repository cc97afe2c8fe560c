"""Features of slices, item by item, in one array: what the networks of both stages see."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True)
class Bags:
    """n items of one or more slices each: `values` (m, d) of all slices, one item after the other;
    `counts` (n), at least 1, of each item's."""

    values: NDArray[np.float16] | NDArray[np.float32]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, items: Sequence[NDArray[np.floating]]) -> "Bags":
        """From the features (z, d) of each item."""
        counts = np.array([len(one) for one in items], dtype=np.int64)
        return cls(np.concatenate([np.asarray(one) for one in items]), counts)

    def __len__(self) -> int:
        """Items."""
        return len(self.counts)

    @property
    def length(self) -> int:
        """d, of a slice's features."""
        return int(self.values.shape[1])

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Row of each item's first slice (n)."""
        return np.asarray(np.cumsum(self.counts) - self.counts, dtype=np.int64)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """Of every slice (m), whose it is."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def single(self) -> "Bags":
        """Every slice as an item of its own."""
        return Bags(self.values, np.ones(len(self.values), dtype=np.int64))

    def take(self, rows: Rows) -> "Bags":
        """The items `rows`, in that order."""
        kept = [np.arange(self.first[row], self.first[row] + self.counts[row]) for row in rows]
        slices = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
        return Bags(self.values[slices], self.counts[np.asarray(rows, dtype=np.int64)])

    def with_columns(self, added: NDArray[np.floating]) -> "Bags":
        """The same items; their slices have the columns `added` (m, k), too."""
        columns = np.asarray(added, dtype=self.values.dtype)
        return Bags(np.concatenate([self.values, columns], axis=1), self.counts)

    def padded(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """The items `rows` as float32 (n, z, d), zeros after their own slices, and (n, z) which
        slices are there."""
        rows = np.asarray(rows, dtype=np.int64)
        counts = self.counts[rows]
        places = np.arange(counts.max())
        is_there = places[None] < counts[:, None]
        found = np.where(is_there, self.first[rows][:, None] + places, 0)
        slices = np.asarray(self.values[found], dtype=np.float32)
        slices[~is_there] = 0
        return torch.from_numpy(slices), torch.from_numpy(is_there)
