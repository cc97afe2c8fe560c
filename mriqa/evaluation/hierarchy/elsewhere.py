"""Another cohort, of which nothing was learned: are bad volumes of its series found all the same?

[P] Of every series of some volumes (diffusion: of a shell) a third get a simulated artifact, over
and over. What is usual is taken from the series as it then is, the affected volumes among it: of a
real series nobody knows which volumes are good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.config import ArtifactFamily
from mriqa.embedding.copies import draw_copies
from mriqa.embedding.embedder import fingerprint
from mriqa.errors import UserError
from mriqa.evaluation.hierarchy.figures import BADNESS, Record
from mriqa.evaluation.hierarchy.lessons import Pupil, draw_labels
from mriqa.evaluation.hierarchy.volumes import Embedded
from mriqa.evaluation.items import Item, Stores
from mriqa.evaluation.one_pass import EmbeddingReader, look_at_all
from mriqa.evaluation.scans import MEASURED, rated_volumes, scan_of
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.levels import fit_levels
from mriqa.methods.hierarchy.reading import SliceNetwork
from mriqa.references.listing import HqVolume as Scan
from mriqa.seeds import fixed_number

LEAST_VOLUMES = 8
"""Of a stratum in a series: of fewer nobody can say what is usual."""
AFFECTED = 1 / 3
"""Share of a series' volumes that get an artifact."""
SEVERITIES = (0.25, 0.5, 1.0)
DRAWS = 12
"""Of the affected volumes, and of their artifacts."""
ARTIFACTS_EACH = 2
"""Of a volume and severity."""
FAMILIES: tuple[ArtifactFamily, ...] = (
    "dropout", "jump", "jumps", "breathing", "drift", "ghosting", "noise", "spikes",
    "interslice",
)  # fmt: skip
"""What can befall a single volume of a series; wrap, bias field or blur would befall all of it."""


@dataclass(frozen=True)
class OneSeries:
    """Volumes of one stratum of a series as acquired, and copies (volumes, severities, artifacts)
    of them."""

    name: str
    stratum: str
    scans: tuple[Item, ...]
    copies: NDArray[np.object_]

    @property
    def items(self) -> list[Item]:
        """All of them."""
        return [*self.scans, *self.copies.ravel().tolist()]


def draw_series(results: Path, seed: int) -> list[OneSeries]:
    """The series of enough volumes in the `results` of a finished run, and their copies.

    Raises UserError if there is none; SeriesError if one cannot be read.
    """
    rows, stores = rated_volumes(results, None, MEASURED), Stores(results)
    found = []
    for (name, stratum), own in rows.groupby(["series_id", "stratum"], sort=True):
        if len(own) >= LEAST_VOLUMES:
            scans = [scan_of(row) for row in own.to_dict("records")]
            copies = [list(_copies(scan, stores, seed)) for scan in scans]
            by_severity = np.array(copies, dtype=object).reshape(
                len(scans), len(SEVERITIES), ARTIFACTS_EACH
            )
            found.append(OneSeries(str(name), str(stratum), tuple(map(Item, scans)), by_severity))
    if not found:
        raise UserError(
            f"elsewhere: {results}: no series has {LEAST_VOLUMES} volumes of one stratum that were "
            "measured; name the results of a run on diffusion or other 4D series"
        )
    return found


def _copies(scan: Scan, stores: Stores, seed: int) -> Iterator[Item]:
    """Of one volume: by severity, ARTIFACTS_EACH of each."""
    stored, image = stores.read(scan)
    drawn = draw_copies(
        scan.series_id, scan.volume, image, stored.attributes, FAMILIES,
        ARTIFACTS_EACH * len(SEVERITIES), seed, [(one, one) for one in SEVERITIES],
    )  # fmt: skip
    for artifact in sorted(drawn, key=lambda one: one.severity):
        yield Item(scan, artifact)


