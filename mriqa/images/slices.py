"""Single slices of a store, in any order, as training reads them: a `pread` and a decompression.

Zarr itself takes ten times as long to find one slice. Every slice is checked against its checksum,
so that a damaged store is an error and never other pixels.
"""

import json
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.array_names import store_array_name
from mriqa.images.intensity import scaled
from mriqa.images.layout import object_name
from mriqa.images.objects import CHECKSUM_BYTES, NOTHING
from mriqa.images.store import SeriesAttributes, open_store

MAX_OPEN = 256
"""Files kept open: most systems allow a process 1024."""
INDEX_ENTRY_BYTES = 16
INNER_CODECS = (["bytes", "blosc", "crc32c"], ["bytes", "crc32c"])
"""Of a slice and of the index, in the layout that is read here."""
LITTLE = {None, "little"}


class StoredFiles:
    """Files that are read at any place and stay open, the longest unused closed first.

    May be used by several threads, and sent to another process, where it opens its own.
    """

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._open: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, counted from the end if negative; fewer at the file's end.

        OSError if the file cannot be read.
        """
        with self._lock:
            handle = self._handle(path)
            if offset < 0:
                offset = max(0, os.fstat(handle).st_size + offset)
            return os.pread(handle, size, offset)

    def _handle(self, path: str) -> int:
        handle = self._open.get(path)
        if handle is None:
            while len(self._open) >= self._limit:
                os.close(self._open.popitem(last=False)[1])
            handle = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._open.move_to_end(path)
        return handle

    def close(self) -> None:
        """Close all; the next read opens what it needs."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        for handle in getattr(self, "_open", {}).values():
            os.close(handle)

    def __reduce__(self) -> tuple[type["StoredFiles"], tuple[int]]:
        return StoredFiles, (self._limit,)


@dataclass(frozen=True)
class _Grid:
    """Where a slice stands: volumes and slices of one object, and the slice's own shape."""

    object_volumes: int
    object_slices: int
    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    has_time: bool

    @property
    def slots(self) -> int:
        return self.object_volumes * self.object_slices

    @property
    def slice_bytes(self) -> int:
        return prod(self.shape_yx) * self.dtype.itemsize

    def place(self, t: int, z: int) -> tuple[str, int]:
        """The object of a slice and its slot there."""
        block_t, inner_t = divmod(t, self.object_volumes)
        block_z, inner_z = divmod(z, self.object_slices)
        index = (block_z, 0, 0)
        name = object_name((block_t, *index) if self.has_time else index)
        return name, inner_t * self.object_slices + inner_z


