"""Writing the Zarr store of a shard: every object is read back and compared, bit for bit."""

import os
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from mriqa.errors import MriqaError
from mriqa.images.layout import Block, Layout
from mriqa.images.store import FORMAT_VERSION, SeriesAttributes, store_array_name

Codec = Literal["blosc-zstd", "blosc-lz4"]
CNAMES: dict[Codec, Literal["zstd", "lz4"]] = {"blosc-zstd": "zstd", "blosc-lz4": "lz4"}


class StoreWriteError(MriqaError):
    """The store cannot be written (full disk, no permission, failing disk): the job stops."""


def create_store(path: Path) -> zarr.Group:
    """An empty store at `path`, which must not exist."""
    return zarr.create_group(path, zarr_format=3, attributes={"format_version": FORMAT_VERSION})


class SeriesWriter:
    """Writes one series, object by object, then its attributes."""

    def __init__(
        self,
        group: zarr.Group,
        folder: Path,
        series_id: str,
        layout: Layout,
        dtype: Any,
        codec: Codec,
    ) -> None:
        name = store_array_name(series_id)
        self.folder = folder / name
        self._where = f"{folder}/{name}"
        self._layout = layout
        self._array = group.create_array(
            name,
            shape=layout.shape,
            dtype=np.dtype(dtype).newbyteorder("="),
            chunks=layout.chunks,
            shards=layout.shards,
            filters=None,
            compressors=_compressors(codec, layout.itemsize),
            fill_value=0,
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=("t", "z", "y", "x")[4 - len(layout.shape) :],
            config={"write_empty_chunks": True},
        )

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Store `values` (t, z, y, x) as the object of `block`; read it back and compare."""
        index: tuple[slice, ...] = (slice(block.t0, block.t1), slice(block.z0, block.z1))
        if self._layout.n_volumes == 1:
            index, values = index[1:], values[0]
        self._array[index] = values
        back = np.asarray(self._array[index])
        if not np.array_equal(_bits(back), _bits(values)):
            raise StoreWriteError(
                f"{self._where}: the disk gave back other bytes than were written"
            )

    def finish(self, attributes: SeriesAttributes) -> None:
        """Store the attributes and sync all files."""
        self._array.update_attributes(attributes.to_json())
        for file in self.folder.iterdir():
            sync_file(file)

    def discard(self) -> None:
        """Remove what was written of a series that turned out to be bad."""
        shutil.rmtree(self.folder, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _compressors(codec: Codec, itemsize: int) -> list[Any]:
    blosc = BloscCodec(cname=CNAMES[codec], clevel=1, shuffle="bitshuffle", typesize=itemsize)
    return [blosc, Crc32cCodec()]


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
