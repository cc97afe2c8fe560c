"""Looking at a series' file and its sidecars: size, time, b-values, scanner. No pixel is read."""

import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from mriqa.cohort.found import FoundSeries
from mriqa.cohort.tabular import Problem
from mriqa.errors import ErrorCode
from mriqa.progress import track

THREADS = 16
"""Mostly waiting: on a network file system a stat takes a millisecond and more."""
BATCH = 64
MAX_SIDECAR_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the file system says of one series; size and mtime are 0 if the file is not there."""

    size_bytes: int = 0
    mtime_ns: int = 0
    bvals: tuple[float, ...] | None = None
    scanner: str | None = None
    error_code: ErrorCode | None = None
    error_message: str | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class SidecarReader:
    """Reads JSON sidecars, each once: one at the root of a dataset serves every series."""

    _seen: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read(self, paths: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
        """The merged content; later paths win, as BIDS inheritance wants."""
        merged: dict[str, Any] = {}
        for path in paths:
            if path not in self._seen:
                self._seen[path] = _read_json(path, problems)
            merged.update(self._seen[path])
        return merged


def inspect_all(series: Sequence[FoundSeries]) -> list[Inspection]:
    """One `Inspection` a series, in the same order, read by several threads."""
    reader = SidecarReader()

    def inspect_batch(start: int) -> list[Inspection]:
        return [inspect_series(one, reader) for one in series[start : start + BATCH]]

    with ThreadPoolExecutor(THREADS) as pool:
        batches: Iterator[list[Inspection]] = pool.map(inspect_batch, range(0, len(series), BATCH))
        return list(track(chain.from_iterable(batches), len(series), "index: look at files"))


def inspect_series(series: FoundSeries, reader: SidecarReader) -> Inspection:
    """Look at one series."""
    problems: list[Problem] = []
    try:
        status = os.stat(series.path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        return _failed(series, *_stat_error(series.path, error))
    if not stat.S_ISREG(status.st_mode):
        return _failed(series, ErrorCode.FILE_UNREADABLE, f"{series.path}: not a regular file")
    return Inspection(
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        bvals=_bvals(series, problems),
        scanner=scanner_name(reader.read(_sidecars(series), problems)),
        problems=tuple(problems),
    )


def parse_bvals(text: str) -> tuple[float, ...]:
    """Numbers between blanks, commas or line ends; raises ValueError if that is not what it is."""
    words = re.split(r"[\s,;]+", text.strip("\ufeff \t\r\n,;"))
    values = tuple(float(word) for word in words if word)
    if not values:
        raise ValueError("no number in it")
    if not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError("a b-value is negative or not finite")
    return values


def scanner_name(sidecar: dict[str, Any]) -> str | None:
    """`Siemens_Aera_1.5T` from Manufacturer, ManufacturersModelName, MagneticFieldStrength."""
    maker = _word(sidecar.get("Manufacturer"))
    model = _word(sidecar.get("ManufacturersModelName"))
    tesla = _tesla(sidecar.get("MagneticFieldStrength"))
    return "_".join(part for part in (maker, model, tesla) if part) or None


def _tesla(value: Any) -> str | None:
    try:
        strength = float(value)
    except (TypeError, ValueError):
        return None
    return f"{strength:g}T" if 0 < strength < math.inf else None


def _word(value: Any) -> str | None:
    return re.sub(r"[\s_]+", "-", value.strip()) if isinstance(value, str) else None


def _failed(series: FoundSeries, code: ErrorCode, message: str) -> Inspection:
    problem = Problem(
        series.origin_file, message, series.origin_line, _origin_column(series), series.path
    )
    return Inspection(error_code=code, error_message=message, problems=(problem,))


def _origin_column(series: FoundSeries) -> str | None:
    return "path" if series.origin_line is not None else None


def _stat_error(path: str, error: Exception) -> tuple[ErrorCode, str]:
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return ErrorCode.FILE_UNREADABLE, f"{path}: cannot be read: {reason}"
    target = _link_target(path)
    if target is not None and ".git/annex/objects" in target:
        text = (
            "its content is not here, only a git-annex link; run `git annex get` or `datalad get`"
        )
        return ErrorCode.ANNEX_POINTER, f"{path}: {text}"
    if target is not None:
        return ErrorCode.FILE_MISSING, f"{path}: a symbolic link to {target}, which is not there"
    return ErrorCode.FILE_MISSING, f"{path}: no such file"


def _link_target(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115
    except (OSError, ValueError):
        return None


def _sibling(series: FoundSeries, extension: str) -> str:
    path = series.path.removesuffix(".gz")
    return os.path.splitext(path)[0] + extension  # noqa: PTH122


def _sidecars(series: FoundSeries) -> Sequence[str]:
    """BIDS sources found theirs by inheritance; elsewhere it is the file beside the image."""
    if series.kind == "bids":
        return series.sidecars
    beside = _sibling(series, ".json")
    return (beside,) if os.path.exists(beside) else ()  # noqa: PTH110


def _bvals(series: FoundSeries, problems: list[Problem]) -> tuple[float, ...] | None:
    path = series.bval_path
    if path is None:
        if series.kind == "bids":
            return None
        path = _sibling(series, ".bval")
        if not os.path.exists(path):  # noqa: PTH110
            return None
    try:
        return parse_bvals(_sidecar_text(path))
    except (OSError, ValueError) as error:
        text = f"b-values not used, so the volumes have no reference: {error}"
        problems.append(Problem(path, text))
        return ()  # not None: it is diffusion, with shells that cannot be told apart


def _sidecar_text(path: str) -> str:
    """The text of a sidecar; OSError for what is none, as a named pipe, which would never end."""
    found = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is not a regular file")
    if found.st_size > MAX_SIDECAR_BYTES:
        raise OSError(f"{path} has {found.st_size} bytes; that is no sidecar")
    return Path(path).read_text(encoding="utf-8-sig")


def _read_json(path: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        content = json.loads(_sidecar_text(path))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(Problem(path, f"sidecar not used: {error}"))
        return {}
    if not isinstance(content, dict):
        problems.append(Problem(path, "sidecar not used: not a JSON object"))
        return {}
    return content
