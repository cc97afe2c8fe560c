"""What was to be reached, beside what was found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mriqa.evaluation.hysnet.figures import Record
from mriqa.evaluation.hysnet.networks import HYPER

AGREEMENT = 0.93
FALLING = -0.9
"""Spearman's correlation of predictions with added noise, within each volume."""


def main_record(content: Mapping[str, Any], head: str) -> Record | None:
    """Of the ablation, the first backbone in 3D."""
    backbone = content["settings"]["backbones"][0]
    wanted = {"backbone": backbone, "dimensions": 3, "head": head}
    return next((one for one in content["ablation"] if wanted.items() <= one.items()), None)


def check_targets(content: Mapping[str, Any]) -> list[Record]:
    """Each asked-for number beside what was found; `met` None: not asked."""
    found: list[Record] = []
    main = main_record(content, HYPER)
    if main is not None:
        found += [
            _target(f"3D hyper {name.upper()}", main[name]["value"], AGREEMENT)
            for name in ("srocc", "plcc")
        ]
        margin = next(
            one
            for one in content["margins"]
            if one["dimensions"] == 3 and one["backbone"] == main["backbone"]
        )
        found.append(
            _target("hyper above plain: lower end of SROCC's margin", margin["srocc"]["low"], 0.0)
        )
    falling = _worst([one for one in content["noise"] if one["net"] == HYPER])
    if content["noise"]:
        met = None if falling is None else falling <= FALLING
        what = "Spearman with added noise, 3D hyper, worst volume of the worst seed"
        found.append({"name": what, "value": falling, "bound": "≤", "target": FALLING, "met": met})
    return found


def _worst(records: Sequence[Record]) -> float | None:
    known = [one["spearman"] for one in records if one["spearman"] is not None]
    return float(np.max(known)) if known and len(known) == len(records) else None


def _target(name: str, value: float | None, target: float) -> Record:
    met = None if value is None else value >= target
    return {"name": name, "value": value, "bound": "≥", "target": target, "met": met}
