"""One .nii.gz to a verified Zarr store: mriqa against nifti-zarr and against the floor.

The floor inflates, compresses slice by slice and writes once: no hash, no percentiles, no reading
back, no metadata, no sync. nifti-zarr runs as its users call it, and without the image pyramid
that it makes by default and mriqa does not. What a call wrote is removed after it, untimed: the
disk's writing behind one contestant must not be measured with the next.
"""

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import nibabel as nib
import numpy as np
import zarr
from isal import igzip
from numcodecs import blosc
from scipy.ndimage import gaussian_filter

from mriqa.cohort.manifest import Series
from mriqa.config import ConvertSection
from mriqa.images.budget import MemoryBudget
from mriqa.images.convert import Conversion
from mriqa.images.objects import Codec
from mriqa.images.store import ZARRS
from mriqa.images.writing import create_store

SHAPE_ZYX = (44, 168, 224)
ROUNDS = 21
MIB = 2**20
Times = dict[str, list[float]]
Action = Callable[[int], Path]
"""Converts; given the number of the round, returns what it wrote."""


def make_volume(folder: Path) -> Path:
    """A smooth int16 object in Rician-like noise, about as compressible as a Dixon volume."""
    rng = np.random.default_rng(2)
    radius = np.hypot(*np.mgrid[-1 : 1 : SHAPE_ZYX[1] * 1j, -1 : 1 : SHAPE_ZYX[2] * 1j])
    signal = np.abs(gaussian_filter(rng.normal(size=SHAPE_ZYX), 4)) * 20000 * (radius < 0.8)
    noise = rng.normal(scale=12, size=(2, *SHAPE_ZYX))
    volume = np.hypot(signal + noise[0], noise[1]).astype(np.int16)
    path = folder / "volume.nii.gz"
    nib.Nifti1Image(volume.T, np.diag([2.23, 2.23, 3.0, 1.0])).to_filename(path)
    return path


def ours(source: Path, folder: Path, codec: Codec) -> Action:
    """Converts the volume as a convert job does, series `number` of one store."""
    store = folder / f"{codec}.zarr"
    create_store(store)
    conversion = Conversion(store, ConvertSection(codec=codec), MemoryBudget(500 * MIB))
    found = source.stat()

    def run(number: int) -> Path:
        series = Series(
            f"s{number}", "s", None, "T1w", None, source, "nifti", found.st_size,
            found.st_mtime_ns, None, None, None, None, 0,
        )  # fmt: skip
        row = conversion.convert(series)
        assert row["status"] == "ok", row
        assert row["stored_files"] <= 3
        return store / f"s{number}"

    return run


def peer(source: Path, folder: Path, **options: Any) -> Action:
    """nifti-zarr's own conversion."""
    from niizarr import nii2zarr

    def run(number: int) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = folder / f"peer-{len(options)}-{number}.zarr"
            nii2zarr(str(source), str(path), **options)
            return path

    return run


def floor(source: Path, folder: Path, cname: bytes, *, sync: bool = False) -> Action:
    """Inflate, compress, one write."""

    def run(number: int) -> Path:
        raw = igzip.decompress(source.read_bytes())
        volume = np.frombuffer(raw, np.int16, offset=352).reshape(SHAPE_ZYX)
        encoded = [blosc.compress(part, cname, 1, blosc.BITSHUFFLE, part.nbytes) for part in volume]
        path = folder / f"floor-{sync}-{number}"
        with path.open("wb") as file:
            file.write(b"".join(encoded))
            if sync:
                file.flush()
                os.fsync(file.fileno())
        return path

    return run


def milliseconds(action: Action, number: int) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    written = action(number)
    taken = 1e3 * (time.perf_counter() - start)
    if written.is_dir():
        shutil.rmtree(written)
    else:
        written.unlink()
    return taken


def run() -> list[dict[str, Any]]:
    """Alternates all contestants; medians of the times, and of the ratios of each round."""
    blosc.set_nthreads(1)
    with (
        tempfile.TemporaryDirectory() as name,
        zarr.config.set({**ZARRS, "threading.max_workers": 1}),
    ):
        folder = Path(name)
        source = make_volume(folder)
        contestants = {
            "zstd": ours(source, folder, "blosc-zstd"),
            "lz4": ours(source, folder, "blosc-lz4"),
            "plain_peer": peer(source, folder, nb_levels=1),
            "peer": peer(source, folder),
            "zstd_floor": floor(source, folder, b"zstd"),
            "lz4_floor": floor(source, folder, b"lz4"),
            "synced_floor": floor(source, folder, b"zstd", sync=True),
        }
        times: Times = {key: [] for key in contestants}
        for number in range(ROUNDS):
            for key, action in contestants.items():
                times[key].append(milliseconds(action, number))
    return [
        _against_peer("ingest_vs_nifti_zarr", times, "zstd", "peer"),
        _against_peer("ingest_vs_nifti_zarr_without_pyramid", times, "zstd", "plain_peer"),
        _against_peer("ingest_lz4_vs_nifti_zarr_without_pyramid", times, "lz4", "plain_peer"),
        _against_floor("ingest_vs_floor", times, "zstd"),
        _against_floor("ingest_lz4_vs_floor", times, "lz4"),
    ]


WHAT = "one 224x168x44 int16 .nii.gz to a verified store of 2 files, one core"


def middle(times: Times, key: str) -> float:
    """The median without the first round."""
    return round(median(times[key][1:]), 1)


def ratio(times: Times, above: str, below: str) -> float:
    """The median of the rounds' ratios, without the first."""
    pairs = zip(times[above][1:], times[below][1:], strict=True)
    return round(median(high / low for high, low in pairs), 2)


def _against_peer(name: str, times: Times, own: str, other: str) -> dict[str, Any]:
    return {
        "name": name, "ours_ms": middle(times, own), "peer_ms": middle(times, other),
        "floor_ms": middle(times, f"{own}_floor"), "ratio": ratio(times, other, own),
        "target": ">= 5", "note": f"{WHAT}; peer/ours, blosc-{own}",
    }  # fmt: skip


def _against_floor(name: str, times: Times, own: str) -> dict[str, Any]:
    return {
        "name": name, "ours_ms": middle(times, own), "peer_ms": None,
        "floor_ms": middle(times, f"{own}_floor"), "ratio": ratio(times, own, f"{own}_floor"),
        "target": "<= 2", "note": f"{WHAT}; ours/floor, blosc-{own}; the job syncs its files at "
        f"the end (floor with fsync {middle(times, 'synced_floor')} ms, zstd)",
    }  # fmt: skip


if __name__ == "__main__":
    for result in run():
        print(result)
