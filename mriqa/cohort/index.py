"""`mriqa index`: from sources to cohort.parquet and shards. The only stage that walks a cohort."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mriqa.cohort.exclusions import Exclusions, read_exclusions
from mriqa.cohort.found import Findings, FoundSeries, Person, bounded
from mriqa.cohort.inspection import Inspection, inspect_all
from mriqa.cohort.ledger import (
    Ledger,
    changed_cohort,
    read_ledger,
    write_cohort,
    write_problems,
    write_shards,
)
from mriqa.cohort.participants import PERSON_COLUMNS, filled
from mriqa.cohort.shards import Limits, Load, assign_shards
from mriqa.cohort.sources import find_series
from mriqa.cohort.split import split_of
from mriqa.cohort.tabular import Problem
from mriqa.config import CohortSection
from mriqa.errors import ErrorCode

MIB = 2**20


@dataclass(frozen=True)
class IndexSummary:
    """What one run of `index` found and wrote.

    `n_failed` of the series have an error code; `n_vanished` were indexed before and are in no
    source any more.
    """

    n_series: int
    n_subjects: int
    n_excluded: int
    n_failed: int
    n_problems: int
    shards_total: int
    shards_new: int
    shards_changed: int
    shards_removed: int
    n_vanished: int

    def __str__(self) -> str:
        shards = f"{self.shards_new} new, {self.shards_changed} changed"
        gone = f", {self.shards_removed} removed" if self.shards_removed else ""
        lost = f", vanished {self.n_vanished}" if self.n_vanished else ""
        return (
            f"series {self.n_series}, subjects {self.n_subjects}, excluded {self.n_excluded}, "
            f"unreadable {self.n_failed}{lost}; shards {self.shards_total} ({shards}{gone}); "
            f"problems {self.n_problems} (index_problems.parquet)"
        )


def index_cohort(section: CohortSection, results: Path) -> IndexSummary:
    """Find all series of the sources and write cohort.parquet, shards/ and index_problems.parquet.

    Only files whose content changed are written, and new series make new shards. Raises UserError
    if a source is missing or no source has any series.
    """
    exclusions = read_exclusions(section)
    findings = find_series(section)
    exclusions.check({one.subject for one in findings.series})
    series, inspections, problems = _inspected(findings, exclusions)
    ledger = read_ledger(results)
    shards = _shards(section, series, inspections, ledger)
    rows = [
        _row(section, one, seen, exclusions, shards[one.series_id])
        for one, seen in zip(series, inspections, strict=True)
    ]
    problems += exclusions.problems({one.contrast for one in series})
    return _write(results, ledger, rows, list(set(problems)))


def _inspected(
    findings: Findings, exclusions: Exclusions
) -> tuple[list[FoundSeries], list[Inspection], list[Problem]]:
    """Series by subject, session and id, each id once, and what their files are like."""
    claims: dict[str, list[FoundSeries]] = defaultdict(list)
    for one in findings.series:
        claims[one.series_id].append(one)
    series = sorted(
        (claim[0] for claim in claims.values()),
        key=lambda one: (one.subject, one.session or "", one.series_id),
    )
    single = [one for one in series if len(claims[one.series_id]) == 1]
    seen = dict(zip((one.series_id for one in single), inspect_all(single), strict=True))
    problems = findings.problems + _files_named_twice(series)
    for one in series:
        if one.series_id not in seen:
            seen[one.series_id] = _duplicate(claims[one.series_id])
        if exclusions.excluded_by(one.subject, one.contrast) is None:
            problems.extend(seen[one.series_id].problems)
    return series, [seen[one.series_id] for one in series], problems


def _files_named_twice(series: list[FoundSeries]) -> list[Problem]:
    """One file as two series: a slip in a table would give a subject the image of another."""
    first: dict[str, FoundSeries] = {}
    problems = []
    for one in series:
        other = first.setdefault(os.path.normpath(one.path), one)
        if other is not one:
            text = f"the same file is series {other.series_id} too ({other.origin})"
            problems.append(Problem(one.origin_file, text, one.origin_line, "path", one.path))
    return bounded(problems, "configuration", "files that are two series")


def _duplicate(claims: list[FoundSeries]) -> Inspection:
    where = " and ".join(one.origin for one in claims[:5])
    message = f"{claims[0].series_id}: claimed {len(claims)} times: {where}; none is used"
    problems = tuple(
        Problem(
            one.origin_file,
            f"series id {one.series_id} is claimed {len(claims)} times: {where}",
            one.origin_line,
            value=one.path,
        )
        for one in claims
    )
    return Inspection(error_code=ErrorCode.DUPLICATE_ID, error_message=message, problems=problems)


def _shards(
    section: CohortSection,
    series: Sequence[FoundSeries],
    inspections: Sequence[Inspection],
    ledger: Ledger,
) -> dict[str, int]:
    loads = [
        Load(one.series_id, one.subject, seen.size_bytes)
        for one, seen in zip(series, inspections, strict=True)
    ]
    limits = Limits(section.shard_mb * MIB, section.shard_series)
    return assign_shards(loads, ledger.assigned, ledger.next_shard, limits)


def _row(
    section: CohortSection,
    series: FoundSeries,
    seen: Inspection,
    exclusions: Exclusions,
    shard: int,
) -> dict[str, Any]:
    excluded_by = exclusions.excluded_by(series.subject, series.contrast)
    scanner = Person(scanner=seen.scanner)
    # who withdrew leaves no personal data behind
    person = Person() if excluded_by == "withdrawn" else filled(series.person, scanner)
    # left out on purpose is no failure: the files of withdrawn subjects are often deleted
    failed = excluded_by is None and seen.error_code is not None
    return {
        "series_id": series.series_id,
        "subject": series.subject,
        "session": series.session,
        "contrast": series.contrast,
        "station": series.station,
        "source_path": series.path,
        "source_kind": series.kind,
        "size_bytes": seen.size_bytes,
        "mtime_ns": seen.mtime_ns,
        "bvals": seen.bvals,
        "error_code": str(seen.error_code) if failed else None,
        "error_message": seen.error_message if failed else None,
        "excluded_by": excluded_by,
        "shard": shard,
        "sha256": None,
        **{name: getattr(person, name) for name in PERSON_COLUMNS},
        "split": split_of(series.subject, section.seed, section.split),
    }


def _write(
    results: Path, ledger: Ledger, rows: list[dict[str, Any]], problems: list[Problem]
) -> IndexSummary:
    members: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        members[row["shard"]].append(row)
    cohort = changed_cohort(results, ledger, rows)
    write_problems(results / "index_problems.parquet", problems)
    changes = write_shards(results, ledger, members)
    if cohort is not None:
        write_cohort(results, cohort)
    return IndexSummary(
        n_series=len(rows),
        n_subjects=len({row["subject"] for row in rows}),
        n_excluded=sum(row["excluded_by"] is not None for row in rows),
        n_failed=sum(row["error_code"] is not None for row in rows),
        n_problems=len(problems),
        shards_total=len(members),
        shards_new=len(changes.new),
        shards_changed=len(changes.changed),
        shards_removed=len(changes.removed),
        n_vanished=len(set(ledger.assigned) - {row["series_id"] for row in rows}),
    )
