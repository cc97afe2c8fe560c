"""The settings of experiments, from a YAML file."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from mriqa.config import Section
from mriqa.errors import ConfigError

S = TypeVar("S", bound=Section)


def load_settings(path: Path | None, kind: type[S]) -> S:
    """The experiments of a YAML file, or the defaults; raises ConfigError naming what is wrong."""
    if path is None:
        return kind()
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return kind.model_validate({} if raw is None else raw)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from None
    except ValidationError as error:
        told = [
            f"{path}: {'.'.join(map(str, one['loc'])) or '(top level)'}: {one['msg']} "
            f"(got {one['input']!r})"
            for one in error.errors()
        ]
        raise ConfigError("\n".join(told)) from None
