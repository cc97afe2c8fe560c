"""The evaluation as Markdown that reads well unrendered."""

from collections.abc import Iterable, Sequence
from typing import Any

Content = dict[str, Any]
Record = dict[str, Any]
DASH = "–"


def written(content: Content) -> str:
    """The whole text of `artifacts.md`."""
    parts = [
        "# Simulated artifacts against clean volumes",
        _opening(content),
        "## quality_score by family and severity",
        _by_level(content),
        "![AUC by family and severity](auc.png)",
        "## Every measure by family",
        _by_measure(content),
        "![AUC by measure and family](metrics.png)",
        "## quality_score against severity",
        _spearman(content["spearman"]),
        "![quality_score by severity](severity.png)",
        "## Rating against severity",
        _confusion(content["confusion"]),
        *_breath_hold(content["breath_hold"]),
        *_bad_input(content["bad_input"]),
        *_missing(content),
    ]
    return "\n\n".join(parts) + "\n"


def printed(content: Content) -> str:
    """What `mriqa evaluate` prints: AUC of quality_score by family and severity."""
    counts = content["counts"]
    return (
        f"quality_score, AUC of {counts['n_degraded']} degraded against {counts['n_clean']} clean "
        f"volumes by family and severity [95% interval] (n degraded):\n{_by_level(content)}\n"
    )


def _opening(content: Content) -> str:
    counts = content["counts"]
    levels = ", ".join(
        f"{name} ({low:g}, {high:g}]" for name, (low, high) in content["levels"].items()
    )
    return (
        f"Run `{content['run_id']}`, truth `{content['truth']}`: {counts['n_degraded']} degraded "
        f"and {counts['n_clean']} clean volumes of {counts['n_subjects']} subjects "
        f"({counts['n_ok']} rated, {counts['n_no_reference']} without reference, "
        f"{counts['n_failed']} failed, {counts['n_excluded']} excluded; "
        f"{counts['n_unlabelled']} rows of the tables without a truth).\n\n"
        "AUC: the probability that a degraded volume looks worse than a clean one of its own "
        "stratum (0.5 is chance); in brackets the 95% interval of "
        f"{content['settings']['bootstraps']} resamples of subjects, where positives come from 3 "
        f"subjects at least. Severity: {levels}."
    )


def _by_level(content: Content) -> str:
    levels = [*content["levels"], "all"]
    records = {
        (one["family"], one["severity"]): one
        for one in content["auc"]
        if one["measure"] == "quality_score"
    }
    families = list(dict.fromkeys(family for family, _ in records))
    rows = [
        [family, *(_cell(records.get((family, level))) for level in levels)] for family in families
    ]
    return table(["family", *levels], rows)


def _cell(record: Record | None) -> str:
    if record is None or record["auc"] is None:
        return DASH
    interval = f" [{record['low']:.2f}, {record['high']:.2f}]" if record["low"] is not None else ""
    return f"{record['auc']:.2f}{interval} (n {record['n_positive']})"


def _by_measure(content: Content) -> str:
    records = {
        (one["measure"], one["family"]): one["auc"]
        for one in content["auc"]
        if one["severity"] == "all"
    }
    measures = list(dict.fromkeys(measure for measure, _ in records))
    families = list(dict.fromkeys(family for _, family in records))
    rows = [
        [measure, *(number(records.get((measure, family))) for family in families)]
        for measure in measures
    ]
    return table(["measure", *families], rows)


def _spearman(records: Sequence[Record]) -> str:
    rows = [
        [
            one["family"], number(one["degraded"]), one["n_degraded"], number(one["with_clean"]),
            one["n_with_clean"],
        ]
        for one in records
    ]  # fmt: skip
    head = ["family", "ρ, degraded", "n", "ρ, with clean", "n"]
    return "Spearman's ρ; -1 is best.\n\n" + table(head, rows)


def _confusion(counts: dict[str, dict[str, int]]) -> str:
    columns = list(next(iter(counts.values())))
    rows = [[name, *(row[column] for column in columns)] for name, row in counts.items()]
    return (
        "Rows: class of the true severity (pass below 0.2, questionable to 0.6, fail above); "
        "columns: rating, or status where there is none.\n\n" + table(["true", *columns], rows)
    )


def _breath_hold(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    rows = [[one["measure"], _cell(one), number(one["paired"]), one["n_pairs"]] for one in records]
    head = ["measure", "AUC", "free-breathing worse", "pairs"]
    return ["## Free-breathing against breath-held, the same subjects", table(head, rows)]


def _bad_input(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    rows = [
        [
            f"`{one['series_id']}`", one["expected"] or DASH, one["actual"],
            "yes" if one["agrees"] else "**no**",
        ]
        for one in records
    ]  # fmt: skip
    return ["## Bad inputs", table(["series_id", "expected", "actual", "agrees"], rows)]


def _missing(content: Content) -> list[str]:
    if not content["missing"]:
        return []
    listed = "\n".join(f"- `{name}`" for name in content["missing"])
    n_missing = content["counts"]["n_missing"]
    return [f"## In the truth, not in the tables ({n_missing})", listed]


def number(value: float | None) -> str:
    """Two decimals, or a dash."""
    return DASH if value is None else f"{value:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A pipe table with aligned columns; pipes inside cells are escaped."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    titles = [str(title) for title in head]
    widths = [max(3, *(len(row[at]) for row in [titles, *cells])) for at in range(len(titles))]
    lines = [titles, ["-" * width for width in widths], *cells]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
