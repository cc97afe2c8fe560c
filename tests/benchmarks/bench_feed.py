"""Random slices as pairs of 128² views: our feed against TorchIO's and MONAI's data sets.

All draw from the same volumes. TorchIO reads a whole file for a slice; its slice is then cut by
plain torch, which costs next to nothing. MONAI holds every volume in memory, which no cohort
allows, and does the rest with its own transforms, as its users write them. Ours alone also checks
checksums and raises intensities to a power. No artifacts, which the peers do not have. One core.
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
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numcodecs import blosc
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from mriqa.cohort.manifest import SHARD_SCHEMA
from mriqa.config import ConvertSection, PretrainingSection
from mriqa.images.convert import convert_shard
from mriqa.training.feed import FeedItem, open_feed

SHAPE_IJK = (224, 168, 44)
VOLUMES = 12
SIDE = 128
ROUNDS = 15
PAIRS = {"ours": 192, "monai": 48, "torchio": 6, "artifacts": 48}
Contestant = Callable[[int], Any]
"""Makes pair number n."""


def make_volumes(folder: Path) -> list[Path]:
    """Smooth int16 objects in Rician noise, about as compressible as a Dixon volume."""
    radius = np.hypot(*np.mgrid[-1 : 1 : SHAPE_IJK[0] * 1j, -1 : 1 : SHAPE_IJK[1] * 1j])
    paths = []
    for number in range(VOLUMES):
        rng = np.random.default_rng(number)
        signal = np.abs(gaussian_filter(rng.normal(size=SHAPE_IJK), 4)) * 20000
        noise = rng.normal(scale=12, size=(2, *SHAPE_IJK))
        signal[radius > 0.8] = 0
        volume = np.hypot(signal + noise[0], noise[1]).astype(np.int16)
        paths.append(folder / f"sub-{number:02d}_T1w.nii.gz")
        nib.Nifti1Image(volume, np.diag([2.23, 2.23, 3.0, 1.0])).to_filename(paths[-1])
    return paths


def convert(paths: list[Path], folder: Path) -> list[FeedItem]:
    """The volumes as one shard's store."""
    rows = [
        {
            "series_id": path.name[:10], "subject": path.name[4:6], "contrast": "T1w",
            "source_path": str(path), "source_kind": "nifti", "size_bytes": path.stat().st_size,
            "mtime_ns": path.stat().st_mtime_ns, "shard": 0,
        }
        for path in paths
    ]  # fmt: skip
    manifest, store = folder / "shard-00000.parquet", folder / "shard-00000.zarr"
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARD_SCHEMA), manifest)
    convert_shard(
        manifest, store, folder / "status.parquet",
        settings=ConvertSection(), threads=1, mem_mb=1000,
    )  # fmt: skip
    return [FeedItem(row["series_id"], store) for row in rows]


def ours(items: list[FeedItem], views: str, artifact_share: float) -> Contestant:
    """The feed, sample by sample."""
    settings = PretrainingSection(views=views, view_px=SIDE, artifact_share=artifact_share)
    return open_feed(items, settings).pair


