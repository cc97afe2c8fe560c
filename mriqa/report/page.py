"""`mriqa report`: one HTML page that needs nothing but itself.

The content security policy lets the page load nothing, run no script but its own (named by its
hash) and send nothing anywhere. All text from the cohort is escaped (`mriqa.report.html`).
"""

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from duckdb import DuckDBPyConnection

from mriqa.config import ReportSection
from mriqa.files import write_text
from mriqa.progress import track
from mriqa.report.compact import MAX_PAGE_BYTES, shrink
from mriqa.report.connection import connected
from mriqa.report.contested import Key as LookKey
from mriqa.report.contested import (
    Look,
    gather_second_look,
    second_look_section,
    take_look_pictures,
)
from mriqa.report.gallery import Shelf, gallery
from mriqa.report.hierarchy import METHOD as HIERARCHY
from mriqa.report.hierarchy import gather_reach, read_hierarchy_model
from mriqa.report.hierarchy_section import HierarchyPart, hierarchy_section
from mriqa.report.html import Html, element, joined
from mriqa.report.hysnet import METHOD as HYSNET
from mriqa.report.hysnet import NAME as HYSNET_NAME
from mriqa.report.hysnet import read_hysnet_model
from mriqa.report.hysnet_section import HysnetPart, hysnet_section
from mriqa.report.judges import Judges, judges_section
from mriqa.report.learned import METHOD as SIMCLR
from mriqa.report.learned import read_learned
from mriqa.report.likeness import crossed_methods, gather_opinions, poor_references
from mriqa.report.model import Learned, model_section
from mriqa.report.numbers import failures, overview, reasons, scores
from mriqa.report.origin import provenance, questions
from mriqa.report.picks import Pick, pick_checked, pick_gaps, pick_random, pick_worst
from mriqa.report.pictures import WITH_PLANES, Picture, take_pictures, tile_pixels
from mriqa.report.predictions import gather_predictions
from mriqa.report.raters import Raters, raters_section, read_raters
from mriqa.report.reference_pictures import PART, Place, find_places, take_reference_pictures
from mriqa.report.slice_maps import gather_slice_maps
from mriqa.report.summary import Summary, summarise

FORMAT_VERSION = 5
"""Raise it when the page changes: `report` then runs again."""

MAX_CHECKED = 8
"""Pictures of volumes that pass, though a check of the metrics failed."""
MAX_GAPS = 8
"""Pictures of volumes of which HyS-Net predicts another number than was measured."""
COMPACT_NOTE = "Small copy with reduced pictures; the full page is report/index.html."
NAVIGATION = {
    "overview": "Overview", "scores": "Scores", "reasons": "Flags", "pictures": "Pictures",
    "raters": "Raters", "second-look": "Second look", "opinions": "Who rated",
    "hierarchy": "Hierarchy", "model": "SimCLR", "hysnet": "HyS-Net", "failures": "Failures",
    "provenance": "Provenance", "query": "Ask the tables",
}  # fmt: skip


@dataclass(frozen=True)
class Content:
    """What the page shows, but for the pictures.

    `judges` is None without a learned method, `learned` without SimCLR, `hierarchy` and `hysnet`
    without it, `raters` without labels. `places` are those of the series that references are made
    of.
    """

    title: str
    summary: Summary
    shelves: Sequence[Shelf]
    judges: Judges | None
    learned: Learned | None
    places: Mapping[str, Place]
    hierarchy: HierarchyPart | None
    hysnet: HysnetPart | None
    raters: Raters | None

    @property
    def picks(self) -> list[Pick]:
        """Of all lists."""
        return [pick for shelf in self.shelves for pick in shelf.picks]

    @property
    def references(self) -> list[str]:
        """Names of the references shown beside volumes, as often as they are shown."""
        shown = [pick for one in self.shelves if one.with_references for pick in one.picks]
        return [name for pick in shown if pick.likeness for name in pick.likeness.references]

    @property
    def looks(self) -> Sequence[Look]:
        """Contested labels that are shown."""
        return self.hierarchy.second_look.looks if self.hierarchy else ()

    @property
    def anchors(self) -> dict[tuple[str, int], str]:
        """Ids of the cards of volumes, by series and volume; of several, the last list's."""
        return {
            (pick.series_id, pick.volume): f"{shelf.anchor}-{pick.place}"
            for shelf in self.shelves
            for pick in shelf.picks
        }

    @property
    def n_pictures(self) -> float:
        """Pictures on the page, those of references and contested labels counting PART each."""
        return len(self.picks) + PART * (len(self.references) + len(self.looks))

    def page(self, shown: "Shown", note: str = "") -> str:
        """The whole page as text; `note` stands below its title."""
        bank = self.learned.model.references if self.learned else None
        hq = frozenset(bank.hq_names) if bank else frozenset[str]()
        part, number = self.hierarchy, self.hysnet
        models = [one.model for one in (part, self.learned, number) if one]
        sections = [
            overview(self.summary),
            scores(self.summary),
            reasons(self.summary),
            gallery(self.shelves, shown.volumes, shown.references, hq),
            raters_section(self.raters) if self.raters else None,
            second_look_section(part.second_look, shown.looks) if part else None,
            judges_section(self.judges) if self.judges else None,
            hierarchy_section(part) if part else None,
            model_section(self.learned) if self.learned else None,
            hysnet_section(number, self.anchors) if number else None,
            failures(self.summary),
            provenance(self.summary, models),
            questions(self.summary.methods, has_labels=self.raters is not None),
        ]
        return document(self.title, self.summary, [one for one in sections if one], note)


