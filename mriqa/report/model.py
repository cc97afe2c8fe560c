"""The section of the page about SimCLR's model: what it learned, compares with, and gave."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from mriqa.methods.simclr.bank import LEAST_SEVERE, LEAST_SEVERITY
from mriqa.report.curves import calibration_chart
from mriqa.report.html import Child, Html, element, joined, table
from mriqa.report.learned import Model, References, StratumReferences
from mriqa.report.likeness import Opinions, Stratum
from mriqa.report.parts import badge, complaints, count, decimal, facts, identifier, note, section
from mriqa.report.summary import Row
from mriqa.training.imported import IMPORTED_FROM

MAX_PANELS = 12
MAX_ROWS = 40
MAX_NOTES = 20
MAX_DROPPED = 200
MEANINGS = {
    "loss": "NT-Xent, lower is better",
    "alignment": "mean squared distance of the two views of a slice, 0 to 4, lower is better",
    "uniformity": "how evenly views spread, −8 to 0, lower is better; 0 is collapse",
    "gradient_norm": "of the last steps",
}
LEARNED = (
    "encoder", "views", "view_px", "gamma", "artifact_share", "temperature", "projection", "batch",
    "accumulate", "learning_rate", "seed",
)  # fmt: skip
"""Settings of pretraining that are shown, in this order."""


@dataclass(frozen=True)
class Learned:
    """All that the page says of SimCLR; `poor` are HQ references rated no `pass`."""

    model: Model
    opinions: Opinions
    poor: Sequence[Row]
    thresholds: tuple[float | None, float | None]


def model_section(learned: Learned) -> Html:
    """Model, references, calibration."""
    model = learned.model
    return section(
        "model",
        "SimCLR: model and references",
        element(
            "p",
            "SimCLR learns without labels what makes two views of a slice alike. A volume is then "
            "compared with high-quality references (HQ) and with simulated low-quality ones (LQ) "
            "of its stratum: with those of persons alike in sex, height and weight, as in the "
            "paper, and after whitening with all of them: how much nearer it is to the mean of the "
            "HQ references than to those of the artifacts. quality_score rests on that whitened "
            "margin (1 at the HQ mean, 0 where the artifacts' are as near on average); what it "
            "says of severity is fitted on the references themselves, each judged without its own "
            "subject.",
        ),
        complaints(model.problems),
        *_training(model),
        *_bank(learned),
        *_calibrations(learned),
    )


def _training(model: Model) -> list[Html | None]:
    learned, numbers = model.pretraining, model.metrics
    on = model.trained_on
    steps = numbers.get("steps")
    shown: dict[str, Child] = {"model_id": identifier(model.model_id)}
    if IMPORTED_FROM in model.provenance:
        shown["trained on"] = f"another cohort, where it is {model.provenance[IMPORTED_FROM]}"
    elif on is None and learned:
        shown["trained on"] = "a list of series that is not there any more"
    elif on is not None:
        by = ", ".join(f"{count(n)} {name}" for name, n in sorted(on.contrasts.items()))
        shown["trained on"] = (
            f"{count(on.n_series)} series of {count(on.n_subjects)} subjects ({by})"
        )
    if isinstance(steps, int) and "batch" in learned:
        slices = steps * learned["batch"] * learned.get("accumulate", 1)
        shown["trained for"] = f"{count(steps)} steps, {count(slices)} slices seen, two views each"
    settings = {name: str(learned[name]) for name in LEARNED if name in learned}
    shown["settings"] = ", ".join(f"{name} {value}" for name, value in settings.items()) or None
    return [element("h3", "Training"), facts(shown), _end_values(model)]


def _end_values(model: Model) -> Html | None:
    rows = [
        [name, decimal(float(value), 4), _meaning(name, model.pretraining)]
        for name, value in model.metrics.items()
        if name != "steps" and isinstance(value, int | float)
    ]
    if not rows:
        return None
    title = "At the end of training (running means of about the last 50 steps)"
    return table(title, ["", "value", "meaning"], rows)


def _meaning(name: str, pretraining: Mapping[str, object]) -> str:
    text, batch = MEANINGS.get(name, ""), pretraining.get("batch")
    if name == "loss" and isinstance(batch, int):
        text += f"; {log(2 * batch - 1):.2f} is that of views that tell nothing"
    return text


def _bank(learned: Learned) -> list[Html | None]:
    bank = learned.model.references
    if bank is None:
        return []
    rated = {one.name: one for one in learned.opinions.strata}
    explained = note(
        f"LQ are copies of HQ volumes with a simulated artifact of severity {LEAST_SEVERITY:g} or "
        "more; milder copies serve the calibration alone. The paper's similarity is to at most "
        f"{bank.section.get('per_class', '?')} of each, LQ of severity {LEAST_SEVERE:g} or more. "
        "AUC: how well the stratum's own LQ and HQ "
        "references are told apart, each judged without its own subject (1 is best, 0.5 chance); "
        f"from {bank.min_auc:g} on SimCLR rates. Not used: HQ volumes of the list that the others "
        "doubt, listed below; the AUC is without them. ",
        _confirmed(learned.model),
    )
    return [
        element("h3", "References"),
        explained,
        _bank_table(bank, rated),
        _dropped(bank),
        _poor(learned.poor),
        *_without(learned.opinions, bank),
        _notes(bank.notes),
    ]


def _confirmed(model: Model) -> str:
    said = model.confirmed
    if said is None:
        return "The list of HQ references was given (trusted)."
    total = sum(said.values())
    return (
        f"The HQ references were proposed by the metrics; a person has confirmed "
        f"{count(said.get('yes', 0))} and refused {count(said.get('no', 0))} of {count(total)} "
        "(references/simclr.tsv)."
    )


def _bank_table(bank: References, rated: Mapping[str, Stratum]) -> Html:
    strata = _most_rated_first(bank.strata.values(), rated)
    rows = [
        [
            identifier(one.stratum), count(one.n_subjects), count(one.n_hq), count(one.n_lq),
            count(one.n_mild), count(len(one.dropped)), decimal(one.auc, 2),
            count(rated[one.stratum].n_simclr) if one.stratum in rated else "–",
        ]
        for one in strata[:MAX_ROWS]
    ]  # fmt: skip
    left = len(strata) - len(rows)
    head = [
        "stratum", "subjects", "HQ", "LQ", "milder copies", "not used", "AUC", "volumes rated",
    ]  # fmt: skip
    more = note(f"and {count(left)} more strata: bank/bank.json") if left else None
    return joined([table("References by stratum", head, rows, class_="sortable"), more])


def _most_rated_first(
    strata: Iterable[StratumReferences], rated: Mapping[str, Stratum]
) -> list[StratumReferences]:
    def n_rated(one: StratumReferences) -> int:
        return rated[one.stratum].n_simclr if one.stratum in rated else 0

    return sorted(strata, key=lambda one: (-n_rated(one), one.stratum))


def _dropped(bank: References) -> Html | None:
    """What the banks doubt: for a person to look at."""
    found = [(one, name) for name, own in bank.strata.items() for one in own.dropped]
    if not found:
        return None
    found.sort(key=lambda item: (item[0].quality, item[0].series_id, item[0].volume))
    listed = table(
        f"Listed as HQ, but not used, as the others doubt it ({len(found)})",
        ["series_id", "volume", "quality_score by the others", "stratum"],
        [
            [identifier(one.series_id), one.volume, decimal(one.quality, 2), identifier(name)]
            for one, name in found[:MAX_DROPPED]
        ],
        class_="sortable",
    )
    left = len(found) - MAX_DROPPED
    advice = note(
        "Look at them, and write `confirmed` yes in the line of a good one, no in that of a bad "
        "one. ",
        f"{count(left)} more: bank/bank.json" if left > 0 else None,
    )
    return joined([listed, advice])


def _poor(rows: Sequence[Row]) -> Html | None:
    if not rows:
        return None
    listed = table(
        f"HQ references that are not rated pass themselves ({len(rows)})",
        ["series_id", "volume", "quality_score", "rating"],
        [
            [identifier(row["series_id"]), row["volume"], decimal(row["quality_score"], 2),
             badge(row["rating"])]
            for row in rows
        ],
    )  # fmt: skip
    advice = note(
        "Look at them: a bad reference makes bad volumes look good. To leave one out, write "
        "`confirmed` no in its line of the list and run again."
    )
    return joined([listed, advice])


def _without(opinions: Opinions, bank: References) -> list[Html | None]:
    """Strata that SimCLR does not rate, and what became of their volumes."""
    strata = [one for one in opinions.strata if not bank.rates(one.name)]
    is_also_learned = any(one.n_hierarchy for one in opinions.strata)
    rows = [
        [
            identifier(one.name), count(one.n_volumes), *_rated_else(one, is_also_learned),
            _why(one.name, bank),
        ]
        for one in strata
    ]  # fmt: skip
    if not rows:
        return []
    also = ["rated by the hierarchy"] if is_also_learned else []
    head = ["stratum", "volumes", *also, "rated by the metrics", "no reference", "why"]
    title = (
        f"Strata that SimCLR does not rate ({count(len(rows))}, "
        f"{count(sum(one.n_volumes for one in strata))} volumes)"
    )
    left = opinions.n_strata - len(opinions.strata)
    more = f"Only the {count(len(opinions.strata))} largest strata of {count(opinions.n_strata)} "
    return [
        table(title, head, rows, class_="sortable"),
        note(more + "are looked at here and in the charts.") if left else None,
    ]


def _rated_else(one: Stratum, is_also_learned: bool) -> list[str]:
    also = [count(one.n_hierarchy)] if is_also_learned else []
    return [*also, count(one.n_metrics), count(one.n_unrated)]


def _why(stratum: str, bank: References) -> str:
    n_subjects, own = bank.too_few.get(stratum), bank.strata.get(stratum)
    if own is not None:
        return f"its references are told apart with an AUC of {decimal(own.auc, 2)} only"
    if n_subjects is None:
        return "no HQ reference in the list; add some, or delete the list to have it proposed anew"
    least = bank.section.get("min_references", "?")
    return f"references of {n_subjects} subjects; {least} are needed"


def _notes(notes: Sequence[str]) -> Html | None:
    if not notes:
        return None
    left = len(notes) - MAX_NOTES
    items = [element("li", text) for text in notes[:MAX_NOTES]]
    if left > 0:
        items.append(element("li", f"and {count(left)} more: bank/bank.json"))
    title = element("summary", f"Listed references that are not used ({count(len(notes))})")
    return element("details", title, element("ul", *items))


def _calibrations(learned: Learned) -> list[Html | None]:
    bank = learned.model.references
    if bank is None:
        return []
    rated = {one.name: one for one in learned.opinions.strata}
    known = _most_rated_first(bank.strata.values(), rated)
    fitted = [one for one in known if one.calibration is not None]
    panels = []
    for one in fitted[:MAX_PANELS]:
        assert one.calibration is not None
        stratum = rated.get(one.stratum)
        number = count(stratum.n_simclr if stratum else 0)
        head = element("figcaption", one.stratum, element("span", f"{number} rated"))
        chart = calibration_chart(one.stratum, one.calibration, stratum, learned.thresholds)
        panels.append(element("figure", head, chart, class_="panel"))
    if not panels:
        return []
    share_good = bank.section.get("good_share")
    expected = f" It expects {share_good:.0%} good volumes." if share_good is not None else ""
    left = len(fitted) - len(panels)
    return [
        element("h3", "Calibration"),
        note(
            "quality_score (upright, 0 to 1) by the whitened margin, with a band of one standard "
            "deviation of severity; dashed: the thresholds of the ratings; below: the margins of "
            f"the cohort's volumes.{expected} It is fitted on simulated artifacts: of others it "
            "says no more than how like them they look."
        ),
        element("div", *panels, class_="panels"),
        note(f"and {count(left)} more strata.") if left else None,
    ]
