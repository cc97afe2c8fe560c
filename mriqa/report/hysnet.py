"""What lies on disk of HyS-Net: its model, how well it did in the end, whom it learned from.

Nothing here raises for what is missing or damaged: the page says so in a sentence and goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mriqa.report.pinned import read_list_of
from mriqa.report.reading import Json, Reader, number_or_none, read_object, whole
from mriqa.training.imported import IMPORTED_FROM

METHOD = "hysnet"
NAME = "HyS-Net"
SPLITS = ("test", "validation")
NO_TABLE = ("",)
"""What the id of a model that has learned a metric stands for, beside settings and series."""


@dataclass(frozen=True)
class Accuracy:
    """Predictions of `n` volumes against what was measured: Spearman's and Pearson's correlation,
    and the mean absolute error; None where there are too few, or one side is constant."""

    n: int
    srocc: float | None
    plcc: float | None
    mae: float | None


@dataclass(frozen=True)
class HysnetModel:
    """A model as far as it can be read; `problems` says what could not.

    `from_table`: the target is of a table of one's own; None where it is not known. `tried` has by
    split how well it did when it was trained. `subjects` are those that it has learned from, none
    of this cohort's if another trained it; None where the list of them is not there any more.
    """

    model_id: str
    learning: Json
    provenance: Json
    target: str | None
    from_table: bool | None
    contrasts: tuple[str, ...]
    n_volumes: int | None
    steps: int | None
    tried: Mapping[str, Accuracy]
    subjects: frozenset[str] | None
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the method, in a sentence."""
        return NAME

    @property
    def settings(self) -> dict[str, Json]:
        """All that are known, by a title."""
        return {"Settings of HyS-Net's learning": self.learning}

    @property
    def imported_from(self) -> str | None:
        """Its model_id in the cohort that trained it; None if that is this one."""
        found = self.provenance.get(IMPORTED_FROM)
        return None if found is None else str(found)


@dataclass(frozen=True)
class _Config:
    """What config.json says."""

    learning: Json
    target: str
    from_table: bool | None
    contrasts: tuple[str, ...]


@dataclass(frozen=True)
class _Numbers:
    """What metrics.json says."""

    n_volumes: int | None
    steps: int | None
    tried: Mapping[str, Accuracy]


def read_hysnet_model(results: Path, named: str) -> HysnetModel:
    """The model called `named` (a model_id of the tables) in `results`."""
    place = f"models/{METHOD}/{named}"
    reader = Reader(results)
    told = reader.told
    config, metrics, provenance = (
        told(partial(read_object, results / place / name), f"{place}/{name}")
        for name in ("config.json", "metrics.json", "provenance.json")
    )
    known = numbers = subjects = None
    if config is not None:
        known = told(lambda: _config(config), f"{place}/config.json")
    if metrics is not None:
        numbers = told(lambda: _numbers(metrics), f"{place}/metrics.json")
    if known is not None and provenance:
        what = f"the list of training series of {named}"
        subjects = told(partial(_subjects, results, known, provenance), what)
    known, numbers = known or _Config({}, "", None, ()), numbers or _Numbers(None, None, {})
    return HysnetModel(
        named, known.learning, provenance or {}, known.target or None, known.from_table,
        known.contrasts, numbers.n_volumes, numbers.steps, numbers.tried, subjects,
        tuple(reader.problems),
    )  # fmt: skip


def _config(config: Json) -> _Config:
    learning, contrasts, from_table = (
        config["learning"], config["contrasts"], config.get("from_table"),
    )  # fmt: skip
    if not isinstance(learning, dict):
        raise ValueError("learning is no JSON object")
    if not isinstance(contrasts, list):
        raise ValueError("contrasts is no JSON array")
    known = from_table if isinstance(from_table, bool) else None
    return _Config(learning, str(config["target"]), known, tuple(map(str, contrasts)))


def _numbers(metrics: Json) -> _Numbers:
    n_volumes, steps = (
        whole(metrics[name], name) if name in metrics else None for name in ("n_volumes", "steps")
    )
    tried = {}
    for split in SPLITS:
        if f"{split}_n" not in metrics:
            continue
        names = [f"{split}_{name}" for name in ("srocc", "plcc", "mae")]
        found = [number_or_none(metrics.get(name), name) for name in names]
        tried[split] = Accuracy(whole(metrics[f"{split}_n"], f"{split}_n"), *found)
    return _Numbers(n_volumes, steps, tried)


def _subjects(results: Path, known: _Config, provenance: Json) -> frozenset[str] | None:
    if IMPORTED_FROM in provenance:
        return frozenset()
    pinned = read_list_of(results, METHOD, known.learning, provenance, NO_TABLE)
    return None if pinned is None else frozenset(one.subject for one in pinned)