@dataclass(frozen=True)
class Shown:
    """The pictures: of volumes by series_id and volume, of references by name, of contested labels
    by what they are of."""

    volumes: dict[tuple[str, int], Picture]
    references: dict[str, Picture]
    looks: dict[LookKey, Picture]

    def bytes_in(self, content: Content) -> int:
        """Of all pictures, each as often as it is shown."""
        volumes = (self.volumes[pick.series_id, pick.volume] for pick in content.picks)
        references = (self.references[name] for name in content.references)
        looks = self.looks.values()
        return sum(len(one.uri or "") for one in (*volumes, *references, *looks))

    def shrunk(self, share: float) -> "Shown":
        """The same, a volume's picture of at most `share` bytes, the others' of PART of it."""
        return Shown(
            shrink(self.volumes, int(share * len(self.volumes))),
            shrink(self.references, int(PART * share * len(self.references))),
            shrink(self.looks, int(PART * share * len(self.looks))),
        )


def write_report(results: Path, section: ReportSection) -> Path:
    """Write `results/report/index.html` from the tables and stores of `results`; returns its path.

    Also `compact.html`, the same with pictures small enough for `snakemake --report`. Size and
    memory do not grow with the cohort: aggregates, `section.worst` + `section.random` pictures, and
    where a learned method has rated, two references beside each of the worst. A store, model or
    bank that cannot be read costs its picture or its part only. Raises UserError without tables.
    """
    content = gather_content(results, section)
    shown = take_all_pictures(results, content)
    full = content.page(shown)
    target = results / "report" / "index.html"
    budget = MAX_PAGE_BYTES - (len(full.encode()) - shown.bytes_in(content)) - len(COMPACT_NOTE)
    small = shown.shrunk(max(0, budget) / max(1.0, content.n_pictures))
    write_text(target.with_name("compact.html"), content.page(small, COMPACT_NOTE))
    write_text(target, full)
    return target


def gather_content(results: Path, section: ReportSection) -> Content:
    """All that the tables say, and what lies on disk of labels and learned methods."""
    with connected(results) as connection:
        summary = summarise(connection, results)
        hysnet = gather_hysnet(connection, results, summary)
        shelves = pick_shelves(connection, summary, section, hysnet)
        judges = gather_judges(connection, summary)
        learned, places = gather_simclr(connection, results, summary, judges)
        hierarchy = gather_hierarchy(connection, results, summary)
    raters = read_raters(results)
    return Content(
        section.title, summary, shelves, judges, learned, places, hierarchy, hysnet, raters
    )


def gather_judges(connection: DuckDBPyConnection, summary: Summary) -> Judges | None:
    """What the learned methods have rated, and how they compare; leaves the table `judged`."""
    named = [one for one in (HIERARCHY, SIMCLR) if one in summary.methods]
    if not named:
        return None
    opinions = [gather_opinions(connection, *summary.thresholds, one) for one in named]
    both = crossed_methods(connection, *summary.thresholds) if len(named) > 1 else {}
    return Judges(opinions, both)


def gather_simclr(
    connection: DuckDBPyConnection, results: Path, summary: Summary, judges: Judges | None
) -> tuple[Learned | None, dict[str, Place]]:
    """All about SimCLR, and where its references are; nothing where it has not rated."""
    named = summary.methods.get(SIMCLR)
    if named is None or judges is None:
        return None, {}
    model = read_learned(results, named)
    known = model.references.by_name.values() if model.references else ()
    hq = [(one.series_id, one.volume) for one in known if one.family is None]
    poor = poor_references(connection, hq)
    (opinions,) = (one for one in judges.opinions if one.method == SIMCLR)
    return Learned(model, opinions, poor, summary.thresholds), find_places(connection, known)


