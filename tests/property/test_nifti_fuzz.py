"""5,000 damaged headers and gzip streams: a row each, never a crash, never impossible geometry."""

import gzip
import resource
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import blob, nifti_bytes, series_of

from mriqa.config import ConvertSection
from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.budget import MemoryBudget
from mriqa.images.convert import Conversion
from mriqa.images.layout import MIB
from mriqa.images.nifti import affine_problem
from mriqa.images.series import plan_series, read_blocks
from mriqa.images.source import MAX_DEFLATE_RATIO, open_nifti
from mriqa.images.writing import create_store

N_HEADERS, N_STREAMS = 3500, 1500
MEMORY = 8 * MIB
BASES = [
    nifti_bytes(blob((9, 8, 8), dtype), version=version, order=order, qform_code=1, dim_info=48)
    for dtype, version, order in (("i2", 1, "<"), ("f4", 1, ">"), ("u1", 2, "<"), ("f8", 2, ">"))
]
EXTREMES = [
    np.array(value, dtype).tobytes()
    for dtype, values in {
        "<i2": (0, -1, 1, 2, 32767, -32768), ">i2": (1, 2, 4, 32767),
        "<i4": (0, -1, 2**31 - 1, -(2**31)), "<i8": (2**63 - 1, -1, 2**40),
        "<f4": (np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, 3e38, -1), ">f4": (np.nan, np.inf, 0),
        "<f8": (np.nan, np.inf, 1e-320, 1e308, 0), ">f8": (np.nan, 1e300),
    }.items()
    for value in values
]  # fmt: skip


def damaged(content: bytes, rng: np.random.Generator, end: int) -> bytes:
    """`content` with one to four damages in its first `end` bytes."""
    out = bytearray(content)
    end = min(end, len(out))
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, end))
        kind = rng.integers(0, 6)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out[at] = int(rng.integers(0, 256))
        elif kind <= 3:
            value = EXTREMES[rng.integers(0, len(EXTREMES))]
            at -= at % len(value)
            out[at : at + len(value)] = value
        elif kind == 4:
            other = int(rng.integers(0, end))
            out[at : at + 8] = out[other : other + 8]
        elif rng.random() < 0.3:
            return bytes(out[: int(rng.integers(0, len(out)))])
    return bytes(out)


def damaged_stream(rng: np.random.Generator, base: bytes) -> bytes:
    """A gzip file whose stream is damaged, cut, extended, or unpacks to a damaged header."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return gzip.compress(damaged(base, rng, 352), 1)
    packed = gzip.compress(base, int(rng.integers(0, 10)))
    if kind == 1:
        return damaged(packed, rng, len(packed))
    if kind == 2:
        return packed[: int(rng.integers(0, len(packed)))] + rng.bytes(int(rng.integers(0, 99)))
    bomb = zlib.compressobj(9, wbits=31)
    return gzip.compress(base) + bomb.compress(bytes(4 * MIB)) + bomb.flush()


def read_to_end(path: Path) -> str:
    """`ok` or the code of the SeriesError; checks what was accepted."""
    try:
        with open_nifti(path) as source:
            header = source.header
            assert header.image_bytes <= MAX_DEFLATE_RATIO * path.stat().st_size
            plan = plan_series(source, "T2w", ConvertSection(), MEMORY)
            assert plan.memory_bytes <= MEMORY
            n_voxels = sum(values.size for _, values in read_blocks(source, plan))
            source.finish()
    except SeriesError as error:
        return str(error.code)
    assert n_voxels == np.prod(header.shape_ijk) * header.n_volumes
    assert affine_problem(header.affine[:3]) is None
    assert np.isfinite(header.affine).all()
    assert abs(np.linalg.det(header.affine)) > 0
    assert all(np.isfinite(zoom) and zoom > 0 for zoom in header.zooms_mm)
    assert np.isfinite([header.slope, header.inter]).all()
    assert header.slope != 0
    return "ok"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["header", "stream"])
def test_damaged_files_are_refused_or_sound(kind, tmp_path):
    rng = np.random.default_rng(20240607)
    path = tmp_path / "x.nii.gz"
    codes = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(N_HEADERS if kind == "header" else N_STREAMS):
        base = BASES[number % len(BASES)]
        damage = damaged(base, rng, 352) if kind == "header" else damaged_stream(rng, base)
        path.write_bytes(damage)
        codes.append(read_to_end(path))
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 64
    assert set(codes) <= {"ok", *ErrorCode} - {"internal", "out_of_memory"}
    assert len(set(codes)) >= 5  # the damage reaches many checks
    assert codes.count("ok") > 30


def test_a_damaged_file_becomes_a_row_of_its_shard(tmp_path):
    rng = np.random.default_rng(5)
    create_store(tmp_path / "s.zarr")
    conversion = Conversion(tmp_path / "s.zarr", ConvertSection(), MemoryBudget(MEMORY))
    statuses = []
    for number in range(150):
        path = tmp_path / f"{number}.nii"
        base = BASES[number % len(BASES)]
        path.write_bytes(damaged(base, rng, 352) if number % 2 else damaged_stream(rng, base))
        row = conversion.convert(series_of(path, tmp_path, f"s{number}"))
        assert row["error_code"] != ErrorCode.INTERNAL, row
        statuses.append(row["status"])
    assert {"ok", "failed"} == set(statuses)
