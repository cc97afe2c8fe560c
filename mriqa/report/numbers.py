"""The sections of the page that hold numbers: counts, scores, reasons, failures."""

from collections.abc import Collection, Sequence

from mriqa.errors import ERROR_DESCRIPTIONS
from mriqa.report.charts import distribution, share_bar
from mriqa.report.html import Html, element, joined, table
from mriqa.report.parts import count, identifier, note, section, share
from mriqa.report.summary import OTHERS, RATINGS, STATUSES, Group, Row, Summary
from mriqa.tables.schemas import FLAG_REASONS, RATING_LEVELS, STATUS_LEVELS

STATUS_NAMES = {
    "ok": "rated", "failed": "failed", "excluded": "excluded", "no_reference": "no reference",
}  # fmt: skip
TILE_NAMES = {**STATUS_NAMES, "no_reference": "without reference"}
ERROR_TEXTS = {code.value: text for code, text in ERROR_DESCRIPTIONS.items()}


def overview(summary: Summary) -> Html:
    """Headline counts and the reconciliation."""
    series, volumes = summary.series, summary.volumes
    tiles = [
        _tile("all", "series indexed", series["indexed"]),
        *(
            _tile(_status_class(key), f"series {TILE_NAMES[key]}", series[key], series["indexed"])
            for key in STATUSES
        ),
    ]
    ratings = [
        _tile("all", "volumes rated", volumes["ok"]),
        *(_tile(key, f"volumes {key}", volumes[key], volumes["ok"]) for key in RATINGS),
        _tile("questionable", "rows flagged", volumes["flagged"]),
    ]
    return section(
        "overview",
        "Overview",
        element("dl", *tiles, class_="tiles"),
        element("dl", *ratings, class_="tiles"),
        _balance(summary),
        _shards(summary),
    )


def _status_class(status: str) -> str:
    return {"ok": "pass", "failed": "fail"}.get(status, "idle")


def _tile(class_: str, title: str, number: int, whole: int | None = None) -> Html:
    part = element("span", share(number, whole), class_="share") if whole else None
    return element("div", element("dt", title), element("dd", count(number), part), class_=class_)


def _balance(summary: Summary) -> Html:
    series = summary.series
    terms = " + ".join(f"{count(series[key])} {STATUS_NAMES[key]}" for key in STATUSES)
    fine = not summary.unbalanced and summary.has_cohort
    if fine:
        text = f"✓ Every indexed series is accounted for: {count(series['indexed'])} = {terms}"
        text += ", in total and in each shard."
    elif not summary.has_cohort:
        text = f"The index (cohort.parquet) is not there to count against. Found: {terms}."
    else:
        names = ", ".join(str(row["shard"]) for row in summary.unbalanced[:10])
        text = (
            f"✕ Series are unaccounted for: {count(series['indexed'])} indexed, {terms}. "
            f"Shards that do not add up: {names}. Run `mriqa merge` again before using the tables."
        )
    return element("p", text, class_="balance" if fine else "balance bad", role="status")


def _shards(summary: Summary) -> Html:
    rows = [
        [row["shard"], count(row["indexed"]), *(count(row[key]) for key in STATUSES)]
        for row in summary.shards
    ]
    head = ["shard", "indexed", *STATUS_NAMES.values()]
    left = summary.n_shards - len(rows)
    more = note(f"and {count(left)} more shards: tables/reconciliation.json") if left else None
    listed = table("Series by shard", head, rows, class_="sortable")
    levels = note(
        " · ".join(f"{STATUS_NAMES[key]}: {STATUS_LEVELS[key]}" for key in STATUSES) + ". "
        "A series counts as rated if any of its volumes is."
    )
    return element("details", element("summary", "By shard"), levels, listed, more)


def scores(summary: Summary) -> Html:
    """Distribution of quality_score by contrast and site, and the table of ratings."""
    limits, panels = summary.thresholds, []
    unrated = [overall.contrast for overall in summary.overall if not overall.counts["ok"]]
    for overall in summary.overall:
        if overall.contrast in unrated:
            continue
        sites = [group for group in summary.groups if group.contrast == overall.contrast]
        head = element(
            "figcaption", overall.contrast, element("span", f"{count(overall.counts['ok'])} rated")
        )
        shown = limits if overall.counts["by_threshold"] else (None, None)
        panels.append(element("figure", head, distribution(overall, sites, shown), class_="panel"))
    return section(
        "scores",
        "Scores by contrast and site",
        _meaning(limits, summary.raters),
        _legend(),
        element("div", *panels, class_="panels") if panels else note("There are no rated volumes."),
        note(f"Without any rated volume: {', '.join(unrated)}.") if unrated else None,
        ratings_table(summary.groups),
    )


MEANINGS = {
    "simclr": "Of volumes that SimCLR has rated it is 1 − the severity of artifacts that is to be "
    "expected, calibrated on simulated ones.",
    "hierarchy": "Of volumes that the hierarchy has rated it is 1 − the severity to be expected by "
    "the probabilities of the three ratings, 0.2 to 0.9; their rating is the most probable one, "
    "whatever the score.",
}


