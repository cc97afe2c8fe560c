"""`mriqa experiment metrics`: how well metrics alone separate the grades that raters gave.

Reads tables, no images, and writes metrics.json (its keys: `run_experiment`), metrics.md,
metrics.png and metrics_predictions.parquet to a folder.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mriqa.errors import UserError
from mriqa.evaluation.about import about_run
from mriqa.evaluation.metrics.classifiers import KINDS, Kind, scaled_by_site
from mriqa.evaluation.metrics.figures import classifier_record
from mriqa.evaluation.metrics.folds import Fold, deal, leave_sites_out
from mriqa.evaluation.metrics.markdown import written
from mriqa.evaluation.metrics.plots import plot_metrics
from mriqa.evaluation.metrics.predictions import (
    Ground,
    Predicted,
    joined,
    predict_fold,
    predict_others,
)
from mriqa.evaluation.metrics.scans import Floats, Scans, read_scans
from mriqa.evaluation.metrics.settings import MetricsExperiments
from mriqa.evaluation.metrics.single import metric_records, signs_of, signs_of_folds
from mriqa.evaluation.metrics.tested import Record, Tested, with_resamples
from mriqa.evaluation.metrics.verdicts import BAD, OPEN, Verdicts, agreement_record, decide
from mriqa.evaluation.settings_file import load_settings
from mriqa.files import write_json, write_parquet, write_text
from mriqa.progress import track
from mriqa.seeds import fixed_number

FORMAT_VERSION = 1
OUT_OF_SITE, OUT_OF_FOLD, SECOND = "out of site", "out of fold", "second table"
AS_IS, BY_SITE = "as it is", "by site"
QUOTED = (
    {
        "what": "MRIQC's classifier, ABIDE, each site left out in turn",
        "accuracy": 0.76,
        "spread": 0.13,
        "source": "Esteban 2017, doi:10.1371/journal.pone.0184661",
    },
    {
        "what": "MRIQC's classifier, trained on ABIDE, tested on DS030",
        "accuracy": 0.76,
        "spread": None,
        "source": "Esteban 2017, doi:10.1371/journal.pone.0184661",
    },
)
"""Published, with other grades, metrics of an older version and model selection: no ranking."""


@dataclass(frozen=True)
class Tables:
    """Where metrics and grades are: of the scans to learn from, and of others to test on."""

    metrics: Path
    grades: Path | None = None
    test: Path | None = None
    test_grades: Path | None = None


@dataclass(frozen=True)
class _Part:
    """Scans of one table with their verdicts; `notes` say what was left out."""

    scans: Scans
    verdicts: Verdicts
    notes: tuple[str, ...]


def run_experiment(tables: Tables, section: MetricsExperiments, out: Path, threads: int) -> Path:
    """Run it and write `out`/metrics.json; returns it.

    Keys: `format_version`, `date` (UTC), `minutes`, `machine`, `settings`, `tables` (file names),
    `notes` (what was left out), `counts` by where it was tested (_counts), `agreement` by where
    (verdicts.agreement_record), `classifiers` (figures.classifier_record), `metrics`
    (single.metric_records), `quoted` (QUOTED). Values have `value`, `low`, `high`: 95% bootstrap
    intervals by subject. What cannot be computed is null.

    Raises UserError if tables and settings do not fit, or a kind of grade is missing.
    """
    started = time.monotonic()
    learnt, others = _read(tables, section)
    if others is not None and section.same_people:
        learnt = _without_subjects_of(learnt, others, tables)
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **about_run(threads, sklearn=_sklearn_version()),
        "settings": section.model_dump(mode="json"),
        "tables": {
            name: path.name if path else None
            for name, path in vars(tables).items()
        },
        "notes": [*learnt.notes, *(others.notes if others else ())],
    }  # fmt: skip
    results, predictions = _results(learnt, others, section, threads)
    content |= results
    content["quoted"] = list(QUOTED)
    content["minutes"] = round((time.monotonic() - started) / 60, 1)
    return _write(out, content, predictions)


def experiment(tables: Tables, out: Path, experiments: Path, threads: int) -> Path:
    """`run_experiment` with the settings of a YAML file."""
    return run_experiment(tables, load_settings(experiments, MetricsExperiments), out, threads)


def _sklearn_version() -> str:
    from importlib.metadata import version

    return version("scikit-learn")


def _read(tables: Tables, section: MetricsExperiments) -> tuple[_Part, _Part | None]:
    own = section.grades
    reading = read_scans(tables.metrics, tables.grades, section, own.raters, own.compared)
    where = str(tables.grades or tables.metrics)
    verdicts = decide(reading.scans, len(own.raters), own, where)
    learnt = _Part(reading.scans, verdicts, reading.notes)
    if tables.test is None:
        return learnt, None
    raters = own.test_raters or own.raters
    reading = read_scans(
        tables.test, tables.test_grades, section, raters, metrics=learnt.scans.metrics
    )
    where = str(tables.test_grades or tables.test)
    verdicts = decide(reading.scans, len(raters), own, where)
    return learnt, _Part(reading.scans, verdicts, reading.notes)


def _without_subjects_of(learnt: _Part, others: _Part, tables: Tables) -> _Part:
    """What is learned from, without the subjects who are tested in the second table."""
    shared = np.isin(learnt.scans.subjects, others.scans.subjects)
    if not shared.any():
        return learnt
    rows = np.flatnonzero(~shared)
    verdicts = learnt.verdicts.only(rows)
    if len(np.unique(verdicts.said[verdicts.known])) < 2:
        raise UserError(
            f"{tables.metrics}: all subjects with good or bad scans are in {tables.test}, too"
        )
    note = (
        f"{int(shared.sum())} scans of subjects who are in {tables.test}, too, left out (if those "
        "are other people with the same ids, set `same_people: false`)"
    )
    return _Part(learnt.scans.only(rows), verdicts, (*learnt.notes, note))


def _folds(part: _Part, section: MetricsExperiments) -> tuple[str, list[Fold]]:
    """Sites left out where there are two or more, else subjects."""
    scans, verdicts = part.scans, part.verdicts
    if scans.sites is not None and len(np.unique(scans.sites)) > 1:
        where, folds = OUT_OF_SITE, leave_sites_out(scans.sites, scans.subjects, verdicts.known)
    else:
        seed = fixed_number(section.seed, "folds")
        where, folds = OUT_OF_FOLD, deal(
            scans.subjects, scans.subjects, verdicts.bad, verdicts.known, section.folds, seed
        )  # fmt: skip
    for fold in folds:
        if len(np.unique(verdicts.said[fold.train])) < 2:
            raise UserError(f"without {fold.name} there are not both good and bad scans to learn")
    return where, folds


def _results(
    learnt: _Part, others: _Part | None, section: MetricsExperiments, threads: int
) -> tuple[dict[str, Any], list[pa.Table]]:
    where, folds = _folds(learnt, section)
    tests = [with_resamples(where, learnt.scans, learnt.verdicts, section)]
    if others is not None:
        tests.append(with_resamples(SECOND, others.scans, others.verdicts, section))
    scalings = [AS_IS]
    if section.by_site and all(one.scans.sites is not None for one in tests):
        scalings += [BY_SITE] if where == OUT_OF_SITE else []
    plain = Ground(learnt.scans, learnt.verdicts, learnt.scans.values, section, threads)
    signs = [signs_of_folds(plain, folds)]
    if others is not None:
        known = np.flatnonzero(learnt.verdicts.known)
        signs.append(np.tile(signs_of(plain, known), (len(others.scans), 1)))
    classifiers, predictions = _classify(plain, folds, tests, scalings)
    return {
        "counts": {one.where: _counts(one) for one in tests},
        "agreement": {one.where: agreement_record(one.scans, section.grades) for one in tests},
        "classifiers": classifiers,
        "metrics": [
            record
            for one, sign in zip(tests, signs, strict=True)
            for record in metric_records(one, sign)
        ],
    }, predictions


def _classify(
    plain: Ground, folds: Sequence[Fold], tests: Sequence[Tested], scalings: Sequence[str]
) -> tuple[list[Record], list[pa.Table]]:
    """Every classifier on metrics as they are and by site: out of site or fold, then on others."""
    found: list[tuple[Tested, Kind, str, Predicted]] = []
    todo = list(product(scalings, KINDS, folds))
    steps = track(todo, len(todo), "experiment: learn", "folds")
    for (scaled, kind), own in groupby(steps, key=lambda step: step[:2]):
        ground = _scaled(plain, scaled)
        parts = [predict_fold(kind, ground, fold) for _, _, fold in own]
        found.append((tests[0], kind, scaled, joined(parts, folds, len(ground.scans))))
        for other in tests[1:]:
            known = np.flatnonzero(ground.verdicts.known)
            values = _values(other.scans, scaled)
            told = predict_others(kind, ground, known, values, SECOND)
            found.append((other, kind, scaled, told))
    found.sort(key=lambda one: one[0].where == SECOND)
    return [classifier_record(*one) for one in found], [_table(*one) for one in found]


def _scaled(ground: Ground, scaled: str) -> Ground:
    values = _values(ground.scans, scaled)
    return Ground(ground.scans, ground.verdicts, values, ground.section, ground.threads)


def _values(scans: Scans, scaled: str) -> Floats:
    if scaled == AS_IS or scans.sites is None:
        return scans.values
    return scaled_by_site(scans.values, scans.sites)


def _counts(test: Tested) -> dict[str, Any]:
    """Numbers of scans (`n`), subjects, sites, metrics; of scans that are bad, good, disputed, or
    open for want of a vote; `n_missing` values of metrics, in so many `n_scans_missing`: for the
    classifiers the training side's median takes their place."""
    scans, verdicts = test.scans, test.verdicts
    missing = np.isnan(scans.values)
    n_open = int(np.sum(verdicts.said == OPEN))
    out = verdicts.disputed & (verdicts.said == OPEN)
    return {
        "n": len(scans),
        "n_subjects": len(np.unique(scans.subjects)),
        "n_sites": None if scans.sites is None else len(np.unique(scans.sites)),
        "n_metrics": len(scans.metrics),
        "n_good": int(np.sum(verdicts.known & ~verdicts.bad)),
        "n_bad": int(np.sum(verdicts.said == BAD)),
        "n_disputed": int(verdicts.disputed.sum()),
        "n_open": n_open - int(out.sum()),
        "n_missing": int(missing.sum()),
        "n_scans_missing": int(missing.any(axis=1).sum()),
    }


