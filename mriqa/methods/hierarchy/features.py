"""What a hierarchy's networks were told of slices, as its model folder says it: a model of other
features rates nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mriqa.embedding.volumes import MEASURED
from mriqa.errors import UserError

KEY = "slice_metrics"
"""In config.json of the model."""


def check_features(config: Mapping[str, Any], folder: Path, *, imported: bool) -> None:
    """Raise UserError if a model with this `config` has learned from other features of slices.

    `imported`: it is another cohort's (`hierarchy.pretrained`), which nothing here can train anew.
    """
    if config.get(KEY) == MEASURED:
        return
    what = (
        "train it anew with this version in its own cohort, or take the line away to train here"
        if imported
        else "remove the folder to train anew"
    )
    where = f"hierarchy.pretrained: {folder}" if imported else str(folder)
    raise UserError(
        f"{where}: another version of mriqa trained it on other features of slices; {what}"
    )
