"""The learned methods as the Snakefile sees them: models and reference banks, made once.

A model follows from its section and its pinned list of series (or is another cohort's), a bank from
its model, section and references. Both know what they were made from. So their rules make only what
is not there, and nothing that happens to a cohort - growth, a new shard, a rewritten one - makes
them again.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.cohort.manifest import shard_name
from mriqa.config import (
    Config,
    HysnetLearningSection,
    HysnetTargetSection,
    LearningSection,
    PretrainingSection,
    ReferenceSection,
    Section,
    SimulatedSection,
    section_json,
)
from mriqa.errors import UserError
from mriqa.files import write_json
from mriqa.methods.hysnet.target_sources import targets_digest
from mriqa.references.listing import list_name, read_list
from mriqa.run.versions import format_version
from mriqa.training.imported import imported_id
from mriqa.training.manifest import Learnt, PinnedSeries, model_id, pin_path, read_pinned
from mriqa.training.model_files import PROVENANCE
from mriqa.training.pinned_labels import PinnedLabel, labels_path, learned_also, read_pinned_labels

MADE_FROM = "made_from.json"
"""Beside a bank: the digest of all that it was made from; written last."""

BANKED = ("simclr",)
"""Methods that compare with a bank of references; others learn what is good and bad."""

SectionT = TypeVar("SectionT", bound=Section)

NO_DIGEST = "not yet"
_PERSON = ("scanner", "sex", "height_cm", "weight_kg")
_IDENTITY = ("series_id", "excluded_by", "size_bytes", "mtime_ns", *_PERSON)


@dataclass(frozen=True)
class Learned:
    """The enabled methods of a configuration; `root` is where its relative paths start."""

    config: Config
    root: Path

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that are switched on."""
        return tuple(self.config.methods)

    @property
    def results(self) -> Path:
        """Folder of everything that is written."""
        return self.root / self.config.results

    @property
    def banked(self) -> tuple[str, ...]:
        """Methods that compare with a bank of references."""
        return tuple(one for one in self.methods if one in BANKED)

    def learning(self, method: str) -> Learnt:
        """What decides what a method learns; a path in it is absolute."""
        own = getattr(self.config, method)
        if method in BANKED:
            pretraining: PretrainingSection = own.pretraining
            return pretraining
        learning: LearningSection | HysnetLearningSection = own.learning
        if isinstance(learning, HysnetLearningSection):
            return learning.model_copy(update={"target": self._here(learning.target, "table")})
        return learning.model_copy(update={"simulated": self._here(learning.simulated, "trusted")})

    def _here(self, section: SectionT, name: str) -> SectionT:
        """`section`, its path `name` absolute, if it is set."""
        path: Path | None = getattr(section, name)
        return section if path is None else section.model_copy(update={name: self.root / path})

    def imported(self, method: str) -> Path | None:
        """Folder of the other cohort's model that a method uses; None if it trains its own."""
        source: Path | None = getattr(self.config, method).pretrained
        return None if source is None else self.root / source

    def reference(self, method: str) -> ReferenceSection:
        """What decides what a method of `banked` compares with; the path in it absolute."""
        section: ReferenceSection = getattr(self.config, method).reference
        return self._here(section, "trusted")

    def section_here(self, method: str) -> Section:
        """The section of a method as a job needs it, which runs in the results folder."""
        section: Section = getattr(self.config, method)
        paths: dict[str, Any] = {"pretrained": self.imported(method)}
        if method in BANKED:
            paths["reference"] = self.reference(method)
        else:
            paths["learning"] = self.learning(method)
        return section.model_copy(update=paths)

    def settings(self, method: str, part: str) -> str:
        """As canonical JSON: what a method learns (`learning`), or from which trusted volumes
        (`trusted`), which of a method of `banked` is its section `reference`."""
        return self._settings[method, part]

    @cached_property
    def _settings(self) -> dict[tuple[str, str], str]:
        """Asked for by every job."""
        of = {"learning": self.learning, "trusted": self.trusting}
        found = {(one, part): of[part](one) for one in self.methods for part in of}
        return {key: section_json(section) for key, section in found.items() if section}

    def trusting(self, method: str) -> ReferenceSection | SimulatedSection | None:
        """What says which volumes a method trusts; None of one that trusts none."""
        learning = self.learning(method)
        if isinstance(learning, HysnetLearningSection):
            return None
        return (
            learning.simulated if isinstance(learning, LearningSection) else self.reference(method)
        )

    @cached_property
    def _pins(self) -> dict[str, Path]:
        """Where the lists of training series are, or will be, of methods that train."""
        return {
            one: pin_path(self.results, one, self.learning(one))
            for one in self.methods
            if self.imported(one) is None
        }

    def settings_of(self, part: str) -> Callable[[Any], str]:
        """`settings` as a parameter of a rule with the wildcard `method`."""
        return lambda wildcards: self.settings(wildcards.method, part)

    def unpinned(self) -> list[str]:
        """Methods whose list of training series, or other cohort's model, is not there yet."""
        return [method for method in self.methods if not self._is_pinned(method)]

    def _is_pinned(self, method: str) -> bool:
        if method in self._pins:
            pins = [self._pins[method], *self._labels_pins(method)]
            return all(path.is_file() for path in pins)
        return (self.results / self.model(method) / PROVENANCE).is_file()

    def model_id(self, method: str) -> str:
        """Of the model that the configuration asks for; raises UserError before it is pinned."""
        if (source := self.imported(method)) is not None:
            return imported_id(method, source)
        version = format_version(f"mriqa.methods.{method}.train")
        settings = section_json(self.learning(method).identity)
        return _model_id(
            method, settings, version, *_state(self._pins[method]), self._learned_also(method)
        )

    def _labels_pins(self, method: str) -> list[Path]:
        """Where the labels that a method learns from are, or will be."""
        learning = self.learning(method)
        if isinstance(learning, LearningSection) and learning.asks_people and method in self._pins:
            return [labels_path(self._pins[method])]
        return []

    def _learned_also(self, method: str) -> tuple[str, ...]:
        """What a model depends on beside its section and its series."""
        learning = self.learning(method)
        if isinstance(learning, HysnetLearningSection):
            return (self._targets_digest(method, learning.target),)
        if not isinstance(learning, LearningSection):
            return ()
        labels = [
            one for path in self._labels_pins(method) for one in _pinned_labels(*_state(path))
        ]
        return learned_also(learning, labels, self.config.rating.stratum)

    def _targets_digest(self, method: str, target: HysnetTargetSection) -> str:
        """Of the numbers of the pinned series in a table of targets, if there is one."""
        if target.table is None:
            return ""
        paths = (target.table, self.results / "cohort.parquet", self._pins[method])
        return _targets_digest(target, *map(_state, paths))

    def model_ids(self) -> dict[str, str]:
        """Of all methods that are pinned."""
        unpinned = self.unpinned()
        return {one: self.model_id(one) for one in self.methods if one not in unpinned}

    def model(self, method: str) -> Path:
        """Folder of the model, relative to the results."""
        return Path("models", method, self.model_id(method))

    def judge(self, method: str) -> Path:
        """What a model is complete with, relative to the results: its bank, if it needs one."""
        last = f"bank/{MADE_FROM}" if method in BANKED else PROVENANCE
        return self.model(method) / last

    def untrained(self) -> list[str]:
        """Methods whose model is still to be trained."""
        unpinned = self.unpinned()
        return [
            one
            for one in self._pins
            if one in unpinned or not (self.results / self.model(one) / PROVENANCE).is_file()
        ]

    def training_shards(self, method: str) -> list[str]:
        """Names of the shards that hold the pinned series."""
        if method not in self._pins:
            return []
        shards = {one.shard for one in _pinned(*_state(self._pins[method]))}
        for path in self._labels_pins(method):
            shards |= {one.shard for one in _pinned_labels(*_state(path))}
        return sorted(map(shard_name, shards))

    def needs_scores(self, method: str) -> bool:
        """Whether what the metrics say is needed for training: strata, whom to trust, targets."""
        return method not in BANKED

    def trusts(self, method: str) -> bool:
        """Whether a list of trusted volumes is learned from, or compared with."""
        learning = self.learning(method)
        if isinstance(learning, HysnetLearningSection):
            return False
        if isinstance(learning, LearningSection):
            return learning.simulates and self.imported(method) is None
        return True

    def reference_list(self, method: str) -> Path:
        """The trusted list, absolute, or the proposed one, relative to the results."""
        trusting = self.trusting(method)
        return (trusting and trusting.trusted) or Path("references", list_name(method))

    def unlisted(self) -> list[str]:
        """Methods for whom the metrics are to propose references: never over a list of theirs."""
        lists = {one: self.reference_list(one) for one in self.methods if self.trusts(one)}
        return [
            one
            for one, path in lists.items()
            if not path.is_absolute() and not (self.results / path).is_file()
        ]

    def references(self, method: str) -> list[str]:
        """Series ids of the list of references, in its order; nothing before there is one."""
        return listed_series(self.results / self.reference_list(method))

    def reference_shards(self, method: str) -> list[str]:
        """Names of the shards that hold references."""
        states = self._states(self.references(method))
        return sorted({shard_name(state["shard"]) for state in states})

    def bank_digest(self, method: str) -> str:
        """Of all that a bank is made from; NO_DIGEST before there are references.

        Model, section, what makes a stratum, list, and the state of each listed series: its file,
        its person, and whether it is still in the cohort, withdrawn or excluded.
        """
        path = self.results / self.reference_list(method)
        if not path.is_file():
            return NO_DIGEST
        section = self.reference(method).model_copy(update={"trusted": None})  # the list itself is
        content = [
            self.model_id(method),
            section_json(section),
            list(self.config.rating.stratum),
            format_version(f"mriqa.methods.{method}.bank"),
            hashlib.sha256(path.read_bytes()).hexdigest(),
            [[state[name] for name in _IDENTITY] for state in self._states(listed_series(path))],
        ]
        return _digest(content)

    def unbanked(self) -> list[str]:
        """Methods whose reference bank is not there, or was made from something else."""
        unpinned, unlisted = self.unpinned(), self.unlisted()
        return [
            one
            for one in self.banked
            if one in unpinned
            or one in unlisted
            or read_made_from(self.results / self.model(one) / "bank") != self.bank_digest(one)
        ]

    def persons(self, shard: str) -> str:
        """Digest of what decides whom a shard's volumes are compared with, and is not in its
        manifest: scanner, sex, height, weight."""
        path = self.results / "cohort.parquet"
        return _persons(*_state(path)).get(shard, NO_DIGEST)

    def _states(self, series: Iterable[str]) -> list[dict[str, Any]]:
        """Rows of the cohort of those `series` that are still in it, by series id."""
        path = self.results / "cohort.parquet"
        return _series_states(*_state(path), frozenset(series)) if path.is_file() else []


