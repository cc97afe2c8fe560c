"""`mriqa evaluate`: how well scores and metrics tell known artifacts from clean volumes.

Written to `results/evaluation/`: `artifacts.json` (its keys: `evaluate`), `artifacts.md`, and the
plots `auc.png`, `metrics.png`, `severity.png`.
"""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from mriqa.config import EvaluationSection
from mriqa.errors import UserError
from mriqa.evaluation.findings import (
    LEVELS,
    QUALITY,
    Cell,
    Design,
    Measure,
    artifact_cells,
    bad_inputs,
    breath_hold,
    confusion,
    correlations,
)
from mriqa.evaluation.markdown import printed, written
from mriqa.evaluation.plots import plot_auc, plot_measures, plot_severity
from mriqa.evaluation.truth import CLEAN, Matched, match, read_truth
from mriqa.files import readable, write_json, write_text
from mriqa.metrics import VOLUME_COLUMNS

FORMAT_VERSION = 1
MAX_LISTED = 50
_NEEDED = (
    "series_id", "subject", "volume", "status", "error_code", "quality_score", "rating", "stratum",
    "run_id",
)  # fmt: skip


def evaluate(results: Path, section: EvaluationSection) -> None:
    """Compare `results/tables` with `section.truth`, print the AUC, write `results/evaluation/`.

    `artifacts.json` holds `format_version`, `run_id`, `truth` (file name), `settings`; `counts` of
    rows by what became of them; `missing`: truth rows without a volume; `levels` of severity;
    `auc`: a record by measure, family and level (`auc`, `low`, `high`: 95% interval, `n_positive`,
    `n_positive_subjects`, `n_negative`, `n_without_value`); `spearman` by family; `confusion`:
    true class, then rating; `breath_hold` by measure; `bad_input` by file. A number that cannot be
    computed is null. Raises UserError if truth or tables are missing or unusable.
    """
    content, matched = compare(results, section)
    folder = results / "evaluation"
    plot_auc(folder / "auc.png", content["auc"], content["levels"])
    plot_measures(folder / "metrics.png", content["auc"])
    plot_severity(folder / "severity.png", matched.volumes)
    write_text(folder / "artifacts.md", written(content))
    write_json(folder / "artifacts.json", content)
    sys.stdout.write(printed(content))


def compare(results: Path, section: EvaluationSection) -> tuple[dict[str, Any], Matched]:
    """What `artifacts.json` will hold, and the volumes with their truth; writes nothing."""
    if section.truth is None:
        raise UserError("evaluation.truth: not set; name a truth table to evaluate against")
    volumes, measures = _read_volumes(results)
    matched = match(read_truth(section.truth), volumes)
    _warn(matched, section.truth)
    design = Design(matched.volumes, section.bootstraps, section.seed)
    return _content(design, matched, volumes, measures, section), matched


def _read_volumes(results: Path) -> tuple[pd.DataFrame, list[Measure]]:
    """The rows of the volumes table, and the columns that rank by quality."""
    path = results / "tables" / "volumes.parquet"
    declared = [
        Measure(column.name, column.better == "higher")
        for column in VOLUME_COLUMNS
        if column.better is not None
    ]
    with readable(path, "merge again", absent="no such table; run `mriqa merge` first"):
        names = set(pq.read_schema(path).names)
        measures = [QUALITY, *(measure for measure in declared if measure.name in names)]
        columns = list(dict.fromkeys([*_NEEDED, *(measure.name for measure in measures)]))
        volumes = pq.read_table(path, columns=columns).to_pandas()
    volumes["volume"] = volumes["volume"].astype("float64")  # NaN: the series was not read
    # of brains, say, where there is none
    measures = [one for one in measures if one is QUALITY or volumes[one.name].notna().any()]
    return volumes, measures


def _warn(matched: Matched, truth: Path) -> None:
    if matched.missing:
        shown = ", ".join(matched.missing[:5])
        more = " ..." if len(matched.missing) > 5 else ""
        sys.stderr.write(
            f"evaluate: {len(matched.missing)} rows of {truth} are not in the tables: "
            f"{shown}{more}\n"
        )
    if matched.volumes.empty:
        raise UserError(
            f"{truth}: none of its series is in the tables; is it of another cohort? Ids look like "
            f"{matched.missing[0] if matched.missing else '(none)'}"
        )


def _content(
    design: Design,
    matched: Matched,
    volumes: pd.DataFrame,
    measures: list[Measure],
    section: EvaluationSection,
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "run_id": str(volumes["run_id"].iloc[0]),
        "truth": section.truth.name if section.truth else None,
        "settings": {"bootstraps": section.bootstraps, "seed": section.seed},
        "counts": _counts(matched),
        "missing": list(matched.missing[:MAX_LISTED]),
        "levels": {name: list(limits) for name, limits in LEVELS.items()},
        "auc": [_flat(cell) for cell in artifact_cells(design, measures)],
        "spearman": [asdict(one) for one in correlations(design)],
        "confusion": confusion(design),
        "breath_hold": [
            {
                "measure": one.measure,
                **asdict(one.auc),
                "paired": one.paired,
                "n_pairs": one.n_pairs,
            }
            for one in breath_hold(design, measures)
        ],
        "bad_input": _plain(bad_inputs(matched, volumes)),
    }


def _counts(matched: Matched) -> dict[str, int]:
    rows = matched.volumes
    degraded = rows["true_family"] != CLEAN
    status = {f"n_{name}": int((rows["status"] == name).sum()) for name in _STATUSES}
    return {
        "n_volumes": len(rows),
        "n_degraded": int(degraded.sum()),
        "n_clean": int((~degraded).sum()),
        **status,
        "n_subjects": int(rows["subject"].nunique()),
        "n_bad_input": len(matched.bad_inputs),
        "n_missing": len(matched.missing),
        "n_unlabelled": matched.n_unlabelled,
    }


_STATUSES = ("ok", "failed", "excluded", "no_reference")


def _flat(cell: Cell) -> dict[str, Any]:
    return {
        "measure": cell.measure, "family": cell.family, "severity": cell.level,
        **asdict(cell.auc), "n_without_value": cell.n_without_value,
    }  # fmt: skip


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """pandas' NaN for an empty text becomes null."""
    return [
        {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in row.items()}
        for row in rows
    ]
