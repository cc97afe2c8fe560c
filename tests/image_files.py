"""NIfTI files and shard manifests for the tests of mriqa.images."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nibabel.nifti1 import header_dtype as nifti1_dtype
from nibabel.nifti2 import header_dtype as nifti2_dtype

from mriqa.cohort.manifest import SHARD_SCHEMA, Series, read_shard
from mriqa.config import ConvertSection
from mriqa.images.budget import resident_bytes
from mriqa.images.convert import convert_shard
from mriqa.images.layout import MIB

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def blob(shape_ijk=(12, 10, 9), dtype="i2", seed=0, n_volumes=None) -> np.ndarray:
    """A bright ellipsoid in noise, (i, j, k) or (i, j, k, t), within the range of int8."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape_ijk), indexing="ij")
    image = 80.0 * (sum(axis**2 for axis in axes) < 0.8)
    if n_volumes is not None:
        image = np.repeat(image[..., np.newaxis], n_volumes, axis=-1)
    return np.abs(image + rng.normal(0, 4, image.shape)).astype(dtype)


def nifti_bytes(
    voxels: np.ndarray, affine=AFFINE, *, version=1, order="<", extra=b"", **fields
) -> bytes:
    """A NIfTI file with header fields set to exactly `fields`, whatever they are."""
    kind = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version]
    header = kind(endianness=order)
    header.set_data_shape(voxels.shape)
    header.set_data_dtype(voxels.dtype)
    zooms = [*np.linalg.norm(affine[:3, :3], axis=0), *[1.0] * (voxels.ndim - 3)]
    header["pixdim"][1 : len(zooms) + 1] = zooms
    header.set_sform(affine, 1)
    offset = {1: 352, 2: 544}[version] + len(extra)
    header["vox_offset"] = offset
    header["magic"] = {1: b"n+1", 2: b"n+2\0\r\n\x1a\n"}[version]
    raw = np.frombuffer(
        header.binaryblock, {1: nifti1_dtype, 2: nifti2_dtype}[version].newbyteorder(order)
    ).copy()
    for name, value in fields.items():
        raw[name] = value
    extension = (b"\1\0\0\0" + extra) if extra else bytes(4)
    data = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes(order="F")
    return raw.tobytes() + extension + data


def save(path: Path, content: bytes) -> Path:
    """Write `content`, gzipped if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1) if path.name.endswith(".gz") else content)
    return path


def manifest_of(files: dict[str, Path], folder: Path, **columns) -> Path:
    """A shard manifest with a series for every file; `columns` override those of all rows."""
    rows = []
    for series_id, path in files.items():
        found = path.stat() if path.exists() else None
        rows.append(
            {
                "series_id": series_id, "subject": "01", "session": None, "contrast": "T2w",
                "station": None, "source_path": str(path), "source_kind": "nifti",
                "size_bytes": found.st_size if found else 0,
                "mtime_ns": found.st_mtime_ns if found else 0, "bvals": None,
                "error_code": None, "error_message": None, "excluded_by": None, "shard": 0,
            } | columns
        )  # fmt: skip
    path = folder / "shard-00000.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_SCHEMA), path)
    return path


def series_of(path: Path, folder: Path, series_id="s1", **columns) -> Series:
    """One manifest row."""
    return read_shard(manifest_of({series_id: path}, folder, **columns))[0]


def convert_files(
    files: dict[str, Path], folder: Path, *, settings=None, threads=2, mem_mb=None, **columns
) -> tuple[Path, dict[str, dict]]:
    """Convert `files` as one shard; the store and the status row of every series.

    Without `mem_mb` 1 GiB is left for images, whatever other tests have left in this process.
    """
    mem_mb = mem_mb or 1024 + resident_bytes() // MIB
    store, status = folder / "shard-00000.zarr", folder / "status.parquet"
    convert_shard(
        manifest_of(files, folder, **columns), store, status,
        settings=settings or ConvertSection(), threads=threads, mem_mb=mem_mb,
    )  # fmt: skip
    rows = pq.read_table(status).to_pylist()
    return store, {row["series_id"]: row for row in rows}


def inflated(path: Path) -> bytes:
    """The content of a file, unzipped if it is gzipped."""
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
