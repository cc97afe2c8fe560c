"""The listed volumes that are there: from a list to volumes with stratum, shard and person."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mriqa.cohort.manifest import read_cohort, shard_name
from mriqa.embedding.measured import read_volumes
from mriqa.errors import UserError
from mriqa.references.listing import HqVolume, read_list, resolve_list
from mriqa.tables.strata import add_strata


def trusted_volumes(
    results: Path, path: Path, stratum: tuple[str, ...], *, strict: bool
) -> tuple[list[HqVolume], list[str]]:
    """The volumes of the list that can be used, and sentences about those that cannot.

    `strict`: all its lines must be of this cohort, and are confirmed. Needs the scores of the
    shards that hold listed series. Raises UserError for a list that cannot be used.
    """
    listed = read_list(path)
    ids = sorted({one.series_id for one in listed})
    cohort = read_cohort(results / "cohort.parquet")
    own = cohort.filter(pc.is_in(cohort["series_id"], value_set=pa.array(ids, pa.string())))
    tables = []
    for shard in sorted(set(own["shard"].to_pylist())):
        scores = results / "scores" / f"{shard_name(shard)}.parquet"
        members = own.filter(pc.equal(own["shard"], shard))["series_id"].to_pylist()
        tables.append(read_volumes(scores, members, results / "cohort.parquet"))
    if not tables:
        raise UserError(f"{path}: none of its {len(listed)} lines names a series of this cohort")
    volumes = add_strata(pa.concat_tables(tables), stratum)
    return resolve_list(path, listed, volumes, stratum, strict=strict)
