"""Labels worth a second look: those that the hierarchy's networks contest, with a picture each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mriqa.images.store import StoredSeries
from mriqa.report.connection import records, selected
from mriqa.report.gallery import frame
from mriqa.report.hierarchy import METHOD
from mriqa.report.html import Html, element, joined
from mriqa.report.mosaic import slices_shown
from mriqa.report.parts import badge, complaints, count, decimal, identifier, note, section
from mriqa.report.pictures import Picture, drawn, from_store
from mriqa.report.reading import Reader, read_columns

FILE = "second_look.parquet"
SLICES = 4
COLUMNS = 2
LISTED = {"volume": 25, "slice": 10}
"""Labels that are shown, by level: the first of the file."""
DONE = {
    "kept": "but not surely enough: kept",
    "dropped": "left out of the last lesson",
    "relabelled": "learned as the likelier rating",
}
"""What self-training made of a contested label (action)."""
_COLUMNS = pa.schema(
    [
        pa.field("level", pa.string()),
        pa.field("series_id", pa.string()),
        pa.field("volume", pa.int32()),
        pa.field("slice", pa.int32()),
        pa.field("given", pa.string()),
        pa.field("raters", pa.string()),
        pa.field("likelier", pa.string()),
        pa.field("action", pa.string()),
        pa.field("doubt", pa.float64()),
    ]
)
"""Those that are read, as in `mriqa.methods.hierarchy.second_look`, which needs torch."""
Key = tuple[str, str, int, int | None]


@dataclass(frozen=True)
class Look:
    """A label that the networks contest; `place` counts from 1 in its level.

    `raters` has everybody's rating, `doubt` is the probability of `likelier` minus that of `given`.
    `worst_slice` is that of the volume, where the hierarchy has rated it. `slice` is None for a
    volume.
    """

    place: int
    level: str
    series_id: str
    volume: int
    slice: int | None
    given: str
    raters: str
    likelier: str
    action: str
    doubt: float | None
    shard: int
    contrast: str
    worst_slice: int | None
    b_value: float | None

    @property
    def key(self) -> Key:
        """What it is a label of."""
        return self.level, self.series_id, self.volume, self.slice


Pictures = Mapping[Key, Picture]


@dataclass(frozen=True)
class SecondLook:
    """`looks` are shown, of `counts` contested labels by level; `n_gone` more are of series that
    are not in the cohort any more, or excluded. `file` holds all; `told`: what could not be read.
    """

    file: str
    looks: Sequence[Look]
    counts: Mapping[str, int]
    n_gone: int
    told: tuple[str, ...]


def gather_second_look(
    connection: duckdb.DuckDBPyConnection, results: Path, named: str
) -> SecondLook:
    """Of the model called `named`. Never raises for what is missing or damaged."""
    file, reader = f"models/{METHOD}/{named}/{FILE}", Reader(results)
    found = reader.told(lambda: _gather(connection, results / file), file)
    looks, counts, n_gone = found or ([], {}, 0)
    return SecondLook(file, looks, counts, n_gone, tuple(reader.problems))


def _gather(
    connection: duckdb.DuckDBPyConnection, path: Path
) -> tuple[list[Look], dict[str, int], int]:
    table = read_columns(path, _COLUMNS)
    shards = _shards(connection, pc.unique(table["series_id"]).to_pylist())
    there = table.filter(pc.is_in(table["series_id"], pa.array(list(shards), pa.string())))
    rows = [
        {**row, "place": place}
        for level, most in LISTED.items()
        for place, row in enumerate(
            there.filter(pc.equal(there["level"], level)).slice(0, most).to_pylist(), start=1
        )
    ]
    known = _known(connection, rows)
    looks = [
        Look(
            **row,
            shard=shards[row["series_id"]],
            contrast=of_volume.get("contrast") or "",
            worst_slice=of_volume.get("hierarchy_worst_slice"),
            b_value=of_volume.get("b_value_s_per_mm2"),
        )
        for row in rows
        for of_volume in [known.get((row["series_id"], row["volume"]), {})]
    ]
    counts = dict(Counter(there["level"].to_pylist()))
    return looks, counts, table.num_rows - there.num_rows


def _shards(connection: duckdb.DuckDBPyConnection, series_ids: Sequence[str]) -> dict[str, int]:
    """Of those that are in the cohort and not excluded."""
    views = {row["name"] for row in records(connection, "SHOW TABLES")}
    source = "cohort" if "cohort" in views else "volumes"
    rows = records(
        connection,
        f"SELECT series_id, any_value(shard) AS shard FROM {source} "  # noqa: S608
        "WHERE series_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY series_id "
        "HAVING count(excluded_by) = 0",
        [list(series_ids)],
    )
    return {row["series_id"]: row["shard"] for row in rows}


def _known(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, int], dict[str, Any]]:
    names = ("series_id", "volume", "contrast", "hierarchy_worst_slice", "b_value_s_per_mm2")
    found = records(
        connection,
        f"SELECT {selected(connection, names)} FROM volumes "  # noqa: S608
        "WHERE series_id IN (SELECT unnest(?::VARCHAR[])) AND volume IS NOT NULL",
        [sorted({row["series_id"] for row in rows})],
    )
    return {(row["series_id"], row["volume"]): row for row in found}


def take_look_pictures(
    results: Path, looks: Sequence[Look], tile: int
) -> Iterator[tuple[Key, Picture]]:
    """Yield the picture of each label's slice or volume; one that cannot be shown says why."""
    for look in looks:
        yield look.key, _take(results, look, tile)


