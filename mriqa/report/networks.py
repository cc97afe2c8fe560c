"""What the hierarchy's columns say of one volume."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mriqa.report.charts import share_bar
from mriqa.report.html import Html, element
from mriqa.report.parts import count, decimal
from mriqa.report.summary import RATINGS

COLUMNS = (
    "hierarchy_rating", "hierarchy_p_pass", "hierarchy_p_questionable", "hierarchy_p_fail",
    "hierarchy_worst_slice", "hierarchy_n_slices_fail",
)  # fmt: skip


@dataclass(frozen=True)
class Networks:
    """The hierarchy's opinion of one volume; see `mriqa.methods.hierarchy.columns`."""

    rating: str
    p_pass: float | None
    p_questionable: float | None
    p_fail: float | None
    worst_slice: int | None
    n_slices_fail: int | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Networks | None":
        """From a row with COLUMNS; None of a volume that the hierarchy has not rated."""
        if row["hierarchy_rating"] is None:
            return None
        return cls(*(row[name] for name in COLUMNS))

    def told(self) -> Html:
        """Its probabilities, as numbers and as a bar, and the worst slice."""
        values = (self.p_pass, self.p_questionable, self.p_fail)
        numbers = ", ".join(
            f"{rating} {decimal(p, 2)}" for rating, p in zip(RATINGS, values, strict=True)
        )
        bar = share_bar(
            [(rating, round(1000 * (p or 0))) for rating, p in zip(RATINGS, values, strict=True)]
        )
        slices = []
        if self.worst_slice is not None:
            slices.append(f"worst slice {self.worst_slice}")
        if self.n_slices_fail is not None:
            slices.append(f"slices that fail {count(self.n_slices_fail)}")
        text = "; ".join([f" The hierarchy: {numbers}", *slices])
        return element("p", bar, text, class_="networks")
