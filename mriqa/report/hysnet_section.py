"""The section of the page about HyS-Net: what it has learned, and its predictions beside what was
measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mriqa.report.html import Child, Html, element, table
from mriqa.report.hysnet import NAME, Accuracy, HysnetModel
from mriqa.report.parts import (
    badge,
    complaints,
    count,
    decimal,
    facts,
    identifier,
    note,
    rounded,
    section,
    signed_rounded,
)
from mriqa.report.predictions import ALL_UNSEEN, KINDS, LEARNED, UNSEEN, Gap, Predictions
from mriqa.report.scatter import legend_mark, scatter

SEEN_TITLE = "Subjects that it has learned from"
UNSEEN_TITLE = "Subjects that it has not seen"
HEAD = ["subjects", "volumes", "SROCC", "PLCC", "MAE"]
Anchors = Mapping[tuple[str, int], str]
"""Ids of the cards with pictures, by series and volume."""


@dataclass(frozen=True)
class HysnetPart:
    """All that the page says of HyS-Net."""

    model: HysnetModel
    predictions: Predictions


def hysnet_section(part: HysnetPart, anchors: Anchors) -> Html:
    """Model, chart, accuracy, largest gaps."""
    return section(
        "hysnet",
        f"{NAME}: predicted and measured",
        element(
            "p",
            "HyS-Net has learned a number of volumes from the images alone, and predicts it of all "
            "volumes of the contrasts that it has learned. It rates nothing: no quality_score, "
            "rating or flag comes from a prediction.",
        ),
        complaints(part.model.problems),
        element("h3", "What it has learned"),
        facts(_learned(part)),
        *_compared(part, anchors),
    )


def _learned(part: HysnetPart) -> dict[str, Child]:
    model, predictions = part.model, part.predictions
    on = f"{count(model.n_volumes)} volumes" if model.n_volumes is not None else None
    if model.imported_from is not None:
        on = f"{on or 'volumes'} of another cohort, where it is {model.imported_from}"
    elif on and model.subjects is not None:
        on += f"; {count(len(model.subjects))} subjects are in its list"
    shown: dict[str, Child] = {
        "model_id": identifier(model.model_id),
        "target": identifier(predictions.target) if predictions.target else None,
        "contrasts": ", ".join(model.contrasts),
        "trained on": on,
        "trained for": f"{count(model.steps)} steps" if model.steps is not None else None,
        "settings": _settings(model),
        "predicted": f"{count(predictions.n_predicted)} volumes",
    }
    return {name: value for name, value in shown.items() if value}


def _settings(model: HysnetModel) -> str:
    """Those of network and patches that say most."""
    parts = (model.learning.get(name) for name in ("net", "patches"))
    net, patches = (one if isinstance(one, dict) else {} for one in parts)
    of_patches = ("slice_px",) if net.get("dimensions") == 2 else ("sides", "steps")
    named = [(net, ("backbone", "dimensions", "width", "hyper")), (patches, of_patches)]
    return ", ".join(f"{name} {own[name]}" for own, names in named for name in names if name in own)


def _compared(part: HysnetPart, anchors: Anchors) -> list[Html | None]:
    found = part.predictions
    parts: list[Html | None] = [element("h3", "Predicted and measured")]
    if not found.n_compared:
        return [*parts, element("p", _why_not(part)), *_tried(part.model)]
    return [
        *parts,
        element("div", *_charts(found), class_="panels"),
        note(_how_to_read(part)),
        _accuracy(found),
        note(
            "SROCC is Spearman's correlation of predicted and measured numbers, PLCC Pearson's: 1 "
            f"is best, 0 is chance. MAE is their mean absolute difference, in the unit of "
            f"{found.target}. Subjects that it has learned from say little of how good it is."
        ),
        *_gaps(found.gaps, anchors),
    ]


def _why_not(part: HysnetPart) -> str:
    model, found = part.model, part.predictions
    if not found.n_predicted:
        known = ", ".join(model.contrasts)
        return "No volume has a prediction" + (f"; it has learned {known} only." if known else ".")
    if model.from_table:
        return (
            f"It has learned {found.target} from a table of one's own (hysnet.learning.target."
            "table), which is no part of the results: there is nothing here to draw its "
            "predictions against."
        )
    if not found.is_column:
        return (
            f"Its target, {found.target or 'which is not known'}, is no column of the volumes' "
            "table: there is nothing to draw its predictions against."
        )
    return f"No volume has both a prediction and a measured {found.target}."


def _tried(model: HysnetModel) -> list[Html]:
    """How well it did when it was trained, from its metrics.json."""
    if not model.tried:
        return []
    whose = "that cohort's" if model.imported_from else "the"
    title = f"When it was trained, on held-out volumes of {whose} contrasts and sites it learned"
    rows = [[KINDS[split], *_numbers(one)] for split, one in model.tried.items()]
    return [table(title, HEAD, rows)]


def _numbers(one: Accuracy) -> list[str]:
    error = "–" if one.mae is None else rounded(one.mae)
    return [count(one.n), decimal(one.srocc, 2), decimal(one.plcc, 2), error]


def _accuracy(found: Predictions) -> Html:
    kinds = [kind for kind in UNSEEN if kind in found.accuracy]
    rows = [[KINDS[kind], *_numbers(found.accuracy[kind])] for kind in kinds]
    if len(kinds) > 1:
        rows.append(["all that it has not seen", *_numbers(found.accuracy[ALL_UNSEEN])])
    if LEARNED in found.accuracy:
        rows.append([KINDS[LEARNED], *_numbers(found.accuracy[LEARNED])])
    return table(f"How near predictions of {found.target} are to what was measured", HEAD, rows)


def _charts(found: Predictions) -> list[Html]:
    if found.limits is None:
        return []
    panels = []
    for title, name, kinds in (
        (UNSEEN_TITLE, ALL_UNSEEN, UNSEEN), (SEEN_TITLE, LEARNED, (LEARNED,)),
    ):  # fmt: skip
        own = {kind: found.points[kind] for kind in kinds if kind in found.points}
        if not own:
            continue
        accuracy = found.accuracy[name]
        chart = scatter(_described(title, accuracy, found.target or ""), own, found.limits)
        number = element("span", f"n {count(accuracy.n)}, SROCC {decimal(accuracy.srocc, 2)}")
        head = element("figcaption", title, number)
        panels.append(element("figure", head, chart, _legend(list(own)), class_="panel"))
    return panels


def _legend(kinds: Sequence[str]) -> Html:
    items = [element("li", legend_mark(kind), KINDS[kind]) for kind in kinds]
    return element("ul", *items, class_="legend")


def _described(title: str, one: Accuracy, target: str) -> str:
    """One sentence with the numbers behind a chart."""
    n, srocc, plcc, mae = _numbers(one)
    return (
        f"{title}: {target} predicted and measured of {n} volumes; SROCC {srocc}, PLCC {plcc}, "
        f"MAE {mae}."
    )


def _how_to_read(part: HysnetPart) -> str:
    found = part.predictions
    shown = sum(map(len, found.points.values()))
    text = (
        f"A mark is a volume: {found.target} as measured to the right, as predicted upwards; on "
        "the dashed line they are equal. The whisker is hysnet_spread, one standard deviation over "
        "the volume's patches: how far its places differ, no confidence interval."
    )
    if shown < found.n_compared:
        text += f" Of {count(found.n_compared)} volumes {count(shown)}, drawn at random, are shown."
    if found.n_beyond:
        are = "lies beyond an axis and is" if found.n_beyond == 1 else "lie beyond an axis and are"
        text += f" {count(found.n_beyond)} {are} drawn at its end."
    if part.model.subjects is None:
        text += (
            " The list of series that it was trained on is not there any more: subjects of the "
            "training split are taken for those that it has learned from."
        )
    return text


def _gaps(gaps: Sequence[Gap], anchors: Anchors) -> list[Html]:
    if not gaps:
        return []
    target = gaps[0].target
    rows: list[list[Child]] = [
        [
            identifier(one.series_id), one.volume, _picture(one, anchors), rounded(one.measured),
            rounded(one.predicted), signed_rounded(one.gap),
            "–" if one.spread is None else rounded(one.spread), KINDS[one.kind],
            badge(one.rating),
        ]
        for one in gaps
    ]  # fmt: skip
    head = [
        "series_id", "volume", "picture", f"measured {target}", "predicted", "gap", "spread",
        "of", "rating",
    ]  # fmt: skip
    return [
        element("h3", "Where they differ most"),
        note(
            "The measured number may be wrong, or the image odd, or the network: look at these. "
            "Of each series its largest gap."
        ),
        table(f"Volumes with the largest gaps ({len(rows)})", head, rows, class_="sortable"),
    ]


def _picture(one: Gap, anchors: Anchors) -> Html | str:
    anchor = anchors.get(one.key)
    if anchor is None:
        return "–"
    label = f"Picture of volume {one.volume} of {one.series_id}"
    return element("a", f"#{anchor.rpartition('-')[2]}", href=f"#{anchor}", aria_label=label)
