"""The brain metrics written once more, slowly and plainly: one formula, one line."""

import numpy as np
from scipy import ndimage

NORMAL_QUARTILE = 0.6744897501960817


def weighted_quantile(values, weights, share, everywhere):
    """Sort, add up, look where the share is reached; between two values exactly: their mean."""
    whole = np.round(values.astype(np.float64))
    total = sum(weights)
    reached = 0.0
    for level in np.unique(whole):
        reached += weights[whole == level].sum()
        if abs(reached - share * total) < 1e-10:
            above = np.unique(np.round(everywhere.astype(np.float64)))
            above = above[above > level]
            return (level + above[0]) / 2 if above.size else level
        if reached > share * total:
            return level
    raise AssertionError("the share is never reached")


def summary(values, probability, everywhere):
    """Statistics of one tissue from intensities and probabilities of voxels."""
    weights = np.round(probability.astype(np.float32), 3).astype(np.float64)
    whole = np.round(values.astype(np.float64))
    mean = (whole * weights).sum() / weights.sum()
    middle = weighted_quantile(values, weights, 0.5, everywhere)
    core = values[probability > 0.5 * probability.max()].astype(np.float64)
    deviation = core - core.mean()
    return {
        "mean": mean,
        "median": middle,
        "stdv": np.sqrt((weights * (whole - mean) ** 2).sum() / weights.sum()),
        "mad": np.median(np.abs(core - middle)) / NORMAL_QUARTILE,
        "k": (deviation**4).mean() / (deviation**2).mean() ** 2 - 3,
        "p05": weighted_quantile(values, weights, 0.05, everywhere),
        "p95": weighted_quantile(values, weights, 0.95, everywhere),
        "n": probability.astype(np.float64).sum(),
    }


def harmonised(volume, bias, wm):
    """White matter, surer than 0.9 and eroded by 18 neighbours, has the median 1000."""
    image = np.nan_to_num(volume.astype(np.float64) / bias, posinf=0, neginf=0)
    core = ndimage.binary_erosion(wm >= 0.9, ndimage.generate_binary_structure(3, 2))
    return np.maximum(image * 1000 / np.median(image[core]), 0)


def efc(image, frame):
    """Entropy focus criterion, voxel by voxel."""
    x = image[~frame].astype(np.float64)
    norm = np.sqrt((x**2).sum())
    positive = x[x > 0] / norm
    highest = x.size / np.sqrt(x.size) * np.log(1 / np.sqrt(x.size))
    return (positive * np.log(positive)).sum() / highest


def rpve(probability):
    """Residual partial voluming of one tissue over the whole volume."""
    p = np.clip(probability.astype(np.float64), 0, 1)
    n = (p > 0).sum()
    low, high = np.percentile(p[p > 0], (2, 98))
    p = np.where((p < low) | (p > high), 0, p)
    return (p[p > 0.5].sum() + (1 - p[p <= 0.5]).sum()) / n


def fwhm(volume, mask, axis):
    """Forman's width along `axis` in voxels, pair by pair."""
    values, inside = np.moveaxis(volume.astype(np.float64), axis, 0), np.moveaxis(mask, axis, 0)
    both = inside[1:] & inside[:-1]
    difference = (values[1:] - values[:-1])[both]
    alike = 1 - difference.var(ddof=1) / (2 * values[inside].var(ddof=1))
    return np.sqrt(-2 * np.log(2) / np.log(alike))


def artifacts(image, hat, distance):
    """MRIQC's artifact_mask: air above 10 MAD, far from the head, opened by 6 neighbours."""
    air = image[hat]
    positive = air[air > 0]
    spread = np.median(np.abs(positive - np.median(positive))) / NORMAL_QUARTILE
    found = np.zeros(image.shape, bool)
    found[hat] = air / spread > 10
    found[distance < 0.10] = False
    return ndimage.binary_opening(found, ndimage.generate_binary_structure(3, 1))


def frame(image):
    """MRIQC's RotationMask: large opened parts of what is empty."""
    empty = np.pad(image <= 0, 1, constant_values=True)
    opened = ndimage.binary_opening(empty, ndimage.generate_binary_structure(3, 2))
    labels, count = ndimage.label(opened)
    if count > 2:
        sizes = ndimage.sum(opened, labels, range(count + 1))
        opened = np.isin(labels, np.argsort(sizes)[-2:])
    opened = opened[1:-1, 1:-1, 1:-1]
    return opened if opened.sum() >= 500 else np.zeros(image.shape, bool)
