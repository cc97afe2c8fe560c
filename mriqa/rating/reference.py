"""`mriqa reference`: the list of high-quality references, and the bank that is built from it."""

import tempfile
from pathlib import Path

from mriqa.cohort.manifest import read_cohort
from mriqa.config import RatingSection, ReferenceSection, TrainingSection
from mriqa.embedding.embedder import model_embedder
from mriqa.errors import UserError
from mriqa.methods.simclr.bank import write_bank
from mriqa.methods.simclr.build import build_bank
from mriqa.rating.gather import connect_scores, gather_volumes, score_files
from mriqa.rating.rate import rate_volumes
from mriqa.references.listing import Proposing, list_name, propose, write_list
from mriqa.references.trusted import trusted_volumes
from mriqa.tables.strata import add_strata


def propose_references(
    results: Path, method: str, *, settings: Proposing, rating: RatingSection, mem_mb: int
) -> Path:
    """The list of good volumes: `settings.trusted`, else `results/references/<method>.tsv`.

    Where neither is there, volumes that the metrics pass are drawn and written to the latter; it is
    never rewritten. Needs the scores of all shards only then. Raises UserError if nothing can be
    proposed.
    """
    if settings.trusted is not None:
        return settings.trusted
    path = results / "references" / list_name(method)
    if path.exists():
        return path
    cohort = read_cohort(results / "cohort.parquet")
    files = score_files(results, cohort)
    with (
        tempfile.TemporaryDirectory(prefix=".reference-", dir=results) as scratch,
        connect_scores(files, cohort, Path(scratch), threads=1, mem_mb=mem_mb // 2) as connection,
    ):
        volumes = gather_volumes(connection)
    rated = rate_volumes(add_strata(volumes, rating.stratum), rating)
    proposed = propose(rated, rating.stratum, settings)
    if proposed.num_rows == 0:
        raise UserError(
            f"{method}: the metrics rate no volume of a training or validation subject `pass`, so "
            "that none can be proposed; name good scans yourself (`trusted` in the section of "
            f"{method})"
        )
    write_list(path, proposed)
    return path


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
    from mriqa.embedding.network import scoring_precision

    path = propose_references(results, "simclr", settings=settings, rating=rating, mem_mb=mem_mb)
    listed, notes = trusted_volumes(
        results, path, rating.stratum, strict=settings.trusted is not None
    )
    model = results / "models" / "simclr" / model_id
    precision = scoring_precision(training)
    cache = results / "embeddings" / "simclr" / model_id / "references.safetensors"
    embedder = model_embedder(model, model_id, cache, precision, training)
    bank = build_bank(
        listed, results, model_id, precision, embedder, settings, rating.stratum, notes
    )
    embedder.save()
    write_bank(model / "bank", bank)
    return model / "bank"
