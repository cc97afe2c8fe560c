"""Labels in the results folder, and what they amount to in a few lines."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mriqa.cohort.ledger import write_problems
from mriqa.cohort.tabular import Problem
from mriqa.config import LabelSource
from mriqa.files import write_json, write_parquet_if_changed
from mriqa.labels.agreement import Agreement, agreements
from mriqa.labels.model import RATINGS, Labels
from mriqa.labels.reading import FILE, read_labels

PROBLEMS = FILE.with_name("problems.parquet")
AGREEMENT = FILE.with_name("agreement.json")
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

    `labels/ratings.parquet` is written last. Raises UserError if a source cannot be read; then
    nothing is written.
    """
    if not sources:
        shutil.rmtree(results / FILE.parent, ignore_errors=True)
        return None
    labels, table = read_labels(sources, results)
    summary = summarise(labels)
    write_problems(results / PROBLEMS, labels.problems)
    write_json(results / AGREEMENT, [one.to_json() for one in summary.agreements])
    write_parquet_if_changed(results / FILE, table)
    return summary


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
