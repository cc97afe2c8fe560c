"""MRIQC's own metric functions, for comparing: its package without its dependencies.

`make test` puts it into a folder of its own beside the environment's packages, at the versions of
mriqc-only.txt, where nothing of mriqa finds it. Only the one file of metric functions is loaded.
"""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from scipy import ndimage

from mriqa.metrics.brain import BrainTissue

FOLDER = Path(sys.prefix) / "mriqc-only"


def load() -> Any:
    """The module mriqc.qc.anatomical; None where it is not installed."""
    file = FOLDER / "mriqc" / "qc" / "anatomical.py"
    if not file.is_file():
        return None
    if str(FOLDER) not in sys.path:
        # At the end: statsmodels and patsy are found there, and nothing else is hidden.
        sys.path.append(str(FOLDER))
    # In place of the package, whose import wants nipype: of it, the file only uses a logger.
    package = ModuleType("mriqc")
    quiet = SimpleNamespace(warning=lambda message: None)
    package.config = SimpleNamespace(loggers=SimpleNamespace(interface=quiet))  # type: ignore[attr-defined]
    before = sys.modules.get("mriqc")
    sys.modules["mriqc"] = package
    try:
        spec = importlib.util.spec_from_file_location("mriqc_qc_anatomical", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules["mriqc"]
        else:
            sys.modules["mriqc"] = before
    return module


def harmonise(volume: np.ndarray, wm: np.ndarray) -> np.ndarray:
    """MRIQC's interfaces.anatomical.Harmonize, which is a class of nipype, on arrays."""
    core = ndimage.binary_erosion(wm >= 0.9, structure=ndimage.generate_binary_structure(3, 2))
    return np.maximum(volume * (1000.0 / np.median(volume[core])), 0)


@dataclass(frozen=True)
class Inputs:
    """What MRIQC's StructuralQC reads: whole volumes, maps in float64 and masks in uint8."""

    image: np.ndarray
    maps: dict[str, np.ndarray]
    head: np.ndarray
    air: np.ndarray
    artifacts: np.ndarray
    frame: np.ndarray
    brain: np.ndarray
    bias: np.ndarray | None


def inputs(image: np.ndarray, tissue: BrainTissue) -> Inputs:
    """The same masks for MRIQC, with a harmonised `image`."""
    maps = {}
    for name, probability in zip(("csf", "gm", "wm"), tissue.probabilities, strict=True):
        maps[name] = np.zeros(image.shape, np.float64)
        maps[name][tissue.brain] = probability
    frame = np.zeros(image.shape, np.uint8) if tissue.frame is None else tissue.frame
    masks = (tissue.head, tissue.air, tissue.artifacts, frame, tissue.brain)
    bias = None if tissue.bias is None else tissue.bias.astype(np.float64)
    return Inputs(image, maps, *(mask.astype(np.uint8) for mask in masks), bias)


def measure(peer: Any, given: Inputs) -> dict[str, float]:
    """What MRIQC's StructuralQC computes, in the order of its code; `peer` from `load`.

    Without smoothness (AFNI) and overlap with a template.
    """
    image = given.image
    # Its rpve overwrites the maps.
    maps = {name: one.copy() for name, one in given.maps.items()}
    stats = peer.summary_stats(image, {**maps, "bg": given.air}, decimals=12)
    found: dict[str, float] = {
        f"summary_{name}_{key}": value for name, one in stats.items() for key, value in one.items()
    }
    csf, gm, wm, bg = (stats[name] for name in ("csf", "gm", "wm", "bg"))
    for name, one in (("csf", csf), ("gm", gm), ("wm", wm)):
        found[f"snr_{name}"] = peer.snr(one["median"], one["stdv"], one["n"])
        found[f"snrd_{name}"] = peer.snr_dietrich(one["median"], bg["mad"], bg["stdv"])
    for kind in ("snr", "snrd"):
        found[f"{kind}_total"] = float(np.mean([found[f"{kind}_{name}"] for name in maps]))
    found["cnr"] = peer.cnr(wm["median"], gm["median"], bg["stdv"], wm["stdv"], gm["stdv"])
    found["fber"] = peer.fber(image, given.head, given.frame, decimals=12)
    found["efc"] = peer.efc(image, given.frame, decimals=12)
    found["wm2max"] = peer.wm2max(image, wm["median"])
    found["qi_1"] = peer.art_qi1(given.air, given.artifacts)
    found["cjv"] = peer.cjv(wm["median"], gm["median"], wm["mad"], gm["mad"])
    listed = list(maps.values())
    found |= {f"icvs_{name}": value for name, value in peer.volume_fraction(listed).items()}
    found |= {f"rpve_{name}": value for name, value in peer.rpve(listed, given.brain).items()}
    if given.bias is not None:
        bias = given.bias[given.brain > 0]
        found["inu_range"] = float(np.abs(np.percentile(bias, 95.0) - np.percentile(bias, 5.0)))
        found["inu_med"] = float(np.median(bias))
    return found
