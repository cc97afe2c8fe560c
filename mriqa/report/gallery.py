"""The sections of the page that hold pictures."""

from collections.abc import Mapping, Sequence

from mriqa.methods.simclr.columns import MATCHING_LEVELS
from mriqa.report.html import Html, element, joined
from mriqa.report.likeness import Likeness, name_parts
from mriqa.report.parts import badge, decimal, note, rounded, section, signed
from mriqa.report.picks import Oddity, Pick
from mriqa.report.pictures import Picture, Pictures, missing
from mriqa.tables.schemas import FLAG_REASONS

NOTE = (
    "Grey levels go from the volume's least value to the 99.5th percentile of its foreground. Seen "
    "from the feet (axial), the front (coronal) or the left (sagittal); the patient's right is on "
    "the left. Eight slices, the one that lacks most signal against its neighbours among them. "
    "Select a picture to enlarge it. Below it are the metrics that stand out on the bad side: "
    "value vs median of the stratum · robust z-score."
)
REFERENCES_NOTE = (
    "Beside a volume that SimCLR has rated are the high-quality (HQ) and the low-quality (LQ) "
    "reference of its stratum that it is most like: four slices each. LQ references are simulated: "
    "an HQ reference with an artifact, here in the grey levels of the reference without it. Alike "
    "means alike to the encoder, after whitening; whether you see it too is for you to judge."
)
Named = Mapping[str, Picture]
"""Pictures of references by the name that the tables have."""


def gallery(
    worst: Sequence[Pick],
    random: Sequence[Pick],
    pictures: Pictures,
    references: Named | None = None,
    hq: frozenset[str] = frozenset(),
) -> Html:
    """Both lists of pictures; `hq` are the names of volumes that are HQ references."""
    if not worst and not random:
        return section("pictures", "Pictures", note("There is no measured volume to show."))
    is_compared = any(pick.likeness for pick in worst)
    return section(
        "pictures",
        "Pictures",
        note(NOTE),
        note(REFERENCES_NOTE) if is_compared else None,
        *_list("worst", "Lowest scores", worst, pictures,
               "The lowest-scoring volume of each of the lowest-scoring series.",
               references if is_compared else None, hq),
        *_list("random", "Drawn at random", random, pictures,
               "Measured volumes of any rating, to see what usual looks like.", None, hq),
    )  # fmt: skip


def _list(
    anchor: str,
    title: str,
    picks: Sequence[Pick],
    pictures: Pictures,
    explained: str,
    references: Named | None,
    hq: frozenset[str],
) -> list[Html]:
    if not picks:
        return []
    cards = [
        element(
            "li", _card(f"{anchor}-{pick.place}", pick, pictures, references, hq),
            id=f"{anchor}-{pick.place}",
        )
        for pick in picks
    ]  # fmt: skip
    heading = element("h3", f"{title} ({len(picks)})", id=anchor)
    list_ = element("ul", *cards, class_="cards" if references is None else "cards wide")
    return [heading, note(explained), list_]


def _card(
    anchor: str, pick: Pick, pictures: Pictures, references: Named | None, hq: frozenset[str]
) -> Html:
    """The picture of a volume and what is said of it; where compared, its references beside it."""
    what = f"volume {pick.volume} of {pick.series_id}"
    own = _frame(anchor, what, pictures[pick.series_id, pick.volume])
    name = _name(pick, is_reference=f"{pick.series_id} {pick.volume}" in hq)
    if references is None or pick.likeness is None:
        text = element("figcaption", name, _oddities(pick))
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
        element("div", _numbers(pick, pick.likeness), _oddities(pick), class_="opinions"),
        class_="card compared",
    )


def _reference(anchor: str, kind: str, name: str, picture: Picture | None) -> Html:
    series_id, made = name_parts(name, is_simulated=kind == "LQ")
    return element(
        "figure",
        _frame(anchor, f"{kind} reference {name}", picture or missing("it was not looked for")),
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
        "rated by": pick.rating_source or "–",
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


def _frame(anchor: str, what: str, picture: Picture) -> Html:
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
