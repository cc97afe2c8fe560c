"""Three raters of the demo cohort, made up: how often each of them errs is known.

They have rated a part of the cohort, volume by volume. A rater who errs is mostly one step off.
"""

import csv
import io
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from mriqa.artifacts.demo_names import stem
from mriqa.artifacts.demo_plan import AbdomenSeries, DemoPlan, DiffusionSeries, Fault
from mriqa.artifacts.severity import rating_of

RATERS = {"ann": 0.1, "bob": 0.2, "cleo": 0.3}
"""Share of each one's ratings that are wrong."""
RATED = 0.4
"""Share of the series that anybody has looked at."""
LOOKED = 0.7
"""Share of these that a rater has looked at."""
NEXT = 0.75
"""Share of a rater's errors that are one step off, where there are two wrong ratings."""
COLUMNS = ("series_id", "volume", "rater", "rating")


def labels_tsv(plan: DemoPlan, cohort: str) -> str:
    """labels.tsv, a row a label, from the seed of the plan."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for series in plan.series:
        if isinstance(series, AbdomenSeries):
            writer.writerows(_of_series(plan.seed, f"{cohort}_{stem(series)}", [series.fault]))
        elif isinstance(series, DiffusionSeries):
            writer.writerows(_of_series(plan.seed, f"{cohort}_{stem(series)}", series.faults))
    return text.getvalue()


def _of_series(
    seed: int, series_id: str, faults: Sequence[Fault | None]
) -> Iterator[tuple[str, int, str, str]]:
    """What the raters say of the volumes of a series; no series depends on another."""
    rng = np.random.default_rng([seed, zlib.crc32(series_id.encode())])
    is_rated, looked = rng.random() < RATED, rng.random(len(RATERS)) < LOOKED
    if not is_rated:
        return
    for (rater, error), looks in zip(RATERS.items(), looked.tolist(), strict=True):
        for volume, fault in enumerate(faults):
            rating = rating_of(0.0 if fault is None else fault.severity)
            errs, off = rng.random() < error, rng.random()
            if looks:
                yield series_id, volume, rater, _mistaken(rating, off) if errs else rating


def _mistaken(rating: str, off: float) -> str:
    """Another rating; `off`, from 0 to 1, decides which."""
    if rating == "questionable":
        return "pass" if off < 0.5 else "fail"
    if off < NEXT:
        return "questionable"
    return "fail" if rating == "pass" else "pass"
