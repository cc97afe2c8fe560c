"""Made-up tables of metrics with raters' grades."""

from pathlib import Path

import numpy as np

from mriqa.evaluation.metrics.scans import NOT_GRADED, Scans
from mriqa.evaluation.metrics.settings import GradesSection, MetricsExperiments
from mriqa.evaluation.metrics.verdicts import BAD, GOOD, Verdicts

GRADES = GradesSection(raters=("score",), values=("1", "2", "3"), good=("1", "2"), bad=("3",))
QUICK = MetricsExperiments(
    keys=("scan",), subject="person", site="place", grades=GRADES, folds=3, bootstraps=40,
    forest={"trees": 8, "depth": 3, "leaf": 2},
)  # fmt: skip


def graded_rows(n_subjects=24, n_sites=3, seed=0, a_subject=2):
    """Rows of a table: `signal` is higher, `blur` lower in bad scans; ids have leading zeros."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(n_subjects):
        for scan in range(a_subject):
            grade = (subject + scan) % 3 + 1
            rows.append({
                "scan": f"{subject:04d}-{scan}", "person": f"{subject:04d}",
                "place": f"site{subject // 3 % n_sites}", "score": str(grade),
                "signal": f"{grade + rng.normal(0, 0.6):.6f}",
                "snr_total": f"{-grade + rng.normal(0, 1):.6f}",
                "noise": f"{rng.normal():.6f}",
            })  # fmt: skip
    return rows


def write_table(path: Path, rows, columns=None):
    """As TSV or CSV by the name; None is written as n/a."""
    separator = "\t" if path.suffix == ".tsv" else ","
    columns = columns or list(rows[0])
    cells = [["n/a" if row[name] is None else str(row[name]) for name in columns] for row in rows]
    path.write_text("\n".join(separator.join(line) for line in [columns, *cells]) + "\n")
    return path


def drawn_scans(n_subjects=12, n_sites=3, n_metrics=4, seed=0, missing=0.1):
    """Scans, two a subject, of which the first metric tells bad from good; and the verdicts."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n_subjects), 2)
    said = np.where(rng.random(len(subject)) < 0.5, BAD, GOOD)
    said[:4], said[-4:] = [BAD, GOOD] * 2, [GOOD, BAD] * 2
    values = rng.normal(size=(len(subject), n_metrics))
    values[:, 0] += 1.5 * said
    values[rng.random(values.shape) < missing] = np.nan
    scans = Scans(
        keys=tuple((f"s{row:03d}",) for row in range(len(subject))),
        subjects=np.array([f"p{one:03d}" for one in subject]),
        sites=np.array([f"site{one % n_sites}" for one in subject]),
        metrics=tuple(f"m{at}" for at in range(n_metrics)),
        values=values,
        raters=("score",),
        grades=np.where(said == BAD, 2, 0)[:, None].astype(np.intp),
    )
    return scans, Verdicts(said, np.zeros(len(said), dtype=bool), np.where(said == BAD, 2.0, 0.0))


def scans_of(grades, sites=None):
    """Scans of different subjects with these grades (scans, raters); None: not graded."""
    places = np.array([[NOT_GRADED if one is None else one for one in row] for row in grades])
    n = len(places)
    return Scans(
        keys=tuple((str(row),) for row in range(n)), subjects=np.arange(n).astype(str),
        sites=None if sites is None else np.array(sites), metrics=("m",),
        values=np.arange(n, dtype=float)[:, None],
        raters=tuple(f"rater_{at}" for at in range(places.shape[1])),
        grades=places.astype(np.intp),
    )  # fmt: skip
