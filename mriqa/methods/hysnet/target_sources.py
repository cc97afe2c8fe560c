"""Where the numbers that HyS-Net learns come from: the volumes' scores, or a table of one's own.

A column of the scores is one of the hand-made metrics. A table has a row a series or a volume; its
scans are named by `series_id`, with the cohort's name before it or without, or by `bids_name`, the
name of the file, as MRIQC's group tables have it. Nothing heavy is imported here: the id of a model
that has learned from a table follows from the table's numbers.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.cohort.entities import image_stem
from mriqa.cohort.manifest import read_cohort
from mriqa.cohort.tabular import Row, TextTable, read_text_table
from mriqa.config import HysnetLearningSection, HysnetTargetSection
from mriqa.errors import UserError
from mriqa.files import readable

KEYS = ("series_id", "bids_name")
"""Columns of a table that name a scan; the first that is there counts."""
COLUMN = "hysnet.learning.target.column"
TABLE = "hysnet.learning.target.table"
Volume = tuple[str, int]


@dataclass(frozen=True)
class TableTargets:
    """Numbers by series and volume; the volume None stands for all of the series."""

    values: Mapping[tuple[str, int | None], float]

    def of(self, series_id: str, volume: int) -> float | None:
        """The number of a volume: its own, else that of its series."""
        return self.values.get((series_id, volume), self.values.get((series_id, None)))

    def sha256(self, series: Collection[str]) -> str:
        """Stands for the numbers of these series, in whatever order they stand."""
        wanted = set(series)
        rows = [
            [name, -1 if volume is None else volume, value]
            for (name, volume), value in self.values.items()
            if name in wanted
        ]
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def metric_names() -> tuple[str, ...]:
    """The metrics of volumes that can be learned."""
    from mriqa.metrics import VOLUME_COLUMNS  # scipy comes with it: not for those who plan

    return tuple(one.name for one in VOLUME_COLUMNS if one.kind == "float64")


def check_metric(column: str, key: str = COLUMN) -> None:
    """Raise UserError if `column` is no metric of volumes; the user calls the setting `key`."""
    if column not in (names := metric_names()):
        raise UserError(
            f"{key}: {column!r} is no metric of volumes; allowed: {', '.join(names)}; for a number "
            f"of your own name its table, too ({TABLE})"
        )


def is_of_brains(column: str) -> bool:
    """Whether a metric is one of MRIQC's, which are of brains only."""
    from mriqa.metrics.brain import BRAIN_COLUMNS

    return column in {one.name for one in BRAIN_COLUMNS}


def check_target(
    results: Path, section: HysnetLearningSection, brains: Collection[str] = ()
) -> None:
    """Raise UserError if the target is no metric, or of no such table, before anything is done.

    `brains` are the contrasts of which brain metrics are measured (`score.brain`).
    """
    target = section.target
    if target.table is not None:
        read_table_targets(target.table, target.column, results / "cohort.parquet")
        return
    check_metric(target.column)
    if is_of_brains(target.column) and (not brains or set(section.contrasts) - set(brains)):
        asked = ", ".join(section.contrasts) or "not set"
        raise UserError(
            f"{COLUMN}: {target.column} is a metric of brains, measured in contrasts that "
            f"score.brain names ({', '.join(sorted(brains)) or 'none'}); name there those to learn "
            f"(hysnet.learning.contrasts: {asked}), or a table ({TABLE})"
        )


def volume_values(
    scores: Path, series: Collection[str], column: str | None
) -> dict[Volume, float | None]:
    """The measured volumes of `series` in a shard's scores, with what `column` says of each.

    Without a column, and where the metric could not be computed, None. Raises UserError if the file
    is missing, damaged, or has no such column.
    """
    names = ["series_id", "volume", "slice", "status", *([column] if column else [])]
    with readable(scores):
        table = pq.ParquetFile(scores).read(columns=names)
    if not set(names) <= set(table.column_names):
        raise UserError(f"{scores}: scores of another version; delete it and run again")
    own = pc.is_in(table["series_id"], value_set=pa.array(sorted(series), pa.string()))
    measured = pc.and_(pc.equal(table["status"], "ok"), pc.is_null(table["slice"]))
    kept = table.filter(pc.and_(own, measured))
    values = kept[column].to_pylist() if column else [None] * len(kept)
    volumes = zip(kept["series_id"].to_pylist(), kept["volume"].to_pylist(), strict=True)
    return dict(zip(volumes, values, strict=True))


