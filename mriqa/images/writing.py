"""Writing the Zarr store of a shard: every object is read back and compared, bit for bit."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from mriqa.errors import MriqaError
from mriqa.images.array_names import store_array_name
from mriqa.images.layout import Block, Layout
from mriqa.images.objects import CNAMES, LEVEL, Codec, difference, write_object
from mriqa.images.store import FORMAT_VERSION, SeriesAttributes


class StoreWriteError(MriqaError):
    """The store cannot be written (full disk, no permission, failing disk): the job stops."""


def create_store(path: Path) -> None:
    """An empty group at `path`, which must not exist."""
    zarr.create_group(path, zarr_format=3, attributes={"format_version": FORMAT_VERSION})


class SeriesWriter:
    """Writes one series, object by object, and its metadata last: no metadata, no array."""

    def __init__(
        self, store: Path, series_id: str, layout: Layout, dtype: np.dtype[Any], codec: Codec
    ) -> None:
        self.folder = store / store_array_name(series_id)
        self._layout, self._dtype, self._codec = layout, dtype, codec

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Store `values` (t, z, y, x) as the object of `block`; read it back and compare.

        Raises StoreWriteError if the file system refuses, or gives back other bytes.
        """
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        grid = (self._layout.object_volumes, self._layout.object_slices)
        path = self.folder / self._layout.object_name(block)
        with refusals_stop(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_object(path, values, grid, self._codec)
        problem = difference(path, values, grid)
        if problem:
            raise StoreWriteError(
                f"{path}: the disk gave back other bytes than were written: it {problem}"
            )

    def finish(self, attributes: SeriesAttributes) -> None:
        """Write the metadata with `attributes`."""
        content = array_metadata(self._layout, self._dtype, self._codec)
        content["attributes"] = attributes.to_json()
        with refusals_stop(self.folder):
            (self.folder / "zarr.json").write_text(json.dumps(content, allow_nan=False))

    def footprint(self) -> dict[str, int]:
        """Bytes and files that the series takes in the store."""
        sizes = [file.stat().st_size for file in self.folder.iterdir()]
        return {"stored_bytes": sum(sizes), "stored_files": len(sizes)}

    def discard(self) -> None:
        """Remove what was written of a series that turned out to be bad."""
        shutil.rmtree(self.folder, ignore_errors=True)


def array_metadata(layout: Layout, dtype: np.dtype[Any], codec: Codec) -> dict[str, Any]:
    """The `zarr.json` of an array (Zarr specification 3.1, sharding codec 1.0), no attributes."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {
        "typesize": layout.itemsize, "cname": CNAMES[codec], "clevel": LEVEL,
        "shuffle": "bitshuffle", "blocksize": layout.slice_bytes,
    }  # fmt: skip
    sharding = {
        "chunk_shape": list(layout.chunks),
        "codecs": [
            little if layout.itemsize > 1 else {"name": "bytes"},
            {"name": "blosc", "configuration": blosc},
            {"name": "crc32c"},
        ],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": dtype.name,
        "dimension_names": ["t", "z", "y", "x"][4 - len(layout.shape) :],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(layout.shards)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "storage_transformers": [],
        "attributes": {},
    }


@contextmanager
def refusals_stop(where: Path) -> Iterator[None]:
    """Turn a refusal of the file system into StoreWriteError, which stops the job."""
    try:
        yield
    except OSError as error:
        raise StoreWriteError(_refusal(where, error.errno, str(error))) from error


def _refusal(where: Path, number: int | None, text: str) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}: cannot be written, the disk or quota is full; make room and run again"
    return f"{where}: cannot be written ({os.strerror(number) if number else text})"
