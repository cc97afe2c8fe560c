"""The experiment with metrics as Markdown that reads well unrendered."""

from collections.abc import Mapping, Sequence
from typing import Any

from mriqa.evaluation.markdown import DASH, number, table
from mriqa.evaluation.metrics.figures import over_sites
from mriqa.evaluation.metrics.tested import Record

Content = Mapping[str, Any]
HOW = {
    "out of site": "out of site: each site in turn is tested, by what the others teach",
    "out of fold": "out of fold: each fold of subjects is tested, by what the others teach",
    "second table": "second table: scans of another table, by what all of the first teach",
}


def written(content: Content, plot: str) -> str:
    """The whole text of metrics.md; `plot` is the picture beside it."""
    parts = [
        "# What metrics alone say of raters' grades",
        _opening(content),
        "## Classifiers\n" + _classifiers(content),
        f"![AUC of classifiers and metrics]({plot})",
        "## At a specificity\n" + _specificities(content),
        *_by_site(content),
        *_raters(content),
        "## Each metric alone\n" + _metrics(content),
    ]
    if content["notes"]:
        parts.append("## Left out\n" + "\n".join(f"- {one}" for one in content["notes"]))
    return "\n\n".join(parts) + "\n"


def value(record: Record | None) -> str:
    """`0.71 (0.65 to 0.77)`, or a dash."""
    if record is None or record["value"] is None:
        return DASH
    inside = f" ({record['low']:.2f} to {record['high']:.2f})" if record["low"] is not None else ""
    return f"{record['value']:.2f}{inside}"


def _opening(content: Content) -> str:
    machine, own = content["machine"], content["settings"]
    grades = own["grades"]
    where = (
        f"{content['date']}, {machine['cores']} cores ({machine['cpu']}), mriqa "
        f"{machine['mriqa']}, scikit-learn {machine['sklearn']}; seed {own['seed']}; "
        f"{content['minutes']} minutes."
    )
    names = ", ".join(f"`{name}`" for name in content["tables"].values() if name)
    disputed = {
        "out": "are neither learned from nor counted",
        "bad": "count as bad",
        "good": "count as good",
    }[grades["disputed"]]
    joined = (
        f"The truth is the majority of {', '.join(grades['raters'])}, a vote each; scans with as "
        f"many votes for bad as for good {disputed}."
        if len(grades["raters"]) > 1
        else f"The truth is what {grades['raters'][0]} says."
    )
    truth = (
        f"Tables: {names}. Grades from the best to the worst: {', '.join(grades['values'])}; bad: "
        f"{', '.join(grades['bad'])}, good: {', '.join(grades['good'])}. {joined}"
    )
    counts = [f"- {HOW[name]}. {_counts(one)}" for name, one in content["counts"].items()]
    rules = (
        f"A subject is never on both sides of a split. Intervals: 95%, {own['bootstraps']} "
        "resamples of subjects, for the models as they are. Missing values: the training side's "
        "median takes their place in classifiers; such a scan has no part in the metric's own AUC."
    )
    return "\n\n".join([where, truth, "\n".join(counts), rules])


def _counts(counts: Record) -> str:
    sites = f", {counts['n_sites']} sites" if counts["n_sites"] else ""
    known = counts["n_good"] + counts["n_bad"]
    return (
        f"{counts['n']} graded scans of {counts['n_subjects']} subjects{sites}: "
        f"{counts['n_bad']} bad, {counts['n_good']} good ({counts['n_bad'] / known:.0%} bad), "
        f"{counts['n_disputed']} disputed, {counts['n_open']} without a vote. "
        f"{counts['n_metrics']} metrics, {counts['n_missing']} values missing in "
        f"{counts['n_scans_missing']} scans."
    )


def _classifiers(content: Content) -> str:
    rows = [
        [
            one["where"], one["classifier"], one["scaled"], value(one["auc"]),
            value(one["within_site"]), value(one["accuracy"]), value(one["balanced_accuracy"]),
            value(one["brier"]), number(one["ece"]["ece"]), number(one["spearman"]),
        ]
        for one in content["classifiers"]
        if one["classifier"] != "majority" or one["scaled"] == "as it is"
    ]  # fmt: skip
    head = [
        "tested", "classifier", "metrics", "AUC", "AUC within site", "accuracy",
        "balanced accuracy", "Brier", "ECE", "ρ",
    ]  # fmt: skip
    quoted = [
        [
            one["what"],
            f"{one['accuracy']:.0%}" + (f" ± {one['spread']:.0%}" if one["spread"] else ""),
            one["source"],
        ]
        for one in content["quoted"]
    ]
    return (
        "`majority` calls all scans what the training side has more of: accuracy means nothing "
        "without it. Accuracy is at a probability of 0.5, balanced accuracy at the training side's "
        "share of bad scans. Brier and ECE: 0 is best; ρ: of the probability with the grades "
        "(Spearman). `by site`: each metric was centred and scaled in its own site, also the site "
        "that is tested. That needs several scans of a new site before the first can be judged, "
        "no grades of them, and that not most of them are bad.\n\n"
        + table(head, rows)
        + "\n\nPublished, to stand beside and not to be ranked with: other data or another way "
        "(how grades are joined and metrics scaled; a model chosen among many).\n\n"
        + table(["what", "accuracy", "source"], quoted)
    )


