"""All brain metrics of one volume: mriqa against the functions of MRIQC itself, on the same masks.

The peer gets its harmonised volume and its probability maps for nothing and computes no
smoothness, which MRIQC leaves to AFNI. Ours starts from the raw volume, divides by the bias field,
harmonises, and estimates the smoothness too. Processor time on one core.
"""

import importlib.util
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np

from mriqa.metrics.brain import measure_brain

SHAPE_ZYX = (176, 256, 256)
ROUNDS = 5
TARGET_RATIO = 30
TARGET_MEMORY = 4
TESTS = Path(__file__).resolve().parents[1]


def load(name: str) -> ModuleType:
    """A module of the tests' folder."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call: both run on one core, whatever else the machine does."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run() -> list[dict[str, Any]]:
    """Ours and the peer in turn, on one core."""
    phantoms, mriqc = load("brain_phantoms"), load("mriqc_functions")
    head = phantoms.make_head(SHAPE_ZYX)
    bias = phantoms.shading(SHAPE_ZYX, 0.4)
    volume = phantoms.scan(head, 20.0, bias)
    tissue = phantoms.tissue_of(head, bias)
    image = mriqc.harmonise(volume.astype(np.float64) / bias, head.maps[2])
    inputs = mriqc.inputs(image, tissue)
    peer = mriqc.load()
    if peer is None:
        raise SystemExit(f"MRIQC's functions are not in {mriqc.FOLDER}: make test puts them there")

    def ours() -> None:
        measure_brain(volume, phantoms.SPACING_MM, tissue)

    before = peak_bytes()
    ours()
    memory = (peak_bytes() - before) / volume.nbytes
    tasks = {"ours": ours, "peer": lambda: mriqc.measure(peer, inputs)}
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        for name, work in tasks.items():
            times[name].append(seconds(work))
    found = {name: median(values) * 1e3 for name, values in times.items()}
    ratios = [peer / ours for ours, peer in zip(times["ours"], times["peer"], strict=True)]
    return [
        {
            "name": "brain_metrics_volume",
            "ours_ms": found["ours"],
            "peer_ms": found["peer"],
            "ratio": median(ratios),
            "target": f">= {TARGET_RATIO} times, <= {TARGET_MEMORY} volumes of memory",
            "note": f"{'x'.join(map(str, SHAPE_ZYX[::-1]))} float32; 58 metrics from the raw "
            "volume against MRIQC's functions (54, without smoothness) on the harmonised one, "
            f"the same masks; median of {ROUNDS} ratios in turn, {min(ratios):.0f} to "
            f"{max(ratios):.0f}; beyond its inputs ours takes {memory:.1f} volumes of memory",
        }
    ]
