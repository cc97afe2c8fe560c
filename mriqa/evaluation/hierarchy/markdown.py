"""The experiments with the hierarchy as Markdown that reads well unrendered."""

from collections.abc import Mapping, Sequence
from typing import Any

from mriqa.evaluation.hierarchy.curves import ONCE, SELF_TRAINED, TRUE
from mriqa.evaluation.hierarchy.figures import Record
from mriqa.evaluation.hierarchy.summary import at, over_seeds
from mriqa.evaluation.hierarchy.unseen import HIERARCHY, SIMCLR
from mriqa.evaluation.markdown import DASH, number, table

Content = Mapping[str, Any]


def written(content: Content, plot: str) -> str:
    """The whole text of hierarchy.md; `plot` is the curves' file, beside it."""
    parts = [
        _opening(content),
        "## Targets\n" + _targets(content["targets"]),
        f"## Few labels, some of them wrong\n![curves]({plot})\n\n" + _curves(content["curves"]),
        "## Labels worth a second look\n" + _contested(content["curves"]),
    ]
    if content["ablation"]:
        parts.append("## Ablation\n" + _ablation(content["ablation"]))
    if content["unseen"]:
        parts.append("## Artifacts that nobody had simulated\n" + _unseen(content["unseen"]))
    if content["elsewhere"]:
        parts.append("## Series of another cohort\n" + _elsewhere(content["elsewhere"]))
    parts.append("## Probabilities and sessions\n" + _calibration(content))
    if content["notes"]:
        parts.append("## Left out\n" + "\n".join(f"- {one}" for one in content["notes"]))
    return "\n\n".join(parts) + "\n"


def _opening(content: Content) -> str:
    counts, machine, own = content["counts"], content["machine"], content["settings"]
    tuning = own["tuning"]
    where = (
        f"{content['date']}, {machine['cores']} cores ({machine['cpu']}), mriqa "
        f"{machine['mriqa']}, torch {machine['torch']}; seeds {own['seed']} to "
        f"{own['seed'] + own['seeds'] - 1}."
    )
    what = (
        f"{counts['n_learnt']} volumes to learn from: {counts['n_learnt_scans']} good scans of "
        f"{counts['n_learnt_subjects']} subjects and simulated copies of them; "
        f"{counts['n_held']} to test on, of {counts['n_held_subjects']} other subjects; "
        f"{counts['n_strata']} strata. A third of the copies pass (severity "
        f"{_span(own['passing'])}), are questionable ({_span(own['questionable'])}), fail "
        f"({_span(own['failing'])}). Slice networks were tuned for {tuning['iterations']} steps of "
        f"{tuning['batch']} slices on {counts['n_tuned_on']} series of training subjects. Values "
        "are means over seeds; accuracy is balanced, over three ratings."
    )
    return f"# The hierarchy, learned from few and wrong labels\n\n{where}\n\n{what}"


def _span(severities: Sequence[float]) -> str:
    return f"{severities[0]:g} to {severities[1]:g}"


def _targets(records: Sequence[Record]) -> str:
    answers = {True: "yes", False: "**no**", None: DASH}
    rows = [
        (one["name"], number(one["value"]), f"{one['bound']} {number(one['target'])}",
         answers[one["met"]])
        for one in records
    ]  # fmt: skip
    return table(("what", "found", "asked for", "met"), rows)


def _curves(records: Sequence[Record]) -> str:
    best = at(records, how=TRUE)
    rows = [_row("all, true", "", best, "")]
    for fraction, noise in dict.fromkeys(
        (one["fraction"], one["noise"]) for one in records if one["how"] == ONCE
    ):
        for how in (ONCE, SELF_TRAINED):
            some = at(records, fraction=fraction, noise=noise, how=how)
            gain = number(over_seeds(some, "gain", "value")) if how == SELF_TRAINED else ""
            rows.append(_row(f"{fraction:.0%}, {noise:.0%} wrong", how, some, gain))
    head = ("labels", "learned", "accuracy", "pass", "questionable", "fail", "AUC fail",
            "AUC questionable", "gain")  # fmt: skip
    return table(head, rows)


