"""The files of a trained model, as far as they can be checked without torch."""

import hashlib
from pathlib import Path

from mriqa.files import read_object

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
METRICS = "metrics.json"
PROVENANCE = "provenance.json"
MODEL_FILES = (WEIGHTS, CONFIG, METRICS, PROVENANCE)


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def damage_of_model(folder: Path) -> str | None:
    """What is wrong with the files of a model; None if nothing is, or no model is there."""
    if not folder.is_dir() or not any((folder / name).exists() for name in MODEL_FILES):
        return None  # not there yet; Snakemake makes the folder of a declared output beforehand
    if missing := [name for name in MODEL_FILES if not (folder / name).is_file()]:
        return f"{', '.join(missing)} missing"
    if read_object(folder / PROVENANCE).get("weights_sha256") != sha256_of(folder / WEIGHTS):
        return f"{WEIGHTS} is not the file that was written"
    broken = [name for name in MODEL_FILES[1:] if not read_object(folder / name)]
    return f"{', '.join(broken)} cannot be read" if broken else None
