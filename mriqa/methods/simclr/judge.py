"""How alike an embedding is to its references: the paper's rule, and the distance after whitening.

[S] Mean cosine similarity to 20 HQ and 20 LQ references; class = the larger mean; SIM = the
similarity (class HQ) or 1 - similarity (class LQ). [P] The margin of the two means; and the
whitened one: how much nearer it is to the mean of the HQ references than to those of the families
of artifacts, in the directions in which these lie. That takes all references of the stratum: what a
person's size does to an embedding is levelled, and more references make the means surer. Slices are
compared with the slices at the same place of the references.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from mriqa.config import ReferenceSection
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.methods.simclr.bank import Reference, StratumBank, without
from mriqa.methods.simclr.matching import Indices, choose_matching, nearest
from mriqa.methods.simclr.whitening import (
    HQ,
    Embeddings,
    Whitening,
    levelled,
    margin_of,
    unit,
    whitening,
)
from mriqa.references.person import Person

Floats = NDArray[np.float64]
KEPT_WITHOUT = 2
"""Banks without one subject that are kept for its next volume."""


@dataclass(frozen=True)
class Similarities:
    """Of n volumes or slices, float64 (n); NaN where there is nothing to compare."""

    s_hq: Floats
    s_lq: Floats
    margin_whitened: Floats

    @property
    def margin(self) -> Floats:
        """s_hq - s_lq; higher is better."""
        return self.s_hq - self.s_lq

    @property
    def is_hq(self) -> NDArray[np.bool_]:
        """Class HQ, by the paper's rule."""
        return self.s_hq > self.s_lq

    @property
    def sim(self) -> Floats:
        """SIM of the paper: s_hq of class HQ, 1 - s_lq of class LQ."""
        return np.where(self.is_hq, self.s_hq, 1 - self.s_lq)


@dataclass(frozen=True)
class Chosen:
    """References to compare with; where they are `matching` a person, the most similar first."""

    hq: Indices
    lq: Indices
    matching: str


@dataclass(frozen=True)
class Judged:
    """One volume: `similarities` has length 1; the nearest references after whitening."""

    similarities: Similarities
    matching: str
    nearest_hq: str
    nearest_lq: str


class Judge:
    """Compares with the references of one stratum, never with those of the subject itself."""

    def __init__(self, bank: StratumBank, section: ReferenceSection) -> None:
        self._section = section
        self._bank = bank
        self._whole = _Compared(bank, section)
        self._without = lru_cache(KEPT_WITHOUT)(
            lambda subject: _Compared(without(bank, subject), section)
        )

    def volume(self, embedding: VolumeEmbedding, person: Person) -> Judged:
        """The volume of `person` with this embedding."""
        return self.embedded(embedding.volume, person)

    def embedded(self, embedding: NDArray[np.floating], person: Person) -> Judged:
        """The volume of `person` whose embedding is `embedding` (d)."""
        compared = self._for(person)
        chosen = compared.choose(person)
        query = np.asarray(embedding, np.float32)[None]
        raw = _means(compared.final(query), compared.volumes, chosen)
        whitened = compared.whiten.apply(levelled(query))
        margin = margin_of(whitened, *compared.means)
        hq, lq = (compared.nearest_to(whitened, rows).name for rows in compared.everyone)
        return Judged(Similarities(*raw, margin), chosen.matching, hq, lq)

    def slices(self, embedding: VolumeEmbedding, person: Person) -> Similarities:
        """The slices (z) of a volume of `person`; NaN for slices that are not of the body."""
        compared = self._for(person)
        chosen = compared.choose(person)
        values = np.full((3, len(embedding.is_body)), np.nan)
        body, places = embedding.is_body, embedding.places[embedding.is_body]
        query = embedding.slices[body].astype(np.float32)
        table = compared.slice_table
        values[:2, body] = _slice_means(compared.final(query), table, places, chosen)
        whitened = table.whiten.apply(levelled(query))
        values[2, body] = margin_of(whitened, *table.means_at(places))
        return Similarities(*values)

    def _for(self, person: Person) -> "_Compared":
        if person.subject in self._bank.subjects:
            return self._without(person.subject)
        return self._whole


