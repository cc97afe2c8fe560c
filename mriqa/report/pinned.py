"""The pinned list of series behind a model, found by what the model says of itself."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from mriqa.report.reading import Json
from mriqa.training.manifest import DIGITS, FOLDER, PinnedSeries, model_id, read_pinned


def read_list_of(
    results: Path, method: str, settings: Json, provenance: Json, also: Sequence[str] = ()
) -> list[PinnedSeries] | None:
    """The list that a model of these `settings` was trained on; None if it is not there any more,
    or no more the one behind the model. `also`: see `model_id`.

    The settings are taken as they were written down, so that a later version of mriqa, whose
    settings are more, still finds the list.
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    path = results / FOLDER / f"{method}-{digest}.parquet"
    if not path.is_file():
        return None
    pinned = read_pinned(path)
    version = int(provenance["format_version"])
    own = model_id(method, text, pinned, version, also)
    return pinned if own == provenance["model_id"] else None
