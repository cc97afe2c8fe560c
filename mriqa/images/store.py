"""The Zarr store of a shard, as it is read: a group a shard, an array a series.

Any Zarr 3 reader opens it: `zarr.open_group(path)[name]`, with the stored values of the source; a
value is `stored * slope + inter`. What else is known of a series is in the array's attributes.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.array_names import store_array_name
from mriqa.images.geometry import Axis
from mriqa.images.integrity import damage
from mriqa.images.intensity import PERCENTILES, scaled

FORMAT_VERSION = 1
ZARRS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
"""Zarr settings: the Rust codec pipeline: the fastest of those tried."""


@dataclass(frozen=True)
class SeriesAttributes:
    """What is stored beside the voxels of a series.

    `shape_zyx`, `spacing_mm` = (dz, dy, dx) and `stored_orientation` are in the store's axes,
    z along `slice_axis` of the source. `affine` maps source voxels (i, j, k) to RAS mm. `slope` and
    `inter` are 1 and 0 where the header has none. `header_base64` is everything before the image,
    extensions included, `trailing_base64` everything after it. `percentiles` has a row a volume,
    foreground intensities at `mriqa.images.intensity.PERCENTILES`, or None for a volume without
    foreground. `size_bytes` and `sha256` are those of the source file.
    """

    series_id: str
    n_volumes: int
    shape_zyx: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    slice_axis: Axis
    source_axes: tuple[int, int, int]
    source_orientation: str
    stored_orientation: str
    dtype: str
    byte_order: Literal["little", "big"]
    slope: float
    inter: float
    affine: tuple[tuple[float, ...], ...]
    header_base64: str
    trailing_base64: str
    sha256: str
    size_bytes: int
    nonfinite_fraction: float
    percentiles: tuple[tuple[float, ...] | None, ...]
    background_zeroed: bool
    bvals: tuple[float, ...] | None

    def percentile(self, volume: int, percent: float) -> float | None:
        """Foreground intensity of one volume at one of PERCENTILES."""
        row = self.percentiles[volume]
        return None if row is None else row[PERCENTILES.index(percent)]

    @property
    def header_bytes(self) -> bytes:
        """Header and extensions of the source, byte for byte."""
        return base64.b64decode(self.header_base64)

    def to_json(self) -> dict[str, Any]:
        """For the array's attributes: JSON types only."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"format_version": FORMAT_VERSION, **content}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "SeriesAttributes":
        """From the array's attributes; KeyError if one is missing."""
        return cls(**{field.name: _tuples(stored[field.name]) for field in fields(cls)})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


class StoredSeries:
    """One series of a store; `attributes`, and its voxels as scaled float32."""

    def __init__(self, array: zarr.Array[Any], attributes: SeriesAttributes, where: str) -> None:
        self.attributes = attributes
        self._array = array
        self._where = where

    def volume(self, t: int = 0) -> NDArray[np.float32]:
        """Volume `t` as (z, y, x); what is not finite is NaN."""
        return self._finite(self.stored(t))

    def slice(self, t: int, z: int) -> NDArray[np.float32]:
        """Slice `z` of volume `t` as (y, x); what is not finite is NaN."""
        return self._finite(self._read((t, z)))

    def stored(self, t: int = 0) -> NDArray[Any]:
        """Volume `t` as (z, y, x), the source's own values."""
        return self._read((t,))

    def _read(self, index: tuple[int, ...]) -> NDArray[Any]:
        t, n_volumes = index[0], self.attributes.n_volumes
        if not 0 <= t < n_volumes:
            raise IndexError(f"volume {t} of {self._where}, which has {n_volumes}")
        inner = index[1:] if n_volumes == 1 else index
        try:
            return np.asarray(self._array[inner if inner else ...])
        except Exception as error:  # whatever the codecs raise on damaged bytes
            raise _damaged(self._where, f"{type(error).__name__}: {error}") from error

    def _finite(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        values = scaled(stored, self.attributes.slope, self.attributes.inter)
        bad = ~np.isfinite(values)
        if bad.any():
            values[bad] = np.nan
        return values


class ShardStore:
    """The store of one shard."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self._group = group

    @cached_property
    def names(self) -> frozenset[str]:
        """Array names of the series that the store holds."""
        return frozenset(self._group.array_keys())

    def series(self, series_id: str, *, check: bool = True) -> StoredSeries:
        """The series with this id; SeriesError (store_damaged) if it is not whole.

        `check` reads every stored byte against its checksum, a millisecond for 2 MB.
        """
        name = store_array_name(series_id)
        where = f"{self.path}/{name}"
        try:
            array = self._group[name]
            attributes = SeriesAttributes.from_json(array.attrs.asdict())
        except Exception as error:  # zarr raises many kinds on damaged metadata
            raise _damaged(where, f"{type(error).__name__}: {error}") from error
        if not isinstance(array, zarr.Array):
            raise _damaged(where, "a group stands where an array should be")
        problem = damage(array, self.path / name) if check else None
        if problem:
            raise _damaged(where, problem)
        return StoredSeries(array, attributes, where)


def open_store(path: Path) -> ShardStore:
    """Open the store of a shard for reading; SeriesError (store_damaged) if it is none."""
    zarr.config.set(ZARRS)
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except Exception as error:  # zarr raises many kinds on missing or damaged metadata
        raise _damaged(str(path), f"{type(error).__name__}: {error}") from error
    return ShardStore(path, group)


def _damaged(where: str, cause: str) -> SeriesError:
    return SeriesError(ErrorCode.STORE_DAMAGED, f"{where}: cannot be read back ({cause}).")