def _meaning(limits: tuple[float | None, float | None], methods: Collection[str]) -> Html:
    low, high = limits
    unusual = (
        "it says how unusual a volume is, on the bad side, among volumes of the same stratum: a "
        "rank to look by, not a calibrated probability."
    )
    learned = [text for name, text in MEANINGS.items() if name in methods]
    lacking = ", which have no references" if set(methods) <= {"simclr"} else ""
    others = (
        f"Of the others{lacking}, {unusual}" if learned else f"Without a learned model {unusual}"
    )
    cuts = ""
    if low is not None and high is not None:
        but = ", but of the hierarchy's ratings" if "hierarchy" in methods else ""
        cuts = f" Fail is below {low:g}, pass from {high:g}{but}."
    text = " ".join([*learned, others])
    return element("p", f"quality_score goes from 0 to 1, higher is better. {text}{cuts}")


def _legend() -> Html:
    def key(name: str) -> Html:
        mark = element("rect", width=12, height=12, class_=name)
        return element("svg", mark, viewBox="0 0 12 12", aria_hidden="true")

    names = [element("li", key(name), f"{name}: {RATING_LEVELS[name]}") for name in RATINGS]
    strips = "strips: 5–95% (line), 25–75% (box), median of each site; dashed: thresholds"
    return element("ul", *names, element("li", strips), class_="legend")


def ratings_table(groups: Sequence[Group]) -> Html:
    """Counts a contrast and site."""
    head = ["contrast", "site", "rated", "shares", *RATINGS, "pass %", "flagged", "median score"]
    head += ["no reference", "failed", "excluded"]
    rows = [
        [
            group.contrast, group.site, count(group.counts["ok"]),
            share_bar([(key, group.counts[key]) for key in RATINGS]),
            *(count(group.counts[key]) for key in RATINGS),
            share(group.counts["pass"], group.counts["ok"]), count(group.counts["flagged"]),
            f"{group.quantiles[2]:.3f}" if group.quantiles else "–",
            *(count(group.counts[key]) for key in ("no_reference", "failed", "excluded")),
        ]
        for group in groups
    ]  # fmt: skip
    merged = any(OTHERS in (group.contrast, group.site) for group in groups)
    more = note(f"{OTHERS}: all the rarer ones together.") if merged else None
    title = "Volumes by contrast and site"
    return joined([table(title, head, rows, class_="sortable filterable"), more])


def reasons(summary: Summary) -> Html:
    """Why volumes are flagged."""
    if not summary.reasons:
        return section("reasons", "Why volumes are flagged", note("No volume is flagged."))
    most = max(row["n"] for row in summary.reasons)
    rows = [
        [
            identifier(row["name"]),
            count(row["n"]),
            share_bar([("questionable", row["n"]), ("none", most - row["n"])]),
            FLAG_REASONS.get(row["name"], ""),
        ]
        for row in summary.reasons
    ]
    head = ["flag_reason", "rows", "", "meaning"]
    explained = note("Each flagged row counts once, under its foremost reason.")
    listed = table("Flagged rows by reason", head, rows)
    return section("reasons", "Why volumes are flagged", explained, listed)


def failures(summary: Summary) -> Html:
    """What failed, by code and one by one."""
    parts: list[Html | None] = []
    if summary.n_failed_rows:
        parts += [_by_code(summary.failures), _one_by_one(summary)]
    else:
        parts.append(note("Nothing failed."))
    if summary.n_problems:
        parts.append(_problems(summary))
    return section("failures", "Failures", *parts)


def _by_code(counted: Sequence[Row]) -> Html:
    rows = [
        [
            identifier(row["name"]), count(row["n"]), count(row["series"]), count(row["subjects"]),
            ERROR_TEXTS.get(row["name"], ""),
        ]
        for row in counted
    ]  # fmt: skip
    head = ["error_code", "rows", "series", "subjects", "meaning"]
    return table("Failures by code", head, rows, class_="sortable")


def _one_by_one(summary: Summary) -> Html:
    rows = [
        [
            identifier(row["series_id"]),
            "–" if row["volume"] is None else row["volume"],
            identifier(row["error_code"]),
            row["error_message"],
        ]
        for row in summary.failed_rows
    ]
    head = ["series_id", "volume", "error_code", "what happened"]
    left = summary.n_failed_rows - len(rows)
    more = note(f"and {count(left)} more: ", identifier("SELECT * FROM failures")) if left else None
    return joined(
        [table("Failed series and volumes", head, rows, class_="sortable filterable"), more]
    )


def _problems(summary: Summary) -> Html:
    rows = [
        [row["file"], "–" if row["line"] is None else row["line"], row["column"], row["value"],
         row["problem"]]
        for row in summary.problems
    ]  # fmt: skip
    head = ["file", "line", "column", "value", "problem"]
    left = summary.n_problems - len(rows)
    more = note(f"and {count(left)} more: index_problems.parquet") if left else None
    title = f"Problems found by the index ({count(summary.n_problems)})"
    return joined([table(title, head, rows, class_="sortable"), more])
