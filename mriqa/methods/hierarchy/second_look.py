"""Labels worth a second look: those that people gave and that the networks contest.

Contested is a label whose class is not the likeliest to the network that has not seen its subject.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mriqa.labels.model import RATINGS, Label, Target
from mriqa.methods.hierarchy.lesson import Given
from mriqa.methods.hierarchy.rounds import ACTIONS
from mriqa.methods.hierarchy.self_training import PROBABILITIES, Round

SCHEMA = pa.schema(
    [
        pa.field("level", pa.string(), nullable=False),
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("volume", pa.int32(), nullable=False),
        pa.field("slice", pa.int32()),
        pa.field("given", pa.string(), nullable=False),
        pa.field("raters", pa.string(), nullable=False),
        pa.field("likelier", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("doubt", pa.float64(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in PROBABILITIES),
    ]
)
"""`doubt` is the probability of `likelier` minus that of what was given, 0 to 1."""


def contested(level: str, given: Given, last: Round, labels: Sequence[Label]) -> pa.Table:
    """The contested labels of people (SCHEMA), the most doubtful first.

    `level` is `volume` or `slice`; `last` the last round. A label of a series is one of each of its
    volumes, but not of slices: these have labels of their own or are not listed.
    """
    said = _said(labels)
    rows = [
        _row(level, place, given, last, votes)
        for place, target in enumerate(given.targets)
        if given.copy_numbers[place] is None
        and (votes := _votes(target, said))
        and last.probabilities[place].argmax() != given.classes[place]
    ]
    rows.sort(key=lambda row: (-row["doubt"], row["series_id"], row["volume"], row["slice"] or 0))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _said(labels: Sequence[Label]) -> Mapping[Target, dict[str, str]]:
    said = defaultdict[Target, dict[str, str]](dict)
    for one in labels:
        said[one.target][one.rater] = one.rating
    return said


def _votes(target: Target, said: Mapping[Target, dict[str, str]]) -> dict[str, str]:
    """Of every rater the nearest label; of slices only where somebody has looked at the slice."""
    own, volume = said.get(target, {}), said.get(target._replace(slice=None), {})
    if target.slice is not None and not own:
        return {}
    return said.get(target._replace(slice=None, volume=None), {}) | volume | own


def _row(
    level: str, place: int, given: Given, last: Round, votes: Mapping[str, str]
) -> dict[str, Any]:
    target, p = given.targets[place], last.probabilities[place]
    likelier, own = int(np.argmax(p)), int(given.classes[place])
    return {
        "level": level,
        **target._asdict(),
        "given": RATINGS[own],
        "raters": ", ".join(f"{rater}: {votes[rater]}" for rater in sorted(votes)),
        "likelier": RATINGS[likelier],
        "action": ACTIONS[int(last.decisions.actions[place])].value,
        "doubt": float(p[likelier] - p[own]),
        **dict(zip(PROBABILITIES, p.tolist(), strict=True)),
    }
