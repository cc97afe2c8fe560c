"""Brain and tissues of a volume that comes without maps of its own.

On blocks of about 2 mm a surface is grown around the brain, dipy's hidden Markov random field
(Zhang et al., IEEE TMI 20:45, 2001) divides it into three tissues, and a smooth bias field is
fitted to what the tissues leave, in turn. On the voxels every tissue is a normal distribution
with the field's probabilities as prior. No registration, no atlas, no learned weights.
"""

import numpy as np

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics.brain import mixture
from mriqa.metrics.brain.air import Up, air_masks, foreground
from mriqa.metrics.brain.bias import Field, field_on, fitted_field
from mriqa.metrics.brain.coarse import (
    Coarse,
    coarsened,
    field_in,
    large_components,
    mask_on_voxels,
)
from mriqa.metrics.brain.fractions import Probabilities
from mriqa.metrics.brain.maps import BrainTissue
from mriqa.metrics.brain.measure import MIN_BRAIN_VOXELS
from mriqa.metrics.brain.mixture import Contrast
from mriqa.metrics.brain.order import Values
from mriqa.metrics.brain.summary import GAUSSIAN_3_4
from mriqa.metrics.brain.surface import brain_of
from mriqa.metrics.brain.voxels import bounding_box, clean
from mriqa.metrics.regions import Mask, Volume

ROUNDS = 12
"""How often tissues and bias field are estimated in turn."""

_SMOOTHING = 0.1
_ITERATIONS = 20
_REFINEMENTS = 4
_EVEN_PRIOR = 0.1
"""Share of an even prior: the blocks' probabilities are no certainty for their voxels."""

_LEAST = 0.01
"""Smaller probabilities count as 0, so that a tissue's voxels are those that may hold it."""

_FENCE = 3.0
_SKULL_MM = 170.0
"""From the top of the head to below the cerebellum; what is lower is neck."""

_ZERO = (1e-3, 1e-4)
"""Mean and deviation of what dipy is given outside of the brain: as it would draw it itself."""


def estimate_tissue(
    volume: Volume,
    spacing_mm: tuple[float, float, float],
    contrast: Contrast,
    *,
    up: Up | None = None,
    brain: Mask | None = None,
) -> BrainTissue:
    """Tissues and masks of a brain volume `(z, y, x)` float32, spacing_mm = (dz, dy, dx).

    `contrast` says which tissue is bright. `up`: array axis and direction that lead to the top of
    the head, to leave out neck and the air around the face; `brain`: the caller's own mask instead
    of ours. Deterministic, some seconds a volume. Raises SeriesError (NO_FOREGROUND) where no
    brain of 1000 voxels stands out, or all of it has one intensity. A volume of something else
    than a brain is not recognised: it gets tissues that are none.
    """
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    image = clean(volume.astype(np.float32, copy=True))
    coarse = coarsened(image, spacing_mm)
    inside = _brain(coarse, up) if brain is None else blocks_of(brain, coarse, spacing_mm)
    held = (mask_on_voxels(inside, coarse, shape) if brain is None else brain) & (image > 0)
    _check_brain(coarse.image[inside], int(np.count_nonzero(held)))
    inside[inside] = mixture.plausible(coarse.image[inside], contrast)
    prior, field = _segmented(coarse.image, inside, contrast)
    bias = field_on(field, shape)
    before = np.stack([field_in(one, coarse, held) for one in prior])
    classes = _on_voxels(image[held] / bias[held], before, contrast)
    known = classes.any(axis=0)
    held[held] = known
    probabilities = np.ascontiguousarray(classes[:, known][list(mixture.ORDER[contrast])])
    masks = air_masks(image, coarse, inside, up)
    head, air, found = masks.head | held, masks.air & ~held, masks.artifacts & ~held
    return BrainTissue(held, probabilities, head, air, found, masks.frame, bias)


def _check_brain(blocks: Values, n_voxels: int) -> None:
    if n_voxels < MIN_BRAIN_VOXELS or blocks.size < MIN_BRAIN_VOXELS // 8:
        raise SeriesError(
            ErrorCode.NO_FOREGROUND, f"only {n_voxels} voxels of brain stand out; 1000 are needed"
        )
    low, high = np.percentile(blocks, (5, 95))
    if low >= high:
        raise SeriesError(ErrorCode.NO_FOREGROUND, f"the brain has one intensity, {low:g}: a mask?")


def _brain(coarse: Coarse, up: Up | None) -> Mask:
    head = large_components(foreground(coarse.image))
    if up is not None and head.any():
        axis, direction = up
        others = tuple(a for a in range(3) if a != axis)
        planes = np.flatnonzero(head.any(axis=others))
        depth = round(_SKULL_MM / coarse.spacing_mm[axis])
        neck: list[slice] = [slice(None)] * 3
        top = planes[-1] if direction > 0 else planes[0]
        neck[axis] = slice(0, max(top - depth, 0)) if direction > 0 else slice(top + depth, None)
        head[tuple(neck)] = False
    return brain_of(coarse.image * head, coarse.spacing_mm, head) & (coarse.image > 0)


