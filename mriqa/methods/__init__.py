"""The learned methods. Each is a folder here, with its parts loaded when they are needed.

A method's `columns` declares what it adds to the tables (VOLUME_COLUMNS, SLICE_COLUMNS,
SUBJECT_COLUMNS) and what its score file holds (SCORE_SCHEMA), its `train` has the function `train`,
its `score` the function `score_shard`, its `sessions` the function `summarise_sessions`.
"""

from importlib import import_module
from types import ModuleType
from typing import Literal

from mriqa.errors import UserError

METHODS = ("simclr", "hierarchy", "hysnet")
"""Names of the methods there are: of their folders, configuration sections and column prefixes."""

Part = Literal["columns", "train", "score", "sessions"]


def load_part(method: str, part: Part) -> ModuleType:
    """A part of a method, e.g. `load_part("simclr", "train").train`; `columns` is light.

    Raises UserError for a method that does not exist.
    """
    if method not in METHODS:
        raise UserError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    return import_module(f"mriqa.methods.{method}.{part}")
