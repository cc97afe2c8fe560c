"""The files of one series of the demo cohort, as bytes."""

import json
import math
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from mriqa.artifacts import apply
from mriqa.artifacts.demo_names import file_names
from mriqa.artifacts.demo_plan import (
    AbdomenSeries,
    BadKind,
    BadSeries,
    DemoSeries,
    DiffusionSeries,
    HeadSeries,
)
from mriqa.artifacts.phantom.abdomen import render_abdomen
from mriqa.artifacts.phantom.brain import (
    BRAIN_SPACING_MM,
    acquire_diffusion,
    brain_grid,
    build_head,
    gradient_table,
)
from mriqa.artifacts.phantom.canvas import Floats, Grid, generator
from mriqa.artifacts.phantom.head import HEAD_GRID, acquire_t1w, draw_head, tissue_maps
from mriqa.artifacts.phantom.scanner import PROTOCOL_A, PROTOCOLS, Protocol, acquire, to_int16

GZIP_LEVEL = 1
BAD_GRID = Grid((12, 84, 112), (4.0, 4.464, 4.464))
DIFFUSION_SIDECAR = {
    "Modality": "MR",
    "MagneticFieldStrength": 3.0,
    "Manufacturer": "Norrland",
    "ManufacturersModelName": "Borealis",
    "SeriesDescription": "dwi_b1000_12dir",
    "EchoTime": 0.08,
    "RepetitionTime": 4.2,
    "PhaseEncodingDirection": "j-",
    "TotalReadoutTime": 0.042,
}

T1W_SIDECAR = {
    "Modality": "MR",
    "MagneticFieldStrength": 3.0,
    "Manufacturer": "Norrland",
    "ManufacturersModelName": "Borealis",
    "SeriesDescription": "t1_spgr",
    "EchoTime": 0.003,
    "RepetitionTime": 0.0075,
}


def make_files(series: DemoSeries) -> dict[str, bytes]:
    """Render a series; returns its files by path, in the order of `file_names`."""
    if isinstance(series, AbdomenSeries):
        contents = [_dixon_sidecar(PROTOCOLS[series.protocol]), _abdomen_image(series)]
    elif isinstance(series, DiffusionSeries):
        contents = _diffusion_contents(series)
    elif isinstance(series, HeadSeries):
        contents = _head_contents(series)
    else:
        contents = [_dixon_sidecar(PROTOCOL_A), _bad_image(series)]
    return dict(zip(file_names(series), contents, strict=True))


def clean_abdomen(series: AbdomenSeries) -> Floats:
    """The volume (z, y, x), in stored units, before its artifact."""
    protocol = PROTOCOLS[series.protocol]
    signal, depth = render_abdomen(series.person, protocol.tissue, series.grid, series.anatomy_seed)
    return acquire(signal, depth, series.grid, protocol, series.scan)


def clean_diffusion(series: DiffusionSeries) -> list[Floats]:
    """The volumes (z, y, x), in stored units, before their artifacts."""
    head = build_head(brain_grid(), series.head_seed)
    bvals, bvecs = gradient_table(series.head_seed)
    return [
        acquire_diffusion(head, float(bval), bvecs[:, number], number, series.scan)
        for number, bval in enumerate(bvals)
    ]


def _abdomen_image(series: AbdomenSeries) -> bytes:
    volume, artifact = clean_abdomen(series), series.artifact
    if artifact is not None:
        volume = apply(volume, series.grid.spacing_mm, artifact)
    return nifti_bytes(to_int16(volume), series.grid)


def _diffusion_contents(series: DiffusionSeries) -> list[bytes]:
    volumes = []
    for number, volume in enumerate(clean_diffusion(series)):
        artifact = series.artifact(number)
        if artifact is not None:
            volume = apply(volume, BRAIN_SPACING_MM, artifact)
        volumes.append(to_int16(volume))
    bvals, bvecs = gradient_table(series.head_seed)
    rows = [" ".join(f"{value:.6f}" for value in row) for row in bvecs]
    return [
        _json_bytes(DIFFUSION_SIDECAR),
        (" ".join(f"{value:g}" for value in bvals) + "\n").encode(),
        ("\n".join(rows) + "\n").encode(),
        nifti_bytes(np.stack(volumes), brain_grid()),
    ]


