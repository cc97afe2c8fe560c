"""One .nii.gz to a verified Zarr store: mriqa against nifti-zarr and against the floor.

The floor inflates, compresses slice by slice and writes once: no hash, no percentiles, no reading
back, no metadata, no sync. nifti-zarr runs without its image pyramid, which mriqa does not make.
"""

import os
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
from mriqa.images.store import ZARRS
from mriqa.images.writing import create_store

SHAPE_ZYX = (44, 168, 224)
ROUNDS = 21
MIB = 2**20


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


def ours(source: Path, folder: Path) -> Callable[[int], None]:
    """Converts the volume as a convert job does, series `number` of one store."""
    store = folder / "shard-00000.zarr"
    create_store(store)
    conversion = Conversion(store, ConvertSection(), MemoryBudget(500 * MIB))
    found = source.stat()

    def run(number: int) -> None:
        series = Series(
            f"s{number}", "s", None, "T1w", None, source, "nifti", found.st_size,
            found.st_mtime_ns, None, None, None, None, 0,
        )  # fmt: skip
        row = conversion.convert(series)
        assert row["status"] == "ok", row
        assert row["stored_files"] <= 3

    return run


def peer(source: Path, folder: Path, **options: Any) -> Callable[[int], None]:
    """nifti-zarr's own conversion."""
    from niizarr import nii2zarr

    def run(number: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nii2zarr(str(source), str(folder / f"peer-{len(options)}-{number}.zarr"), **options)

    return run


def floor(source: Path, folder: Path, *, sync: bool) -> Callable[[int], None]:
    """Inflate, compress, one write."""

    def run(number: int) -> None:
        raw = igzip.decompress(source.read_bytes())
        volume = np.frombuffer(raw, np.int16, offset=352).reshape(SHAPE_ZYX)
        encoded = [blosc.compress(part, b"zstd", 1, blosc.BITSHUFFLE) for part in volume]
        with (folder / f"floor-{sync}-{number}").open("wb") as file:
            file.write(b"".join(encoded))
            if sync:
                file.flush()
                os.fsync(file.fileno())

    return run


def milliseconds(action: Callable[[int], None], number: int) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action(number)
    return 1e3 * (time.perf_counter() - start)


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
            "ours": ours(source, folder),
            "peer": peer(source, folder, nb_levels=1),
            "peer_pyramid": peer(source, folder),
            "floor": floor(source, folder, sync=False),
            "floor_sync": floor(source, folder, sync=True),
        }
        times: dict[str, list[float]] = {key: [] for key in contestants}
        for number in range(ROUNDS):
            for key, action in contestants.items():
                times[key].append(milliseconds(action, number))
    middle = {key: round(median(values[1:]), 1) for key, values in times.items()}
    return [
        _result("ingest_vs_nifti_zarr", middle, times, "peer", "ours", 5.0, ">="),
        _result("ingest_vs_floor", middle, times, "ours", "floor", 2.0, "<="),
    ]


def _result(
    name: str, middle: dict[str, float], times: dict[str, list[float]],
    above: str, below: str, target: float, sense: str,
) -> dict[str, Any]:  # fmt: skip
    pairs = list(zip(times[above], times[below], strict=True))[1:]
    return {
        "name": name,
        "ours_ms": middle["ours"],
        "peer_ms": middle["peer"],
        "floor_ms": middle["floor"],
        "ratio": round(median(high / low for high, low in pairs), 2),
        "target": f"{sense} {target:g}",
        "note": f"ms, one 224x168x44 int16 .nii.gz to a verified store, {above}/{below}; "
        f"nifti-zarr with its pyramid {middle['peer_pyramid']} ms, floor with fsync "
        f"{middle['floor_sync']} ms",
    }


if __name__ == "__main__":
    for result in run():
        print(result)
