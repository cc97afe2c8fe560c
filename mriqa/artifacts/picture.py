"""The picture beside a simulated volume: before, after, difference."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.families import SEVERITIES, Family
from mriqa.artifacts.model import Artifact
from mriqa.files import replacing
from mriqa.images.geometry import Placement

Volume = NDArray[np.float32]
NAMES = dict(zip(SEVERITIES, ("none", "mild", "medium", "strong"), strict=True))
PLANES = ("slice", "row", "column")
"""What is looked at across (z, y, x)."""
AXIS = {Family.INTERSLICE: 2}
"""Of families that show across the slices alone, what their picture is a plane across."""
WIDTH_IN = 10.5
DPI = 130


@dataclass(frozen=True)
class Picture:
    """What is shown: volumes (z, y, x) before and after, their spacing (dz, dy, dx) in mm."""

    before: Volume
    after: Volume
    spacing_mm: tuple[float, float, float]
    placement: Placement
    artifact: Artifact


def draw_picture(path: Path, picture: Picture) -> None:
    """Write a PNG: one slice before and after in the same window, and their difference.

    Of motion between slices a plane across them, as slices do not show it.
    """
    from matplotlib.figure import Figure  # a second to import; only pictures need it

    axis = AXIS.get(picture.artifact.family, 0)
    moved = (np.moveaxis(one, axis, 0) for one in (picture.before, picture.after))
    index = shown_slice(*moved)
    (before, after), aspect = upright(picture, index, axis)
    low, high = window(before)
    height = WIDTH_IN / 3 * aspect * before.shape[0] / before.shape[1]
    figure = Figure(figsize=(WIDTH_IN, min(max(height, 2.0), 9.0) + 0.9), layout="constrained")
    count = picture.before.shape[axis]
    figure.suptitle(title(picture.artifact, index, count, axis), fontsize=11)
    panels = figure.subplots(1, 3)
    reach = (high - low) / 2
    shown = (
        ("before", before, "gray", low, high),
        ("after", after, "gray", low, high),
        (f"after − before (±{reach:.3g})", after - before, "RdBu_r", -reach, reach),
    )
    for panel, (label, image, colours, least, most) in zip(panels, shown, strict=True):
        panel.imshow(
            image, cmap=colours, vmin=least, vmax=most, aspect=aspect, interpolation="nearest"
        )
        panel.set_title(label, fontsize=10)
        panel.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def title(artifact: Artifact, index: int, count: int, axis: int = 0) -> str:
    """One line that says what was done."""
    name = NAMES.get(artifact.severity)
    severity = f"severity {artifact.severity:g}" + (f" ({name})" if name else "")
    air = ", zeroed air kept" if artifact.keep_zeros else ""
    return (
        f"{artifact.family.replace('_', ' ')}, {severity}, seed {artifact.seed}, "
        f"phase axis {artifact.phase_axis}{air}, {PLANES[axis]} {index} of {count}"
    )


def shown_slice(before: Volume, after: Volume) -> int:
    """The middle slice, or the nearest that changed as much as the others.

    Dropout and spikes leave slices out; half of the largest mean change counts as changed.
    """
    change = np.nan_to_num(np.abs(after - before)).mean(axis=(1, 2), dtype=np.float64)
    changed = np.flatnonzero(change >= change.max() / 2)
    return int(changed[np.argmin(np.abs(changed - len(before) // 2))])


def window(image: Volume) -> tuple[float, float]:
    """Black and white of a grey picture: 0 (or the least value) and the 99.5th percentile."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = min(0.0, float(finite.min())), float(np.percentile(finite, 99.5))
    return low, high if high > low else low + 1.0


def upright(picture: Picture, index: int, axis: int = 0) -> tuple[tuple[Volume, Volume], float]:
    """Plane `index` across `axis` (0: a slice) of both as radiologists look at it, and height over
    width of a voxel.

    Superior or anterior is up, the subject's right is on the left.
    """
    before, after = (np.moveaxis(one, axis, 0)[index] for one in (picture.before, picture.after))
    down, across = (other for other in range(3) if other != axis)
    orientation = picture.placement.stored_orientation
    rows, columns = orientation[down], orientation[across]
    aspect = picture.spacing_mm[down] / picture.spacing_mm[across]
    if columns in "IS" or (rows in "RL" and columns in "AP"):
        before, after, rows, columns, aspect = before.T, after.T, columns, rows, 1 / aspect
    turn_rows = -1 if rows in "SA" else 1
    turn_columns = -1 if columns in "RA" else 1
    turned = np.s_[::turn_rows, ::turn_columns]
    return (before[turned], after[turned]), aspect
