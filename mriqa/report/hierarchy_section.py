"""The section of the page about the hierarchy: what it learned from, what it knows, its rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mriqa.report.contested import SecondLook
from mriqa.report.hierarchy import Figures, Fitted, HierarchyModel, Reach, RoundCount
from mriqa.report.html import Child, Html, element, joined, table
from mriqa.report.parts import complaints, count, decimal, facts, identifier, note, section
from mriqa.report.slice_chart import slice_maps_part
from mriqa.report.slice_maps import SliceMaps

MAX_STRATA = 40
ACTIONS = {
    "kept": "kept", "relabelled": "relabelled", "dropped": "dropped", "added": "added",
    "left": "left out",
}  # fmt: skip
"""What a round does with an item, in the order of columns."""
LEVELS = ("slice", "volume")


@dataclass(frozen=True)
class HierarchyPart:
    """All that the page says of the hierarchy; `reach` is None where its strata are not known."""

    model: HierarchyModel
    reach: Reach | None
    maps: SliceMaps
    second_look: SecondLook


def hierarchy_section(part: HierarchyPart) -> Html:
    """Model, strata, rounds, and maps of slices."""
    model = part.model
    return section(
        "hierarchy",
        "The hierarchy",
        element(
            "p",
            "The hierarchy learns from ratings that people gave and from simulated artifacts, some "
            "of which it doubts: one network rates slices, a second each volume by its slices; a "
            "session is rated by the shares of its volumes that fail and pass. A volume's rating "
            "is the most probable of the three; its quality_score is 1 − the severity to be "
            "expected by their probabilities: 0.9 for pass, 0.6 for questionable, 0.2 for fail.",
        ),
        complaints(model.problems),
        element("h3", "What it learned from"),
        facts(_learned(model)),
        *_accuracy(model.figures),
        *_strata(model, part.reach),
        *_rounds(model.rounds),
        *slice_maps_part(part.maps),
    )


def _learned(model: HierarchyModel) -> dict[str, Child]:
    shown: dict[str, Child] = {"model_id": identifier(model.model_id)}
    figures = model.figures
    if figures:
        pairs = [
            (figures.n_volumes, "volumes"),
            (figures.n_copies, "simulated copies of trusted volumes"),
        ]
        shown["trained on"] = ", ".join(f"{count(n)} {what}" for n, what in pairs if n is not None)
        if figures.n_labels is not None:
            shown["labels of people"] = count(figures.n_labels)
        if figures.n_contested is not None:
            shown["of these contested"] = count(figures.n_contested)
    if model.confirmed is not None:
        said, total = model.confirmed, sum(model.confirmed.values())
        shown["trusted volumes"] = (
            f"{count(total)} proposed by the metrics; a person has confirmed "
            f"{count(said.get('yes', 0))} and refused {count(said.get('no', 0))} "
            "(references/hierarchy.tsv)"
        )
    if model.fitted:
        shown |= _fitted(model.fitted)
    return {name: value for name, value in shown.items() if value}


def _fitted(fitted: Fitted) -> dict[str, Child]:
    by_level = f"slices {decimal(fitted.slices, 2)}, volumes {decimal(fitted.volumes, 2)}"
    shown: dict[str, Child] = {}
    if fitted.too_inaccurate:
        accuracy, least = (decimal(one, 2) for one in fitted.too_inaccurate)
        shown["does not rate"] = (
            f"its balanced accuracy on validation volumes is {accuracy}, below {least} "
            "(hierarchy.learning.min_accuracy): what it says is shown, but others rate"
        )
    return shown | {
        "a session": f"fails from {fitted.fail_from:.0%} failed volumes on, else passes from "
        f"{fitted.pass_from:.0%} passed ones on, else is questionable",
        "temperatures": f"{by_level}: "
        "probabilities are softened (above 1) or sharpened (below 1) by them",
    }


def _accuracy(figures: Figures | None) -> list[Html]:
    if figures is None or not figures.judged:
        return []
    rows = [
        [split, count(n), decimal(accuracy, 2)] for split, (n, accuracy) in figures.judged.items()
    ]
    return [
        table(
            "Balanced accuracy on subjects that it has not learned from",
            ["subjects", "volumes judged", "balanced accuracy"],
            rows,
        ),
        note(
            "The mean, over the ratings that there are, of the share that is found: 1 is best, "
            "0.33 is chance for three ratings. Judged by the labels of people; where these are too "
            "few, by simulated copies, too. The rule of sessions and the temperatures were fitted "
            "on validation subjects. Of few volumes the number says little."
        ),
    ]


def _strata(model: HierarchyModel, reach: Reach | None) -> list[Html | None]:
    if model.strata is None or reach is None:
        return []
    said = (
        f"It knows {count(len(model.strata))} strata, in which it has rated "
        f"{count(reach.n_rated)} measured volumes"
    )
    said += f" and could not rate {count(reach.n_not_rated)}." if reach.n_not_rated else "."
    said += (
        f" There are {count(reach.n_beyond)} measured volumes of {count(reach.n_unknown)} strata "
        "that it does not know: too few subjects to learn from were there. They have the rating of "
        "another method, or none."
        if reach.n_beyond
        else " No measured volume is of a stratum that it does not know."
    )
    items = [element("li", identifier(one)) for one in model.strata[:MAX_STRATA]]
    left = len(model.strata) - len(items)
    if left > 0:
        items.append(element("li", f"and {count(left)} more: config.json"))
    known = element("summary", f"Strata that it knows ({count(len(model.strata))})")
    return [
        element("h3", "Strata"),
        element("p", said),
        element("details", known, element("ul", *items)),
        _unknown(reach),
    ]


def _unknown(reach: Reach) -> Html | None:
    if not reach.unknown:
        return None
    rows = [[identifier(name), count(n)] for name, n in reach.unknown.items()]
    title = f"Strata that it does not know ({count(reach.n_unknown)})"
    left = reach.n_unknown - len(rows)
    more = note(f"and {count(left)} more strata.") if left > 0 else None
    listed = table(title, ["stratum", "measured volumes"], rows, class_="sortable")
    return element("details", element("summary", title), joined([listed, more]))


def _rounds(rounds: Sequence[RoundCount]) -> list[Html]:
    if not rounds:
        return []
    order = {level: place for place, level in enumerate(LEVELS)}
    shown = sorted(
        rounds, key=lambda one: (order.get(one.level, len(order)), one.of_copies, one.number)
    )
    rows = [
        [
            f"{one.level}s", "simulated copies" if one.of_copies else "scans", one.number,
            *_counted(one.actions),
        ]
        for one in shown
    ]  # fmt: skip
    return [
        element("h3", "Rounds of self-training"),
        note(
            "After each round, networks that have not seen the subject judge every label: kept if "
            "they find it the likeliest, relabelled if they are sure of another, else dropped for "
            "the next round. Items without a label are added where they are sure, else left out. "
            "A slice without a label of its own has that of its volume: that many of these are "
            "dropped is what the rounds are for. What is true of simulated copies is known; they "
            "are kept."
        ),
        table("Items by what each round decided", ["of", "", "round", *ACTIONS.values()], rows),
    ]


def _counted(actions: Mapping[str, int]) -> list[str]:
    return [count(actions.get(one, 0)) for one in ACTIONS]
