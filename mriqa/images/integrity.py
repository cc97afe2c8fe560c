"""Whether the stored objects of a series are all there and hold the bytes that were written.

Zarr reads a missing object as zeros, and the Rust codecs do not check the checksums of the chunks
when only a part of an object is read: a damaged store must not become a wrong table.
"""

import os
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr

CHECKSUM_BYTES = 4


def damage(array: zarr.Array[Any], folder: Path) -> str | None:
    """What is wrong with the objects of `array` in `folder`, or None.

    Reads every stored byte once, chunk by chunk, without decoding.
    """
    shards = array.shards or array.chunks
    n_chunks = prod(whole // part for whole, part in zip(shards, array.chunks, strict=True))
    for name in object_names(array.shape, shards):
        problem = object_damage(folder / name, n_chunks)
        if problem:
            return f"{name} {problem}"
    return None


def object_names(shape: tuple[int, ...], shards: tuple[int, ...]) -> Iterator[str]:
    """The files that hold the voxels, as the default chunk key encoding with `.` names them."""
    counts = [-(-size // part) for size, part in zip(shape, shards, strict=True)]
    for index in product(*map(range, counts)):
        yield ".".join(["c", *map(str, index)])


def object_damage(path: Path, n_chunks: int) -> str | None:
    """What is wrong with one object (Zarr sharding codec 1.0, index at the end), or None."""
    index_bytes = 16 * n_chunks
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < index_bytes + CHECKSUM_BYTES:
                return "is too short"
            file.seek(-index_bytes - CHECKSUM_BYTES, os.SEEK_END)
            index = file.read(index_bytes)
            if not _matches(index, file.read(CHECKSUM_BYTES)):
                return "has an index with a wrong checksum"
            for offset, size in np.frombuffer(index, "<u8").reshape(-1, 2).tolist():
                if offset == size == 2**64 - 1:  # beyond the edge of the array
                    continue
                file.seek(offset)
                if not _matches(file.read(size - CHECKSUM_BYTES), file.read(CHECKSUM_BYTES)):
                    return f"has a chunk with a wrong checksum at byte {offset}"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None


def _matches(content: bytes, checksum: bytes) -> bool:
    return bool(google_crc32c.value(content) == int.from_bytes(checksum, "little"))
