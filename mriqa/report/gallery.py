"""The sections of the page that hold pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mriqa.methods.simclr.columns import MATCHING_LEVELS
from mriqa.report.html import Html, element, joined
from mriqa.report.likeness import Likeness, name_parts
from mriqa.report.parts import badge, decimal, method_name, note, rounded, section, signed
from mriqa.report.picks import Oddity, Pick
from mriqa.report.pictures import Picture, Pictures, missing
from mriqa.tables.schemas import FLAG_REASONS

NOTE = (
    "Grey levels go from the volume's least value to the 99.5th percentile of its foreground. Seen "
    "from the feet (axial), the front (coronal) or the left (sagittal); the patient's right is on "
    "the left. Eight slices, the one that lacks most signal against its neighbours among them; "
    "below them, of thick slices, two planes across, which motion between slices tears. Select "
    "a picture to enlarge it. Below it are the metrics that stand out on the bad side: "
    "value vs median of the stratum · robust z-score."
)
NETWORKS_NOTE = (
    "Of a volume that the hierarchy has rated, the slice that is worst to its networks is among "
    "the eight instead; the bar shows the probabilities of pass, questionable and fail."
)
REFERENCES_NOTE = (
    "Beside a volume that SimCLR has rated are the high-quality (HQ) and the low-quality (LQ) "
    "reference of its stratum that it is most like: four slices each. LQ references are simulated: "
    "an HQ reference with an artifact, here in the grey levels of the reference without it. Alike "
    "means alike to the encoder, after whitening; whether you see it too is for you to judge."
)
Named = Mapping[str, Picture]
"""Pictures of references by the name that the tables have."""


@dataclass(frozen=True)
class Shelf:
    """A list of pictures; `with_references`: where SimCLR has rated, references stand beside."""

    anchor: str
    title: str
    explained: str
    picks: Sequence[Pick]
    with_references: bool


def gallery(
    shelves: Sequence[Shelf],
    pictures: Pictures,
    references: Named,
    hq: frozenset[str] = frozenset(),
) -> Html:
    """The lists of pictures; `hq` are the names of volumes that are HQ references."""
    filled = [shelf for shelf in shelves if shelf.picks]
    if not filled:
        return section("pictures", "Pictures", note("There is no measured volume to show."))
    return section(
        "pictures",
        "Pictures",
        note(NOTE),
        note(NETWORKS_NOTE) if any(pick.networks for one in filled for pick in one.picks) else None,
        note(REFERENCES_NOTE) if references else None,
        *(part for shelf in filled for part in _shelf(shelf, pictures, references, hq)),
    )


def _shelf(shelf: Shelf, pictures: Pictures, references: Named, hq: frozenset[str]) -> list[Html]:
    beside = references if shelf.with_references and references else None
    cards = [
        element("li", _card(at, pick, pictures, beside, hq), id=at)
        for pick in shelf.picks
        for at in [f"{shelf.anchor}-{pick.place}"]
    ]
    heading = element("h3", f"{shelf.title} ({len(shelf.picks)})", id=shelf.anchor)
    list_ = element("ul", *cards, class_="cards" if beside is None else "cards wide")
    return [heading, note(shelf.explained), list_]


def _card(
    anchor: str, pick: Pick, pictures: Pictures, references: Named | None, hq: frozenset[str]
) -> Html:
    """The picture of a volume and what is said of it; where compared, its references beside it."""
    what = f"volume {pick.volume} of {pick.series_id}"
    own = frame(anchor, what, pictures[pick.series_id, pick.volume])
    name = _name(pick, is_reference=f"{pick.series_id} {pick.volume}" in hq)
    if references is None or pick.likeness is None:
        text = element("figcaption", name, _gap(pick), _networks(pick), _oddities(pick))
        return element("figure", own, text, class_="card" if references is None else "card alone")
    nearest = (("HQ", pick.likeness.nearest_hq), ("LQ", pick.likeness.nearest_lq))
    beside = [
        _reference(f"{anchor}-{kind.lower()}", kind, name, references.get(name))
        for kind, name in nearest
        if name is not None
    ]
    return element(
        "div",
        element("figure", own, element("figcaption", name), class_="own"),
        *beside,
        element(
            "div",
            _numbers(pick, pick.likeness),
            _gap(pick),
            _networks(pick),
            _oddities(pick),
            class_="opinions",
        ),
        class_="card compared",
    )


def _reference(anchor: str, kind: str, name: str, picture: Picture | None) -> Html:
    series_id, made = name_parts(name, is_simulated=kind == "LQ")
    return element(
        "figure",
        frame(anchor, f"{kind} reference {name}", picture or missing("it was not looked for")),
        element(
            "figcaption",
            element("strong", f"Nearest {kind} reference"),
            element("span", series_id, class_="id"),
            element("span", made, class_="meta"),
        ),
        id=anchor,
        class_="reference",
    )


def _name(pick: Pick, *, is_reference: bool) -> Html:
    where = [pick.contrast, pick.site, f"volume {pick.volume}" if pick.volume else None]
    return joined(
        [
            _head(pick, is_reference=is_reference),
            element("span", pick.series_id, class_="id"),
            element("div", " · ".join(part for part in where if part), class_="meta"),
        ]
    )


def _gap(pick: Pick) -> Html | None:
    return pick.gap.told() if pick.gap else None


def _networks(pick: Pick) -> Html | None:
    return pick.networks.told() if pick.networks else None


def _oddities(pick: Pick) -> Html | None:
    if not pick.oddities:
        return None
    return element("ul", *(_oddity(odd) for odd in pick.oddities), class_="metrics")


def _head(pick: Pick, *, is_reference: bool) -> Html:
    reason = pick.flag_reason
    spread = pick.likeness.quality_sd if pick.likeness else None
    is_spread = spread is not None and pick.rating_source == "simclr"
    return element(
        "div",
        element("span", decimal(pick.quality_score), class_="score", title="quality_score"),
        element("span", f"± {decimal(spread, 2)}", class_="spread", title="simclr_quality_sd")
        if is_spread
        else None,
        badge(pick.rating, pick.status),
        element("span", reason, class_="badge", title=FLAG_REASONS.get(reason)) if reason else None,
        element("span", "HQ reference", class_="badge", title="Other volumes are compared with it")
        if is_reference
        else None,
        element("span", f"#{pick.place}", class_="place"),
        class_="head",
    )


def _numbers(pick: Pick, likeness: Likeness) -> Html:
    """What SimCLR and the metrics say, one beside the other."""
    matching = likeness.matching or ""
    spread = decimal(likeness.quality_sd, 2)
    said = {
        "rated by": method_name(pick.rating_source) if pick.rating_source else "–",
        "score of SimCLR": f"{decimal(likeness.quality_score, 2)} ± {spread}",
        "score of the metrics": decimal(pick.metrics_score, 2),
        "margin, whitened": signed(likeness.margin_whitened),
        "margin (HQ − LQ)": f"{signed(likeness.margin, 4)} "
        f"({decimal(likeness.s_hq, 4)} − {decimal(likeness.s_lq, 4)})",
        "its references": MATCHING_LEVELS.get(matching, matching or "–"),
    }
    pairs = [
        element("div", element("dt", name), element("dd", text)) for name, text in said.items()
    ]
    return element("dl", *pairs)


def frame(anchor: str, what: str, picture: Picture) -> Html:
    """A picture that a click enlarges, or why there is none; `anchor` is the id around it."""
    if picture.uri is None:
        text = f"Picture not available: {picture.problem}"
        return element("span", element("span", text, class_="missing"), class_="frame")
    alt = f"{what[0].upper()}{what[1:]}: {picture.caption}"
    image = element(
        "img", src=picture.uri, alt=alt, width=picture.width, height=picture.height,
        decoding="sync",
    )  # fmt: skip
    bar = element(
        "p",
        element("a", "Close", href=f"#{anchor}"),
        f" · {what} · {picture.caption}",
        class_="bar",
    )
    enlarge = element("a", image, href=f"#{anchor}-large", title="Enlarge")
    return element("div", bar, enlarge, class_="frame", id=f"{anchor}-large")


def _oddity(odd: Oddity) -> Html:
    z = f"> {odd.z:.0f}" if odd.capped else f"{odd.z:.1f}"
    text = f"{rounded(odd.value)} vs {rounded(odd.median)} · {z} σ"
    return element("li", element("span", odd.name), element("span", text))
