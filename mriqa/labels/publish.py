"""Labels in the results folder, and what they amount to in a few lines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from mriqa.cohort.ledger import write_problems
from mriqa.cohort.manifest import read_cohort
from mriqa.cohort.tabular import Problem
from mriqa.config import LabelSource
from mriqa.errors import UserError
from mriqa.files import (
    read_if_sound,
    remove_leftovers,
    write_json_if_changed,
    write_parquet,
    write_parquet_if_changed,
)
from mriqa.labels.agreement import Agreement, agreements
from mriqa.labels.model import RATINGS, Labels
from mriqa.labels.reading import FOLDER, RATINGS_FILE, SCHEMA, SEEN_FILE, read_labels

PROBLEMS = FOLDER / "problems.parquet"
AGREEMENT = FOLDER / "agreement.json"
SHOWN = 20
"""Problems that are printed; the file has all."""


@dataclass(frozen=True)
class LabelSummary:
    """What the sources hold; `ratings` counts labels by rating."""

    n_labels: int
    n_series: int
    ratings: dict[str, int]
    agreements: tuple[Agreement, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        """One line."""
        counts = ", ".join(f"{self.ratings.get(one, 0)} {one}" for one in RATINGS)
        kappas = [_kappa(one) for one in self.agreements if one.n_twice]
        return "; ".join(
            [
                f"labels {self.n_labels} of {self.n_series} series ({counts})",
                *kappas,
                f"problems {len(self.problems)} ({PROBLEMS})",
            ]
        )

    def details(self) -> str:
        """Some lines: each two raters' agreement and the first problems."""
        pairs = [
            f"  {one.level}: {pair.first} and {pair.second} agree on {pair.observed:.0%} of "
            f"{pair.n} (Cohen's κ {_number(pair.cohen_kappa)}, weighted "
            f"{_number(pair.weighted_kappa)})"
            for one in self.agreements
            for pair in one.pairs
        ]
        told = [_told(one) for one in self.problems[:SHOWN]]
        left = len(self.problems) - len(told)
        return "\n".join([str(self), *pairs, *told, *([f"  and {left} more"] if left else [])])


def summarise(labels: Labels) -> LabelSummary:
    """What `labels` amount to."""
    return LabelSummary(
        len(labels.labels),
        len({one.target.series_id for one in labels.labels}),
        dict(Counter(one.rating for one in labels.labels)),
        tuple(agreements(labels.labels)),
        tuple(labels.problems),
    )


def write_labels(sources: Sequence[LabelSource], results: Path) -> LabelSummary | None:
    """Read all sources and write `labels/`: ratings, problems, agreement; None without sources.

    What files the labels were given to is remembered also without sources. Raises UserError if a
    source cannot be read; then only the labels of who has withdrawn since are taken away.
    """
    for file in (PROBLEMS, AGREEMENT, RATINGS_FILE, SEEN_FILE):
        remove_leftovers(results / FOLDER, file.name)
    if not sources:
        for file in (PROBLEMS, AGREEMENT, RATINGS_FILE):
            (results / file).unlink(missing_ok=True)
        return None
    try:
        read = read_labels(sources, results)
    except UserError:
        _forget_withdrawn(results)
        raise
    summary = summarise(read.labels)
    # first: a label whose file is not remembered would be one of whatever file comes next
    write_parquet_if_changed(results / SEEN_FILE, read.seen)
    write_problems(results / PROBLEMS, read.labels.problems)
    write_json_if_changed(results / AGREEMENT, [one.to_json() for one in summary.agreements])
    write_parquet_if_changed(results / RATINGS_FILE, read.ratings)
    return summary


def _forget_withdrawn(results: Path) -> None:
    """Take the labels of excluded and vanished series out of an earlier reading."""
    table = read_if_sound(results / RATINGS_FILE, SCHEMA)
    if table is None:
        return
    cohort = read_cohort(results / "cohort.parquet")
    left = cohort.filter(pc.is_null(cohort["excluded_by"]))["series_id"].combine_chunks()
    kept = table.filter(pc.is_in(table["series_id"], value_set=left))
    if kept.num_rows < table.num_rows:
        write_parquet(results / RATINGS_FILE, kept)
        (results / PROBLEMS).unlink(missing_ok=True)


def _kappa(one: Agreement) -> str:
    level = "series" if one.level == "series" else f"{one.level}s"
    return (
        f"{level} rated twice or more {one.n_twice}, disputed {one.n_disputed}, Fleiss' κ "
        f"{_number(one.fleiss_kappa)} ({one.n_raters} raters)"
    )


def _number(kappa: float | None) -> str:
    return "undefined: all ratings are the same" if kappa is None else f"{kappa:.2f}"


def _told(one: Problem) -> str:
    line = "" if one.line is None else f", line {one.line}"
    value = "" if one.value is None else f" {one.value!r}"
    return f"  {one.file}{line}: {one.column or ''}{value}: {one.problem}"
