"""From embeddings to how much nearer a volume is to good ones than to what artifacts make.

Raw embeddings of MR volumes point nearly the same way, and what little they differ in is anatomy
more than quality. [P] Canonical discriminant analysis (Rao 1948) of HQ references and the families
of artifacts: whitening with the covariance within classes, so that all that is not quality varies
equally, then only the directions in which the families' means lie from the HQ mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

Floats = NDArray[np.float64]
Embeddings = NDArray[np.float32]

HQ = "hq"
"""The label of high-quality references; those of low quality have their family's."""

LEAST_SHRINKAGE = 1e-6
"""Fewer references than dimensions: without any shrinkage the covariance has no inverse."""
LEAST_SINGULAR = 1e-6
"""Directions that add less than this part of the greatest one to the families' means are none."""


@dataclass(frozen=True)
class Whitening:
    """Subtract `centre` (d,), the HQ mean, then multiply by `matrix` (k, d).

    Gives coordinates along k directions, at most as many as there are families, in standard
    deviations within classes; the HQ mean is at 0.
    """

    centre: Floats
    matrix: Floats

    def apply(self, embeddings: NDArray[np.floating]) -> Embeddings:
        """Coordinates (n, k) of `embeddings` (n, d)."""
        centred = np.asarray(embeddings, np.float64) - self.centre
        return np.asarray(centred @ self.matrix.T, dtype=np.float32)


def whitening(
    references: NDArray[np.floating], labels: Sequence[str], shrinkage: float
) -> Whitening:
    """The coordinates that `references` (n, d) with `labels` (n) define.

    The covariance is that of the deviations from the mean of the own label, shrunk towards its
    mean diagonal. Families are labels of their own: pooled into one LQ class, the very directions
    in which artifacts move an embedding would count as variation to be levelled.
    Raises ValueError unless both HQ and LQ are there.
    """
    values, names = np.asarray(references, np.float64), np.asarray(labels)
    families = sorted(set(names.tolist()) - {HQ})
    if HQ not in names or not families:
        raise ValueError(f"whitening needs HQ and LQ references; the labels are {set(labels)}")
    means = {name: values[names == name].mean(axis=0) for name in (HQ, *families)}
    deviations = values - np.stack([means[name] for name in names.tolist()])
    n_free = max(len(values) - len(means), 1)
    covariance = deviations.T @ deviations / n_free
    whiten = _inverse_root(covariance, max(shrinkage, LEAST_SHRINKAGE))
    moved = np.stack([whiten @ (means[name] - means[HQ]) for name in families])
    return Whitening(means[HQ], _directions(moved) @ whiten)


def _directions(moved: Floats) -> Floats:
    """An orthonormal basis (k, d) of what the rows of `moved` (families, d) span."""
    _, sizes, basis = np.linalg.svd(moved, full_matrices=False)
    kept = sizes > LEAST_SINGULAR * sizes[0]
    kept[0] = True  # families that move nothing at all: one direction, in which nothing lies
    return np.asarray(basis[kept], dtype=np.float64)


def _inverse_root(covariance: Floats, shrinkage: float) -> Floats:
    """W with W'W = Σ⁻¹, Σ the shrunk covariance; the identity where nothing varies."""
    size = len(covariance)
    level = float(np.trace(covariance)) / size
    if level <= 0:
        return np.eye(size)
    shrunk = (1 - shrinkage) * covariance
    shrunk.flat[:: size + 1] += shrinkage * level
    factor = cholesky(shrunk, lower=True)
    return np.asarray(solve_triangular(factor, np.eye(size), lower=True), dtype=np.float64)


def margin_of(rows: Embeddings, hq: Embeddings, families: Sequence[Embeddings]) -> Floats:
    """How much nearer whitened `rows` (n, k) are to the HQ mean than to the families' means.

    Σ(d_f − d)/Σ|m_f − m|, d and d_f the distances from the mean m of HQ and m_f of a family, for
    each row its own (n, k) or the same for all (1, k). From −1 to 1: 1 at the HQ mean, 0 where the
    families are as near on average (what is like one of many alone may be above), 0 also where no
    mean differs from HQ's. Raises ValueError without families.
    """
    if not families:
        raise ValueError("a margin needs a family of artifacts")
    away = _lengths(rows - hq)
    gained = np.mean([_lengths(rows - one) - away for one in families], axis=0)
    moved = np.mean([_lengths(one - hq) for one in families], axis=0)
    greatest = np.broadcast_to(moved, gained.shape)
    margin = np.divide(gained, greatest, out=np.zeros_like(gained), where=greatest != 0)
    return np.asarray(np.clip(margin, -1, 1), dtype=np.float64)


def _lengths(rows: Embeddings) -> Floats:
    """Euclidean length of each row."""
    return np.asarray(np.linalg.norm(rows.astype(np.float64), axis=1), dtype=np.float64)


def levelled(embeddings: NDArray[np.floating]) -> Embeddings:
    """The square root of every value, with its sign: to be taken before whitening.

    [P] An embedding's values are means of rectified ones, which vary the more the larger they are;
    whitening supposes the same variation everywhere. Measured in docs/results: better than without.
    """
    values = np.asarray(embeddings, np.float32)
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)), dtype=np.float32)


def unit(embeddings: NDArray[np.floating]) -> Embeddings:
    """Rows of length 1; a row of zeros stays zero."""
    values = np.asarray(embeddings, np.float32)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(length > 0, length, 1), dtype=np.float32)
