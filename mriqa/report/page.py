"""`mriqa report`: one HTML page that needs nothing but itself.

The content security policy lets the page load nothing, run no script but its own (named by its
hash) and send nothing anywhere. All text from the cohort is escaped (`mriqa.report.html`).
"""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from mriqa.config import ReportSection
from mriqa.files import write_text
from mriqa.progress import track
from mriqa.report.compact import MAX_PAGE_BYTES, shrink
from mriqa.report.connection import connected
from mriqa.report.gallery import gallery
from mriqa.report.html import Html, element, joined
from mriqa.report.numbers import failures, overview, reasons, scores
from mriqa.report.origin import provenance, questions
from mriqa.report.picks import Pick, pick_random, pick_worst
from mriqa.report.pictures import Picture, Pictures, take_pictures, tile_pixels
from mriqa.report.summary import Summary, summarise

FORMAT_VERSION = 1
"""Raise it when the page changes: `report` then runs again."""

COMPACT_NOTE = "Small copy with reduced pictures; the full page is report/index.html."
NAVIGATION = {
    "overview": "Overview", "scores": "Scores", "reasons": "Flags", "pictures": "Pictures",
    "failures": "Failures", "provenance": "Provenance", "query": "Ask the tables",
}  # fmt: skip


def write_report(results: Path, section: ReportSection) -> Path:
    """Write `results/report/index.html` from the tables and stores of `results`; returns its path.

    Also `compact.html`, the same with pictures small enough for `snakemake --report`. Size and
    memory do not grow with the cohort: aggregates, and `section.worst` + `section.random` pictures.
    A store that cannot be read costs its picture only. Raises UserError without tables.
    """
    with connected(results) as connection:
        summary = summarise(connection, results)
        worst = pick_worst(connection, section.worst)
        random = pick_random(connection, section.random, section.seed)
    picks = [*worst, *random]
    pictures = _pictures(results, picks)
    target = results / "report" / "index.html"

    def page(shown: Pictures, note: str = "") -> str:
        pictured = gallery(worst, random, shown)
        return document(section.title, summary, _sections(summary, pictured), note)

    full = page(pictures)
    uses = [(pick.series_id, pick.volume) for pick in picks]
    in_pictures = sum(len(pictures[key].uri or "") for key in uses)
    budget = MAX_PAGE_BYTES - (len(full.encode()) - in_pictures) - len(COMPACT_NOTE)
    small = shrink(pictures, budget * len(pictures) // max(1, len(uses)))
    write_text(target.with_name("compact.html"), page(small, COMPACT_NOTE))
    write_text(target, full)
    return target


def _sections(summary: Summary, pictured: Html) -> list[Html]:
    return [
        overview(summary),
        scores(summary),
        reasons(summary),
        pictured,
        failures(summary),
        provenance(summary),
        questions(),
    ]


def _pictures(results: Path, picks: list[Pick]) -> dict[tuple[str, int], Picture]:
    once = {(pick.series_id, pick.volume): pick for pick in picks}
    taken = take_pictures(results, once.values(), tile_pixels(len(once)))
    return dict(track(taken, len(once), "report", "pictures"))


def document(title: str, summary: Summary, sections: list[Html], note: str = "") -> str:
    """The whole page as text; `note` stands below its title."""
    style, script = _resource("page.css"), _resource("page.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title}: quality report"),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        _header(title, summary, note),
        _navigation(),
        element("main", *sections, id="content"),
        _footer(summary),
        element("script", Html(script)),
    )
    return joined([Html("<!doctype html>\n"), element("html", head, body, lang="en"), "\n"])


def policy(style: str, script: str) -> str:
    """The content security policy of a page with exactly this style and script."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _resource(name: str) -> str:
    return files("mriqa.report").joinpath(name).read_text(encoding="utf-8")


def _header(title: str, summary: Summary, note: str) -> Html:
    run = summary.run
    made = "No run is recorded."
    if run:
        made = f"Run {run['run_id']}, finished {run['finished']}, mriqa {run['mriqa_version']}."
    return element(
        "header",
        element("h1", f"{title}: quality report"),
        element("p", made, class_="soft"),
        element("p", note, class_="note") if note else None,
    )


def _navigation() -> Html:
    links = [
        element("li", element("a", text, href=f"#{anchor}")) for anchor, text in NAVIGATION.items()
    ]
    return element("nav", element("ul", *links), aria_label="Sections")


def _footer(summary: Summary) -> Html:
    return element(
        "footer",
        "This page holds images and identifiers of participants: handle it as you handle the data. "
        "It loads nothing from anywhere and works without a network.",
    )
