"""Names: from BIDS entities to series id, contrast, station."""

import re
from collections.abc import Mapping
from urllib.parse import quote

ENTITY_ORDER = (
    "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec", "dir", "run",
    "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split", "recording",
    "chunk", "seg", "res", "den", "label", "desc",
)  # fmt: skip
"""BIDS entities between session and suffix, in the order of the BIDS specification 1.10."""

IMAGE_EXTENSIONS = (".nii.gz", ".nii")


def image_stem(name: str) -> str | None:
    """The file name without `.nii` or `.nii.gz`, in any case; None if it is no NIfTI name."""
    for extension in IMAGE_EXTENSIONS:
        if name.lower().endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)]
    return None


def bare_label(value: str, prefix: str) -> str:
    """A subject or session label without `sub-` or `ses-`; '0012' stays '0012'."""
    return value.strip().removeprefix(f"{prefix}-")


def contrast_of(entities: Mapping[str, str], suffix: str) -> str:
    """The contrast of a BIDS file.

    The acq label where it begins with `dixon` (BIDS has no suffix for Dixon images), else the
    suffix. Phase, real and imaginary parts get `-phase`, `-real`, `-imag` appended: they are not
    comparable with magnitude images.
    """
    acquisition = entities.get("acq", "")
    contrast = acquisition if acquisition.lower().startswith("dixon") else suffix
    part = entities.get("part", "mag")
    return contrast if part == "mag" else f"{contrast}-{part}"


def build_series_id(
    cohort: str,
    subject: str,
    session: str | None,
    entities: Mapping[str, str],
    contrast: str,
) -> str:
    """`<cohort>_sub-…_ses-…_<entities in BIDS order>_<contrast>`; different inputs, different ids.

    What would make two sets of entities share an id is percent-encoded inside values: `%`, `/`,
    blanks, an underscore before something like `run-`, and every underscore of the contrast.
    """
    parts = [cohort, f"sub-{_encoded(subject)}"]
    if session is not None:
        parts.append(f"ses-{_encoded(session)}")
    parts += [f"{key}-{_encoded(entities[key])}" for key in ENTITY_ORDER if key in entities]
    return "_".join([*parts, _encoded(contrast, _UNDERSCORE)])


_UNDERSCORE = re.compile("_")
# an underscore that would be read as the end of a value, were the id taken apart again
_BOUNDARY = re.compile(f"_(?=(?:ses|{'|'.join(ENTITY_ORDER)})-)")


def _encoded(value: str, underscores: re.Pattern[str] = _BOUNDARY) -> str:
    if value.isalnum():
        return value
    text = "".join(map(_encoded_character, value))
    return underscores.sub("%5F", text)


def _encoded_character(one: str) -> str:
    if one.isalnum() or one in "-.+_":
        return one
    return quote(one, safe="~", errors="surrogateescape")