def read_table_targets(path: Path, column: str, cohort: Path) -> TableTargets:
    """The numbers in `column` of the table in `path`, of the scans of `cohort`.

    Scans that are no series of the cohort, and rows without a number, are left out. Raises
    UserError if a column is missing, a value is no finite number, two rows differ about a scan, or
    no row is of this cohort.
    """
    table = read_text_table(path)
    key, wanted = _columns(table, column)
    names = _series_names(cohort, by_file=key == "bids_name")
    values: dict[tuple[str, int | None], float] = {}
    for row in table.rows:
        series_id = names.get(row.values[key] or "")
        value = _number(row, wanted, path)
        if series_id is None or value is None:
            continue
        place = series_id, _volume(row, path)
        if values.setdefault(place, value) != value:
            raise UserError(
                f"{path}, line {row.line}: {row.values[key]} has {wanted} {value:g} here and "
                f"{values[place]:g} before; keep one (volumes of a series are told apart by a "
                "column `volume`)"
            )
    if not values:
        an_id, a_row = (
            next(iter(names), "none"),
            table.rows[0].values[key] if table.rows else "none",
        )
        raise UserError(
            f"{path}: no row with a number is of a series of this cohort: {key} is e.g. {a_row}, "
            f"that of a series e.g. {an_id}"
        )
    return TableTargets(values)


def targets_digest(target: HysnetTargetSection, cohort: Path, series: Collection[str]) -> str:
    """What a model depends on of a table: its name of the numbers and those of `series`.

    Empty where there is no table. Raises UserError as `read_table_targets`.
    """
    if target.table is None:
        return ""
    return read_table_targets(target.table, target.column, cohort).sha256(series)


def _columns(table: TextTable, column: str) -> tuple[str, str]:
    """The column that names scans, and that of the numbers, as the table has them."""
    key = next((one for one in KEYS if one in table.columns), None)
    wanted = column.lower()  # as all names of columns are read
    if key is None:
        raise UserError(
            f"{TABLE}: {table.path} has neither a column {' nor '.join(KEYS)} to tell scans by; "
            f"its columns are {', '.join(table.columns)}"
        )
    if wanted not in table.columns:
        raise UserError(
            f"{COLUMN}: {table.path} has no column {column!r}; its columns are "
            f"{', '.join(table.columns)}"
        )
    return key, wanted


def _series_names(cohort: Path, *, by_file: bool) -> dict[str, str]:
    """Names that a table may call a series by → series id; what could be several is none."""
    table = read_cohort(cohort)
    ids = table["series_id"].to_pylist()
    prefix = f"{next(iter(ids), '').partition('_')[0]}_"  # a cohort's name has no underscore
    names = {one.removeprefix(prefix): one for one in ids} | {one: one for one in ids}
    if not by_file:
        return names
    files = [Path(path).name for path in table["source_path"].to_pylist()]
    stems = [image_stem(name) or name for name in files]
    counts = Counter(stems)
    own = {stem: one for stem, one in zip(stems, ids, strict=True) if counts[stem] == 1}
    return {name: one for name, one in names.items() if counts[name] <= 1} | own


def _number(row: Row, column: str, path: Path) -> float | None:
    """The value of a row; None where it is not known."""
    text = row.values.get(column)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(
            f"{path}, line {row.line}: {column} is {text!r}; it must be a finite number, or n/a"
        )
    return value


def _volume(row: Row, path: Path) -> int | None:
    """Index of a row's volume; None for all volumes of the series."""
    text = row.values.get("volume")
    if text is None:
        return None
    if not text.isdecimal():
        raise UserError(
            f"{path}, line {row.line}: volume is {text!r}; it must be an index from 0, or empty "
            "for all volumes of the series"
        )
    return int(text)
