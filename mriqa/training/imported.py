"""A model of another cohort, taken over as it is: a small cohort teaches an encoder little.

Only the model's own four files are copied, never what lies beside them of that cohort's persons
(its bank). Here it is named by its weights: its `model_id` there stands for data that are not here.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mriqa.errors import UserError
from mriqa.files import read_object, replacing_folder, write_json
from mriqa.training.manifest import DIGITS
from mriqa.training.model_files import (
    CONFIG,
    MODEL_FILES,
    PROVENANCE,
    damage_of_model,
)

IMPORTED_FROM = "imported_from"
"""In provenance.json of an imported model: its model_id where it was trained."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Import:
    """A model that was taken over; `written` if this call copied it."""

    method: str
    source: Path
    model_id: str
    written: bool

    def __str__(self) -> str:
        when = "imported now" if self.written else "imported before"
        return f"{self.method}: model {self.model_id} of {self.source}, {when}; nothing is trained"


def imported_id(method: str, source: Path) -> str:
    """`<method>-<12 hex>`, by the weights, of the model of `method` in the folder `source`.

    Raises UserError if there is none.
    """
    said = read_object(source / PROVENANCE).get("weights_sha256")
    if not isinstance(said, str) or not _SHA256.fullmatch(said):
        raise UserError(
            f"{method}.pretrained: {source} is no folder of a trained model "
            f"({PROVENANCE} is missing or damaged); name one of another run, "
            f"results/models/{method}/<model_id>, or take the line away to train"
        )
    return f"{method}-{said[:DIGITS]}"


def import_model(method: str, source: Path, results: Path) -> Import:
    """Copy the model in `source` to `results`/models, unless it is there, whole.

    Raises UserError if it is damaged, or that of another method.
    """
    name = imported_id(method, source)
    folder = results / "models" / method / name
    if (folder / PROVENANCE).is_file() and damage_of_model(folder) is None:
        return Import(method, source, name, written=False)
    if what := damage_of_model(source):
        raise UserError(f"{method}.pretrained: {source}: {what}; copy the model again")
    if (other := read_object(source / CONFIG).get("method")) != method:
        raise UserError(f"{method}.pretrained: {source} is a model of {other!r}, not of {method}")
    with replacing_folder(folder) as temporary:
        for one in MODEL_FILES:
            shutil.copyfile(source / one, temporary / one)
        origin = read_object(temporary / PROVENANCE)
        from_id = origin.get(IMPORTED_FROM, origin.get("model_id"))
        write_json(temporary / PROVENANCE, {**origin, "model_id": name, IMPORTED_FROM: from_id})
        if what := damage_of_model(temporary):
            raise UserError(f"{method}.pretrained: {source}: {what}, once copied; run again")
    return Import(method, source, name, written=True)
