"""The reference bank of a model: what every volume is compared with, by stratum, on disk.

`bank.json` says which references there are, how each low-quality one was made, and the calibration;
`bank.safetensors` holds their embeddings. No other file is needed to judge an embedding.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from mriqa.config import ReferenceSection
from mriqa.errors import UserError
from mriqa.files import replacing_folder
from mriqa.methods.simclr.calibration import Calibration
from mriqa.methods.simclr.matching import People
from mriqa.methods.simclr.whitening import HQ, Embeddings
from mriqa.references.person import Person

FORMAT_VERSION = 6
"""Raise it when banks, or how volumes are compared with them, change: they are then built anew."""

LEAST_SEVERITY = 0.2
"""Simulated copies from this severity on (what should not pass) are LQ references; milder ones
serve the calibration only."""
LEAST_SEVERE = 0.5
"""The paper's rule takes those from here on: milder ones would blur its means."""

_TENSORS = ("volumes", "slices", "places", "counts")


@dataclass(frozen=True)
class Reference:
    """One reference volume: as acquired, or (`family` set) with a simulated artifact.

    `order` decides between equally similar persons; `artifact` is the JSON that replays it.
    """

    series_id: str
    volume: int
    person: Person
    order: int
    family: str | None = None
    severity: float = 0.0
    artifact: str | None = None

    @property
    def label(self) -> str:
        """`hq`, or the family of its artifact."""
        return self.family or HQ

    @property
    def name(self) -> str:
        """`series_id volume`, and of a copy ` family severity`, as the tables name it."""
        copied = f" {self.family} {self.severity:.2f}" if self.family else ""
        return f"{self.series_id} {self.volume}{copied}"


@dataclass(frozen=True)
class Dropped:
    """A listed HQ volume that is no reference, as the others give it this quality_score."""

    series_id: str
    volume: int
    subject: str
    quality: float


@dataclass(frozen=True)
class StratumBank:
    """The n references of one stratum, with embeddings of length d.

    `volumes` (n, d); `slices` (m, d) those of all references one after the other, `counts` (n) of
    each, `places` (m) where in the body each slice lies, 0 to 1. The last `n_final` of the d values
    are the network's output, which the paper's rule takes. `calibration` and `auc`, that of
    its LQ against its HQ references (each judged without its own subject), are None only while
    they are being fitted. `dropped` are doubtful ones, the worst first (`fitting`).
    """

    stratum: str
    references: tuple[Reference, ...]
    volumes: Embeddings
    slices: Embeddings
    places: NDArray[np.float32]
    counts: NDArray[np.int64]
    n_final: int
    calibration: Calibration | None = None
    auc: float | None = None
    dropped: tuple[Dropped, ...] = ()

    @cached_property
    def people(self) -> People:
        """Whose volumes they are."""
        listed = self.references
        return People.of([one.person for one in listed], [one.order for one in listed])

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """`hq` or family of every reference (n)."""
        return np.array([one.label for one in self.references], dtype=np.str_)

    @cached_property
    def compared(self) -> NDArray[np.bool_]:
        """Whether a reference is compared with (n): HQ, and copies from LEAST_SEVERITY on."""
        return self._at_least(LEAST_SEVERITY)

    @cached_property
    def severe(self) -> NDArray[np.bool_]:
        """Whether by the paper's rule, too (n): HQ, and copies from LEAST_SEVERE on."""
        return self._at_least(LEAST_SEVERE)

    def _at_least(self, least: float) -> NDArray[np.bool_]:
        severity = np.array([one.severity for one in self.references])
        return np.asarray((self.labels == HQ) | (severity >= least))

    @cached_property
    def subjects(self) -> frozenset[str]:
        """Subjects that references are of."""
        return frozenset(one.person.subject for one in self.references)

    @property
    def listed_subjects(self) -> frozenset[str]:
        """These, and the subjects of what was dropped."""
        return self.subjects | {one.subject for one in self.dropped}

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """The reference that each slice is of (m)."""
        return np.repeat(np.arange(len(self.references)), self.counts)


@dataclass(frozen=True)
class Bank:
    """The references of all strata, for one model.

    `precision` is what they were embedded with, and what is compared with them must be.
    `stratum_columns` are those that make a stratum; `too_few` says how many subjects the strata
    without a bank have references of; `notes` what became of references that are not used.
    """

    model_id: str
    precision: str
    stratum_columns: tuple[str, ...]
    section: ReferenceSection
    strata: dict[str, StratumBank]
    too_few: dict[str, int]
    notes: tuple[str, ...] = ()

    def calibration(self, stratum: str) -> Calibration | None:
        """Of a stratum with a bank; None where that bank is too weak to rate (`min_auc`)."""
        one = self.strata[stratum]
        return one.calibration if is_strong(one.auc, self.section.min_auc) else None


