"""The section `labels`: where raters wrote down what they think of scans."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mriqa.config.base import Section

Rating = Literal["pass", "questionable", "fail"]
NO_WORDS = frozenset({"", "n/a", "na", "nan", "none", "null", "nat", "<na>"})
"""What tables write for `not known` (`cohort.tabular.MISSING`): no word for a rating."""


def _lower(words: Any) -> Any:
    """Keys as the tables have them; YAML takes 1 for a number and yes for a truth value."""
    if not isinstance(words, dict):
        return words
    wrong = [key for key in words if not isinstance(key, str | int) or isinstance(key, bool)]
    if wrong:
        raise ValueError(f"write {wrong[0]!r} in quotes, as the labels have it: YAML changed it")
    lower = [str(key).strip().lower() for key in words]
    twice = sorted({key for key in lower if lower.count(key) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} is there twice: capital letters do not tell words apart")
    return dict(zip(lower, words.values(), strict=True))


def _checked(words: dict[str, Rating]) -> dict[str, Rating]:
    for word, rating in words.items():
        if word in NO_WORDS:
            raise ValueError(f"{word!r} means `not known` in every table: write another word there")
        if word in ("pass", "questionable", "fail") and word != rating:
            raise ValueError(f"{word} cannot mean {rating}")
    return words


Words = Annotated[dict[str, Rating], BeforeValidator(_lower), AfterValidator(_checked)]
_WORDS = "Other words for the three ratings, e.g. {usable: pass, '-1': fail}."


class TableLabels(Section):
    """A CSV, TSV or Parquet table with a row a label (columns: config/README.md)."""

    kind: Literal["table"]
    path: Path = Field(description="The table: series_id, volume, slice, rater, rating, comment.")
    words: Words = Field(default_factory=dict, description=_WORDS)


class ScansLabels(Section):
    """A column of the `*_scans.tsv` of a BIDS dataset."""

    kind: Literal["scans"]
    path: Path = Field(description="Root of the dataset.")
    column: str = Field(min_length=1, description="The column with the rating.")
    rater: str = Field("scans", min_length=1, description="Who rated: the tables do not tell.")
    words: Words = Field(default_factory=dict, description=_WORDS)


class MriqcLabels(Section):
    """Ratings from MRIQC's reports: below 1.5 fail, below 2.5 questionable, else pass."""

    kind: Literal["mriqc"]
    path: Path = Field(description="Folder with a folder a rater, in it JSON files.")
    rater: str | None = Field(
        None, min_length=1, description="Who rated all; none: the folders' names tell."
    )


LabelSource = Annotated[TableLabels | ScansLabels | MriqcLabels, Field(discriminator="kind")]