def _take(results: Path, look: Look, tile: int) -> Picture:
    return from_store(
        results, look.shard, look.series_id, lambda series: _picture(series, look, tile)
    )


def _picture(series: StoredSeries, look: Look, tile: int) -> Picture:
    """The slice that was rated; of a volume four, the worst among them."""
    shown: tuple[int, ...] = (look.slice,) if look.slice is not None else ()
    if not shown:
        shown = slices_shown(series.attributes.shape_zyx[0], look.worst_slice, SLICES)
    slices = np.stack([series.slice(look.volume, z) for z in shown])
    return drawn(slices, shown, series, look.volume, tile, COLUMNS)


def second_look_section(found: SecondLook, pictures: Pictures) -> Html:
    """The contested labels as cards, the most doubtful first."""
    total = sum(found.counts.values())
    parts: list[Html | None] = [complaints(found.told)]
    if not total and not found.told:
        parts.append(note("The networks contest no label that a person gave."))
    if total:
        parts.append(_explained(found, total))
    for level in LISTED:
        parts += _list(level, [one for one in found.looks if one.level == level], found, pictures)
    return section("second-look", "Labels worth a second look", *parts)


def _explained(found: SecondLook, total: int) -> Html:
    gone = (
        f" {count(found.n_gone)} more are of series that have left the cohort or are excluded."
        if found.n_gone
        else ""
    )
    return note(
        f"{count(total)} labels that people gave are not what is likeliest to the networks that "
        "have not seen the subject: the label may be wrong, or the networks. Doubt is by how much "
        f"more probable the other rating is to them.{gone} All are in ",
        identifier(found.file),
        ". To change a label, change it where it was given, and run again; the hierarchy learns "
        "from it only when it is trained anew.",
    )


def _list(level: str, looks: Sequence[Look], found: SecondLook, pictures: Pictures) -> list[Html]:
    if not looks:
        return []
    total = found.counts.get(level, len(looks))
    title = f"{level[0].upper()}{level[1:]}s ({count(len(looks))}"
    title += f" of {count(total)})" if total > len(looks) else ")"
    cards = [
        element("li", _card(anchor, look, pictures[look.key]), id=anchor)
        for look in looks
        for anchor in [f"look-{level}-{look.place}"]
    ]
    left = total - len(looks)
    more = [note(f"and {count(left)} more: ", identifier(found.file))] if left > 0 else []
    return [element("h3", title), element("ul", *cards, class_="cards small"), *more]


def _card(anchor: str, look: Look, picture: Picture) -> Html:
    at = "" if look.slice is None else f", slice {look.slice}"
    what = f"volume {look.volume}{at} of {look.series_id}"
    where = [look.contrast, f"volume {look.volume}{at}"]
    if look.b_value is not None:
        where.append(f"b {look.b_value:g} s/mm²")
    if look.slice is None and look.worst_slice is not None:
        where.append(f"worst slice {look.worst_slice}")
    head = element(
        "div",
        badge(look.given),
        element("span", "likelier", class_="meta"),
        badge(look.likelier),
        element("span", f"doubt {decimal(look.doubt, 2)}", class_="meta"),
        element("span", f"#{look.place}", class_="place"),
        class_="head",
    )
    text = joined(
        [
            head,
            element("span", look.series_id, class_="id"),
            element("div", " · ".join(one for one in where if one), class_="meta"),
            element("div", look.raters, class_="said"),
            element("div", DONE.get(look.action, look.action), class_="meta"),
        ]
    )
    return element(
        "figure", frame(anchor, what, picture), element("figcaption", text), class_="card"
    )
