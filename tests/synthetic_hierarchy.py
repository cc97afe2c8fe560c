"""Made-up results of the hierarchy over `synthetic_tables`: ratings, a model folder, labels.

No network is run. The strata are the contrasts; `dixonW` and `dwi` are learned, the others not.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import synthetic_tables as synthetic
from synthetic_learned import set_methods

from mriqa.cohort.manifest import PROBLEM_SCHEMA
from mriqa.files import write_json, write_parquet
from mriqa.labels.agreement import agreements
from mriqa.labels.model import Label, Target
from mriqa.labels.reading import SCHEMA as RATINGS_SCHEMA
from mriqa.methods.hierarchy.second_look import SCHEMA as SECOND_LOOK_SCHEMA
from mriqa.methods.hierarchy.self_training import SCHEMA as ROUND_SCHEMA

MODEL_ID = "hierarchy-0123456789ab"
STRATA = ("dixonW", "dwi")
N_SLICES = 10
RATINGS = ("pass", "questionable", "fail")
QUALITY = np.array([0.9, 0.6, 0.2])
CONFIG = {
    "method": "hierarchy",
    "learning": {"labels": "both", "simulated": {"trusted": None, "copies": 4}},
    "strata": list(STRATA),
    "stratum_columns": ["contrast"],
    "precision": "float32",
    "fitted": {"slices": 0.72, "volumes": 2.2, "rule": {"fail_from": 0.25, "pass_from": 0.75}},
}
METRICS = {
    "n_volumes": 121, "n_copies": 1440, "n_labels": 302, "n_contested": 3,
    "validation_volumes": 63, "validation_balanced_accuracy": 0.6535, "test_volumes": 0,
}  # fmt: skip
PROVENANCE = {
    "model_id": MODEL_ID, "format_version": 1, "seed": 0, "mriqa_version": "0.1.0",
    "data_sha256": "d" * 64, "config_sha256": "c" * 64, "weights_sha256": "h" * 64,
    "library_versions": {"torch": "2.13.0+cpu"},
}  # fmt: skip


def long_series(number: int, n_volumes: int, *, shard: int = 0) -> list[dict]:
    """A diffusion series: a volume of b 0 before every five of b 1000."""
    first = next(row for row in synthetic.make_rows(40) if row["status"] == "ok")
    same = {"contrast": "dwi", "stratum": "dwi", "shard": shard, "subject": f"long{number}"}
    return [
        {
            **first, **same, "series_id": f"demo_sub-long{number}_dwi", "volume": volume,
            "b_value_s_per_mm2": 0.0 if volume % 6 == 0 else 1000.0,
        }
        for volume in range(n_volumes)
    ]  # fmt: skip


def add_ratings(rows: list[dict], *, seed: int = 0, keep_score: bool = False) -> list[dict]:
    """The hierarchy's columns of the volumes of STRATA; returns the rows of their slices.

    Every fourth of them fails for one slice, every seventh is questionable. `keep_score` leaves the
    four columns of the analyst as they are.
    """
    rng, slices, number = np.random.default_rng(seed), [], 0
    for row in rows:
        if row["status"] != "ok" or row["stratum"] not in STRATA:
            continue
        number += 1
        place = 2 if number % 4 == 0 else 1 if number % 7 == 0 else 0
        p = rng.dirichlet(1 + 30 * np.eye(3)[place])
        p_fail = rng.uniform(0, 0.2, N_SLICES)
        worst = int(rng.integers(1, N_SLICES - 1))
        p_fail[worst] = (0.25, 0.45, 0.95)[place]
        row |= _of_hierarchy(p, worst, int((p_fail > 0.5).sum()))
        if not keep_score:
            row |= _analysts(row, p)
        slices += [_slice(row, z, None if z == 0 else one) for z, one in enumerate(p_fail)]
    return slices


def _of_hierarchy(p, worst: int, n_fail: int) -> dict:
    names = (f"hierarchy_p_{rating}" for rating in RATINGS)
    return {
        **dict(zip(names, map(float, p), strict=True)),
        "hierarchy_rating": RATINGS[int(p.argmax())], "hierarchy_quality_score": float(p @ QUALITY),
        "hierarchy_worst_slice": worst, "hierarchy_n_slices_fail": n_fail,
    }  # fmt: skip


def _analysts(row: dict, p) -> dict:
    rating = row["hierarchy_rating"]
    return {
        "metrics_score": row["quality_score"], "quality_score": float(p @ QUALITY),
        "rating": rating, "rating_source": "hierarchy", "flag": rating != "pass",
        "flag_reason": None if rating == "pass" else "networks",
    }  # fmt: skip


def _slice(row: dict, z: int, p_fail: float | None) -> dict:
    kept = ("series_id", "subject", "contrast", "volume", "schema_version", "run_id")
    return {**{name: row[name] for name in kept}, "slice": z, "hierarchy_p_fail": p_fail}


def rated(rows: list[dict]) -> list[dict]:
    """Those that the hierarchy has rated."""
    return [row for row in rows if row.get("hierarchy_rating")]


def contested(row: dict, place: int, *, z: int | None = None, raters: str | None = None) -> dict:
    """A row of second_look.parquet."""
    return {
        "level": "volume" if z is None else "slice", "series_id": row["series_id"],
        "volume": row["volume"], "slice": z, "given": "pass", "raters": raters or "ann: pass",
        "likelier": "fail", "action": "dropped", "doubt": 0.9 - 0.001 * place, "p_pass": 0.05,
        "p_questionable": 0.0, "p_fail": 0.95,
    }  # fmt: skip


def round_rows() -> list[dict]:
    """Two rounds of slices, one of volumes, with copies."""
    counts = {
        ("slice", 1, None): {"kept": 5, "dropped": 7, "left": 3},
        ("slice", 2, None): {"kept": 8, "relabelled": 2, "dropped": 2, "added": 3},
        ("slice", 2, 0): {"kept": 11},
        ("volume", 1, None): {"kept": 1234, "relabelled": 1},
    }
    return [
        {
            "level": level, "series_id": "s", "volume": 0, "slice": None, "copy": copy,
            "subject": "1", "fold": 0, "given": "pass", "action": action, "used": None,
            "p_pass": 1.0, "p_questionable": 0.0, "p_fail": 0.0, "round": number,
        }
        for (level, number, copy), actions in counts.items()
        for action, n in actions.items()
        for _ in range(n)
    ]  # fmt: skip


def write_model(results: Path, looks: list[dict]) -> Path:
    """The model folder with its rounds and contested labels; returns it."""
    folder = results / "models/hierarchy" / MODEL_ID
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "metrics.json", METRICS)
    write_json(folder / "provenance.json", PROVENANCE)
    level = pa.field("level", pa.string(), nullable=False)
    rounds = synthetic.table_of(round_rows(), ROUND_SCHEMA.insert(0, level))
    write_parquet(folder / "rounds.parquet", rounds)
    write_looks(results, looks)
    (results / "references").mkdir(exist_ok=True)
    (results / "references/hierarchy.tsv").write_text("series_id\tconfirmed\na\tyes\nb\tn/a\n")
    return folder


def write_looks(results: Path, looks: list[dict]) -> None:
    """The contested labels."""
    path = results / "models/hierarchy" / MODEL_ID / "second_look.parquet"
    write_parquet(path, synthetic.table_of(looks, SECOND_LOOK_SCHEMA))


def write_labels(results: Path, labels: list[tuple], problems: list[dict], n_unused: int) -> None:
    """labels/ as `mriqa labels` leaves it; `labels` are (series_id, volume, rater, rating)."""
    names = ("series_id", "volume", "rater", "rating")
    rows = [{**dict(zip(names, one, strict=True)), "used": True} for one in labels]
    rows += [{**row, "used": False, "not_used_because": "repeated"} for row in rows[:n_unused]]
    write_parquet(results / "labels/ratings.parquet", synthetic.table_of(rows, RATINGS_SCHEMA))
    write_parquet(
        results / "labels/problems.parquet", pa.Table.from_pylist(problems, schema=PROBLEM_SCHEMA)
    )
    given = [
        Label(Target(series_id, volume, None), rater, rating, None, None, "f", 1)
        for series_id, volume, rater, rating in labels
    ]
    write_json(results / "labels/agreement.json", [one.to_json() for one in agreements(given)])


def write_hierarchy(results: Path, rows: list[dict], looks: list[dict] | None = None) -> Path:
    """Rate `rows`, write tables, slices and model; returns the model's folder.

    Without `looks` two volumes and a slice are contested.
    """
    slices = add_ratings(rows)
    synthetic.write_tables(results, rows)
    synthetic.write_slices(results, slices)
    set_methods(results, {"hierarchy": MODEL_ID})
    own = rated(rows)
    default = [contested(own[0], 0), contested(own[1], 1), contested(own[2], 2, z=4)]
    return write_model(results, default if looks is None else looks)
