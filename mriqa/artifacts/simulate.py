"""One NIfTI in, the same NIfTI with a simulated artifact out: the verb `mriqa simulate`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from mriqa.artifacts.apply import apply
from mriqa.artifacts.background import measure_background
from mriqa.artifacts.draw import draw
from mriqa.artifacts.families import Family, PhaseAxis
from mriqa.artifacts.model import Artifact
from mriqa.artifacts.picture import Picture, draw_picture
from mriqa.errors import UserError
from mriqa.files import replacing, write_json
from mriqa.images.geometry import Placement, place, to_source, to_stored
from mriqa.images.intensity import scaled
from mriqa.images.nifti import NiftiHeader
from mriqa.images.source import NiftiSource, open_nifti
from mriqa.progress import track

SUFFIXES = (".nii.gz", ".nii")
RECORD_KEYS = {"source", "spacing_mm", "slice_axis", "orientation", "volumes"}
Volume = NDArray[np.float32]


@dataclass(frozen=True)
class Simulated:
    """One volume (z, y, x) before and after, and how it was made.

    `background_sigma` was measured at `background_source`; `n_clipped` voxels left the range of
    the file's integer type.
    """

    before: Volume
    after: Volume
    artifact: Artifact
    background_sigma: float
    background_source: str
    n_clipped: int

    def record(self) -> dict[str, Any]:
        """What the JSON file says of this volume."""
        return {
            "artifact": json.loads(self.artifact.to_json()),
            "background_sigma": self.background_sigma,
            "background_source": self.background_source,
            "n_clipped": self.n_clipped,
        }


def simulate_file(
    source: Path,
    target: Path,
    *,
    family: Family,
    severity: float,
    seed: int,
    phase_axis: str | None,
) -> Path:
    """Put an artifact into every volume of `source` and write `target`; return the picture's path.

    Volume t is drawn with `seed + t`. Header, data type, scaling and byte order stay those of the
    source; severity 0 keeps every voxel. `phase_axis` None is drawn from the seed. Where the
    provider zeroed the air it stays zero. Beside `target` stand `<name>_before_after.png` and
    `<name>.json`, whose artifacts replay through `Artifact.from_json`. Raises SeriesError if
    `source` cannot be read and UserError if the request is impossible.
    """
    stem = _checked_stem(source, target)
    axis = _phase_axis(phase_axis, seed)
    records: list[dict[str, Any]] = []
    with open_nifti(source) as image, replacing(target) as temporary:
        header = image.header
        placement = place(header.zooms_mm, header.affine, header.slice_dimension)
        with _writing(temporary, gzipped=target.name.endswith(".gz")) as out:
            out.write(image.preamble)
            numbers = range(header.n_volumes)
            for t in track(numbers, header.n_volumes, f"simulate {family}", "volumes"):
                raw = np.empty((1, *header.shape_ijk[::-1]), header.dtype)
                image.read_into(raw)
                made, voxels = _one_volume(raw, header, placement, family, severity, seed + t, axis)
                out.write(voxels.tobytes())
                records.append(made.record())
                if t == 0:
                    first = made
        image.finish()
        out_picture = target.with_name(f"{stem}_before_after.png")
    write_json(target.with_name(f"{stem}.json"), _record(image, placement, records))
    spacing = _spacing(header, placement)
    draw_picture(
        out_picture, Picture(first.before, first.after, spacing, placement, first.artifact)
    )
    return out_picture


def _one_volume(
    raw: NDArray[Any],
    header: NiftiHeader,
    placement: Placement,
    family: Family,
    severity: float,
    seed: int,
    phase_axis: PhaseAxis,
) -> tuple[Simulated, NDArray[Any]]:
    before = np.ascontiguousarray(
        scaled(to_stored(raw, placement.axes)[0], header.slope, header.inter)
    )
    background = measure_background(np.where(np.isfinite(before), before, 0))
    spacing = _spacing(header, placement)
    try:
        artifact = draw(
            family,
            severity,
            before.shape,
            spacing,
            seed,
            phase_axis=phase_axis,
            keep_zeros=background.masked,
        )
    except ValueError as error:
        raise UserError(f"simulate: {error}") from None
    after = apply(before, spacing, artifact)
    voxels, clipped = _as_stored(to_source(after[None], placement.axes), header)
    made = Simulated(before, after, artifact, background.sigma, background.source, clipped)
    return made, raw if artifact.severity == 0 else voxels


def _as_stored(values: NDArray[Any], header: NiftiHeader) -> tuple[NDArray[Any], int]:
    """`values` in the data type and scaling of the file, and how many had to be clipped."""
    unscaled = (np.asarray(values, np.float64) - header.inter) / header.slope
    if header.dtype.kind == "f":
        return unscaled.astype(header.dtype), 0
    limits = np.iinfo(header.dtype)
    rounded = np.rint(unscaled)
    # The largest float64 that an int64 holds: the limit itself is rounded up.
    highest = np.nextafter(float(limits.max), 0) if header.dtype.itemsize == 8 else limits.max
    clipped = int(np.count_nonzero((rounded < limits.min) | (rounded > highest)))
    return np.clip(rounded, limits.min, highest).astype(header.dtype), clipped


def _spacing(header: NiftiHeader, placement: Placement) -> tuple[float, float, float]:
    z, y, x = (header.zooms_mm[axis] for axis in placement.axes)
    return z, y, x


def _record(
    image: NiftiSource, placement: Placement, volumes: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "source": Path(image.name).name,
        "spacing_mm": list(_spacing(image.header, placement)),
        "slice_axis": placement.slice_axis,
        "orientation": placement.stored_orientation,
        "volumes": volumes,
    }


def _checked_stem(source: Path, target: Path) -> str:
    """The target's name without suffix; raises UserError if it cannot be written to."""
    suffix = next((end for end in SUFFIXES if target.name.endswith(end)), None)
    if suffix is None or target.name == suffix:
        raise UserError(f"{target}: the name of the output must end in .nii.gz or .nii")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: the output would replace its own source; name another file")
    stem = target.name.removesuffix(suffix)
    record = target.with_name(f"{stem}.json")
    if record.exists() and not _is_record(record):
        raise UserError(
            f"{target}: the record of the artifact would replace {record}, which is not of "
            "`mriqa simulate` (a BIDS sidecar?); name another file"
        )
    return stem


def _is_record(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() >= RECORD_KEYS


def _phase_axis(phase_axis: str | None, seed: int) -> PhaseAxis:
    if seed < 0:
        raise UserError(f"simulate: seed is {seed}; it must not be negative")
    if phase_axis is None:
        return "y" if np.random.default_rng([seed, len(Family)]).integers(2) else "x"
    if phase_axis not in ("y", "x"):
        raise UserError(f"simulate: phase axis is {phase_axis!r}; it must be y or x")
    return "y" if phase_axis == "y" else "x"


@contextmanager
def _writing(path: Path, *, gzipped: bool) -> Iterator[Any]:
    """An open file; if `gzipped`, without name or time inside: equal runs give equal bytes."""
    with path.open("wb") as handle:
        if not gzipped:
            yield handle
            return
        with igzip.IGzipFile(filename="", mode="wb", fileobj=handle, mtime=0) as stream:
            yield stream
