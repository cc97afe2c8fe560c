"""How alike an embedding is to its references: the paper's rule, and the same after whitening.

[S] Mean cosine similarity to 20 HQ and 20 LQ references; class = the larger mean; SIM = the
similarity (class HQ) or 1 - similarity (class LQ). [P] The margin of the two means, also of
whitened embeddings, there to all references of the stratum: what a person's size does to an
embedding is levelled, and more references than 20 and 20 make the means surer. Slices are compared
with the slices at the same place of the references.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mriqa.config import ReferenceSection
from mriqa.methods.simclr.bank import StratumBank, without
from mriqa.methods.simclr.embed import VolumeEmbedding
from mriqa.methods.simclr.matching import Indices, Person, choose_matching, nearest
from mriqa.methods.simclr.whitening import HQ, Embeddings, Whitening, levelled, unit, whitening

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
    """One volume: `similarities` has length 1; the nearest references by whitened cosine."""

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
        raw = _means(unit(query), compared.volumes, chosen)
        everyone = compared.everyone
        whitened = unit(compared.whiten.apply(levelled(query)))
        hq, lq = _cosines(whitened, compared.whitened, everyone)
        return Judged(
            Similarities(*raw, hq.mean(axis=1) - lq.mean(axis=1)),
            chosen.matching,
            compared.bank.references[everyone.hq[int(hq[0].argmax())]].name,
            compared.bank.references[everyone.lq[int(lq[0].argmax())]].name,
        )

    def slices(self, embedding: VolumeEmbedding, person: Person) -> Similarities:
        """The slices (z) of a volume of `person`; NaN for slices that are not of the body."""
        compared = self._for(person)
        chosen = compared.choose(person)
        values = np.full((3, len(embedding.is_body)), np.nan)
        body, places = embedding.is_body, embedding.places[embedding.is_body]
        query = embedding.slices[body].astype(np.float32)
        table = compared.slice_table
        values[:2, body] = _slice_means(unit(query), table.raw, table, places, chosen)
        whitened = unit(table.whiten.apply(levelled(query)))
        hq, lq = _slice_means(whitened, table.whitened, table, places, compared.everyone)
        values[2, body] = hq - lq
        return Similarities(*values)

    def _for(self, person: Person) -> "_Compared":
        if person.subject in self._bank.subjects:
            return self._without(person.subject)
        return self._whole


class _Compared:
    """References ready for comparison: unit rows, raw and whitened."""

    def __init__(self, bank: StratumBank, section: ReferenceSection) -> None:
        self.bank = bank
        self._section = section
        self._classes = (
            np.flatnonzero(bank.labels == HQ),
            np.flatnonzero((bank.labels != HQ) & bank.compared),
        )
        rows = np.concatenate(self._classes)
        values = levelled(bank.volumes)
        self.whiten = whitening(values[rows], bank.labels[rows].tolist(), section.shrinkage)
        self.volumes = unit(bank.volumes)
        self.whitened = unit(self.whiten.apply(values))
        self._table: SliceTable | None = None

    @property
    def everyone(self) -> Chosen:
        """All references that are compared with."""
        return Chosen(*self._classes, "")

    def choose(self, person: Person) -> Chosen:
        people, section = self.bank.people, self._section
        matching = choose_matching(person, people, self._classes, section.min_references)
        hq, lq = (
            nearest(person, people, rows, matching, section.per_class) for rows in self._classes
        )
        return Chosen(hq, lq, matching.name)

    @property
    def slice_table(self) -> "SliceTable":
        if self._table is None:
            self._table = SliceTable.of(self.bank, self._section.shrinkage)
        return self._table


@dataclass(frozen=True)
class SliceTable:
    """The slices (m, d) of all references as unit rows; `first`, `counts` (n) find a reference's.

    `places` (m): 0 the first slice of the body, 1 its last.
    """

    raw: Embeddings
    whitened: Embeddings
    whiten: Whitening
    places: NDArray[np.float32]
    first: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, bank: StratumBank, shrinkage: float) -> "SliceTable":
        """Of the references of `bank`, whitened by those that are compared with."""
        used = bank.compared[bank.owner]
        labels = bank.labels[bank.owner[used]].tolist()
        values = levelled(bank.slices)
        whiten = whitening(values[used], labels, shrinkage)
        first = np.cumsum(bank.counts) - bank.counts
        return cls(
            unit(bank.slices), unit(whiten.apply(values)), whiten, bank.places, first,
            bank.counts,
        )  # fmt: skip

    def at(self, reference: int, places: NDArray[np.float32]) -> Indices:
        """Rows of the slices of one reference that are nearest to `places`."""
        start, count = int(self.first[reference]), int(self.counts[reference])
        own = self.places[start : start + count]
        rows: Indices = start + np.abs(own[None, :] - places[:, None]).argmin(axis=1)
        return rows


def _cosines(query: Embeddings, references: Embeddings, chosen: Chosen) -> tuple[Floats, Floats]:
    """Cosines (n, k) of unit rows `query` (n, d) to the chosen HQ and LQ references."""
    hq = (query @ references[chosen.hq].T).astype(np.float64)
    lq = (query @ references[chosen.lq].T).astype(np.float64)
    return hq, lq


def _means(query: Embeddings, references: Embeddings, chosen: Chosen) -> tuple[Floats, Floats]:
    hq, lq = _cosines(query, references, chosen)
    return hq.mean(axis=1), lq.mean(axis=1)


def _slice_means(
    query: Embeddings,
    references: Embeddings,
    table: SliceTable,
    places: NDArray[np.float32],
    chosen: Chosen,
) -> tuple[Floats, Floats]:
    """Mean cosines (n) of slices to those at the same place of the HQ and LQ references."""
    means = []
    for rows in (chosen.hq, chosen.lq):
        usable = rows[table.counts[rows] > 0]
        total = np.zeros(query.shape, np.float32)
        for reference in usable:
            total += references[table.at(int(reference), places)]
        # the mean of cosines is the cosine with the mean of unit vectors
        mean = np.einsum("nd,nd->n", query, total, dtype=np.float64)
        means.append(mean / len(usable) if len(usable) else np.full(len(query), np.nan))
    return means[0], means[1]
