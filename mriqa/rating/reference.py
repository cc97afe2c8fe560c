"""`mriqa reference`: the list of high-quality references, and the bank that is built from it."""

from pathlib import Path

from mriqa.config import RatingSection, ReferenceSection, TrainingSection


def propose_references(
    results: Path, *, settings: ReferenceSection, rating: RatingSection, mem_mb: int
) -> Path:
    """The list of HQ references: `settings.trusted`, else `results/references/simclr.tsv`.

    Where neither is there, the volumes that the metrics rate best are written to the latter; it is
    never rewritten. Needs the scores of all shards only then. Raises UserError if nothing can be
    proposed.
    """
    raise NotImplementedError


def make_bank(
    results: Path,
    model_id: str,
    *,
    settings: ReferenceSection,
    rating: RatingSection,
    training: TrainingSection,
    mem_mb: int,
) -> Path:
    """Build `results/models/simclr/<model_id>/bank` from the list of HQ references; returns it.

    Proposes the list where it is missing. Needs scores and stores of the shards that hold listed
    series, and the model. Of `training`, `score_device`, `precision` and `threads` count. The
    folder of the bank is replaced as a whole. Raises UserError for a list or an input that cannot
    be used.
    """
    raise NotImplementedError
