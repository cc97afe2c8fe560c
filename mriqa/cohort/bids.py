"""Series of a BIDS dataset.

bids2table names the entities of a file. The walk is our own, since `bids2table.index_dataset`
(2.3.1) passes silently over folders that it may not read, finds nothing where the dataset's path
holds a dot or a bracket, makes `run-01` and `run-1` the same, and shows no progress.
"""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import bids2table

from mriqa.cohort.entities import contrast_of, image_stem
from mriqa.cohort.found import Findings, FoundSeries, bounded, is_folder
from mriqa.cohort.tabular import Problem
from mriqa.errors import UserError
from mriqa.progress import track

WALK_THREADS = 8
SPECIAL = frozenset({"sub", "ses", "datatype", "suffix", "ext"})
SERIES_SUFFIXES: dict[str, frozenset[str] | None] = {
    "anat": None,
    "dwi": frozenset({"dwi", "sbref"}),
    "func": frozenset({"bold", "cbv", "sbref"}),
    "perf": frozenset({"asl", "m0scan"}),
    "fmap": frozenset({"magnitude", "magnitude1", "magnitude2", "epi", "m0scan"}),
}
"""Datatype folders that are read, and which suffixes in them are series (None: any image)."""
EXTENSIONS = frozenset({".nii", ".nii.gz", ".json", ".bval"})
DERIVED_SUFFIXES = frozenset({"defacemask", "mask", "dseg", "probseg"})
OTHER_DATATYPES = frozenset(
    {"beh", "eeg", "emg", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "pet", "phenotype"}
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A file with its BIDS entities; `suffix` and the datatype are not among `entities`."""

    path: str
    entities: dict[str, str]
    suffix: str


@dataclass(slots=True)
class _Level:
    """Sidecars (JSON, bval) of one folder, by extension."""

    files: dict[str, list[_Named]] = field(default_factory=lambda: {".json": [], ".bval": []})

    def applicable(self, image: _Named, extension: str) -> list[str]:
        """Paths whose entities are among the image's, the most general first."""
        found = [
            named
            for named in self.files[extension]
            if named.suffix == image.suffix and named.entities.items() <= image.entities.items()
        ]
        return [named.path for named in sorted(found, key=lambda one: len(one.entities))]


@dataclass(slots=True)
class _Subject:
    """What one subject folder holds."""

    series: list[FoundSeries] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def find_bids_series(root: Path, cohort: str) -> Findings:
    """All series of the dataset at `root`; `derivatives/` and `sourcedata/` are not entered.

    Raises UserError if `root` is no folder or no BIDS dataset (no dataset_description.json).
    """
    root = root.absolute()
    _check_dataset(root)
    top, folders, itself = _Level(), [], _Subject()
    for entry in _entries(str(root), itself):
        if entry.name.startswith("sub-") and is_folder(entry):
            folders.append(entry.name)
        elif entry.name.startswith("sub-") and "." not in entry.name:
            itself.problems.append(Problem(entry.path, "named like a subject, but no folder"))
        else:
            _add_sidecar(top, entry)
    with ThreadPoolExecutor(WALK_THREADS) as pool:
        walked = pool.map(lambda name: _walk_subject(root, name, cohort, top), folders)
        subjects = list(track(walked, len(folders), f"index {root.name}", "subjects"))
    return _joined([itself, *subjects], str(root))


def _check_dataset(root: Path) -> None:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; `path` of a bids source is the dataset's root")
    if not (root / "dataset_description.json").is_file():
        raise UserError(
            f"{root}: no BIDS dataset, it has no dataset_description.json; "
            "use a source of kind `folder` or `table` for other layouts"
        )


def _joined(subjects: list[_Subject], root: str) -> Findings:
    skipped: Counter[str] = Counter()
    for subject in subjects:
        skipped.update(subject.skipped)
    problems = [problem for subject in subjects for problem in subject.problems]
    problems = bounded(problems, root, "problems of this dataset")
    problems += [Problem(root, f"{count} {what}") for what, count in sorted(skipped.items())]
    return Findings([series for subject in subjects for series in subject.series], problems)


def _walk_subject(root: Path, name: str, cohort: str, top: _Level) -> _Subject:
    subject = _Subject()
    folder = os.path.join(root, name)  # noqa: PTH118 - pathlib is five times as slow here
    levels = [top, _Level()]
    visits: list[tuple[str, str | None]] = []
    for entry in _entries(folder, subject):
        if is_folder(entry):
            session = entry.name if entry.name.startswith("ses-") else None
            visits.append((entry.path, session))
        else:
            _add_sidecar(levels[1], entry)
    for path, session in visits:
        if session is None:
            _walk_datatype(path, (name,), cohort, levels, subject)
        else:
            _walk_session(path, (name, session), cohort, levels, subject)
    if not subject.series and not subject.problems:
        subject.problems.append(Problem(folder, "a subject's folder without any series"))
    return subject


def _walk_session(
    folder: str, place: tuple[str, ...], cohort: str, levels: list[_Level], subject: _Subject
) -> None:
    level = _Level()
    datatypes: list[str] = []
    for entry in _entries(folder, subject):
        if is_folder(entry):
            datatypes.append(entry.path)
        else:
            _add_sidecar(level, entry)
    for path in datatypes:
        _walk_datatype(path, place, cohort, [*levels, level], subject)


def _walk_datatype(
    folder: str, place: tuple[str, ...], cohort: str, levels: list[_Level], subject: _Subject
) -> None:
    datatype = os.path.basename(folder)  # noqa: PTH119
    if datatype not in SERIES_SUFFIXES:
        if datatype not in OTHER_DATATYPES:
            subject.skipped[
                f"folders `{datatype}` not entered: none of {', '.join(SERIES_SUFFIXES)}"
            ] += 1
        return
    level = _Level()
    images: list[tuple[str, str]] = []
    for entry in _entries(folder, subject):
        stem = image_stem(entry.name)
        if stem is None:
            _add_sidecar(level, entry)
        else:
            images.append((entry.path, stem))
    for path, stem in images:
        _add_image(path, stem, datatype, place, cohort, [*levels, level], subject)


def _add_image(
    path: str,
    stem: str,
    datatype: str,
    place: tuple[str, ...],
    cohort: str,
    levels: list[_Level],
    subject: _Subject,
) -> None:
    named = _named(path)
    if named is None or not _belongs(stem, place):
        text = f"not a BIDS name: expected {'_'.join(place)}_<entities>_<suffix>"
        subject.problems.append(Problem(path, text))
        return
    if not _is_series(named, SERIES_SUFFIXES[datatype]):
        subject.skipped[f"{datatype} images with suffix `{named.suffix}` are not series"] += 1
        return
    bvals = [path for level in levels for path in level.applicable(named, ".bval")]
    subject.series.append(
        FoundSeries(
            series_id=f"{cohort}_{stem}",
            subject=place[0].removeprefix("sub-"),
            session=place[1].removeprefix("ses-") if len(place) > 1 else None,
            contrast=contrast_of(named.entities, named.suffix),
            station=named.entities.get("chunk"),
            path=path,
            kind="bids",
            origin_file=path,
            bval_path=bvals[-1] if bvals else None,
            sidecars=tuple(path for level in levels for path in level.applicable(named, ".json")),
        )
    )


def _belongs(stem: str, place: tuple[str, ...]) -> bool:
    """Whether a name repeats its subject and session folders, and no other session."""
    if len(place) == 1 and "_ses-" in stem:
        return False
    return stem.startswith("_".join(place) + "_")


def _is_series(named: _Named, wanted: frozenset[str] | None) -> bool:
    if wanted is not None:
        return named.suffix in wanted
    # T1map, Chimap and the like are computed, not acquired
    return named.suffix not in DERIVED_SUFFIXES and not named.suffix.endswith("map")


def _named(path: str) -> _Named | None:
    """The entities of a file name; None if it has no suffix or a part that is no entity."""
    name = os.path.basename(path)  # noqa: PTH119
    parsed = bids2table.parse_bids_entities(name)
    suffix = parsed.get("suffix")
    entities = {key: value for key, value in parsed.items() if key not in SPECIAL}
    n_parts = name.count("_") + 1
    n_named = len(entities) + sum(key in parsed for key in ("sub", "ses", "suffix"))
    if suffix is None or not suffix.isalnum() or n_parts != n_named:
        return None
    if parsed.get("ext") not in EXTENSIONS:
        return None
    return _Named(path, entities, suffix)


def _add_sidecar(level: _Level, entry: os.DirEntry[str]) -> None:
    extension = os.path.splitext(entry.name)[1]  # noqa: PTH122
    if extension in level.files and not entry.name.startswith("."):
        named = _named(entry.path)
        if named is not None:
            level.files[extension].append(named)


def _entries(folder: str, subject: _Subject) -> Iterator[os.DirEntry[str]]:
    """Visible entries of `folder` by name; a folder that cannot be listed is a problem."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        subject.problems.append(Problem(folder, f"cannot be listed: {error.strerror}"))
        return
    yield from (entry for entry in entries if not entry.name.startswith("."))
