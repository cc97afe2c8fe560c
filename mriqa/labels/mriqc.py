"""Ratings that MRIQC's reports let a person download: a JSON file a scan.

The widget's slider runs from 1 to 4; its colours change at 1.5 (exclude below), 2.5 (poor) and 3.5
(acceptable, excellent above): nireports, assembler/data/rating-widget.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mriqa.cohort.tabular import Problem
from mriqa.config import MriqcLabels
from mriqa.errors import UserError
from mriqa.labels.catalogue import Catalogue, RatedSeries
from mriqa.labels.entry import ExcludedError, LabelError
from mriqa.labels.model import Label, Labels, Target, printable

LOWEST, HIGHEST = 1.0, 4.0
QUESTIONABLE_FROM, PASS_FROM = 1.5, 2.5
MAX_BYTES = 1_000_000
"""A rating takes some 300 bytes: what is much larger is something else."""


def read_mriqc(source: MriqcLabels, catalogue: Catalogue) -> Labels:
    """The labels in all `*.json` below a folder, links followed.

    Who rated is not in the file: it is the folder that it lies in (`<path>/<rater>/*.json`), or
    `source.rater`. JSON that is no rating is a problem. Raises UserError if there is no file.
    """
    if not source.path.is_dir():
        raise UserError(f"{source.path}: no such folder; it should hold a folder a rater")
    found = Labels([], [])
    files = sorted(_files(source.path, found.problems))
    if not files and not found.problems:
        raise UserError(f"{source.path}: no *.json in it; MRIQC's widget downloads one a scan")
    for path in files:
        try:
            found.labels.append(_label(path, source, catalogue))
        except LabelError as error:
            found.problems.append(error.problem(str(path), None))
        except ExcludedError:
            continue
    return found


def _files(root: Path, problems: list[Problem]) -> Iterator[Path]:
    """All JSON files below `root`; a folder is entered once, whatever links to it."""
    entered: set[str] = set()

    def refused(error: OSError) -> None:
        told = f"cannot be looked into ({error.strerror}): its labels are not used"
        problems.append(Problem(printable(str(error.filename)), told))

    for folder, below, names in os.walk(root, followlinks=True, onerror=refused):
        entered.add(os.path.realpath(folder))
        below[:] = [one for one in below if os.path.realpath(Path(folder, one)) not in entered]
        yield from (Path(folder, name) for name in names if name.lower().endswith(".json"))


def _label(path: Path, source: MriqcLabels, catalogue: Catalogue) -> Label:
    content = _content(path)
    folders = path.relative_to(source.path).parts[:-1]
    rater = source.rater or (folders[0] if folders else None)
    if rater is None:
        where = "put each rater's files into a folder of their name, or set `rater`"
        raise LabelError("rater", None, f"who rated is not in the file: {where}")
    series = _series(content["subject"], catalogue)
    comment = [*map(str, _list(content.get("artifacts"))), str(content.get("comments") or "")]
    told = printable("; ".join(one.strip() for one in comment if one.strip()))
    said = (folders[0] if folders else "", str(content["rating"]))
    return Label(
        Target(series.series_id, None, None), printable(rater), _rating(content["rating"]),
        told or None, None, printable(str(path)), None, said,
    )  # fmt: skip


def _content(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise LabelError("file", path.name, "no regular file")
        if path.stat().st_size > MAX_BYTES:
            raise LabelError("file", path.name, "too large for a rating of MRIQC's")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabelError("file", path.name, f"cannot be read as JSON ({error})") from None
    if not isinstance(content, dict) or not {"subject", "rating"} <= set(content):
        raise LabelError("file", path.name, "no rating of MRIQC's: no `subject` and `rating` in it")
    return content


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _series(name: Any, catalogue: Catalogue) -> RatedSeries:
    """MRIQC writes the name of the scan's file as `subject`."""
    found = catalogue.by_file_name(str(name))
    if len(found) != 1:
        how = f"the files of {len(found)} series have" if found else "no file of this cohort has"
        raise LabelError("subject", str(name), f"{how} this name")
    if found[0].is_excluded:
        raise ExcludedError
    return found[0]


def _rating(value: Any) -> str:
    number = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not LOWEST <= number <= HIGHEST:
        raise LabelError("rating", str(value)[:200], f"it must be {LOWEST:g} to {HIGHEST:g}")
    if number < QUESTIONABLE_FROM:
        return "fail"
    return "questionable" if number < PASS_FROM else "pass"
