"""One stored object: a file of slices, each compressed and with its checksum, and their index.

Zarr sharding codec 1.0 with the index at the end, as `zarr.json` declares it, so that any Zarr 3
reader reads it. Written and verified here and not through a zarr array, because the threads and
event loops of one such call cost half as much again as compressing a volume.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

Codec = Literal["blosc-zstd", "blosc-lz4"]
CNAMES: dict[Codec, str] = {"blosc-zstd": "zstd", "blosc-lz4": "lz4"}
LEVEL = 1
CHECKSUM_BYTES = 4
NOTHING = 2**64 - 1
"""Offset and size, in the index, of a slice beyond the edge of the array."""
WRITE_BYTES = 2**20
"""What is handed to the file system at a time."""


class DamagedObjectError(Exception):
    """What is wrong with an object, said as a predicate: "is missing"."""


def write_object(path: Path, values: NDArray[Any], grid: tuple[int, int], codec: Codec) -> None:
    """Write the slices of `values` (t, z, y, x) as the object `path`; OSError if refused.

    `grid` counts the volumes and the slices of a full object; one at the array's edge holds fewer.
    """
    cname = CNAMES[codec].encode()
    n_volumes, n_slices = values.shape[:2]
    entries: list[tuple[int, int]] = []
    offset = 0
    with path.open("wb", buffering=WRITE_BYTES) as file:
        for plane in values.reshape(-1, *values.shape[2:]):
            # One block a slice: smaller and a quarter faster than the blocks that blosc chooses.
            content = blosc.compress(plane, cname, LEVEL, blosc.BITSHUFFLE, plane.nbytes)
            size = file.write(content) + file.write(_checksum(content))
            entries.append((offset, size))
            offset += size
        index = np.full((*grid, 2), NOTHING, "<u8")
        index[:n_volumes, :n_slices] = np.reshape(entries, (n_volumes, n_slices, 2))
        content = index.tobytes()
        file.write(content + _checksum(content))


def stored_slices(path: Path, n_slices: int) -> Iterator[bytes]:
    """The slices of an object that has room for `n_slices`, in order and still compressed.

    Reads every stored byte once; raises DamagedObjectError at the first that fails its checksum.
    """
    index_bytes = 16 * n_slices + CHECKSUM_BYTES
    try:
        with path.open("rb", buffering=0) as file:
            number = file.fileno()
            start = os.fstat(number).st_size - index_bytes
            if start < 0:
                raise DamagedObjectError("is too short")
            index = _checked(os.pread(number, index_bytes, start), "an index")
            for offset, size in np.frombuffer(index, "<u8").reshape(-1, 2).tolist():
                if not offset == size == NOTHING:
                    yield _checked(os.pread(number, size, offset), f"a chunk (at byte {offset})")
    except FileNotFoundError:
        raise DamagedObjectError("is missing") from None
    except OSError as error:
        raise DamagedObjectError(f"cannot be read ({error.strerror or error})") from error


def difference(path: Path, values: NDArray[Any], grid: tuple[int, int]) -> str | None:
    """How the object, read from its file and decoded, is not `values` bit by bit, or None."""
    planes = values.reshape(-1, *values.shape[2:])
    n_read = 0
    try:
        for content in stored_slices(path, grid[0] * grid[1]):
            # As bytes, where NaN is like itself and 0.0 unlike -0.0.
            if n_read == len(planes) or blosc.decompress(content) != planes[n_read].tobytes():
                return f"has other values in chunk {n_read}"
            n_read += 1
    except DamagedObjectError as problem:
        return str(problem)
    except (RuntimeError, ValueError) as error:  # of the decoder
        return f"cannot be decoded ({error})"
    return None if n_read == len(planes) else f"has {n_read} chunks of {len(planes)}"


def _checksum(content: bytes) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(CHECKSUM_BYTES, "little")


def _checked(stored: bytes, what: str) -> bytes:
    """What stands before its checksum; DamagedObjectError if that is wrong."""
    content = stored[:-CHECKSUM_BYTES]
    if _checksum(content) != stored[-CHECKSUM_BYTES:]:
        raise DamagedObjectError(f"has {what} with a wrong checksum")
    return content
