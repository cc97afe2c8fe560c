"""Masks and maps in a BIDS derivatives dataset, such as fMRIPrep and sMRIPrep write.

Only the folders of wanted series are looked into. A file is a series' own if it has the same
entities, `space`, `desc`, `label` and `mod` apart, and lies in the scan's own space by its name:

- no `space`, or `space-orig`: the space of the image that it was made of. sMRIPrep's names do not
  say which that was; it is the T1w where there is one, unless `mod` names another suffix.
- `space-T1w`, `space-T2w`: that of the T1w or T2w scan with these entities.
- any other (`MNI152NLin2009cAsym`, `fsnative`, ...), or a `res`: another space or grid, or not
  known to be this one. These are left aside; where there is nothing better that is said.

A file without `ses` or `run` of a series that has one is an average of several scans: not taken.
Whether the grid is that of the scan is seen when the file is read.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mriqa.cohort.entities import image_stem
from mriqa.cohort.maps.model import MapFile, Role
from mriqa.cohort.maps.wanted import Entities, Wanted, parse_name
from mriqa.cohort.tabular import Problem
from mriqa.errors import UserError

THREADS = 16
"""Mostly waiting: on a network file system every listing takes a millisecond and more."""
OF_THE_MAP = frozenset({"space", "desc", "label", "mod"})
OF_A_SPACE = frozenset({"space", "res", "den", "cohort"})
"""Entities that say which space and grid it is; `cohort` is that of a paediatric template."""
TISSUES: dict[str, Role] = {"CSF": "csf", "GM": "gm", "WM": "wm"}
Key = frozenset[tuple[str, str]]


@dataclass(slots=True)
class FoundMaps:
    """Files with the series that they belong to, and what could not be used.

    `elsewhere`: files of the series that lie in another space, such as a template's.
    """

    files: list[MapFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    elsewhere: list[MapFile] = field(default_factory=list)


def find_derivatives(root: Path, wanted: Sequence[Wanted]) -> FoundMaps:
    """Masks and maps of the `wanted` series; raises UserError if `root` holds no subjects."""
    root = root.absolute()
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; `path` of brain_maps is the root of the derivatives"
        )
    with os.scandir(root) as entries:
        if not any(entry.name.startswith("sub-") for entry in entries):
            raise UserError(f"{root}: no subject's folder (sub-*) in it; is it mounted?")
    by_key: dict[Key, list[Wanted]] = defaultdict(list)
    for one in wanted:
        if one.named is not None:
            by_key[_key(one.named[0])].append(one)
    folders = sorted({_folder(root, dict(key)) for key in by_key})
    with ThreadPoolExecutor(THREADS) as pool:
        listings = list(pool.map(_listed, folders))
    found = FoundMaps()
    for folder, listed in zip(folders, listings, strict=True):
        if isinstance(listed, Problem):
            found.problems.append(listed)
        else:
            _add_files(folder, listed, by_key, found)
    if not (found.files or found.problems or found.elsewhere):
        text = "no mask or map of any brain of the cohort: looked for sub-*/[ses-*/]anat/sub-*_"
        text += "desc-brain_mask.nii.gz and *_label-{CSF,GM,WM}_probseg.nii.gz"
        found.problems.append(Problem(str(root), text))
    return found


def role_of(entities: Entities, suffix: str) -> Role | None:
    """What a derivative is by its name; None for what is neither brain mask nor tissue map."""
    if suffix == "mask" and entities.get("desc") == "brain" and "label" not in entities:
        return "mask"
    if suffix == "probseg" and "desc" not in entities:
        return TISSUES.get(entities.get("label", ""))
    return None


def owners(entities: Entities, alike: Iterable[Wanted]) -> list[Wanted]:
    """Which of the series with the same entities a mask or map is of, by its space."""
    space, modality = entities.get("space", "orig"), entities.get("mod")
    left = [one for one in alike if modality is None or _suffix(one) == modality]
    if space == "orig":
        return [one for one in left if one.is_t1w] or left
    if space in ("T1w", "T2w"):
        return [one for one in left if one.is_t1w == (space == "T1w")]
    return []


def _add_files(
    folder: str, names: list[str], by_key: dict[Key, list[Wanted]], found: FoundMaps
) -> None:
    for name in names:
        named = parse_name(image_stem(name) or "")
        role = None if named is None else role_of(*named)
        if named is None or role is None:
            continue
        path = os.path.join(folder, name)  # noqa: PTH118 - pathlib is five times as slow here
        of = owners(named[0], by_key.get(_key(named[0]), ()))
        if not of:
            found.elsewhere += [
                MapFile(one.series_id, role, path) for one in _in_own_space(named[0], by_key)
            ]
        elif len(of) == 1:
            found.files.append(MapFile(of[0].series_id, role, path))
        else:
            text = f"of which series? {' and '.join(one.series_id for one in of)} have its entities"
            found.problems.append(Problem(path, f"{text}; name its files in a table"))


def _in_own_space(entities: Entities, by_key: dict[Key, list[Wanted]]) -> list[Wanted]:
    """Which series a mask or map would be of, were it not for its space; none if it has none."""
    own = {key: value for key, value in entities.items() if key not in OF_A_SPACE}
    return [] if own == entities else owners(own, by_key.get(_key(own), ()))


def _key(entities: Entities) -> Key:
    return frozenset((key, value) for key, value in entities.items() if key not in OF_THE_MAP)


def _suffix(one: Wanted) -> str | None:
    return None if one.named is None else one.named[1]


def _folder(root: Path, entities: Entities) -> str:
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return str(root.joinpath(f"sub-{entities['sub']}", *session, "anat"))


def _listed(folder: str) -> list[str] | Problem:
    """Names of the images in `folder`; none where it is not there: not every subject has maps."""
    try:
        return sorted(name for name in os.listdir(folder) if image_stem(name))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        return Problem(folder, f"cannot be listed: {error.strerror}; its maps are not used")
