"""All sources of a cohort together: who is found where, and who they are."""

import os
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from mriqa.cohort.bids import find_bids_series
from mriqa.cohort.folder import find_folder_series
from mriqa.cohort.found import Findings, FoundSeries, Person
from mriqa.cohort.participants import Participants, filled, read_participants
from mriqa.cohort.table import find_table_series
from mriqa.cohort.tabular import Problem
from mriqa.config import BidsSource, CohortSection, Source, TableSource
from mriqa.errors import UserError

MAX_CONTRAST = 240
"""Bytes, percent-encoded: `contrast=...` names a folder, for which file systems allow 255."""


def find_series(section: CohortSection) -> Findings:
    """Series and problems of all sources, in the order of the sources.

    Demographics come from the source's own columns, else its participants.tsv, else the table that
    `section.participants` names. Raises UserError if a source is missing or none has any series.
    """
    shared = None if section.participants is None else read_participants(section.participants)
    result = Findings([], [] if shared is None else list(shared.problems))
    for source in section.sources:
        found = _find(source, section.name)
        persons = _participants(source, shared)
        result.series.extend(_with_person(one, persons) for one in found.series)
        result.problems.extend(found.problems)
        if persons is not shared:
            result.problems.extend(persons.problems)
    if not result.series:
        raise UserError(_nothing_found(section, result.problems))
    return _without_unwritable(result)


def _find(source: Source, cohort: str) -> Findings:
    if isinstance(source, BidsSource):
        return find_bids_series(source.path, cohort)
    if isinstance(source, TableSource):
        return find_table_series(source.path, cohort)
    return find_folder_series(source.path, source.pattern, cohort)


def _participants(source: Source, shared: Participants | None) -> Participants:
    """The dataset's own participants.tsv, else the one that the configuration names."""
    if isinstance(source, BidsSource):
        own = source.path / "participants.tsv"
        if own.is_file():
            return read_participants(own)
        if own.is_symlink():
            text = "a link to a file that is not there; no demographics from it"
            persons = {} if shared is None else shared.persons
            return Participants(persons, [Problem(str(own), text)])
    return shared or Participants()


def _with_person(series: FoundSeries, participants: Participants) -> FoundSeries:
    person = participants.person(series.subject, series.session)
    if person == Person():
        return series
    return replace(series, person=filled(series.person, person))


def _nothing_found(section: CohortSection, problems: Sequence[Problem]) -> str:
    lines = ["no series found in any source of the cohort:"]
    for source in section.sources:
        looked = {
            "bids": "sub-*/[ses-*/]{anat,dwi,func,perf,fmap}/*.nii[.gz]",
            "table": "rows with path, subject and contrast",
        }
        what = looked.get(source.kind) or f"files like {getattr(source, 'pattern', '')}"
        lines.append(f"  {source.path}: looked for {what}")
    lines += [f"  {problem.file}: {problem.problem}" for problem in problems[:5]]
    return "\n".join(lines)


def _without_unwritable(findings: Findings) -> Findings:
    """Names that no table can hold become problems: not valid text, a contrast without end."""
    good = Findings([], list(findings.problems))
    for one in findings.series:
        try:
            f"{one.path}{one.series_id}".encode()
        except UnicodeEncodeError:
            text = "the file's name is not valid UTF-8; rename it"
            good.problems.append(Problem(one.origin_file, text, one.origin_line))
            continue
        if len(quote(one.contrast, safe="")) > MAX_CONTRAST:
            text = "too long: the contrast names a folder of the slices table; not a series"
            good.problems.append(
                Problem(one.origin_file, text, one.origin_line, "contrast", one.contrast)
            )
            continue
        good.series.append(one)
    good.problems[:] = [
        replace(problem, file=_printable(problem.file)) for problem in good.problems
    ]
    return good


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
