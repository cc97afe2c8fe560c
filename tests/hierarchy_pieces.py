"""What the hierarchy's parts are made of, in few words: labels, items, embeddings, cohorts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from embedding_pieces import no_metrics

from mriqa.cohort.manifest import COHORT_SCHEMA, shard_name
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.files import write_parquet
from mriqa.labels.model import Label, Target
from mriqa.labels.reading import RATINGS_FILE
from mriqa.labels.reading import SCHEMA as RATINGS_SCHEMA
from mriqa.methods.hierarchy.items import Item
from mriqa.rating.score import SCORE_SCHEMA


def label(series, volume, number, rating, rater="ann"):
    """What `rater` said of a slice, a volume (`number` None) or a series (both None)."""
    return Label(Target(series, volume, number), rater, rating, None, None, "labels.tsv", 2)


def item(series="a", volume=0, **values):
    usual = {"subject": "s1", "session": None, "stratum": "T1w", "split": "train"}
    return Item(series, volume, **(usual | values))


def embedding(values, is_body=None):
    """Of slices with the features `values` (z, d), all of the body if nothing else is said."""
    slices = np.asarray(values, dtype=np.float16)
    body = np.ones(len(slices), dtype=bool) if is_body is None else np.asarray(is_body, dtype=bool)
    return VolumeEmbedding(slices, body, slices.shape[1], no_metrics(len(slices)))


def series(series_id, **changed: Any) -> dict[str, Any]:
    """A row of the cohort, usable and of a training subject where nothing else is said."""
    usual = {
        "series_id": series_id, "subject": series_id, "contrast": "T1w", "split": "train",
        "source_path": "x", "source_kind": "nifti", "size_bytes": 9, "mtime_ns": 5, "shard": 0,
    }  # fmt: skip
    return dict.fromkeys(COHORT_SCHEMA.names) | usual | changed


def write_cohort(results: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """`cohort.parquet` of these rows."""
    write_parquet(results / "cohort.parquet", pa.Table.from_pylist(rows, schema=COHORT_SCHEMA))


def write_scores(results: Path, rows: Sequence[Mapping[str, Any]], volumes=1, **of_series) -> None:
    """What `mriqa score` would say of the cohort `rows`: all volumes measured, no slices.

    `of_series` gives other values, by series id: a mapping, or one for each of its volumes.
    """
    shards: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        own = of_series.get(row["series_id"], {})
        given = [own] * volumes if isinstance(own, Mapping) else own
        shards.setdefault(row["shard"], []).extend(
            {
                "series_id": row["series_id"], "volume": number, "status": "ok", "b_class": "none",
                "background": "air", "spacing_z_mm": 4.0, "spacing_y_mm": 2.0, "spacing_x_mm": 2.0,
                **one,
            }
            for number, one in enumerate(given)
        )  # fmt: skip
    for shard, measured in shards.items():
        complete = [{name: one.get(name) for name in SCORE_SCHEMA.names} for one in measured]
        path = results / "scores" / f"{shard_name(shard)}.parquet"
        write_parquet(path, pa.Table.from_pylist(complete, schema=SCORE_SCHEMA))


def write_ratings(results: Path, labels: Sequence[Label], unused: Sequence[Label] = ()) -> None:
    """`labels/ratings.parquet` as the labels of a configuration leave it."""
    rows = [
        {
            **one.target._asdict(), "rater": one.rater, "rating": one.rating, "comment": None,
            "used": one not in unused, "not_used_because": "replaced" if one in unused else None,
        }
        for one in [*labels, *unused]
    ]  # fmt: skip
    write_parquet(results / RATINGS_FILE, pa.Table.from_pylist(rows, schema=RATINGS_SCHEMA))