def _specificities(content: Content) -> str:
    rows = [
        [
            one["where"], one["classifier"], one["scaled"], number(at["asked"]),
            value(at["specificity"]), value(at["sensitivity"]), number(at["roc"]),
        ]
        for one in content["classifiers"]
        for at in one["at_specificity"]
    ]  # fmt: skip
    head = ["tested", "classifier", "metrics", "asked", "specificity", "sensitivity", "by ROC"]
    return (
        "The threshold is set on the training side (out of fold there); what it gives on the "
        "tested side may be another specificity than was asked for. `by ROC`: sensitivity at the "
        "threshold that would have been right there, which nobody knows beforehand.\n\n"
        + table(head, rows)
    )


def _by_site(content: Content) -> list[str]:
    parts = []
    for where in content["counts"]:
        records = [one for one in content["classifiers"] if one["where"] == where and one["sites"]]
        if not records:
            continue
        names = [f"{one['classifier']}, {one['scaled']}" for one in records]
        head = ["site", "scans", "bad", "majority", *names]
        rows: list[list[object]] = [
            [
                sites[0]["site"], sites[0]["n"], sites[0]["n_bad"], number(sites[0]["majority"]),
                *(f"{number(one['accuracy'])}, {number(one['auc'])}" for one in sites),
            ]
            for sites in zip(*(one["sites"] for one in records), strict=True)
        ]  # fmt: skip
        rows.append(["mean ± SD", "", "", _spread(records[0]["sites"], "majority"), *(
            f"{_spread(one['sites'], 'accuracy')}, {_spread(one['sites'], 'auc')}"
            for one in records
        )])  # fmt: skip
        text = "Accuracy (at 0.5) and AUC; a dash where a site has one kind of scan alone."
        parts.append(f"## By site, {where}\n{text}\n\n" + table(head, rows))
    return parts


def _spread(records: list[Record], name: str) -> str:
    found = over_sites(records, name)
    return DASH if found is None else f"{found[0]:.2f} ± {found[1]:.2f}"


def _raters(content: Content) -> list[str]:
    parts = []
    for where, agreement in content["agreement"].items():
        if agreement is not None:
            parts.append(f"## Raters among themselves, {where}\n" + _agreement(agreement))
    rows = [
        [
            one["where"], one["classifier"], one["scaled"], rater["rater"], rater["n"],
            rater["n_bad"], value(rater["auc"]), value(rater["accuracy"]),
            value(rater["balanced_accuracy"]),
        ]
        for one in content["classifiers"]
        for rater in one["raters"]
    ]  # fmt: skip
    if rows:
        head = ["tested", "classifier", "metrics", "rater", "scans", "bad", "AUC", "accuracy",
                "balanced accuracy"]  # fmt: skip
        told = f"## Against each rater alone\n{table(head, rows)}\n\n{_disputed(content)}"
        parts.append(told.rstrip())
    rows = [
        [one["where"], one["classifier"], one["scaled"], grade["grade"], grade["n"], value(grade)]
        for one in content["classifiers"]
        for grade in one["against_grade"]
    ]
    if rows:
        head = ["tested", "classifier", "metrics", "grade", "scans", "AUC"]
        parts.append("## Bad scans against each good grade\n" + table(head, rows))
    return parts


def _disputed(content: Content) -> str:
    rows = [
        [
            one["where"], one["classifier"], one["scaled"], one["disputed"]["n"],
            one["disputed"]["called_bad"], one["disputed"]["called_bad_balanced"],
        ]
        for one in content["classifiers"]
        if one["disputed"]["n"] and one["classifier"] != "majority"
    ]  # fmt: skip
    if not rows:
        return ""
    head = ["tested", "classifier", "metrics", "disputed", "called bad", "by the balanced rule"]
    return "Disputed scans:\n\n" + table(head, rows)


def _agreement(agreement: Mapping[str, Any]) -> str:
    rows: list[list[object]] = []
    for name, one in agreement.items():
        what = name.replace("_", " ")
        rows.append([what, "all (Fleiss)", one["n_twice"], number(one["observed"]),
                     number(one["fleiss_kappa"]), DASH])  # fmt: skip
        rows += [
            [what, f"{pair['first']} and {pair['second']}", pair["n"], number(pair["observed"]),
             number(pair["cohen_kappa"]), number(pair["weighted_kappa"])]
            for pair in one["pairs"]
        ]  # fmt: skip
    head = ["of", "raters", "scans", "agree", "κ", "κ, weighted"]
    return "κ: 1 is best, 0 what chance would give.\n\n" + table(head, rows)


def _metrics(content: Content) -> str:
    text = (
        "AUC: the probability that a bad scan has the worse value than a good one; 0.5 is chance, "
        "below it the metric points the other way than its direction says. Directions are those "
        "published (or set); those marked `training` were learned without the scans that are "
        "tested, a dash where training sides differ. The best of so many metrics looks better than "
        "it is: which one it is was found out on these very scans."
    )
    parts = [text]
    for where in content["counts"]:
        records = [one for one in content["metrics"] if one["where"] == where]
        parts.append(f"### {where.capitalize()}\n" + _metric_table(records))
    return "\n\n".join(parts)


def _metric_table(records: Sequence[Record]) -> str:
    ordered = sorted(records, key=lambda one: -(one["auc"] or 0))
    rows = [
        [
            one["metric"], one["better"] or DASH, one["direction_from"],
            value({"value": one["auc"], "low": one["low"], "high": one["high"]}),
            value(one["within_site"]), number(one["spearman"]), one["n_missing"],
        ]
        for one in ordered
    ]  # fmt: skip
    return table(["metric", "better", "from", "AUC", "AUC within site", "ρ", "missing"], rows)