def count_subjects(references: Iterable[Reference]) -> int:
    """Subjects with an HQ reference and with a copy severe enough for either rule."""
    hq, lq = set(), set()
    for one in references:
        if one.family is None:
            hq.add(one.person.subject)
        elif one.severity >= LEAST_SEVERE:
            lq.add(one.person.subject)
    return len(hq & lq)


def is_strong(auc: float | None, min_auc: float) -> bool:
    """Whether a bank that tells its own references apart with `auc` may rate."""
    return auc is not None and auc >= min_auc


def write_bank(folder: Path, bank: Bank) -> None:
    """Write `folder`/bank.json and bank.safetensors, both or none."""
    tensors: dict[str, NDArray[Any]] = {}
    strata = []
    for number, (name, one) in enumerate(sorted(bank.strata.items())):
        for tensor in _TENSORS:
            tensors[f"{number:04d}.{tensor}"] = np.ascontiguousarray(getattr(one, tensor))
        calibration = None if one.calibration is None else asdict(one.calibration)
        references = [asdict(reference) for reference in one.references]
        strata.append(
            {
                "stratum": name,
                "references": references,
                "n_final": one.n_final,
                "calibration": calibration,
                "auc": one.auc,
                "dropped": [asdict(dropped) for dropped in one.dropped],
            }
        )
    content = save(tensors)
    described = {
        "format_version": FORMAT_VERSION,
        "model_id": bank.model_id,
        "precision": bank.precision,
        "sha256": hashlib.sha256(content).hexdigest(),
        "stratum_columns": list(bank.stratum_columns),
        "section": bank.section.model_dump(mode="json"),
        "strata": strata,
        "too_few": bank.too_few,
        "notes": list(bank.notes),
    }
    with replacing_folder(folder) as temporary:
        (temporary / "bank.safetensors").write_bytes(content)
        text = json.dumps(described, indent=1, allow_nan=False, ensure_ascii=False)
        (temporary / "bank.json").write_text(text + "\n", encoding="utf-8")


def read_bank(folder: Path, strata: Collection[str | None] | None = None) -> Bank:
    """The bank in `folder`, of all strata or the named ones that it has.

    Raises UserError if it is missing, damaged or of another version.
    """
    described = _read_description(folder)
    path = folder / "bank.safetensors"
    if hashlib.sha256(path.read_bytes()).hexdigest() != described["sha256"]:
        raise UserError(f"{path}: damaged; delete {folder} and run again")
    read: dict[str, StratumBank] = {}
    with safe_open(path, framework="numpy") as tensors:
        for number, one in enumerate(described["strata"]):
            if strata is None or one["stratum"] in strata:
                arrays = {name: tensors.get_tensor(f"{number:04d}.{name}") for name in _TENSORS}
                read[one["stratum"]] = _stratum(one, arrays)
    return Bank(
        described["model_id"],
        described["precision"],
        tuple(described["stratum_columns"]),
        ReferenceSection.model_validate_json(json.dumps(described["section"])),
        read,
        described["too_few"],
        tuple(described["notes"]),
    )


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / "bank.json"
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = described["format_version"]
    except FileNotFoundError:
        raise UserError(f"{path}: no reference bank; run `mriqa run CONFIG`") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); delete {folder} and run again") from None
    if version != FORMAT_VERSION or not (folder / "bank.safetensors").is_file():
        raise UserError(f"{folder}: not a bank of this version; delete it and run again")
    return described


def _stratum(described: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> StratumBank:
    references = [
        Reference(**(one | {"person": Person(**one["person"])})) for one in described["references"]
    ]
    calibration = described["calibration"]
    return StratumBank(
        described["stratum"],
        tuple(references),
        **arrays,
        n_final=described["n_final"],
        calibration=None if calibration is None else Calibration.from_json(calibration),
        auc=described["auc"],
        dropped=tuple(Dropped(**one) for one in described["dropped"]),
    )


def without(bank: StratumBank, subject: str) -> StratumBank:
    """`bank` without all that is of `subject`."""
    return subset(bank, bank.people.subject != subject)


def subset(bank: StratumBank, kept: NDArray[np.bool_]) -> StratumBank:
    """The references of `bank` that `kept` (n) marks, with its calibration."""
    of_slices = kept[bank.owner]
    return replace(
        bank,
        references=tuple(
            one for one, is_kept in zip(bank.references, kept, strict=True) if is_kept
        ),
        volumes=bank.volumes[kept],
        slices=bank.slices[of_slices],
        places=bank.places[of_slices],
        counts=bank.counts[kept],
    )
