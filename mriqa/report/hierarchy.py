"""What lies on disk of the hierarchy: its model, figures, rounds; and which strata it knows.

Nothing here raises for what is missing or damaged: the page says so in a sentence and goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from mriqa.references.listing import list_name
from mriqa.report.connection import records
from mriqa.report.learned import read_confirmed
from mriqa.report.parts import METHOD_NAMES
from mriqa.report.reading import (
    Json,
    Reader,
    number,
    number_or_none,
    read_columns,
    read_object,
    whole,
)

METHOD = "hierarchy"
ROUNDS = "rounds.parquet"
_ROUND_COLUMNS = pa.schema(
    [
        pa.field("level", pa.string()),
        pa.field("round", pa.int32()),
        pa.field("copy", pa.int32()),
        pa.field("action", pa.string()),
    ]
)
"""Those that are read: the file says more."""
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Figures:
    """What metrics.json says; `judged` has by split the volumes and the balanced accuracy, 0 to 1.

    A number is None where it is not there.
    """

    n_volumes: int | None
    n_copies: int | None
    n_labels: int | None
    n_contested: int | None
    judged: Mapping[str, tuple[int, float | None]]


@dataclass(frozen=True)
class Fitted:
    """Temperatures of slices and volumes; the shares of failed and passed volumes that decide;
    where it was too inaccurate to rate, with what balanced accuracy, and what is the least."""

    slices: float
    volumes: float
    fail_from: float
    pass_from: float
    too_inaccurate: tuple[float, float] | None = None


@dataclass(frozen=True)
class RoundCount:
    """What a round did with its scans, or with its simulated copies: items by action."""

    level: str
    number: int
    of_copies: bool
    actions: Mapping[str, int]


@dataclass(frozen=True)
class HierarchyModel:
    """A model as far as it can be read; `problems` says what could not.

    `confirmed` counts the lines of the list of trusted volumes, which copies are made of, by what a
    person says of them; None where no copies are learned from, or the list was given.
    """

    model_id: str
    learning: Json
    provenance: Json
    strata: tuple[str, ...] | None
    fitted: Fitted | None
    figures: Figures | None
    rounds: Sequence[RoundCount]
    confirmed: Mapping[str, int] | None
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the method, in a sentence."""
        return METHOD_NAMES[METHOD]

    @property
    def settings(self) -> dict[str, Json]:
        """All that are known, by a title."""
        return {"Settings of the learning": self.learning}


def read_hierarchy_model(results: Path, named: str) -> HierarchyModel:
    """The model called `named` (a model_id of the tables) in `results`."""
    place = f"models/{METHOD}/{named}"
    folder, reader = results / place, Reader(results)
    config, metrics, provenance = (
        reader.told(partial(read_object, folder / name), f"{place}/{name}")
        for name in ("config.json", "metrics.json", "provenance.json")
    )
    said = f"{place}/config.json"
    learning = reader.told(lambda: _learning(config), said) if config else None
    strata = reader.told(lambda: _strata(config), said) if config else None
    fitted = reader.told(lambda: _fitted(config), said) if config else None
    figures = reader.told(lambda: _figures(metrics), f"{place}/metrics.json") if metrics else None
    rounds = reader.told(lambda: _rounds(folder / ROUNDS), f"{place}/{ROUNDS}")
    confirmed = None
    if learning and learning.get("labels") != "given" and not _trusted(learning):
        listed = f"references/{list_name(METHOD)}"
        confirmed = reader.told(lambda: read_confirmed(results / listed), listed)
    return HierarchyModel(
        named, learning or {}, provenance or {}, strata, fitted, figures, rounds or (), confirmed,
        tuple(reader.problems),
    )  # fmt: skip


def _learning(config: Json) -> Json:
    found = config["learning"]
    if not isinstance(found, dict):
        raise ValueError("learning is no JSON object")
    return found


def _trusted(learning: Json) -> bool:
    simulated = learning.get("simulated")
    return isinstance(simulated, dict) and simulated.get("trusted") is not None


def _strata(config: Json) -> tuple[str, ...]:
    if not isinstance(config["strata"], list):
        raise ValueError("strata is no JSON array")
    return tuple(map(str, config["strata"]))


def _fitted(config: Json) -> Fitted:
    found = config["fitted"]
    rule = found["rule"]
    return Fitted(
        number(found["slices"], "slices"),
        number(found["volumes"], "volumes"),
        number(rule["fail_from"], "fail_from"),
        number(rule["pass_from"], "pass_from"),
        _too_inaccurate(config),
    )


def _too_inaccurate(config: Json) -> tuple[float, float] | None:
    accuracy = number_or_none(config["fitted"].get("accuracy"), "accuracy")
    least = number_or_none(config["learning"].get("min_accuracy"), "min_accuracy")
    if accuracy is None or least is None or accuracy >= least:
        return None
    return accuracy, least


def _figures(metrics: Json) -> Figures:
    numbers = {
        name: None if name not in metrics else whole(metrics[name], name)
        for name in ("n_volumes", "n_copies", "n_labels", "n_contested")
    }
    judged: dict[str, tuple[int, float | None]] = {}
    for split in SPLITS:
        volumes, accuracy = f"{split}_volumes", f"{split}_balanced_accuracy"
        if volumes in metrics:
            found = number_or_none(metrics.get(accuracy), accuracy)
            judged[split] = (whole(metrics[volumes], volumes), found)
    return Figures(**numbers, judged=judged)


def _rounds(path: Path) -> list[RoundCount]:
    table = read_columns(path, _ROUND_COLUMNS)
    columns = [table["level"], table["round"], pc.is_valid(table["copy"]), table["action"]]
    items = pa.table(dict(zip(("level", "number", "of_copies", "action"), columns, strict=True)))
    keys = ["level", "number", "of_copies"]
    found: dict[tuple[str, int, bool], dict[str, int]] = {}
    for row in items.group_by([*keys, "action"]).aggregate([([], "count_all")]).to_pylist():
        key = (str(row["level"]), int(row["number"]), bool(row["of_copies"]))
        found.setdefault(key, {})[str(row["action"])] = row["count_all"]
    return [RoundCount(*key, found[key]) for key in sorted(found)]


@dataclass(frozen=True)
class Reach:
    """Measured volumes: of strata that the model knows, rated and not; and of the others.

    `unknown` has the largest strata that it does not know, by volumes; of `n_unknown` in all.
    """

    n_rated: int
    n_not_rated: int
    n_beyond: int
    unknown: Mapping[str, int]
    n_unknown: int


MAX_UNKNOWN = 40


def gather_reach(connection: duckdb.DuckDBPyConnection, strata: Sequence[str]) -> Reach:
    """From the table `judged` (`mriqa.report.likeness.gather_opinions`)."""
    rows = records(
        connection,
        """
        SELECT coalesce(stratum, '-') AS name, count(*) AS n,
               count(hierarchy_rating) AS n_rated,
               coalesce(list_contains(?::VARCHAR[], stratum), FALSE) AS is_known
        FROM judged GROUP BY ALL ORDER BY n DESC, name
        """,
        [list(strata)],
    )
    beyond = {row["name"]: row["n"] for row in rows if not row["is_known"]}
    known = [row for row in rows if row["is_known"]]
    n_rated = sum(row["n_rated"] for row in known)
    return Reach(
        n_rated,
        sum(row["n"] for row in known) - n_rated,
        sum(beyond.values()),
        dict(list(beyond.items())[:MAX_UNKNOWN]),
        len(beyond),
    )