def blocks_of(brain: Mask, coarse: Coarse, spacing_mm: tuple[float, float, float]) -> Mask:
    """The blocks of which more than half is `brain`, a mask of voxels."""
    share = coarsened(brain.astype(np.float32), spacing_mm).image
    return np.asarray((share > 0.5) & (coarse.image > 0))


def _segmented(image: Volume, inside: Mask, contrast: Contrast) -> tuple[Volume, Field]:
    """Probabilities `(3, z, y, x)` from dark to bright, and the bias field."""
    shape = (image.shape[0], image.shape[1], image.shape[2])
    corrected = image
    for number in range(ROUNDS):
        last = number == ROUNDS - 1
        segment = _hidden_field if last else _independent
        probabilities = segment(corrected, inside, contrast)
        left, weights = residual(image, probabilities, corrected, inside, contrast)
        field = fitted_field(left, weights, inside)
        corrected = image / field_on(field, shape)
    return _hidden_field(corrected, inside, contrast), field


def _independent(image: Volume, inside: Mask, contrast: Contrast) -> Volume:
    """Probabilities as of `_hidden_field`, every block for itself: cheap, while the field grows."""
    values = image[inside]
    found = mixture.fitted(values, contrast)
    even = np.repeat(found.shares[:, None], values.size, axis=1).astype(np.float32)
    probabilities = np.zeros((3, *image.shape), np.float32)
    probabilities[:, inside] = mixture.posterior(values, even, found)
    return probabilities


def _hidden_field(image: Volume, inside: Mask, contrast: Contrast) -> Volume:
    """Probabilities of three tissues from dark to bright, `(3, z, y, x)`, 0 outside."""
    from dipy.segment.tissue import TissueClassifierHMRF

    box = bounding_box(inside)
    assert box is not None
    within = inside[box]
    values = image[inside]
    # dipy would fill exact zeros with noise of no fixed seed.
    part = np.random.default_rng(0).normal(*_ZERO, within.shape)
    part[within] = np.maximum(mixture.spread_out(values, mixture.fitted(values, contrast)), 1e-3)
    # It takes 1 for the largest value that needs no scaling.
    with np.errstate(divide="ignore", invalid="ignore"):  # of a class that no voxel belongs to
        _, _, shares = TissueClassifierHMRF(verbose=False).classify(
            part * (3 / 4), 3, _SMOOTHING, tolerance=1e-3, max_iter=_ITERATIONS
        )
    probabilities = np.zeros((3, *image.shape), np.float32)
    probabilities[:, *box] = np.nan_to_num(np.moveaxis(shares, -1, 0)) * within
    return probabilities


def residual(
    image: Volume, probabilities: Volume, corrected: Volume, inside: Mask, contrast: Contrast
) -> tuple[Volume, Volume]:
    """Logarithm of intensity over that of the tissue, and how much a voxel tells of the field.

    White and grey matter tell it: fluid is mixed with other tissue, and moves.
    """
    total = np.maximum(probabilities.sum(axis=(1, 2, 3)), np.float32(1e-6))
    means = (probabilities * corrected).sum(axis=(1, 2, 3)) / total
    expected = np.tensordot(means, probabilities, 1)
    left = np.zeros_like(image)
    known = inside & (expected > 0) & (image > 0)
    if not known.any():
        return left, left
    left[known] = np.log(image[known] / expected[known])
    solid = list(mixture.ORDER[contrast][1:])
    weights = np.square(probabilities[solid]).sum(axis=0) * known
    middle = np.median(left[known])
    spread = np.median(np.abs(left[known] - middle)) / GAUSSIAN_3_4
    weights *= np.abs(left - middle) < _FENCE * max(spread, 1e-3)
    return left, weights.astype(np.float32)


def _on_voxels(values: Values, before: Probabilities, contrast: Contrast) -> Probabilities:
    """Probabilities `(3, n)` of voxels with the corrected `values` `(n,)`; 0 for outliers."""
    before *= np.float32(1 - _EVEN_PRIOR)
    before += np.float32(_EVEN_PRIOR / 3)
    now = before / before.sum(axis=0)
    for _ in range(_REFINEMENTS):
        found = mixture.estimated(values, now, contrast)
        now = mixture.posterior(values, before, found)
    now[now < _LEAST] = 0
    now /= np.maximum(now.sum(axis=0), np.float32(1e-6))
    now[:, mixture.outliers(values, found, contrast)] = 0
    now[:, ~mixture.plausible(values, contrast)] = 0
    return np.asarray(now, np.float32)