def gather_hierarchy(
    connection: DuckDBPyConnection, results: Path, summary: Summary
) -> HierarchyPart | None:
    """All about the hierarchy; None where it has not rated."""
    named = summary.methods.get(HIERARCHY)
    if named is None:
        return None
    model = read_hierarchy_model(results, named)
    reach = None if model.strata is None else gather_reach(connection, model.strata)
    second_look = gather_second_look(connection, results, named)
    return HierarchyPart(model, reach, gather_slice_maps(connection), second_look)


def gather_hysnet(
    connection: DuckDBPyConnection, results: Path, summary: Summary
) -> HysnetPart | None:
    """All about HyS-Net; None where it has not predicted."""
    named = summary.methods.get(HYSNET)
    if named is None:
        return None
    model = read_hysnet_model(results, named)
    return HysnetPart(model, gather_predictions(connection, model))


def pick_shelves(
    connection: DuckDBPyConnection,
    summary: Summary,
    section: ReportSection,
    hysnet: HysnetPart | None,
) -> list[Shelf]:
    """The lists of pictures; the second is only there where a learned method has rated, the last
    where HyS-Net has predicted what is measured, too."""
    has_references, fail_below = SIMCLR in summary.methods, summary.thresholds[0]
    checked: Sequence[Pick] = ()
    if summary.raters and fail_below is not None:
        checked = pick_checked(connection, min(MAX_CHECKED, section.worst), fail_below)
    gaps = hysnet.predictions.gaps[: min(MAX_GAPS, section.worst)] if hysnet else ()
    return [
        Shelf("worst", "Lowest scores",
              "The lowest-scoring volume of each of the lowest-scoring series.",
              pick_worst(connection, section.worst), has_references),
        Shelf("checks", "Rated pass, but a check failed",
              f"Flagged because the metrics find them far from usual, {_though(summary.raters)}: "
              "the lowest by metrics_score.", checked, has_references),
        Shelf("random", "Drawn at random",
              "Measured volumes of any rating, to see what usual looks like.",
              pick_random(connection, section.random, section.seed), False),
        Shelf("gaps", "Predicted otherwise than measured",
              f"Of these {HYSNET_NAME} predicts another number than was measured: the number, the "
              "image or the network is odd.", pick_gaps(connection, gaps), False),
    ]  # fmt: skip


def _though(methods: Collection[str]) -> str:
    """Why a volume that the metrics doubt may pass."""
    if HIERARCHY in methods and SIMCLR in methods:
        return "though the hierarchy, or where it cannot rate SimCLR, passes them"
    if HIERARCHY in methods:
        return "though pass is what is most probable to the hierarchy"
    return "though they are not like the simulated artifacts"


def take_all_pictures(results: Path, content: Content) -> Shown:
    """Each volume, reference and contested label that the page shows, once."""
    once = {(pick.series_id, pick.volume): pick for pick in content.picks}
    tile = tile_pixels(
        WITH_PLANES * len(once) + PART * (len(content.references) + len(content.looks))
    )
    names = list(dict.fromkeys(content.references))
    bank = content.learned.model.references if content.learned else None
    known = bank.by_name if bank else {}
    taken = take_pictures(results, once.values(), tile)
    volumes = dict(track(taken, len(once), "report", "pictures"))
    made = take_reference_pictures(results, names, known, content.places, tile)
    seen = take_look_pictures(results, content.looks, tile)
    return Shown(
        volumes,
        dict(track(made, len(names), "report", "references")),
        dict(track(seen, len(content.looks), "report", "contested labels")),
    )


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
        _navigation(sections),
        element("main", *sections, id="content"),
        _footer(),
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


def _navigation(sections: Sequence[Html]) -> Html:
    links = [
        element("li", element("a", text, href=f"#{anchor}"))
        for anchor, text in NAVIGATION.items()
        if any(one.startswith(f'<section id="{anchor}"') for one in sections)
    ]
    return element("nav", element("ul", *links), aria_label="Sections")


def _footer() -> Html:
    return element(
        "footer",
        "This page holds images and identifiers of participants: handle it as you handle the data. "
        "It loads nothing from anywhere and works without a network.",
    )
