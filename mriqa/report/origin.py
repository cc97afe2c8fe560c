"""The sections of the page that say where its numbers come from and how to ask for more."""

import json

from mriqa.report.html import Html, element, table
from mriqa.report.parts import count, identifier, note, section
from mriqa.report.summary import Row, Summary

EXAMPLES = {
    "Everything flagged, worst first": """
SELECT series_id, volume, quality_score, rating, flag_reason
FROM volumes WHERE flag ORDER BY quality_score""",
    "Sessions that pass, for an analysis": """
SELECT subject, session, quality_score, quality_score_min
FROM subjects WHERE rating = 'pass' AND NOT flag""",
    "Share of volumes that pass, by site and contrast": """
SELECT site, contrast, count(*) AS n, avg((rating = 'pass')::INT) AS passed
FROM volumes WHERE status = 'ok' GROUP BY ALL ORDER BY passed""",
    "Failures by cause": """
SELECT error_code, count(*) AS n FROM failures GROUP BY ALL ORDER BY n DESC""",
}


def provenance(summary: Summary) -> Html:
    """Run, versions, settings."""
    run = summary.run
    if not run:
        return section("provenance", "Provenance", note("The runs table is empty."))
    facts = {
        "run_id": run["run_id"],
        "finished": run["finished"],
        "mriqa": run["mriqa_version"],
        "Python": run["python_version"],
        "cohort sha256": run["cohort_sha256"],
        "series indexed": count(run["n_indexed"]),
        "tables' schema version": run["schema_version"],
        "rating by": "hand-made metrics, no learned model",
    }
    pairs = [
        element(tag, value if tag == "dt" else identifier(str(value)))
        for item in facts.items()
        for tag, value in zip(("dt", "dd"), item, strict=True)
    ]
    return section(
        "provenance",
        "Provenance",
        element("dl", *pairs, class_="facts"),
        _settings(run),
        _versions(run),
    )


def _settings(run: Row) -> Html:
    text = json.dumps(run["settings"], indent=2, sort_keys=True, ensure_ascii=False)
    return element("details", element("summary", "Settings of the rating"), element("pre", text))


def _versions(run: Row) -> Html:
    rows = [[name, str(version)] for name, version in sorted(run["library_versions"].items())]
    listed = table("Library versions", ["package", "version"], rows)
    return element("details", element("summary", "Library versions"), listed)


def questions() -> Html:
    """How to query the tables."""
    examples = [
        part
        for title, sql in EXAMPLES.items()
        for part in (element("h3", title), element("pre", element("code", sql.strip())))
    ]
    return section(
        "query",
        "Ask the tables",
        element(
            "p",
            "The tables are Parquet files in ",
            identifier("tables/"),
            " beside this report's folder, each with a data dictionary (",
            identifier(".json"),
            "). ",
            identifier('mriqa query RESULTS "SQL"'),
            " knows them by name; so does DuckDB after ",
            identifier("CREATE VIEW volumes AS FROM 'tables/volumes.parquet'"),
            ". pandas and polars read them as they are.",
        ),
        *examples,
    )