def _head_contents(series: HeadSeries) -> list[bytes]:
    """Mask and tissue maps, as they are where nothing moved; sidecar; image."""
    head, artifact = draw_head(series.head_seed), series.artifact
    maps = list(tissue_maps(head).values())
    volume = acquire_t1w(head, series.scan)
    if artifact is not None:
        volume = apply(volume, HEAD_GRID.spacing_mm, artifact)
    mask = np.asarray(np.sum(maps, axis=0) > 0, np.uint8)
    # in steps of 1/200, of which files are half as large
    shares = [np.rint(one * 200).astype(np.float32) / np.float32(200) for one in maps]
    return [
        *(nifti_bytes(one, HEAD_GRID) for one in (mask, *shares)),
        _json_bytes(T1W_SIDECAR),
        nifti_bytes(to_int16(volume), HEAD_GRID),
    ]


def _dixon_sidecar(protocol: Protocol) -> bytes:
    return _json_bytes(
        {
            "Modality": "MR",
            "MagneticFieldStrength": protocol.field_tesla,
            "Manufacturer": protocol.manufacturer,
            "ManufacturersModelName": protocol.model,
            "SeriesDescription": "gre_dixon_water_tra",
            "ImageType": ["ORIGINAL", "PRIMARY", "DIXON", "WATER"],
            "PhaseEncodingDirection": "j",
        }
    )


def _json_bytes(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def nifti_image(data: NDArray[Any], grid: Grid) -> Any:
    """A NIfTI-1 image of (z, y, x) or (t, z, y, x) data.

    Voxel axes run to the left, front and head, as dcm2niix writes axial slices; the header names
    the third as the slice axis.
    """
    spatial = data.transpose(2, 1, 0) if data.ndim == 3 else data.transpose(3, 2, 1, 0)
    dz, dy, dx = grid.spacing_mm
    affine = np.diag([-dx, dy, dz, 1.0])
    affine[:3, 3] = [-grid.axes[2][0], grid.axes[1][0], grid.axes[0][0]]
    # nibabel marks itself as typed, but most of its functions are not.
    make: Any = nib.Nifti1Image
    image = make(spatial, affine)
    header = image.header
    header.set_dim_info(freq=0, phase=1, slice=2)
    header.set_xyzt_units("mm", "sec")
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    if data.ndim == 4:
        header.set_zooms((dx, dy, dz, 4.2))
    header["descrip"] = b"mriqa demo phantom"
    return image


def nifti_bytes(data: NDArray[Any], grid: Grid) -> bytes:
    """A gzipped NIfTI-1 file without a time stamp: equal data, equal bytes."""
    return _gzip(nifti_image(data, grid).to_bytes())


def _gzip(content: bytes) -> bytes:
    return bytes(igzip.compress(content, GZIP_LEVEL, mtime=0))


def _bad_image(series: BadSeries) -> bytes:
    """A small file that is broken in the one way that its kind names."""
    noise = generator(series.seed).normal(100, 10, BAD_GRID.shape)
    good = nifti_bytes(to_int16(noise.astype(np.float32)), BAD_GRID)
    kind: BadKind = series.kind
    if kind == "truncated_gzip":
        return good[: len(good) * 2 // 3]
    if kind == "zero_bytes":
        return b""
    if kind == "text":
        return b"The image of this subject is in the other archive.\n"
    if kind == "wrong_checksum":
        return good[:-8] + bytes([good[-8] ^ 0xFF]) + good[-7:]
    return _lying_image(kind, to_int16(noise.astype(np.float32)))


def _lying_image(kind: BadKind, data: NDArray[np.int16]) -> bytes:
    """A well-formed file whose voxels or header make no sense."""
    if kind == "nan_filled":
        return nifti_bytes(np.full(data.shape, np.nan, np.float32), BAD_GRID)
    if kind == "constant":
        return nifti_bytes(np.full(data.shape, 117, np.int16), BAD_GRID)
    if kind == "too_few_bytes":
        whole: bytes = nifti_image(data, BAD_GRID).to_bytes()
        return whole[: len(whole) // 2]
    content = bytearray(nifti_image(data, BAD_GRID).to_bytes())
    # pixdim[3], the slice spacing, is a float32 at byte 88 of a NIfTI-1 header.
    content[88:92] = np.float32(math.nan).tobytes()
    return _gzip(bytes(content))
