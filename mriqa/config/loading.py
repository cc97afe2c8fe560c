"""Reading and checking a configuration; errors name key, value and what is allowed."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from mriqa.config.base import Section
from mriqa.config.brain_maps import DerivativeMaps, TableMaps
from mriqa.config.labels import MriqcLabels, ScansLabels, TableLabels
from mriqa.config.sections import BidsSource, Config, FolderSource, TableSource
from mriqa.errors import ConfigError

SectionT = TypeVar("SectionT", bound=Section)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML silently keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key}` is there twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_config(path: Path) -> Config:
    """Read and check a YAML configuration; raises ConfigError naming key, value and rule."""
    return check_config(_read(path, "configuration"), str(path))


def load_settings(model: type[SectionT], path: Path) -> SectionT:
    """A YAML file whose keys are those of `model`; an empty one gives the defaults.

    Raises ConfigError naming key, value and rule.
    """
    raw = _read(path, "settings")
    if raw is not None and not isinstance(raw, dict):
        allowed = ", ".join(model.model_fields)
        raise ConfigError(f"{path}: expected keys, got {raw!r}; allowed: {allowed}")
    return _validated(model, raw or {}, str(path))


def _read(path: Path, what: str) -> Any:
    try:
        # _Loader is a SafeLoader
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such {what} file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder; a {what} file is YAML") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = str(error).replace('in "<unicode string>", ', "")
        raise ConfigError(f"{path}: cannot be read as YAML: {text}") from error


def check_config(raw: Any, where: str) -> Config:
    """Check an already parsed configuration; `where` begins the error message."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: expected keys such as `results` and `cohort`, got {raw!r}")
    return _validated(Config, raw, where)


def load_section(model: type[SectionT], settings: str) -> SectionT:
    """Parse the JSON of one section, as Snakemake's rules pass it to a verb."""
    try:
        raw = json.loads(settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: not JSON: {error}") from error
    return _validated(model, raw, "--settings")


def section_json(section: Section) -> str:
    """One section as canonical JSON: equal settings give equal text."""
    return json.dumps(section.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _validated(model: type[SectionT], raw: Any, where: str) -> SectionT:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(detail, model) for detail in _relevant(error.errors())]
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems)) from None


def _relevant(details: Iterable[Any]) -> list[Any]:
    """Without complaints that a list is empty whose items have been complained of."""
    details = list(details)
    return [
        one
        for one in details
        if not (one["type"] == "too_short" and len(one["input"]) > 0 and len(details) > 1)
    ]


_SOURCES: dict[str | int, type[Section]] = {
    "bids": BidsSource,
    "table": TableSource,
    "folder": FolderSource,
}
_LABELS: dict[str | int, type[Section]] = {
    "table": TableLabels,
    "scans": ScansLabels,
    "mriqc": MriqcLabels,
}
_MAPS: dict[str | int, type[Section]] = {"derivatives": DerivativeMaps, "table": TableMaps}
_OF_LISTS: dict[str | int, dict[str | int, type[Section]]] = {
    "labels": _LABELS,
    "brain_maps": _MAPS,
}
_KINDS = {
    "tuple_type": "must be a list, as in [one, other]",
    "dict_type": "must be keys with values below it",
    "model_type": "must be keys with values below it; without the line, the defaults hold",
    "path_type": "must be a path",
    "string_type": "must be text; put it in quotes",
    "string_pattern_mismatch": "may hold letters, digits and hyphens only, no hyphen first",
    "too_short": "must hold at least 1",
    "string_too_short": "must not be empty",
    "model_attributes_type": "must be keys with values below it, `kind` among them",
    "union_tag_not_found": "`kind` is missing; allowed: {kinds}",
    "union_tag_invalid": "`kind` must be one of {kinds}",
}
"""What pydantic says in words of Python, for people who write YAML."""


def _problem(detail: Any, model: type[Section]) -> str:
    loc, kind = detail["loc"], detail["type"]
    kinds = _kinds_at(loc)
    # pydantic names the kind of a source as if it were a key
    key = ".".join(str(part) for part in loc if part not in kinds) or "(top level)"
    if kind == "extra_forbidden":
        return f"{key}: no such key; {_keys_instead(loc, model)}"
    if kind == "missing":
        return f"{key}: missing; it has no default"
    text = _KINDS.get(kind, detail["msg"].removeprefix("Value error, "))
    allowed = ", ".join(map(repr, kinds))
    return f"{key}: {text.replace('{kinds}', allowed)} (got {detail['input']!r})"


def _kinds_at(loc: tuple[str | int, ...]) -> dict[str | int, type[Section]]:
    """The sections that a list holds, by their `kind`."""
    return _OF_LISTS.get(loc[0], _SOURCES) if loc else _SOURCES


def _keys_instead(loc: tuple[str | int, ...], model: type[Section]) -> str:
    """What is allowed where an unknown key stands, and which is most like it."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        if part in (kinds := _kinds_at(loc)):
            model = kinds[str(part)]
        elif field and isinstance(field.annotation, type):
            model = field.annotation
    alike = get_close_matches(str(loc[-1]), model.model_fields, n=1)
    meant = f"did you mean `{alike[0]}`? " if alike else ""
    return f"{meant}Allowed: {', '.join(model.model_fields)}"
