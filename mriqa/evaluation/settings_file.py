"""The settings of experiments, from a YAML file."""

from pathlib import Path
from typing import TypeVar

from mriqa.config import Section, loading

S = TypeVar("S", bound=Section)


def load_settings(path: Path | None, kind: type[S]) -> S:
    """The experiments of a YAML file, or the defaults; raises ConfigError naming what is wrong."""
    return kind() if path is None else loading.load_settings(kind, path)
