"""Made-up results of SimCLR over `synthetic_tables`: scores, a model folder and a reference bank.

No network is run; the bank is written by the code that writes real ones.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic_tables as synthetic

from mriqa.artifacts import Family, draw
from mriqa.config import PretrainingSection, ReferenceSection, section_json
from mriqa.files import write_json, write_parquet, write_text
from mriqa.methods.simclr.bank import Bank, Dropped, Reference, StratumBank, write_bank
from mriqa.methods.simclr.calibration import calibrate
from mriqa.references.person import Person
from mriqa.training.manifest import PIN_SCHEMA, PinnedSeries, model_id, pin_path

STRATA = ("dixonW", "T2w")
"""With a bank; `dixonF` has references of too few subjects, `dwi` none."""
SHAPE, SPACING = (10, 48, 40), (4.0, 2.0, 2.5)
COPIES = ((Family.NOISE, 0.9), (Family.DROPOUT, 0.75), (Family.LOW_PASS, 0.1))
N_HQ = 4
PRETRAINING = PretrainingSection(batch=8, iterations=5, view_px=48)
REFERENCE = ReferenceSection(min_references=2, per_class=4, proposed=N_HQ)
METRICS = {"steps": 5, "loss": 2.125, "alignment": 0.25, "uniformity": -1.5, "gradient_norm": 3.0}


def hq_rows(rows: list[dict], stratum: str) -> list[dict]:
    """The volumes that are the HQ references of a stratum."""
    usable = [row for row in rows if row["status"] == "ok" and row["contrast"] == stratum]
    return usable[:N_HQ]


def references_of(row: dict, order: int) -> list[Reference]:
    """An HQ reference and its copies."""
    person = Person(row["subject"], "F", 170.0, 70.0)
    made = [Reference(row["series_id"], row["volume"], person, order)]
    for family, severity in COPIES:
        artifact = draw(family, severity, SHAPE, SPACING, seed=order)
        made.append(
            Reference(
                row["series_id"], row["volume"], person, order, family.value, severity,
                artifact.to_json(),
            )
        )  # fmt: skip
    return made


def stratum_bank(rows: list[dict], stratum: str, seed: int) -> StratumBank:
    """References with embeddings of chance, a calibration and an AUC."""
    rng = np.random.default_rng(seed)
    hq = hq_rows(rows, stratum)
    references = [one for order, row in enumerate(hq) for one in references_of(row, order)]
    severities = np.array([one.severity for one in references])
    count = len(references)
    margins = 0.4 - 0.9 * severities + rng.normal(0, 0.05, count)
    return StratumBank(
        stratum, tuple(references), rng.normal(size=(count, 4)).astype(np.float32),
        rng.normal(size=(count, 4)).astype(np.float32), np.zeros(count, np.float32),
        np.ones(count, np.int64), 4, calibrate(margins, severities, REFERENCE.good_share), 0.91,
        (Dropped(f"doubted_{stratum}", 1, "doubted", 0.5 - 0.2 * seed),),
    )  # fmt: skip


def add_scores(rows: list[dict], banks: dict[str, StratumBank], *, seed: int = 0) -> None:
    """SimCLR's columns of the volumes of `banks`; the score of the others stays the metrics'."""
    rng, number, n_low = np.random.default_rng(seed), 0, 0
    for row in rows:
        if row["status"] != "ok":
            continue
        row["metrics_score"] = row["quality_score"]
        bank = banks.get(row["contrast"])
        if bank is None:
            continue
        number += 1
        seen = row["flag_reason"]
        others = [one for one in bank.references if one.series_id != row["series_id"]]
        hq = [one for one in others if one.family is None]
        lq = [one for one in others if one.severity >= 0.2]
        margin = float(np.clip(0.9 * row["quality_score"] - 0.4 + rng.normal(0, 0.2), -1, 1))
        is_low = row["metrics_score"] < synthetic.SETTINGS["fail_below"]
        n_low += is_low
        if is_low and n_low % 2:
            margin = 0.61  # the two disagree
        score = float(bank.calibration.quality(margin))
        rating = "pass" if score >= 0.8 else "fail" if score < 0.4 else "questionable"
        row |= {
            "simclr_margin_whitened": margin, "simclr_s_hq": 0.9 + 0.05 * margin,
            "simclr_s_lq": 0.9 - 0.05 * margin, "simclr_margin": 0.1 * margin,
            "simclr_class": "HQ" if margin > 0 else "LQ",
            "simclr_sim": 0.9 + 0.05 * margin if margin > 0 else 0.1 + 0.05 * margin,
            "simclr_quality_score": score,
            "simclr_quality_sd": float(bank.calibration.quality_sd(margin)),
            "simclr_matching": "sex_height_weight",
            "simclr_nearest_hq": hq[number % len(hq)].name,
            "simclr_nearest_lq": lq[number % len(lq)].name,
            "quality_score": score, "rating": rating, "rating_source": "simclr",
            "flag": rating != "pass" or is_low,
            "flag_reason": seen or (None if rating == "pass" else "unlike_references"),
        }  # fmt: skip


def write_learned(results: Path, rows: list[dict]) -> str:
    """Rate `rows`, write tables, model, bank and training list; returns the model_id."""
    banks = {name: stratum_bank(rows, name, number) for number, name in enumerate(STRATA)}
    add_scores(rows, banks)
    named = write_pin(results, rows)
    synthetic.write_tables(results, rows)
    set_methods(results, {"simclr": named})
    folder = results / "models" / "simclr" / named
    pretraining = json.loads(section_json(PRETRAINING))
    write_json(folder / "config.json", {"method": "simclr", "pretraining": pretraining})
    write_json(folder / "metrics.json", METRICS)
    origin = {
        "model_id": named, "format_version": 1, "seed": 0, "mriqa_version": "0.1.0",
        "data_sha256": "d" * 64, "config_sha256": "c" * 64, "weights_sha256": "w" * 64,
        "library_versions": {"torch": "2.13.0+cpu"},
    }  # fmt: skip
    write_json(folder / "provenance.json", origin)
    bank = Bank(named, "float32", ("contrast",), REFERENCE, banks, {"dixonF": 1}, ("one note",))
    write_bank(folder / "bank", bank)
    lines = ["series_id\tconfirmed", "a\tyes", "b\tno", "c\tn/a", "d\tn/a"]
    write_text(results / "references" / "simclr.tsv", "\n".join(lines) + "\n")
    return named


def write_pin(results: Path, rows: list[dict]) -> str:
    """The training list of the rated volumes' series; returns the model_id that follows."""
    series = {row["series_id"]: row for row in rows if row["status"] == "ok"}
    pinned = [
        PinnedSeries(one["series_id"], one["subject"], one["contrast"], one["shard"], 1000, 0)
        for one in series.values()
    ]
    columns = [[getattr(one, name) for one in pinned] for name in PIN_SCHEMA.names]
    write_parquet(
        pin_path(results, "simclr", PRETRAINING),
        pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, PIN_SCHEMA, strict=True)],
            schema=PIN_SCHEMA,
        ),
    )
    return model_id("simclr", section_json(PRETRAINING), pinned, 1)


def set_methods(results: Path, methods: dict[str, str]) -> None:
    """Say in the runs table which models have rated."""
    path = results / "tables/runs.parquet"
    runs = pq.ParquetFile(path).read()
    at = runs.column_names.index("methods")
    text = pa.array([json.dumps(methods)] * runs.num_rows, pa.string())
    write_parquet(path, runs.set_column(at, runs.schema.field("methods"), text))
