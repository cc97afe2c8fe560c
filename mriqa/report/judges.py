"""The section of the page that says who rated, and how the ratings compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mriqa.report.html import Html, element, table
from mriqa.report.likeness import UNJUDGED, Opinions
from mriqa.report.parts import (
    METHOD_NAMES,
    badge,
    count,
    decimal,
    identifier,
    method_name,
    note,
    section,
    share,
)
from mriqa.report.summary import RATINGS, Row

SEES = {
    "simclr": "SimCLR what is like the simulated artifacts",
    "hierarchy": "the hierarchy what people, and simulated artifacts, have taught it",
}


@dataclass(frozen=True)
class Judges:
    """Opinions of every learned method that has rated, and where both have, how they compare.

    `both` counts volumes by (the hierarchy's rating, SimCLR's).
    """

    opinions: Sequence[Opinions]
    both: Mapping[tuple[str, str], int]


def judges_section(judges: Judges) -> Html:
    """Volumes by what rated them, and each learned method's ratings beside those of the metrics."""
    return section(
        "opinions",
        "Who rated",
        _sources(judges.opinions[0]),
        *(part for one in judges.opinions for part in _agreement(one)),
        *_both(judges.both),
    )


def _sources(opinions: Opinions) -> Html:
    total = sum(opinions.sources.values())
    order = sorted(opinions.sources, key=lambda name: (name is None, -opinions.sources[name]))
    rows = [
        [method_name(name), count(opinions.sources[name]), share(opinions.sources[name], total)]
        for name in order
    ]
    return table("Measured volumes by what rated them", ["rated by", "volumes", "share"], rows)


def _agreement(opinions: Opinions) -> list[Html | None]:
    crossed, name = opinions.crossed, METHOD_NAMES[opinions.method]
    if not crossed:
        return []
    both = sum(n for (_, other), n in crossed.items() if other != UNJUDGED)
    same = sum(n for (own, other), n in crossed.items() if own == other)
    said = (
        f"Of {count(both)} volumes that both {name} and the metrics have judged, {count(same)} "
        f"({share(same, both)}) have the same rating. Agreement is no accuracy: the metrics see "
        f"what is unusual in the stratum, {SEES[opinions.method]}."
    )
    caption = f"Volumes rated by {name}, by what metrics_score alone would have said"
    head = [f"rated by {name}", *(f"metrics: {one}" for one in (*RATINGS, UNJUDGED))]
    return [
        note(said),
        table(caption, head, _cells(crossed, (*RATINGS, UNJUDGED))),
        _disagreements(opinions.disagreements, name),
    ]


def _cells(crossed: Mapping[tuple[str, str], int], others: Sequence[str]) -> list[list[str | Html]]:
    return [
        [badge(own), *(count(crossed.get((own, other), 0)) for other in others)] for own in RATINGS
    ]


def _disagreements(rows: Sequence[Row], name: str) -> Html | None:
    if not rows:
        return None
    listed = table(
        f"Volumes on which {name} and the metrics differ most",
        ["series_id", "volume", "quality_score", "metrics_score", "rating"],
        [
            [identifier(row["series_id"]), row["volume"], decimal(row["quality_score"], 2),
             decimal(row["metrics_score"], 2), badge(row["rating"])]
            for row in rows
        ],
        class_="sortable",
    )  # fmt: skip
    return element("details", element("summary", "Where they differ most"), listed)


def _both(both: Mapping[tuple[str, str], int]) -> list[Html]:
    if not both:
        return []
    total, same = sum(both.values()), sum(n for (own, other), n in both.items() if own == other)
    said = (
        f"Both learned methods have judged {count(total)} volumes, {count(same)} "
        f"({share(same, total)}) of them alike. There the hierarchy's rating counts."
    )
    head = ["the hierarchy", *(f"SimCLR: {one}" for one in RATINGS)]
    caption = "Volumes judged by both: the hierarchy's rating, by what SimCLR's score would say"
    return [note(said), table(caption, head, _cells(both, RATINGS))]
