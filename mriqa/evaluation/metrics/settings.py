"""What `mriqa experiment metrics` asks: whose grades, which metrics, who is kept apart.

config/metrics_mrart.yaml and config/metrics_abide.yaml are generated from MRART and ABIDE.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from mriqa.config import Section

Better = Literal["higher", "lower"]
Disputed = Literal["out", "bad", "good"]


def normal_grade(value: Any) -> Any:
    """A grade as text, with whole numbers as such: 1, 1.0 and `1.00` are the grade `1`."""
    if isinstance(value, bool):
        raise ValueError("YAML reads yes, no, on, off, true and false as no text: quote it")
    text = str(value).strip() if isinstance(value, str | int | float) else value
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text) if isinstance(text, str) else text


def _column(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


Grade = Annotated[str, BeforeValidator(normal_grade), Field(min_length=1)]
Name = Annotated[str, BeforeValidator(_column), Field(min_length=1)]
"""Of a column: tables are read without regard to upper and lower case."""
Specificity = Annotated[float, Field(gt=0, lt=1)]


class GradesSection(Section):
    """Who graded, and what the grades mean."""

    raters: tuple[Name, ...] = Field(
        min_length=1, description="Columns of grades, one a rater: their majority is the truth."
    )
    test_raters: tuple[Name, ...] = Field(
        (), description="Those of the second table (--test), where they are others; none: `raters`."
    )
    compared: tuple[Name, ...] = Field(
        (), description="Raters who have no part in the truth, but are compared with it."
    )
    values: tuple[Grade, ...] = Field(
        min_length=2, description="Every grade there is, from the best to the worst."
    )
    good: tuple[Grade, ...] = Field(min_length=1, description="Grades that vote for good.")
    bad: tuple[Grade, ...] = Field(
        min_length=1, description="Grades that vote for bad; those in neither have no vote."
    )
    disputed: Disputed = Field(
        "out",
        description="Scans with as many votes for bad as for good: `out` of learning and of all "
        "figures (told of apart), or taken for `bad` or `good`.",
    )

    @model_validator(mode="after")
    def _grades_are_known_once(self) -> "GradesSection":
        listed = (*self.good, *self.bad)
        unknown = sorted(set(listed) - set(self.values))
        if unknown:
            raise ValueError(f"{unknown} in good or bad, but not in values {list(self.values)}")
        for name, some in (("values", self.values), ("good and bad", listed)):
            twice = sorted({one for one in some if some.count(one) > 1})
            if twice:
                raise ValueError(f"{twice} more than once in {name}")
        columns = (*self.raters, *self.compared)
        if len(set(columns)) < len(columns):
            raise ValueError(f"a rater more than once in raters and compared: {list(columns)}")
        return self


class LogisticSection(Section):
    """Logistic regression on standardised metrics."""

    c: float = Field(1.0, gt=0, description="Inverse strength of the L2 penalty (scikit-learn's).")


class ForestSection(Section):
    """A random forest; the defaults are those of mriqc-learn's production model."""

    trees: int = Field(400, ge=1)
    depth: int = Field(10, ge=1, description="Of a tree at most.")
    leaf: int = Field(10, ge=1, description="Scans in a leaf at least.")


class MetricsExperiments(Section):
    """The experiment of `mriqa experiment metrics`."""

    keys: tuple[Name, ...] = Field(
        min_length=1,
        description="Columns that together name a scan: a row each; --grades is joined by them.",
    )
    subject: Name = Field(description="Column of subjects, who are never on both sides of a split.")
    same_people: bool = Field(
        True,
        description="A subject of the second table (--test) is the one of the same name in the "
        "first, who is then not learned from; false: other people, whose ids may be alike.",
    )
    site: Name | None = Field(
        None, description="Column of sites: each is left out in turn; none: folds of subjects."
    )
    grades: GradesSection
    metrics: tuple[Name, ...] = Field(
        ("*",), min_length=1, description="Columns of metrics; * and ? stand for any letters."
    )
    leave_out: tuple[Name, ...] = Field((), description="Columns that are none, in the same way.")
    directions: dict[Name, Better] = Field(
        {},
        description="What is better of a metric, `higher` or `lower`, where nothing is published "
        "or it is otherwise; else it is learned on the training side.",
    )
    folds: int = Field(5, ge=2, description="Without sites, and inside the training side.")
    by_site: bool = Field(
        True, description="Also with metrics centred and scaled in each site, without its grades."
    )
    specificities: tuple[Specificity, ...] = Field(
        (0.9, 0.95), description="For which a threshold is set on the training side."
    )
    bootstraps: int = Field(1000, ge=0, description="Resamples of subjects for intervals.")
    seed: int = Field(0, ge=0, description="Of folds, forests and the bootstrap.")
    logistic: LogisticSection = LogisticSection()
    forest: ForestSection = ForestSection()


_PROTOCOL = ("size_*", "spacing_*")
"""Columns of MRIQC's that tell the protocol, not the quality; MRIQC's classifier drops them too."""
MRART = MetricsExperiments(
    keys=("bids_name",),
    subject="participant_id",
    grades=GradesSection(raters=("score",), values=("1", "2", "3"), good=("1", "2"), bad=("3",)),
    leave_out=(*_PROTOCOL, "age", "sex"),
)
"""MR-ART (ds004173): 1 good, 2 medium, 3 bad; one scanner."""
ABIDE = MetricsExperiments(
    keys=("subject_id",),
    subject="subject_id",
    same_people=False,
    site="site",
    grades=GradesSection(
        raters=("rater_1", "rater_2"),
        test_raters=("rater_1",),
        compared=("rater_3",),
        values=("1", "0", "-1"),
        good=("1", "0"),
        bad=("-1",),
    ),
    leave_out=_PROTOCOL,
)
"""ABIDE, then DS030, as MRIQC did: 1 accept, 0 doubtful, -1 exclude, by its two raters. Numbers
from 50004 on are subjects in both, not the same ones."""