def torchio(paths: list[Path], views: str) -> Contestant:
    """A `SubjectsDataset`, and plain torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchio as tio
    data = tio.SubjectsDataset([tio.Subject(image=tio.ScalarImage(path)) for path in paths])
    rng = np.random.default_rng(0)

    def view(image: torch.Tensor) -> torch.Tensor:
        rows, columns = image.shape
        share = 1.0 if views == "native_patch" else rng.uniform(0.2, 1) ** 0.5
        height, width = (
            (SIDE, SIDE) if views == "native_patch" else (int(rows * share), int(columns * share))
        )
        y, x = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
        part = image[None, None, y : y + height, x : x + width]
        if views == "resized_crop":
            part = interpolate(part, (SIDE, SIDE), mode="bilinear")
        return part[0].flip([axis for axis in (1, 2) if rng.random() < 0.5])

    def pair(_: int) -> torch.Tensor:
        volume = data[int(rng.integers(len(data)))].image.data[0]
        image = volume[..., int(rng.integers(volume.shape[-1]))].float()
        return torch.stack([view(image), view(image)])

    return pair


def monai(paths: list[Path], views: str) -> Contestant:
    """A `CacheDataset` of whole volumes, and random transforms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai import data as md
        from monai import transforms as mt
    steps: list[Any] = [
        mt.LoadImaged("a"),
        mt.EnsureChannelFirstd("a"),
        mt.ScaleIntensityRangePercentilesd("a", 0, 99.5, 0, 1),
        mt.RandSpatialCropd("a", (*SHAPE_IJK[:2], 1), random_size=False),
        mt.SqueezeDimd("a", dim=-1),
        mt.CopyItemsd("a", times=1, names="b"),
    ]
    for key in ("a", "b"):
        if views == "native_patch":
            steps.append(mt.RandSpatialCropd(key, (SIDE, SIDE), random_size=False))
        else:
            least = [int(size * 0.2**0.5) for size in SHAPE_IJK[:2]]
            steps += [
                mt.RandSpatialCropd(key, least, random_size=True),
                mt.Resized(key, (SIDE, SIDE), mode="bilinear", align_corners=False),
            ]
        steps += [mt.RandFlipd(key, 0.5, axis) for axis in (0, 1)]
    data = md.CacheDataset(
        [{"a": str(path)} for path in paths], mt.Compose(steps), num_workers=1, progress=False
    )

    def pair(number: int) -> torch.Tensor:
        made = data[number % len(data)]
        return torch.stack([made["a"], made["b"]])

    return pair


def milliseconds(make: Contestant, first: int, count: int) -> float:
    """Processor time of one pair: nothing here waits, and what else runs must not count."""
    start = time.process_time()
    for n in range(first, first + count):
        make(n)
    return 1e3 * (time.process_time() - start) / count


def run() -> list[dict[str, Any]]:
    """Alternates all contestants; medians of the times, and of the ratios of each round."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    blosc.set_nthreads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            paths = make_volumes(Path(name))
            items = convert(paths, Path(name))
            return [
                row
                for views in ("native_patch", "resized_crop")
                for row in measure(paths, items, views)
            ]
    finally:
        torch.set_num_threads(threads)
        os.sched_setaffinity(0, cores)


def measure(paths: list[Path], items: list[FeedItem], views: str) -> list[dict[str, Any]]:
    """The rows of one kind of views."""
    contestants = {
        "ours": ours(items, views, 0.0),
        "monai": monai(paths, views),
        "torchio": torchio(paths, views),
        "artifacts": ours(items, views, 0.5),
    }
    times: dict[str, list[float]] = {key: [] for key in contestants}
    for number in range(ROUNDS + 1):
        for key, make in contestants.items():
            times[key].append(milliseconds(make, number * PAIRS[key], PAIRS[key]))
    what = (
        f"a random slice of {VOLUMES} volumes 224×168×44 as two {SIDE}² views ({views}), one core"
    )
    rows = [
        {
            "name": f"feed_{views}_vs_{peer}",
            "ours_ms": median(times["ours"][1:]),
            "peer_ms": median(times[peer][1:]),
            "floor_ms": None,
            "ratio": median(
                theirs / own for theirs, own in zip(times[peer][1:], times["ours"][1:], strict=True)
            ),
            "target": target,
            "note": f"{what}; peer {label}",
        }
        for peer, label, target in (
            ("torchio", "TorchIO SubjectsDataset", "≥50"),
            ("monai", "MONAI CacheDataset", "≥4"),
        )
    ]
    rows.append(
        {
            "name": f"feed_{views}_artifacts",
            "ours_ms": median(times["artifacts"][1:]),
            "peer_ms": None,
            "floor_ms": None,
            "ratio": None,
            "target": "",
            "note": f"{what}; every second slice gets a simulated artifact",
        }
    )
    return rows
