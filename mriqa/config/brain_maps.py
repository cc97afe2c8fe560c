"""The section `brain_maps`: brain masks and tissue maps that the user already has."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mriqa.config.base import Section


class DerivativeMaps(Section):
    """A BIDS derivatives dataset as of fMRIPrep or sMRIPrep (names: config/README.md)."""

    kind: Literal["derivatives"]
    path: Path = Field(description="Its root: the folder that holds the subjects' folders.")


class TableMaps(Section):
    """A CSV, TSV or Parquet table with a row a series (columns: config/README.md)."""

    kind: Literal["table"]
    path: Path = Field(
        description="The table: series_id, mask, csf, gm, wm; relative paths in it start at its "
        "own folder."
    )


MapsSource = Annotated[DerivativeMaps | TableMaps, Field(discriminator="kind")]
