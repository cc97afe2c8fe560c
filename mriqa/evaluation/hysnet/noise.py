"""What networks say of real volumes as noise is added to them: the prediction should fall."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mriqa.artifacts import Family, draw
from mriqa.embedding.copies import simulate_copy
from mriqa.errors import SeriesError, UserError
from mriqa.evaluation.hysnet.figures import Record
from mriqa.evaluation.hysnet.settings import ElsewhereSection
from mriqa.evaluation.items import Stores, is_masked
from mriqa.evaluation.scans import MEASURED, rated_volumes, scan_of
from mriqa.images.intensity import PERCENTILES, IntensityCollector
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.volumes import ArrayVolumes, say
from mriqa.progress import track
from mriqa.references.listing import HqVolume as Scan
from mriqa.seeds import fixed_number

SEVERITIES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
"""Of added noise: at 1 four times the background's own deviation (METHODS §0)."""


@dataclass(frozen=True)
class Graded:
    """A real volume as it is and with more and more of the same noise; `uppers` become 1."""

    name: str
    images: tuple[NDArray[np.float32], ...]
    uppers: tuple[float, ...]


def scans_elsewhere(results: Path, own: ElsewhereSection, seed: int) -> list[Scan]:
    """The volumes of another cohort's finished run that noise will be added to.

    Raises UserError if there are none.
    """
    if not (results / "tables" / "volumes.parquet").is_file():
        raise UserError(
            f"evaluation.elsewhere: {results} holds no tables; it must be the results folder of a "
            "finished `mriqa run`"
        )
    rows = rated_volumes(results, None, MEASURED)
    rows = rows[rows["contrast"].isin(own.contrasts)]
    if rows.empty:
        raise UserError(
            f"evaluation.elsewhere: {results}: no measured volume of {', '.join(own.contrasts)}; "
            "name others (elsewhere.contrasts of the experiments), or the results of another run"
        )
    scans = [scan_of(row) for row in rows.to_dict("records")]
    scans.sort(key=lambda one: fixed_number(seed, "elsewhere", one.series_id, one.volume))
    return scans[: own.most]


def graded_volumes(
    results: Path, scans: Sequence[Scan], percentile: float, seed: int
) -> Iterator[Graded]:
    """The `scans` of `results`, each with noise, one at a time.

    What cannot be read is left out with a line.
    """
    stores = Stores(results)
    for scan in track(scans, len(scans), "experiment: add noise", "volumes"):
        try:
            yield _graded(scan, stores, percentile, seed)
        except SeriesError as error:
            say(f"experiment: {scan.series_id}, volume {scan.volume}, is not tried: {error}")


def _graded(scan: Scan, stores: Stores, percentile: float, seed: int) -> Graded:
    stored, image = stores.read(scan)
    known = stored.attributes
    one_seed = fixed_number(seed, "noise", scan.series_id, scan.volume)
    images = [image]
    for severity in SEVERITIES[1:]:
        noise = draw(
            Family.NOISE, severity, known.shape_zyx, known.spacing_mm, one_seed,
            keep_zeros=is_masked(image),
        )  # fmt: skip
        images.append(simulate_copy(image, known, noise))
    uppers = tuple(upper_of(one, percentile) for one in images)
    return Graded(f"{scan.series_id} {scan.volume}", tuple(images), uppers)


def upper_of(image: NDArray[np.float32], percentile: float) -> float:
    """An upper percentile of the foreground, as `convert` stores it."""
    collector = IntensityCollector(image.size, 1.0, 0.0)
    collector.add(np.ascontiguousarray(image))
    found = collector.result().percentiles
    return found[PERCENTILES.index(percentile)] if found else 0.0


def noise_records(
    volumes: Iterable[Graded], predictors: Sequence[tuple[str, int, Predictor]]
) -> list[Record]:
    """By volume and network (`net`, `seed`): the predictions at SEVERITIES, and Spearman's
    correlation with severity: -1 falls at every step; None where nothing changes."""
    found: list[Record] = []
    for one in volumes:
        there = ArrayVolumes(one.images, one.uppers)
        for net, seed, predictor in predictors:
            said = [predictor.predict(there, at).value for at in range(len(one.images))]
            rank = None if np.ptp(said) == 0 else float(spearmanr(SEVERITIES, said).statistic)
            found.append(
                {"volume": one.name, "net": net, "seed": seed, "predicted": said, "spearman": rank}
            )
    return found