def _row(labels: str, how: str, some: Sequence[Record], gain: str) -> tuple[str, ...]:
    recalls = (number(over_seeds(some, "recall", name)) for name in
               ("pass", "questionable", "fail"))  # fmt: skip
    aucs = (number(over_seeds(some, name, "value")) for name in ("auc_fail", "auc_questionable"))
    values = [one["accuracy"]["value"] for one in some]
    spread = f"{number(over_seeds(some, 'accuracy', 'value'))} ({number(min(values))} to "
    return (labels, how, f"{spread}{number(max(values))})", *recalls, *aucs, gain)


def _contested(records: Sequence[Record]) -> str:
    rows = []
    for one in records:
        if one["how"] != SELF_TRAINED or not one["contested"]["n_wrong"]:
            continue
        found = one["contested"]
        rows.append(
            (f"{one['fraction']:.0%}, {one['noise']:.0%} wrong", str(one["seed"]),
             str(found["n_labels"]), str(found["n_wrong"]), str(found["n_listed"]),
             *(number(found[name]) for name in ("precision", "recall", "precision_at_recall")))
        )  # fmt: skip
    head = ("labels", "seed", "labels", "wrong", "listed", "precision", "recall",
            "precision where recall is .7")  # fmt: skip
    return table(head, rows)


def _ablation(records: Sequence[Record]) -> str:
    rows = []
    for name in dict.fromkeys(one["name"] for one in records):
        cells = []
        for how in (ONCE, SELF_TRAINED, TRUE):
            some = at(records, name=name, how=how)
            cells += [number(over_seeds(some, "accuracy", "value")),
                      number(over_seeds(some, "auc_fail", "value"))]  # fmt: skip
        rows.append((name, *cells))
    head = ["network"]
    for how in ("once", "self-trained", "all true"):
        head += [f"{how}: accuracy", "AUC fail"]
    return table(head, rows)


def _unseen(records: Sequence[Record]) -> str:
    families = sorted({one["family"] for one in records})
    rows = [_unseen_row(name, at(records, family=name)) for name in families]
    rows.append(_unseen_row("mean", records))
    head = ("family", "failing volumes", "AUC fail, hierarchy", "SimCLR",
            "AUC questionable, hierarchy", "SimCLR")  # fmt: skip
    return table(head, rows)


def _unseen_row(name: str, records: Sequence[Record]) -> tuple[str, ...]:
    counted = {one["family"]: one["auc_fail"]["n"] for one in at(records, rater=HIERARCHY)}
    cells = [
        number(over_seeds(at(records, rater=rater), kind, "value"))
        for kind in ("auc_fail", "auc_questionable")
        for rater in (HIERARCHY, SIMCLR)
    ]
    return (name, str(sum(counted.values())), *cells)


def _elsewhere(records: Sequence[Record]) -> str:
    severities = sorted({one["severity"] for one in records})
    rows = []
    for name, stratum in dict.fromkeys((one["series_id"], one["stratum"]) for one in records):
        own = at(records, series_id=name, stratum=stratum)
        cells = [
            f"{number(one['auc'])} ({number(one['lowest'])} to {number(one['highest'])})"
            for severity in severities
            for one in at(own, severity=severity)
        ]
        rows.append((name, f"{own[0]['n_affected']} : {own[0]['n_untouched']}", *cells))
    head = ("series", "affected : untouched", *(f"severity {one:g}" for one in severities))
    told = (
        "Nothing was learned of these. Artifacts are simulated in a third of a series' volumes, "
        "what is usual is taken from the series as it then is. AUC of affected against untouched "
        "volumes, mean over draws (lowest to highest)."
    )
    return f"{told}\n\n{table(head, rows)}"


def _calibration(content: Content) -> str:
    rows = []
    for error in content["calibration"]:
        (own,) = at(content["sessions"], seed=error["seed"], how=error["how"])
        rows.append(
            (error["how"], str(error["seed"]), number(error["ece"]),
             f"{number(error['corrected'])} ({number(error['low'])} to {number(error['high'])})",
             str(own["n_failing"]), number(own["found"]), str(own["n_sound"]),
             number(own["false_alarms"]))
        )  # fmt: skip
    head = ("learned", "seed", "ECE", "without chance", "sessions that fail", "found",
            "without a failed volume", "false alarms")  # fmt: skip
    return table(head, rows)