class _Compared:
    """References ready for comparison: unit rows, and whitened ones.

    `classes` are HQ and LQ of the paper's rule, `everyone` all that are compared with.
    """

    def __init__(self, bank: StratumBank, section: ReferenceSection) -> None:
        self.bank = bank
        self._section = section
        hq, lq = bank.labels == HQ, bank.labels != HQ
        self.classes = np.flatnonzero(hq), np.flatnonzero(lq & bank.severe)
        self.everyone = np.flatnonzero(hq), np.flatnonzero(lq & bank.compared)
        rows = np.concatenate(self.everyone)
        values = levelled(bank.volumes)
        self.whiten = whitening(values[rows], bank.labels[rows].tolist(), section.shrinkage)
        self.volumes = self.final(bank.volumes)
        self._whitened = self.whiten.apply(values)

    def final(self, embeddings: Embeddings) -> Embeddings:
        """Unit rows of the network's output alone, which the paper's rule takes."""
        return final(embeddings, self.bank.n_final)

    @cached_property
    def families(self) -> list[Indices]:
        """The LQ references of each family."""
        lq = self.everyone[1]
        labels = self.bank.labels[lq]
        return [lq[labels == name] for name in np.unique(labels)]

    @cached_property
    def means(self) -> tuple[Embeddings, list[Embeddings]]:
        """Whitened means (1, k) of HQ and of each family."""
        hq, *families = (
            self._whitened[rows].mean(axis=0, keepdims=True)
            for rows in (self.everyone[0], *self.families)
        )
        return hq, families

    def choose(self, person: Person) -> Chosen:
        people, section = self.bank.people, self._section
        matching = choose_matching(person, people, self.classes, section.min_references)
        hq, lq = (
            nearest(person, people, rows, matching, section.per_class) for rows in self.classes
        )
        return Chosen(hq, lq, matching.name)

    def nearest_to(self, whitened: Embeddings, rows: Indices) -> Reference:
        """Of the references `rows` the one that is nearest to `whitened` (1, k)."""
        away = np.linalg.norm(self._whitened[rows] - whitened, axis=1)
        return self.bank.references[int(rows[int(away.argmin())])]

    @cached_property
    def slice_table(self) -> "SliceTable":
        hq = self.everyone[0]
        return SliceTable.of(self.bank, (hq, *self.families), self._section.shrinkage)


@dataclass(frozen=True)
class SliceTable:
    """The slices (m, d) of all references; `first`, `counts` (n) find a reference's.

    `raw`: unit rows; `whitened` (m, k); `places` (m): 0 the first slice of the body, 1 its last;
    `groups`: the HQ references, and those of each family.
    """

    raw: Embeddings
    whitened: Embeddings
    whiten: Whitening
    places: NDArray[np.float32]
    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    groups: tuple[Indices, ...]

    @classmethod
    def of(cls, bank: StratumBank, groups: tuple[Indices, ...], shrinkage: float) -> "SliceTable":
        """Of the references of `bank`, whitened by those in `groups`."""
        used = np.isin(bank.owner, np.concatenate(groups))
        labels = bank.labels[bank.owner[used]].tolist()
        values = levelled(bank.slices)
        whiten = whitening(values[used], labels, shrinkage)
        return cls(
            raw=final(bank.slices, bank.n_final),
            whitened=whiten.apply(values),
            whiten=whiten,
            places=bank.places,
            first=np.cumsum(bank.counts) - bank.counts,
            counts=bank.counts,
            groups=groups,
        )

    def at(self, reference: int, places: NDArray[np.float32]) -> Indices:
        """Rows of the slices of one reference that are nearest to `places`."""
        start, count = int(self.first[reference]), int(self.counts[reference])
        own = self.places[start : start + count]
        rows: Indices = start + np.abs(own[None, :] - places[:, None]).argmin(axis=1)
        return rows

    def means_at(self, places: NDArray[np.float32]) -> tuple[Embeddings, list[Embeddings]]:
        """Whitened means (n, k) of HQ, and of each family that has slices, at `places` (n)."""
        means = [self.mean_at(self.whitened, rows, places) for rows in self.groups]
        return means[0], [mean for mean in means[1:] if not np.isnan(mean).any()]

    def mean_at(
        self, values: Embeddings, references: Indices, places: NDArray[np.float32]
    ) -> Embeddings:
        """Mean of `values` at each of `places` over those `references` with slices; else NaN."""
        usable = [int(one) for one in references if self.counts[one] > 0]
        total = np.zeros((len(places), values.shape[1]), np.float32)
        for reference in usable:
            total += values[self.at(reference, places)]
        if not usable:
            return np.full_like(total, np.nan)
        total /= len(usable)
        return total


def final(embeddings: Embeddings, n_final: int) -> Embeddings:
    """Unit rows (n, n_final) of the last `n_final` values of each of `embeddings` (n, d)."""
    return unit(embeddings[:, -n_final:])


def _means(query: Embeddings, references: Embeddings, chosen: Chosen) -> tuple[Floats, Floats]:
    """Mean cosines (n) of unit rows `query` (n, d) to the chosen HQ and LQ references."""
    hq, lq = (
        (query @ references[rows].T).mean(axis=1, dtype=np.float64)
        for rows in (chosen.hq, chosen.lq)
    )
    return hq, lq


def _slice_means(
    query: Embeddings, table: SliceTable, places: NDArray[np.float32], chosen: Chosen
) -> tuple[Floats, Floats]:
    """Mean cosines (n) of slices to those at the same place of the HQ and LQ references."""
    # the mean of cosines is the cosine with the mean of unit vectors
    hq, lq = (table.mean_at(table.raw, rows, places) for rows in (chosen.hq, chosen.lq))
    return (
        np.einsum("nd,nd->n", query, hq, dtype=np.float64),
        np.einsum("nd,nd->n", query, lq, dtype=np.float64),
    )
