"""Whether the stored objects of a series are all there and hold the bytes that were written.

Zarr reads a missing object as zeros, and the Rust codecs do not check the checksums of the chunks
when only a part of an object is read: a damaged store must not become a wrong table.
"""

from collections import deque
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import zarr

from mriqa.images.layout import object_name
from mriqa.images.objects import DamagedObjectError, stored_slices


def damage(array: zarr.Array[Any], folder: Path) -> str | None:
    """What is wrong with the objects of `array` in `folder`, or None.

    Reads every stored byte once, chunk by chunk, without decoding.
    """
    shards = array.shards or array.chunks
    n_chunks = prod(whole // part for whole, part in zip(shards, array.chunks, strict=True))
    for name in object_names(array.shape, shards):
        try:
            deque(stored_slices(folder / name, n_chunks), maxlen=0)
        except DamagedObjectError as problem:
            return f"{name} {problem}"
    return None


def object_names(shape: tuple[int, ...], shards: tuple[int, ...]) -> Iterator[str]:
    """The files that hold the voxels."""
    counts = [-(-size // part) for size, part in zip(shape, shards, strict=True)]
    for index in product(*map(range, counts)):
        yield object_name(index)
