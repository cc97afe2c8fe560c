"""From the store back to a NIfTI file: voxels, header and extensions byte for byte."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from mriqa.errors import UserError
from mriqa.files import replacing
from mriqa.images.array_names import store_array_name
from mriqa.images.geometry import to_source
from mriqa.images.store import SeriesAttributes, open_store

SUFFIXES = (".nii", ".nii.gz")


def export_series(store: Path, series_id: str, target: Path) -> None:
    """Write the series as NIfTI to `target` (.nii or .nii.gz), whole or not at all.

    What follows inflating is what followed it in the source, bit for bit: header, extensions,
    voxels in the source's order and byte order, and trailing bytes. One volume is in memory at a
    time. Raises UserError for another suffix, no store or no such series in it, SeriesError
    (store_damaged) for a damaged one.
    """
    if not target.name.endswith(SUFFIXES):
        raise UserError(f"{target}: the name must end with .nii or .nii.gz")
    if not (store / "zarr.json").is_file():
        raise UserError(f"{store}: no store; name one such as results/demo/zarr/shard-00000.zarr")
    if not (store / store_array_name(series_id)).is_dir():
        raise UserError(
            f"{store}: no series {series_id!r} in this shard; column `shard` of the table "
            "volumes says in which one it is (those that failed are in none)"
        )
    series = open_store(store).series(series_id)
    attributes = series.attributes
    with replacing(target) as temporary, _opened(temporary, target.name.endswith(".gz")) as file:
        file.write(attributes.header_bytes)
        for t in range(attributes.n_volumes):
            file.write(source_bytes(series.stored(t), attributes))
        file.write(base64.b64decode(attributes.trailing_base64))


def source_bytes(volume: NDArray[Any], attributes: SeriesAttributes) -> memoryview:
    """One stored volume (z, y, x) as the source had it in its file."""
    source = to_source(volume[np.newaxis], attributes.source_axes)
    ordered = np.ascontiguousarray(source, volume.dtype.newbyteorder(attributes.byte_order))
    return ordered.reshape(-1).view("u1").data


@contextmanager
def _opened(path: Path, gzipped: bool) -> Iterator[IO[bytes]]:
    """`path` for writing; gzipped without name and time, so that equal images give equal files."""
    with path.open("wb") as plain:
        if not gzipped:
            yield plain
            return
        with igzip.IGzipFile("", "wb", fileobj=plain, mtime=0) as packed:
            yield cast(IO[bytes], packed)
