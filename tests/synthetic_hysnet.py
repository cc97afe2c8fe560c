"""Made-up predictions of HyS-Net over `synthetic_tables`, and its model folder. No network is run.

It has learned `body_snr` of dixonW and T2w; a third of the subjects each were not learned from.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import synthetic_tables as synthetic
from synthetic_learned import set_methods

from mriqa.config import HysnetLearningSection, section_json
from mriqa.files import write_json, write_parquet
from mriqa.training.manifest import PIN_SCHEMA, PinnedSeries, model_id, pin_path

TARGET = "body_snr"
CONTRASTS = ("dixonW", "T2w")
LEARNING = HysnetLearningSection(target={"column": TARGET}, contrasts=CONTRASTS)
SPLITS = ("train", "validation", "test", "train")
"""By turns, of subjects; of those of the training split every other one is learned from."""
METRICS = {
    "steps": 1200, "n_volumes": 17, "loss": 0.4, "gradient_norm": 1.5,
    "validation_n": 9, "validation_srocc": 0.8125, "validation_plcc": 0.75, "validation_mae": 2.5,
    "test_n": 2, "test_srocc": None, "test_plcc": None, "test_mae": 1.25,
}  # fmt: skip


def is_learned_from(row: dict) -> bool:
    """Whether the model has seen a volume's subject."""
    return int(row["subject"]) % len(SPLITS) == 0


def add_predictions(rows: list[dict], *, target: str = TARGET, seed: int = 0) -> None:
    """HyS-Net's columns, near to what was measured; of one volume far from it, of a few nothing."""
    rng, number = np.random.default_rng(seed), 0
    for row in rows:
        row["split"] = SPLITS[int(row["subject"]) % len(SPLITS)]
        if row["status"] != "ok" or row["contrast"] not in CONTRASTS:
            continue
        number += 1
        if number == 5:
            row[TARGET] = None  # predicted, but not measured
        measured = 0.5 if row[TARGET] is None else row[TARGET]
        off = 3.0 if number == 7 else rng.normal(0, 0.05)
        row |= {
            "hysnet_target": target, "hysnet_prediction": float(measured + off),
            "hysnet_spread": None if number == 9 else float(rng.uniform(0.01, 0.1)),
            "hysnet_n_patches": 1 if number == 9 else 12,
        }  # fmt: skip


def write_pin(results: Path, rows: list[dict]) -> str:
    """The list of series that were learned from; returns the model_id that follows."""
    series = {row["series_id"]: row for row in rows if row.get("hysnet_prediction") is not None}
    pinned = [
        PinnedSeries(one["series_id"], one["subject"], one["contrast"], one["shard"], 1000, 0)
        for one in series.values()
        if is_learned_from(one)
    ]
    columns = {name: [getattr(one, name) for one in pinned] for name in PIN_SCHEMA.names}
    write_parquet(pin_path(results, "hysnet", LEARNING), pa.table(columns, schema=PIN_SCHEMA))
    return model_id("hysnet", section_json(LEARNING.identity), pinned, 1, [""])


def write_hysnet(results: Path, rows: list[dict], **config: object) -> str:
    """Predictions of `rows` in tables, the model and its list; returns the model_id."""
    target = str(config.get("target", TARGET))
    add_predictions(rows, target=target)
    named = write_pin(results, rows)
    synthetic.write_tables(results, rows)
    set_methods(results, {"hysnet": named})
    folder = results / "models" / "hysnet" / named
    told = {
        "method": "hysnet", "learning": json.loads(section_json(LEARNING.identity)),
        "target": target, "from_table": False, "contrasts": list(CONTRASTS), **config,
    }  # fmt: skip
    write_json(folder / "config.json", told)
    write_json(folder / "metrics.json", METRICS)
    origin = {
        "model_id": named, "format_version": 1, "seed": 0, "mriqa_version": "0.1.0",
        "data_sha256": "d" * 64, "config_sha256": "c" * 64, "weights_sha256": "y" * 64,
        "library_versions": {"torch": "2.13.0+cpu"},
    }  # fmt: skip
    write_json(folder / "provenance.json", origin)
    return named
