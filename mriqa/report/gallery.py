"""The sections of the page that hold pictures."""

from collections.abc import Sequence

from mriqa.report.html import Html, element
from mriqa.report.parts import badge, note, rounded, section
from mriqa.report.picks import Oddity, Pick
from mriqa.report.pictures import Picture, Pictures
from mriqa.tables.schemas import FLAG_REASONS


def gallery(worst: Sequence[Pick], random: Sequence[Pick], pictures: Pictures) -> Html:
    """Both lists of pictures."""
    if not worst and not random:
        return section("pictures", "Pictures", note("There is no measured volume to show."))
    return section(
        "pictures",
        "Pictures",
        note(
            "Grey levels go from the volume's least value to the 99.5th percentile of its "
            "foreground. Seen from the feet (axial), the front (coronal) or the left (sagittal); "
            "the patient's right is on the left. Eight slices, the one that lacks most signal "
            "against its neighbours among them. Select a picture to enlarge it. Below it are the "
            "metrics that stand out on the bad side: value vs median of the stratum · robust "
            "z-score."
        ),
        *_list("worst", "Lowest scores", worst, pictures,
               "The lowest-scoring volume of each of the lowest-scoring series."),
        *_list("random", "Drawn at random", random, pictures,
               "Measured volumes of any rating, to see what usual looks like."),
    )  # fmt: skip


def _list(
    anchor: str, title: str, picks: Sequence[Pick], pictures: Pictures, explained: str
) -> list[Html]:
    if not picks:
        return []
    cards = [
        _card(f"{anchor}-{pick.place}", pick, pictures[pick.series_id, pick.volume])
        for pick in picks
    ]
    heading = element("h3", f"{title} ({len(picks)})", id=anchor)
    return [heading, note(explained), element("ul", *cards, class_="cards")]


def _card(anchor: str, pick: Pick, picture: Picture) -> Html:
    score = "–" if pick.quality_score is None else f"{pick.quality_score:.3f}"
    reason = pick.flag_reason
    head = element(
        "div",
        element("span", score, class_="score", title="quality_score"),
        badge(pick.rating, pick.status),
        element("span", reason, class_="badge", title=FLAG_REASONS.get(reason)) if reason else None,
        element("span", f"#{pick.place}", class_="place"),
        class_="head",
    )
    where = [pick.contrast, pick.site, f"volume {pick.volume}" if pick.volume else None]
    text = element(
        "figcaption",
        head,
        element("span", pick.series_id, class_="id"),
        element("div", " · ".join(part for part in where if part), class_="meta"),
        element("ul", *(_oddity(odd) for odd in pick.oddities), class_="metrics")
        if pick.oddities
        else None,
    )
    figure = element("figure", _frame(anchor, pick, picture), text, class_="card")
    return element("li", figure, id=anchor)


def _frame(anchor: str, pick: Pick, picture: Picture) -> Html:
    if picture.uri is None:
        text = f"Picture not available: {picture.problem}"
        return element("span", element("span", text, class_="missing"), class_="frame")
    alt = f"Volume {pick.volume} of {pick.series_id}: {picture.caption}"
    image = element(
        "img", src=picture.uri, alt=alt, width=picture.width, height=picture.height,
        decoding="sync",
    )  # fmt: skip
    bar = element(
        "p",
        element("a", "Close", href=f"#{anchor}"),
        f" · {pick.series_id}, volume {pick.volume} · {picture.caption}",
        class_="bar",
    )
    enlarge = element("a", image, href=f"#{anchor}-large", title="Enlarge")
    return element("div", bar, enlarge, class_="frame", id=f"{anchor}-large")


def _oddity(odd: Oddity) -> Html:
    z = f"> {odd.z:.0f}" if odd.capped else f"{odd.z:.1f}"
    text = f"{rounded(odd.value)} vs {rounded(odd.median)} · {z} σ"
    return element("li", element("span", odd.name), element("span", text))