def embed_series(
    series: Sequence[OneSeries], results: Path, network: SliceNetwork, reader: EmbeddingReader
) -> Embedded:
    """What the slice network says of all volumes that can be embedded."""
    stores = Stores(results)
    found: Embedded = {}
    for one in series:
        look_at_all(one.items, [reader], stores)
        state = fingerprint(stores.attributes(one.scans[0].scan))
        for item in one.items:
            if (embedding := reader.get(item, state)) is not None:
                found[item] = network.read(embedding)
    return found


def _usable(series: Sequence[OneSeries], embedded: Embedded) -> Iterator[OneSeries]:
    """Without the volumes of which anything could not be embedded."""
    for one in series:
        rows = [
            place
            for place, scan in enumerate(one.scans)
            if all(item in embedded for item in (scan, *one.copies[place].ravel()))
        ]
        if len(rows) >= LEAST_VOLUMES:
            yield replace(one, scans=tuple(one.scans[row] for row in rows), copies=one.copies[rows])


def elsewhere_records(
    series: Sequence[OneSeries], embedded: Embedded, pupil: Pupil, seed: int
) -> list[Record]:
    """By series, stratum and severity `auc` of affected against untouched volumes: the mean over
    the draws, `lowest` and `highest`, and how many volumes were affected and untouched."""
    mixed = [
        (one, severity, _mixed(one, place, embedded, draw_seed))
        for one in _usable(series, embedded)
        for place, severity in enumerate(SEVERITIES)
        for draw_seed in (fixed_number(seed, one.name, one.stratum, draw) for draw in range(DRAWS))
    ]
    if not mixed:
        return []
    bags = [bag for *_, (seen, _) in mixed for bag in seen]
    labels = draw_labels(pupil.learnt.truth, 1.0, 0.0, pupil.section.seed)
    worse = pupil.once(labels, Bags.of(bags)) @ BADNESS
    ends = np.cumsum([len(seen) for *_, (seen, _) in mixed])[:-1]
    found: dict[tuple[str, str, float], list[tuple[float, NDArray[np.bool_]]]] = {}
    for (one, severity, (_, affected)), own in zip(mixed, np.split(worse, ends), strict=True):
        key = one.name, one.stratum, severity
        found.setdefault(key, []).append((_auc(own, affected), affected))
    return [_record(key, *zip(*draws, strict=True)) for key, draws in found.items()]


def _mixed(
    one: OneSeries, severity: int, embedded: Embedded, seed: int
) -> tuple[list[NDArray[np.float16]], NDArray[np.bool_]]:
    """A series some of whose volumes are affected, levelled by itself; and which (n)."""
    rng = np.random.default_rng(seed)
    count = len(one.scans)
    affected = np.zeros(count, dtype=bool)
    affected[rng.permutation(count)[: max(1, round(AFFECTED * count))]] = True
    which = rng.integers(0, ARTIFACTS_EACH, count)
    items = [
        one.copies[place, severity, which[place]] if affected[place] else one.scans[place]
        for place in range(count)
    ]
    seen = [embedded[item] for item in items]
    levels = fit_levels({one.stratum: seen})
    return [levels.bag(each, one.stratum) for each in seen], affected


def _auc(worse: NDArray[np.float64], affected: NDArray[np.bool_]) -> float:
    """Of pairs of an affected and an untouched volume the share that is in order, ties half."""
    difference = worse[affected][:, None] - worse[~affected][None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _record(
    key: tuple[str, str, float], aucs: Sequence[float], affected: Sequence[NDArray[np.bool_]]
) -> Record:
    name, stratum, severity = key
    n_affected = int(np.count_nonzero(affected[0]))
    about: dict[str, Any] = {"series_id": name, "stratum": stratum, "severity": severity}
    return {
        **about,
        "auc": float(np.mean(aucs)),
        "lowest": float(np.min(aucs)),
        "highest": float(np.max(aucs)),
        "n_affected": n_affected,
        "n_untouched": len(affected[0]) - n_affected,
    }
