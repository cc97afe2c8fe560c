"""BRISQUE on the volumes of the experiments: features, and a regression on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.errors import SeriesError, UserError
from mriqa.evaluation.hysnet.comparators.brisque import (
    FEATURES,
    check_opencv,
    fit_brisque,
    volume_features,
)
from mriqa.evaluation.hysnet.ground import Ground, kept_as
from mriqa.files import write_parquet
from mriqa.methods.hysnet.patches import normalised
from mriqa.methods.hysnet.target import Floats
from mriqa.methods.hysnet.volumes import Example, open_volumes, say
from mriqa.progress import track


def brisque_said(ground: Ground, path: Path, seed: int, percentile: float) -> Floats:
    """Predictions of the held volumes (n), NaN of what has no features; `path` keeps features.

    Raises UserError if OpenCV is not there, or no volume to learn from has features.
    """
    check_opencv()  # or it would be each volume's fault
    learnt = ground.learnt
    held = [one.example for one in ground.held]
    features = _features([*learnt, *held], path, percentile)
    own, others = features[: len(learnt)], features[len(learnt) :]
    usable = np.isfinite(own).all(axis=1)
    if not usable.any():
        raise UserError(
            f"BRISQUE: none of {len(learnt)} volumes to learn from has features; see the lines "
            "above, or leave it out of `comparators`"
        )
    targets = np.array([one.target for one in learnt], np.float64)
    groups = np.array([ground.subjects[one.series_id] for one in learnt])
    rater = fit_brisque(own[usable], targets[usable], groups[usable].tolist(), seed)
    said = np.full(len(held), np.nan)
    known = np.isfinite(others).all(axis=1)
    said[known] = rater(others[known])
    return said


def _features(examples: Sequence[Example], path: Path, percentile: float) -> Floats:
    """Of each example a row (n, FEATURES); NaN where there is too little to look at."""
    keys = [f"{kept_as(one)} {percentile:g}" for one in examples]
    known = _kept(path)
    missing = {key: one for one, key in zip(examples, keys, strict=True) if key not in known}
    for key, one in track(missing.items(), len(missing), "experiment: BRISQUE", "volumes"):
        known[key] = _of_volume(one, percentile)
    if missing:
        rows = {key: known[key] for key in dict.fromkeys(keys)}
        columns = {"key": list(rows), "features": [one.tolist() for one in rows.values()]}
        write_parquet(path, pa.table(columns))
    return np.array([known[key] for key in keys]).reshape(-1, FEATURES)


def _of_volume(one: Example, percentile: float) -> Floats:
    try:
        volumes = open_volumes([one], percentile)
        whole = volumes.content(0, (slice(0, volumes.shape(0)[0]), slice(None), slice(None)))
        return volume_features(normalised(whole, volumes.upper(0), 1.0))
    except (SeriesError, UserError) as error:
        say(f"experiment: {one.series_id}, volume {one.volume}, has no features: {error}")
        return np.full(FEATURES, np.nan)


def _kept(path: Path) -> dict[str, Floats]:
    if not path.is_file():
        return {}
    table = pq.read_table(path).to_pydict()
    rows = (np.array(one, np.float64) for one in table["features"])
    return dict(zip(table["key"], rows, strict=True))