def listed_series(path: Path) -> list[str]:
    """Series of a list of references; nothing where it cannot be read (its reader says why)."""
    try:
        return [one.series_id for one in read_list(path)]
    except UserError:
        return []


def read_made_from(bank: Path) -> str | None:
    """The digest of what the bank in this folder was made from; None if there is none."""
    try:
        made_from = json.loads((bank / MADE_FROM).read_text(encoding="utf-8"))
        return str(made_from["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_made_from(bank: Path, digest: str) -> None:
    """Write beside a finished bank what it was made from."""
    write_json(bank / MADE_FROM, {"digest": digest})


def _state(path: Path) -> tuple[Path, int]:
    """A file and its mtime in ns, the key of what is kept of its content."""
    try:
        return path, path.stat().st_mtime_ns
    except FileNotFoundError:
        return path, 0


@cache
def _pinned(path: Path, mtime_ns: int) -> list[PinnedSeries]:
    return read_pinned(path)


@cache
def _pinned_labels(path: Path, mtime_ns: int) -> list[PinnedLabel]:
    return read_pinned_labels(path)


@cache
def _model_id(
    method: str, settings: str, version: int, path: Path, mtime_ns: int, also: tuple[str, ...]
) -> str:
    return model_id(method, settings, _pinned(path, mtime_ns), version, also)


@cache
def _targets_digest(
    target: HysnetTargetSection,
    _table: tuple[Path, int],
    cohort: tuple[Path, int],
    pin: tuple[Path, int],
) -> str:
    return targets_digest(target, cohort[0], [one.series_id for one in _pinned(*pin)])


@cache
def _series_states(path: Path, mtime_ns: int, series: frozenset[str]) -> list[dict[str, Any]]:
    table = _cohort(path, (*_IDENTITY, "shard"))
    wanted = pc.is_in(table["series_id"], value_set=pa.array(sorted(series), pa.string()))
    rows: list[dict[str, Any]] = table.filter(wanted).sort_by("series_id").to_pylist()
    return rows


@cache
def _persons(path: Path, mtime_ns: int) -> dict[str, str]:
    persons: dict[int, list[list[Any]]] = defaultdict(list)
    for row in _cohort(path, ("series_id", "shard", *_PERSON)).to_pylist():
        persons[row["shard"]].append([row["series_id"], *(row[name] for name in _PERSON)])
    return {shard_name(shard): _digest(sorted(rows)) for shard, rows in persons.items()}


def _cohort(path: Path, columns: Iterable[str]) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({error}); run `mriqa index CONFIG`") from None


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