def _table(test: Tested, kind: Kind, scaled: str, found: Predicted) -> pa.Table:
    """A row a scan: its keys, `where`, `classifier`, `scaled`, `said` (1 bad, 0 good, null open),
    `probability` of bad, `share` of bad scans on its training side."""
    keys = zip(*test.scans.keys, strict=True)
    n = len(test.scans)
    said = [None if one == OPEN else int(one) for one in test.verdicts.said]
    columns = {
        **dict(zip(test.section.keys, (pa.array(list(one), pa.string()) for one in keys),
                   strict=True)),
        "where": pa.array([test.where] * n),
        "classifier": pa.array([kind] * n),
        "scaled": pa.array([scaled] * n),
        "said": pa.array(said, pa.int32()),
        "probability": pa.array(found.probability),
        "share": pa.array(found.share),
    }  # fmt: skip
    return pa.table(columns)


def _write(out: Path, content: dict[str, Any], predictions: Sequence[pa.Table]) -> Path:
    """The JSON is written last: with it, all is there."""
    write_parquet(out / "metrics_predictions.parquet", pa.concat_tables(predictions))
    plot_metrics(out / "metrics.png", content)
    text = written(content, "metrics.png")
    write_text(out / "metrics.md", text)
    write_json(out / "metrics.json", content)
    sys.stdout.write(text)
    return out / "metrics.json"
