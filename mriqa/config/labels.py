"""The section `labels`: where raters wrote down what they think of scans."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mriqa.config.base import Section

Rating = Literal["pass", "questionable", "fail"]


def _lower(words: Any) -> Any:
    """Keys as the tables have them; YAML takes 1 for a number and yes for a truth value."""
    if not isinstance(words, dict):
        return words
    wrong = [key for key in words if not isinstance(key, str | int) or isinstance(key, bool)]
    if wrong:
        raise ValueError(f"write {wrong[0]!r} in quotes, as the labels have it: YAML changed it")
    return {str(key).lower(): value for key, value in words.items()}


Words = Annotated[dict[str, Rating], BeforeValidator(_lower)]
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
    column: str = Field(description="The column with the rating.")
    rater: str = Field("scans", description="Who rated: the tables do not tell.")
    words: Words = Field(default_factory=dict, description=_WORDS)


class MriqcLabels(Section):
    """Ratings from MRIQC's reports: below 1.5 fail, below 2.5 questionable, else pass."""

    kind: Literal["mriqc"]
    path: Path = Field(description="Folder with a folder a rater, in it JSON files.")
    rater: str | None = Field(None, description="Who rated all; none: the folders' names tell.")


LabelSource = Annotated[TableLabels | ScansLabels | MriqcLabels, Field(discriminator="kind")]
