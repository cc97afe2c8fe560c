"""The folder of a demo or graded cohort: whose it is, and who writes in it.

A cohort is known by OUT/bids/dataset_description.json, which names its kind, seed and format, and
where that is gone by the stamp that is written last. Scans cannot be had again: where anything else
lies, nothing is written.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mriqa.artifacts.demo_names import MAPS
from mriqa.artifacts.demo_plan import DemoPlan
from mriqa.artifacts.demo_tables import dataset_description
from mriqa.errors import UserError
from mriqa.files import TEMPORARY_MARK, read_object, write_json
from mriqa.processes import lock_at_once

FORMAT_VERSION = 1
"""Raised whenever the same seed gives other bytes: older demo data are then made again."""
DESCRIPTION = "dataset_description.json"
WRITTEN = ("truth.tsv", "labels.tsv", "real", "demo.json", "graded.json")
"""What is written beside `bids`."""
SUBJECT_FOLDER = re.compile(r"sub-[1-9][0-9]{3,}")
OWN_FILE = re.compile(
    r"sub-\d+(_ses-\w+)?_(acq-dixonW_T1w|T1w|dwi|desc-brain_mask|label-(CSF|GM|WM)_probseg)"
    r"\.(json|bval|bvec|nii|nii\.gz)"
)
OWN_TABLES = ("README", DESCRIPTION, "participants.json", "participants.tsv")
OWN_NAME = re.compile(r"mriqa (\w+) cohort")
OWN_SEED = re.compile(r"demo-data, seed (\d+), format \d+")


@contextmanager
def only_writer(out: Path, plan: DemoPlan) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process.

    Raises UserError if `out` holds anything but the cohort of this plan, of any size and format, or
    if another process is writing there.
    """
    _check_own(out, plan)  # the lock, too, is a file
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".demo.lock").open("w") as handle:
        if not lock_at_once(handle.fileno()):
            raise UserError(f"{out}: another `mriqa demo-data` is writing here")
        _check_own(out, plan)  # another one may have written before the lock was ours
        yield


def prepare(bids: Path, plan: DemoPlan) -> None:
    """Make `bids` a folder in which every file that is there is one of this plan."""
    description = dataset_description(plan.seed, FORMAT_VERSION, plan.name)
    marker = bids / DESCRIPTION
    there = read_object(marker)
    bids.mkdir(exist_ok=True)
    if there != description:
        _remove_all_but(marker)  # which is replaced last: it says whose the rest is
    _remove_leftovers(bids, {series.subject for series in plan.series})
    if there != description:
        write_json(marker, description)


def _check_own(out: Path, plan: DemoPlan) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder, a new one or one of this cohort")
    asked = _cohort_name(plan.name, plan.seed)
    found = _in_the_way(out, asked)
    if found is not None:
        where, what = found
        raise UserError(
            f"{where}: holds {what}; {asked} would mix with it or replace it: name another folder"
        )


def _in_the_way(out: Path, asked: str) -> tuple[Path, str] | None:
    """A folder, and what else than `asked` it holds; None where nothing stands in the way."""
    listed = _listed(out)
    if DESCRIPTION in listed or any(name.startswith("sub-") for name in listed):
        return out, _dataset(out)
    bids = out / "bids"
    if _listed(bids):
        return None if (there := _dataset(bids)) == asked else (bids, there)
    # of a cohort whose bids/ was removed
    stamps = [(kind, read_object(out / f"{kind}.json").get("seed")) for kind in ("demo", "graded")]
    if asked in [_cohort_name(kind, seed) for kind, seed in stamps]:
        return None
    return next(((out, f"{name}, of something else") for name in WRITTEN if name in listed), None)


def _listed(folder: Path) -> list[str]:
    """Names in `folder`, without what a killed run left half written; none where it is not."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if TEMPORARY_MARK not in path.name)


def _dataset(folder: Path) -> str:
    """What the dataset in `folder` is, in words; of a cohort of ours `_cohort_name`."""
    described = read_object(folder / DESCRIPTION)
    name = described.get("Name")
    kind = OWN_NAME.fullmatch(str(name))
    seed = OWN_SEED.search(str(described.get("GeneratedBy")))
    if kind and seed:
        return _cohort_name(kind[1], int(seed[1]))
    if name:
        return f"another dataset ({name})"
    return f"other files (e.g. {_listed(folder)[0]})"


def _cohort_name(kind: str, seed: Any) -> str:
    return f"the {kind} cohort of seed {seed}"


def _remove_all_but(marker: Path) -> None:
    listed = [path for path in marker.parent.iterdir() if path != marker]
    for path in listed:
        _check_written_here(path)
    for path in listed:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_written_here(path: Path) -> None:
    """Raise UserError if `path`, or a file in this folder, is none of a cohort of ours."""
    for one in (path, *path.rglob("*")):
        name = one.name
        ours = OWN_FILE.fullmatch(name) or name in OWN_TABLES or TEMPORARY_MARK in name
        if not ours and not (one.is_dir() and not one.is_symlink()):
            raise UserError(
                f"{one}: is no file of this cohort, and what lies there would have to be removed; "
                "move it elsewhere"
            )


def _remove_leftovers(bids: Path, subjects: set[str]) -> None:
    """Remove subjects of a bigger cohort, and temporary files of a killed run."""
    surplus = [
        folder
        for folder in (*bids.iterdir(), *(bids / MAPS).glob("*"))
        if SUBJECT_FOLDER.fullmatch(folder.name) and folder.name[4:] not in subjects
    ]
    for folder in surplus:
        _check_written_here(folder)
    for folder in surplus:
        shutil.rmtree(folder)
    for path in bids.rglob(f".*{TEMPORARY_MARK}*"):
        path.unlink(missing_ok=True)
