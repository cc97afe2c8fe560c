"""One source file into the store: read once, written object by object, described.

Nothing of a series is in memory but the object that is being written (and, where a volume is
larger than an object and its slices do not lie in a row, that one volume).
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.manifest import Series
from mriqa.config import ConvertSection
from mriqa.errors import ErrorCode
from mriqa.images.geometry import Placement, place, to_stored
from mriqa.images.intensity import IntensityCollector, VolumeIntensity
from mriqa.images.layout import MIB, Block, Layout, plan_layout
from mriqa.images.nifti import MIN_IN_PLANE, MIN_SLICES
from mriqa.images.source import NiftiSource
from mriqa.images.store import SeriesAttributes
from mriqa.images.writing import SeriesWriter

BUFFERS = 3
"""An object counts so many times: as written, as the next is read, and for codec and allocator."""


@dataclass(frozen=True)
class SeriesPlan:
    """How one series will be stored, known from its header."""

    placement: Placement
    layout: Layout
    reorders: bool
    """Whether voxels must be copied into another order of axes or bytes."""

    @property
    def reads_whole_volumes(self) -> bool:
        """Whether slabs must be cut from a volume in memory, its slices not being contiguous."""
        return (
            self.layout.object_slices < self.layout.shape_zyx[0]
            and self.placement.slice_axis != "k"
        )

    @property
    def memory_bytes(self) -> int:
        """The most that converting it holds at a time."""
        object_bytes = (BUFFERS + self.reorders) * self.layout.object_bytes
        volume_bytes = prod(self.layout.shape_zyx) * self.layout.itemsize
        return object_bytes + (volume_bytes if self.reads_whole_volumes else 0)


def plan_series(
    source: NiftiSource, contrast: str, settings: ConvertSection, memory_bytes: int
) -> SeriesPlan:
    """Slice axis and objects; objects shrink where `memory_bytes` does not hold full ones.

    Raises SeriesError if the volume is too small, or cannot be converted within the memory.
    """
    header = source.header
    axis = settings.slice_axis.get(contrast)
    placement = place(header.zooms_mm, header.affine, header.slice_dimension, axis)
    z, y, x = placement.axes
    shape = (header.shape_ijk[z], header.shape_ijk[y], header.shape_ijk[x])
    if shape[0] < MIN_SLICES or min(shape[1:]) < MIN_IN_PLANE:
        source.fail(
            ErrorCode.TOO_SMALL,
            f"{shape[0]} slices of {shape[1]} x {shape[2]} voxels; {MIN_SLICES} slices of "
            f"{MIN_IN_PLANE} x {MIN_IN_PLANE} are the least",
        )
    reorders = placement.axes != (2, 1, 0) or not header.dtype.isnative
    needed = 0
    for layout in layouts(header.n_volumes, shape, header.dtype.itemsize, settings.object_mb):
        plan = SeriesPlan(placement, layout, reorders)
        needed = plan.memory_bytes
        if needed <= memory_bytes:
            return plan
    return source.fail(
        ErrorCode.OUT_OF_MEMORY,
        f"needs {needed // MIB + 1} MiB at once, the job has "
        f"{memory_bytes // MIB} MiB for images; raise resources.convert_mem_mb",
    )


def layouts(
    n_volumes: int, shape_zyx: tuple[int, int, int], itemsize: int, object_mb: int
) -> Iterator[Layout]:
    """From objects of `object_mb` down to one slice each, by halves.

    By halves, so that what is stored does not follow every small change of the memory.
    """
    object_bytes = object_mb * MIB
    while object_bytes:
        yield plan_layout(n_volumes, shape_zyx, itemsize, object_bytes)
        object_bytes //= 2


def store_series(
    source: NiftiSource, series: Series, plan: SeriesPlan, writer: SeriesWriter
) -> SeriesAttributes:
    """Read the image of `source` to its end and write it; returns what was stored beside it.

    Raises SeriesError if the image is damaged, constant or not finite (the caller discards).
    """
    header, layout = source.header, plan.layout
    n_voxels = prod(layout.shape_zyx)
    intensities: list[VolumeIntensity] = []
    collector = IntensityCollector(n_voxels, header.slope, header.inter)
    for block, values in read_blocks(source, plan):
        for volume in values:
            collector.add(volume)
            if block.z1 == layout.shape_zyx[0]:
                intensities.append(collector.result())
                collector = IntensityCollector(n_voxels, header.slope, header.inter)
        writer.write(block, values)
    sha256 = source.finish()
    check_values(source, intensities)
    attributes = describe(source, series, plan, intensities, sha256)
    writer.finish(attributes)
    return attributes


def read_blocks(source: NiftiSource, plan: SeriesPlan) -> Iterator[tuple[Block, NDArray[Any]]]:
    """Each object's voxels as contiguous (t, z, y, x) in native byte order, in the file's order."""
    header = source.header
    i, j, k = header.shape_ijk
    axes = plan.placement.axes
    volume: NDArray[Any] | None = None
    for block in plan.layout.blocks():
        n_volumes, n_slices = block.t1 - block.t0, block.z1 - block.z0
        if plan.reads_whole_volumes:
            if block.z0 == 0 or volume is None:
                volume = np.empty((1, k, j, i), header.dtype)
                source.read_into(volume)
            part = to_stored(volume, axes)[:, block.z0 : block.z1]
        else:
            n_planes = n_slices if plan.placement.slice_axis == "k" else k
            raw = np.empty((n_volumes, n_planes, j, i), header.dtype)
            source.read_into(raw)
            part = to_stored(raw, axes)
        yield block, np.ascontiguousarray(part, header.dtype.newbyteorder("="))


def check_values(source: NiftiSource, intensities: list[VolumeIntensity]) -> None:
    """Refuse a series without any finite value, or with one value only."""
    seen = [volume for volume in intensities if volume.lowest is not None]
    if not seen:
        source.fail(ErrorCode.ALL_NONFINITE, "no voxel is a finite number")
    lowest = min(volume.lowest for volume in seen if volume.lowest is not None)
    highest = max(volume.highest for volume in seen if volume.highest is not None)
    if lowest == highest:
        source.fail(ErrorCode.CONSTANT, f"all finite voxels have the value {lowest:g}")


def describe(
    source: NiftiSource,
    series: Series,
    plan: SeriesPlan,
    intensities: list[VolumeIntensity],
    sha256: str,
) -> SeriesAttributes:
    """The attributes of a series whose image was read."""
    header, placement, layout = source.header, plan.placement, plan.layout
    spacing = [header.zooms_mm[axis] for axis in placement.axes]
    n_voxels = layout.n_volumes * prod(layout.shape_zyx)
    n_zeroed = sum(volume.background_zeroed for volume in intensities)
    return SeriesAttributes(
        series_id=series.series_id,
        n_volumes=header.n_volumes,
        shape_zyx=layout.shape_zyx,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        slice_axis=placement.slice_axis,
        source_axes=placement.axes,
        source_orientation=placement.source_orientation,
        stored_orientation=placement.stored_orientation,
        dtype=header.dtype.name,
        byte_order="little" if header.byte_order == "<" else "big",
        slope=header.slope,
        inter=header.inter,
        affine=tuple(tuple(float(value) for value in row) for row in header.affine),
        header_base64=base64.b64encode(source.preamble).decode(),
        trailing_base64=base64.b64encode(source.trailing).decode(),
        sha256=sha256,
        size_bytes=series.size_bytes,
        nonfinite_fraction=sum(volume.n_nonfinite for volume in intensities) / n_voxels,
        percentiles=tuple(volume.percentiles for volume in intensities),
        background_zeroed=2 * n_zeroed > len(intensities),
        bvals=series.bvals,
    )
