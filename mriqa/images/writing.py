"""Writing the Zarr store of a shard: every object is read back and compared, bit for bit."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore, StorePath

from mriqa.errors import MriqaError
from mriqa.images.layout import Block, Layout
from mriqa.images.store import FORMAT_VERSION, SeriesAttributes, store_array_name

Codec = Literal["blosc-zstd", "blosc-lz4"]
CNAMES: dict[Codec, str] = {"blosc-zstd": "zstd", "blosc-lz4": "lz4"}


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
        self._layout = layout
        self._metadata = array_metadata(layout, dtype, codec)
        # The constructor does no input or output; `zarr.create_array` costs as much as inflating.
        self._array = zarr.Array(
            zarr.AsyncArray(
                ArrayV3Metadata.from_dict(self._metadata),
                StorePath(LocalStore(self.folder)),
                config={"order": "C", "write_empty_chunks": True},
            )
        )

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Store `values` (t, z, y, x) as the object of `block`; read it back and compare.

        Raises StoreWriteError if the file system refuses, or gives back other bytes.
        """
        index: tuple[slice, ...] = (slice(block.t0, block.t1), slice(block.z0, block.z1))
        if self._layout.n_volumes == 1:
            index, values = index[1:], values[0]
        with refusals_stop(self.folder):
            self._array[index] = values
            back = np.asarray(self._array[index])
        if not all(map(np.array_equal, _bits(back), _bits(values))):
            raise StoreWriteError(
                f"{self.folder}: the disk gave back other bytes than were written"
            )

    def finish(self, attributes: SeriesAttributes) -> None:
        """Write the metadata with `attributes`."""
        content = {**self._metadata, "attributes": attributes.to_json()}
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
        "typesize": layout.itemsize, "cname": CNAMES[codec], "clevel": 1,
        "shuffle": "bitshuffle", "blocksize": 0,
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
    """Turn a refusal of the file system into StoreWriteError, which stops the job.

    The Rust codecs raise RuntimeError with the operating system's number in the text.
    """
    try:
        yield
    except OSError as error:
        raise StoreWriteError(_refusal(where, error.errno, str(error))) from error
    except RuntimeError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise StoreWriteError(_refusal(where, int(number[1]), str(error))) from error


def _refusal(where: Path, number: int | None, text: str) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}: cannot be written, the disk or quota is full; make room and run again"
    return f"{where}: cannot be written ({os.strerror(number) if number else text})"


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
