"""Series in a folder whose file names follow a pattern."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mriqa.cohort.entities import ENTITY_ORDER, bare_label, build_series_id, image_stem
from mriqa.cohort.found import Findings, FoundSeries, bounded, is_folder
from mriqa.cohort.tabular import Problem
from mriqa.errors import UserError
from mriqa.progress import track

FIELDS = ("subject", "session", "contrast", "station", *ENTITY_ORDER)
INDICES = frozenset({"run", "echo", "flip", "inv"})
"""Fields that are digits only, as in BIDS; so `_e{echo}` does not match the end of `_echo`."""
UNKNOWN_CONTRAST = "unknown"
"""Contrast of all series of a folder whose pattern names none."""


def find_folder_series(root: Path, pattern: str, cohort: str) -> Findings:
    """Files below `root` whose relative path is `pattern`.

    A field takes as few characters as it can, and never a slash; run, echo, flip and inv take
    digits. NIfTI files that do not match are
    problems. Raises UserError if there is no such folder, the pattern is none, or no file
    matches.
    """
    root = root.absolute()
    matcher = compile_pattern(pattern)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    series: list[FoundSeries] = []
    unmatched: list[Problem] = []
    problems: list[Problem] = []
    files = list(_files(str(root), problems))
    for path in track(files, len(files), f"index {root.name}", "files"):
        relative = os.path.relpath(path, root)
        match = matcher.fullmatch(relative)
        if match is not None:
            series.append(_series(path, match.groupdict(), cohort))
        elif image_stem(relative) is not None:
            unmatched.append(Problem(path, f"does not match the pattern {pattern}"))
    if not series:
        raise UserError(
            f"{root}: none of its {len(files)} files matches the pattern {pattern!r}"
            + "".join(f"\n  {problem.file}" for problem in unmatched[:5])
        )
    return Findings(series, problems + bounded(unmatched, str(root), "files match no pattern"))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern such as `{subject}/{contrast}_{run}.nii.gz`.

    A field that comes twice must have the same value twice. Raises UserError naming a field that
    is not allowed, or that {subject} is missing.
    """
    if not re.fullmatch(r"(?:[^{}]|\{[^{}]+\})*", pattern):
        raise UserError(f"pattern {pattern!r}: a brace is not closed, or empty")
    expression = ""
    seen: set[str] = set()
    for text, name in re.findall(r"([^{}]*)(?:\{([^{}]*)\})?", pattern.removeprefix("./")):
        expression += re.escape(text)
        if not name:
            continue
        if name not in FIELDS:
            raise UserError(
                f"pattern {pattern!r}: no field {{{name}}}; allowed: {', '.join(FIELDS)}"
            )
        value = "[0-9]+" if name in INDICES else "[^/]+?"
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>{value})"
        seen.add(name)
    if "subject" not in seen:
        raise UserError(f"pattern {pattern!r}: {{subject}} is missing")
    return re.compile(expression)


def _series(path: str, fields: dict[str, str], cohort: str) -> FoundSeries:
    subject = bare_label(fields["subject"], "sub")
    session = fields.get("session")
    session = None if session is None else bare_label(session, "ses")
    contrast = fields.get("contrast", UNKNOWN_CONTRAST)
    entities = {name: fields[name] for name in ENTITY_ORDER if name in fields}
    if "station" in fields:
        entities.setdefault("chunk", fields["station"])
    return FoundSeries(
        series_id=build_series_id(cohort, subject, session, entities, contrast),
        subject=subject,
        session=session,
        contrast=contrast,
        station=fields.get("station", fields.get("chunk")),
        path=path,
        kind="folder",
        origin_file=path,
    )


def _files(folder: str, problems: list[Problem], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Visible files below `folder`, by name; links to folders are followed, circles are not."""
    real = os.path.realpath(folder)
    if real in above:
        problems.append(Problem(folder, "a symbolic link into a folder above itself; not followed"))
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(Problem(folder, f"cannot be listed: {error.strerror}"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if is_folder(entry):
            yield from _files(entry.path, problems, (*above, real))
        else:
            yield entry.path