class SliceReader:
    """One series of a store, slice by slice; opens its metadata and the objects that it needs.

    `attributes` are the series' but for the source's header. Raises SeriesError (store_damaged) if
    the series is not there or not readable.
    """

    attributes: SeriesAttributes

    def __init__(self, store: Path, series_id: str, files: StoredFiles | None = None) -> None:
        self._store, self._series_id = store, series_id
        self._folder = str(store / store_array_name(series_id))
        self._files = files or StoredFiles()
        self._indices: dict[str, NDArray[Any]] = {}
        # Every slice is one thread's work, and blosc would start a pool of its own.
        blosc.use_threads = False
        try:
            content = json.loads(Path(self._folder, "zarr.json").read_bytes())
            stored = SeriesAttributes.from_json(content["attributes"])
            self._grid = _grid(content, stored)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error
        self.attributes = replace(stored, header_base64="", trailing_base64="")

    def slice(self, t: int, z: int) -> NDArray[np.float32]:
        """Slice `z` of volume `t` as (y, x), scaled; what is not finite is as it is stored."""
        return scaled(self.read(t, z), self.attributes.slope, self.attributes.inter)

    def read(self, t: int, z: int) -> NDArray[Any]:
        """Slice `z` of volume `t` as (y, x), the source's own values; do not write to it.

        IndexError if there is none; SeriesError (store_damaged) if it is not what was written.
        """
        n_volumes, n_slices = self.attributes.n_volumes, self.attributes.shape_zyx[0]
        if not (0 <= t < n_volumes and 0 <= z < n_slices):
            raise IndexError(
                f"slice {z} of volume {t} of {self._folder}, which has {n_volumes} volumes of "
                f"{n_slices} slices"
            )
        if self._grid is None:
            return np.asarray(self._slow.stored(t)[z])
        name, slot = self._grid.place(t, z)
        try:
            content = self._content(name, slot)
            values = self._decoded(content, self._grid)
        except (OSError, RuntimeError, ValueError) as error:
            raise self._damaged(f"slice {z} of volume {t} in {name}: {error}") from error
        return values

    def _content(self, name: str, slot: int) -> bytes | None:
        """A slice as it is stored, None if it is not; ValueError if its checksum is wrong."""
        index = self._indices.get(name)
        if index is None:
            index = self._indices[name] = self._read_index(name)
        offset, size = index[slot].tolist()
        if offset == size == np.iinfo(index.dtype).max:
            return None
        return _checked(self._files.read(f"{self._folder}/{name}", offset, size), size)

    def _read_index(self, name: str) -> NDArray[Any]:
        """(slots, 2) offsets and sizes, in 32 bits where they fit: 10⁷ slices are not rare."""
        assert self._grid is not None
        size = self._grid.slots * INDEX_ENTRY_BYTES + CHECKSUM_BYTES
        content = _checked(self._files.read(f"{self._folder}/{name}", -size, size), size)
        index = np.frombuffer(content, "<u8").reshape(-1, 2)
        fits = np.max(index, initial=0, where=index != NOTHING) < np.iinfo(np.uint32).max
        return index.astype(np.uint32 if fits else np.uint64)

    @staticmethod
    def _decoded(content: bytes | None, grid: _Grid) -> NDArray[Any]:
        if content is None:  # left out by the writer: the fill value
            return np.zeros(grid.shape_yx, grid.dtype)
        values = np.frombuffer(blosc.decompress(content), grid.dtype)
        return values.reshape(grid.shape_yx)

    @cached_property
    def _slow(self) -> Any:
        """The series as any Zarr reader gives it: another layout than mriqa writes."""
        return open_store(self._store).series(self._series_id)

    def _damaged(self, cause: str) -> SeriesError:
        message = f"{self._folder}: cannot be read back ({cause})."
        return SeriesError(ErrorCode.STORE_DAMAGED, message)


def _checked(stored: bytes, size: int) -> bytes:
    """What stands before the checksum; ValueError if it is cut short or not what was written."""
    if len(stored) != size:
        raise ValueError("is cut short")
    content = stored[:-CHECKSUM_BYTES]
    if int(google_crc32c.value(content)) != int.from_bytes(stored[-CHECKSUM_BYTES:], "little"):
        raise ValueError("wrong checksum")
    return content


def _grid(content: dict[str, Any], attributes: SeriesAttributes) -> _Grid | None:
    """How `zarr.json` lays the slices out, or None if not in the one way that is read here."""
    shape = _sizes(content["shape"], attributes)
    objects = _sizes(content["chunk_grid"]["configuration"]["chunk_shape"], attributes)
    sharding = content["codecs"][0]
    if len(content["codecs"]) != 1 or sharding["name"] != "sharding_indexed":
        return None
    inner = sharding["configuration"]
    yx = shape[2:]
    if _sizes(inner["chunk_shape"], attributes) != (1, 1, *yx) or objects[2:] != yx:
        return None
    if not (_is_plain(inner) and _has_dotted_names(content) and content["fill_value"] == 0):
        return None
    dtype = np.dtype(content["data_type"]).newbyteorder("<")
    return _Grid(objects[0], objects[1], (yx[0], yx[1]), dtype, len(content["shape"]) == 4)


def _sizes(stored: list[int], attributes: SeriesAttributes) -> tuple[int, ...]:
    """(t, z, y, x); ValueError if the array's dimensions are not those of the series."""
    expected = 3 if attributes.n_volumes == 1 else 4
    if len(stored) != expected:
        raise ValueError(f"{len(stored)} dimensions instead of {expected}")
    return tuple(stored) if len(stored) == 4 else (1, *stored)


def _is_plain(inner: dict[str, Any]) -> bool:
    chains = inner["codecs"], inner["index_codecs"]
    named = tuple([codec["name"] for codec in chain] for chain in chains)
    order = {chain[0].get("configuration", {}).get("endian") for chain in chains}
    return named == INNER_CODECS and order <= LITTLE and inner.get("index_location") == "end"


def _has_dotted_names(content: dict[str, Any]) -> bool:
    keys = content["chunk_key_encoding"]
    is_dotted: bool = keys["name"] == "default" and keys["configuration"]["separator"] == "."
    return is_dotted and not content.get("storage_transformers")
