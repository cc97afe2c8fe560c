"""Which voxels share a stored object: as many volumes as fit, or slabs of a volume that does not.

Chunk = one slice; object (zarr sharding codec) = a run of whole volumes, or of slices of one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

MIB = 2**20


@dataclass(frozen=True)
class Block:
    """One stored object: volumes [t0, t1) and slices [z0, z1) of them."""

    t0: int
    t1: int
    z0: int
    z1: int


@dataclass(frozen=True)
class Layout:
    """The array of one series; `n_volumes`, `shape_zyx` and the object's extent in t and z."""

    n_volumes: int
    shape_zyx: tuple[int, int, int]
    itemsize: int
    object_volumes: int
    object_slices: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x), or (t, z, y, x) of a series of several volumes."""
        return self._with_time(self.n_volumes, self.shape_zyx)

    @property
    def chunks(self) -> tuple[int, ...]:
        """One slice."""
        return self._with_time(1, (1, *self.shape_zyx[1:]))

    @property
    def shards(self) -> tuple[int, ...]:
        """The extent of one stored object (the zarr sharding codec's shape)."""
        return self._with_time(self.object_volumes, (self.object_slices, *self.shape_zyx[1:]))

    @property
    def slice_bytes(self) -> int:
        """Bytes of one slice before compression."""
        return prod(self.shape_zyx[1:]) * self.itemsize

    @property
    def object_bytes(self) -> int:
        """Bytes of the largest object before compression."""
        return prod(self.shards) * self.itemsize

    def blocks(self) -> Iterator[Block]:
        """The objects in the order of the source's bytes."""
        n_slices = self.shape_zyx[0]
        for t0 in range(0, self.n_volumes, self.object_volumes):
            t1 = min(t0 + self.object_volumes, self.n_volumes)
            for z0 in range(0, n_slices, self.object_slices):
                yield Block(t0, t1, z0, min(z0 + self.object_slices, n_slices))

    def object_name(self, block: Block) -> str:
        """The file of one object."""
        t, z = block.t0 // self.object_volumes, block.z0 // self.object_slices
        return object_name(self._with_time(t, (z, 0, 0)))

    def _with_time(self, t: int, zyx: tuple[int, ...]) -> tuple[int, ...]:
        return zyx if self.n_volumes == 1 else (t, *zyx)


def plan_layout(
    n_volumes: int, shape_zyx: tuple[int, int, int], itemsize: int, object_bytes: int
) -> Layout:
    """Fill objects up to `object_bytes`; at least one slice goes into one."""
    slice_bytes = shape_zyx[1] * shape_zyx[2] * itemsize
    volume_bytes = shape_zyx[0] * slice_bytes
    if volume_bytes <= object_bytes:
        n_fit = min(n_volumes, object_bytes // volume_bytes)
        return Layout(n_volumes, shape_zyx, itemsize, n_fit, shape_zyx[0])
    n_slices = max(1, object_bytes // slice_bytes)
    return Layout(n_volumes, shape_zyx, itemsize, 1, n_slices)


def object_name(index: tuple[int, ...]) -> str:
    """The file of the object at `index` (default chunk key encoding with `.`)."""
    return ".".join(["c", *map(str, index)])
