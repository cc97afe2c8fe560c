"""What lies on disk of SimCLR: its model, what it was trained on, its references.

Nothing here raises for what is missing or damaged: the page says so in a sentence and goes on.
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from mriqa.methods.simclr.bank import LEAST_SEVERITY, Dropped, Reference, is_strong
from mriqa.methods.simclr.calibration import Calibration
from mriqa.references.listing import list_name
from mriqa.references.person import Person
from mriqa.report.parts import METHOD_NAMES
from mriqa.report.pinned import read_list_of
from mriqa.report.reading import Json, Reader, read_object

METHOD = "simclr"


@dataclass(frozen=True)
class StratumReferences:
    """The references of one stratum and how margins become scores there."""

    stratum: str
    references: tuple[Reference, ...]
    calibration: Calibration | None
    auc: float | None
    dropped: tuple[Dropped, ...]

    @property
    def n_hq(self) -> int:
        """High-quality volumes."""
        return sum(one.family is None for one in self.references)

    @property
    def n_lq(self) -> int:
        """Simulated copies that volumes are compared with."""
        return sum(bool(one.family) and one.severity >= LEAST_SEVERITY for one in self.references)

    @property
    def n_mild(self) -> int:
        """Milder copies, which serve the calibration alone."""
        return len(self.references) - self.n_hq - self.n_lq

    @property
    def n_subjects(self) -> int:
        """Subjects that they are of."""
        return len({one.person.subject for one in self.references})


@dataclass(frozen=True)
class References:
    """The reference bank without its embeddings; see `mriqa.methods.simclr.bank`."""

    strata: Mapping[str, StratumReferences]
    too_few: Mapping[str, int]
    notes: tuple[str, ...]
    section: Json

    @cached_property
    def by_name(self) -> dict[str, Reference]:
        """By the name that the tables have."""
        return {one.name: one for stratum in self.strata.values() for one in stratum.references}

    @property
    def min_auc(self) -> float:
        """Least AUC of a bank that rates."""
        return float(self.section["min_auc"])

    def rates(self, stratum: str) -> bool:
        """Whether the stratum has a bank that is strong enough to rate."""
        one = self.strata.get(stratum)
        return one is not None and is_strong(one.auc, self.min_auc)

    @property
    def hq_names(self) -> list[str]:
        """Of the high-quality ones: `series_id volume`."""
        return [name for name, one in self.by_name.items() if one.family is None]


@dataclass(frozen=True)
class TrainedOn:
    """The pinned list of a model: series by contrast, and subjects."""

    n_series: int
    n_subjects: int
    contrasts: Mapping[str, int]


@dataclass(frozen=True)
class Model:
    """A model as far as it can be read; `problems` says what could not.

    `trained_on` is None where its list of training series has been replaced by another.
    `confirmed` counts the lines of the proposed list of references by what a person says of them
    (`yes`, `no`, `n/a`); None where the list is a trusted one.
    """

    model_id: str
    pretraining: Json
    metrics: Json
    provenance: Json
    trained_on: TrainedOn | None
    references: References | None
    confirmed: Mapping[str, int] | None
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the method, in a sentence."""
        return METHOD_NAMES[METHOD]

    @property
    def settings(self) -> dict[str, Json]:
        """All that are known, by a title."""
        bank = self.references.section if self.references else {}
        return {"Settings of the pretraining": self.pretraining, "Settings of the references": bank}


def read_learned(results: Path, named: str) -> Model:
    """The model called `named` (a model_id of the tables) in `results`."""
    folder = results / "models" / METHOD / named
    reader = Reader(results)
    told = reader.told
    config, metrics, provenance = (
        told(partial(read_object, folder / name), f"models/{METHOD}/{named}/{name}") or {}
        for name in ("config.json", "metrics.json", "provenance.json")
    )
    bank = told(lambda: _references(folder / "bank"), f"models/{METHOD}/{named}/bank/bank.json")
    pretraining = config.get("pretraining") or {}
    trained_on = None
    if pretraining and provenance:
        what = f"the list of training series of {named}"
        trained_on = told(lambda: _trained_on(results, pretraining, provenance), what)
    confirmed = None
    if bank is not None and bank.section.get("trusted") is None:
        listed = f"references/{list_name(METHOD)}"
        confirmed = told(lambda: read_confirmed(results / listed), listed)
    return Model(
        named, pretraining, metrics, provenance, trained_on, bank, confirmed, tuple(reader.problems)
    )


def _references(folder: Path) -> References:
    content = read_object(folder / "bank.json")
    strata = [_stratum(one) for one in content["strata"]]
    return References(
        {one.stratum: one for one in strata},
        dict(content["too_few"]),
        tuple(map(str, content["notes"])),
        dict(content["section"]),
    )


def _stratum(content: Json) -> StratumReferences:
    references = tuple(
        Reference(**{**one, "person": Person(**one["person"]), "severity": float(one["severity"])})
        for one in content["references"]
    )
    fitted = content["calibration"]
    calibration = None if fitted is None else Calibration.from_json(fitted)
    dropped = tuple(
        Dropped(**{**one, "quality": float(one["quality"])}) for one in content["dropped"]
    )
    return StratumReferences(
        str(content["stratum"]), references, calibration, content["auc"], dropped
    )


def _trained_on(results: Path, pretraining: Json, provenance: Json) -> TrainedOn | None:
    """Of the pinned list; None if it is no more the one behind the model."""
    pinned = read_list_of(results, METHOD, pretraining, provenance)
    if pinned is None:
        return None
    contrasts = Counter(one.contrast for one in pinned)
    return TrainedOn(len(pinned), len({one.subject for one in pinned}), dict(contrasts))


def read_confirmed(path: Path) -> dict[str, int]:
    """Lines of a list of references by what a person says of them: `yes`, `no` or `n/a`."""
    text = path.read_text(encoding="utf-8-sig")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    return dict(Counter((row.get("confirmed") or "n/a").strip() for row in rows))
