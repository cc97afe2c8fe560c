"""Worst and mean over seeds of every cell, and what was to be reached."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mriqa.evaluation.simclr.cells import METRICS, PAPER, SLICE, VOLUME, WHITENED, WHOLE
from mriqa.evaluation.simclr.encoders import TRAINED, UNTRAINED
from mriqa.evaluation.simclr.protocol import OWN_BANK
from mriqa.evaluation.simclr.settings import LEVEL_NAMES, MEDIUM, STRONG

Record = dict[str, Any]
Records = Sequence[Record]


@dataclass(frozen=True)
class SixCell:
    """One of the six cells: AUC that the worst of the trained seeds is to reach, by rule."""

    family: str
    severity: float
    bank: str
    paper: float | None
    whitened: float | None

    @property
    def name(self) -> str:
        """As the tables name it."""
        held = ", held out" if self.bank != WHOLE else ""
        return f"{self.family} {LEVEL_NAMES[self.severity]}{held}"

    def target(self, rule: str) -> float | None:
        """The AUC to reach by this rule; None: reported only."""
        return {PAPER: self.paper, WHITENED: self.whitened}.get(rule)


SIX_CELLS = (
    SixCell("noise", MEDIUM, WHOLE, 0.93, 0.96),
    SixCell("noise", STRONG, WHOLE, 0.93, 0.96),
    SixCell("ghosting", MEDIUM, "ghosting", 0.78, 0.85),
    SixCell("ghosting", STRONG, "ghosting", 0.78, 0.85),
    SixCell("breathing", MEDIUM, WHOLE, None, 0.75),
    SixCell("breathing", STRONG, WHOLE, 0.62, 0.87),
)
MEAN_OF_SIX = "mean of the six"
SIX_TARGETS = {PAPER: 0.80, WHITENED: 0.88}
SHUFFLED_WITHIN = 0.1
RHO_AT_LEAST = 0.8
RHO_FAMILIES = ("breathing", "jumps", "noise", "ghosting")
PROTOCOL_AT_LEAST = 0.9
SLICES_WITHIN = 0.05


def six_cells(cells: Iterable[Record], rule: str, unit: str = VOLUME) -> dict[str, Any]:
    """AUC of the six cells of ONE encoder by name, and their mean (None if one is missing).

    The metrics have no bank, so that nothing can be held out of it.
    """
    found = {
        (one["family"], one["severity"], one["bank"]): one["auc"]
        for one in cells
        if one["rule"] == rule and one["unit"] == unit
    }
    values = {
        one.name: found.get((one.family, one.severity, WHOLE if rule == METRICS else one.bank))
        for one in SIX_CELLS
    }
    return {**values, MEAN_OF_SIX: mean(list(values.values()))}


def mean(values: Sequence[float | None]) -> float | None:
    """None if one is missing, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def worst(values: Sequence[float | None]) -> float | None:
    """The lowest; None if one is missing, or there is none."""
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def by_encoder(records: Iterable[Record]) -> dict[tuple[str, str, int | None], list[Record]]:
    """Records by (kind, encoder, seed)."""
    found: dict[tuple[str, str, int | None], list[Record]] = defaultdict(list)
    for one in records:
        found[one["kind"], one["encoder"], one["seed"]].append(one)
    return found


def summarise(cells: Records) -> list[Record]:
    """Every cell over the seeds of a kind of encoder: `worst`, `mean`, `per_seed`."""
    found: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    keys = ("kind", "rule", "bank", "unit", "family", "severity", "level")
    for one in cells:
        found[tuple(one[key] for key in keys)].append(one)
    return [
        {**dict(zip(keys, key, strict=True)), **_over_seeds([one["auc"] for one in some])}
        for key, some in found.items()
    ]


def _over_seeds(values: list[float | None]) -> Record:
    return {"worst": worst(values), "mean": mean(values), "per_seed": values}


def summarise_six(cells: Records) -> list[Record]:
    """The six cells and their mean, over seeds, of volumes and slices, with their targets."""
    found = []
    for kind, rules in (
        (TRAINED, (PAPER, WHITENED)), (UNTRAINED, (PAPER, WHITENED)), (METRICS, (METRICS,)),
    ):  # fmt: skip
        encoders = [some for key, some in by_encoder(cells).items() if key[0] == kind]
        for rule in rules:
            for unit in (VOLUME, SLICE):
                of_seeds = [six_cells(some, rule, unit) for some in encoders]
                if of_seeds and any(value is not None for value in of_seeds[0].values()):
                    found += _six_records(kind, rule, unit, of_seeds)
    return found


def _six_records(kind: str, rule: str, unit: str, of_seeds: list[dict[str, Any]]) -> list[Record]:
    targets = {one.name: one.target(rule) for one in SIX_CELLS}
    targets[MEAN_OF_SIX] = SIX_TARGETS.get(rule)
    return [
        {
            "kind": kind, "rule": rule, "unit": unit, "cell": name,
            **_over_seeds([one[name] for one in of_seeds]),
            "target": target if unit == VOLUME and kind == TRAINED else None,
        }
        for name, target in targets.items()
    ]  # fmt: skip


def check_targets(content: Mapping[str, Any]) -> list[Record]:
    """Every target: `name`, `value`, `target`, `met` (None: not asked in this mode)."""
    found = [
        _at_least(f"{one['cell']}, {one['rule']}", one["worst"], one["target"])
        for one in content["six_cells"]
        if one["target"] is not None
    ]
    for one in content["shuffled"]:
        if one["kind"] == TRAINED and one["mean"] is not None:
            name = f"shuffled references, {one['rule']}, seed {one['seed']}: 0.5 ± 0.1"
            off = abs(one["mean"] - 0.5)
            found.append(_target(name, one["mean"], 0.5, off <= SHUFFLED_WITHIN))
    found += _slice_targets(content["six_cells"])
    for family in RHO_FAMILIES:
        values = [
            one["median"]
            for one in content["rising"]
            if one["kind"] == TRAINED and one["family"] == family and one["measure"] == "quality"
        ]
        found.append(_at_least(f"Spearman, {family}", worst(values), RHO_AT_LEAST))
    own = [
        one["auc"]
        for one in content["second_protocol"]["auc"]
        if (one["kind"], one["bank"], one["unit"], one["rule"])
        == (TRAINED, OWN_BANK, VOLUME, WHITENED)
    ]
    found.append(_at_least("second protocol, own bank, whitened", worst(own), PROTOCOL_AT_LEAST))
    return found


def _slice_targets(six: Records) -> list[Record]:
    means = {
        (one["rule"], one["unit"]): one["mean"]
        for one in six
        if one["kind"] == TRAINED and one["cell"] == MEAN_OF_SIX
    }
    found = []
    for rule in (PAPER, WHITENED):
        of_slices, of_volumes = means.get((rule, SLICE)), means.get((rule, VOLUME))
        if of_slices is not None and of_volumes is not None:
            low = of_volumes - SLICES_WITHIN
            found.append(_at_least(f"slices within 0.05 of volumes, {rule}", of_slices, low))
    return found


def _at_least(name: str, value: float | None, target: float) -> Record:
    return _target(name, value, target, None if value is None else value >= target)


def _target(name: str, value: float | None, target: float, met: bool | None) -> Record:
    return {"name": name, "value": value, "target": target, "met": met}
