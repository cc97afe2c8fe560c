"""The sections of the page that say where its numbers come from and how to ask for more."""

import json

from mriqa.report.html import Html, element, table
from mriqa.report.learned import Json, Model
from mriqa.report.parts import count, facts, identifier, note, section
from mriqa.report.summary import Summary

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

LEARNED_EXAMPLES = {
    "Where SimCLR and the metrics differ most": """
SELECT series_id, volume, quality_score, simclr_quality_sd, metrics_score, flag_reason
FROM volumes WHERE rating_source = 'simclr' ORDER BY abs(quality_score - metrics_score) DESC""",
    "How a volume was judged": """
SELECT simclr_class, simclr_sim, simclr_margin, simclr_margin_whitened, simclr_matching,
  simclr_nearest_hq, simclr_nearest_lq
FROM volumes WHERE series_id = '...'""",
}


def provenance(summary: Summary, model: Model | None = None) -> Html:
    """Run, versions, settings, and those of the learned model."""
    run = summary.run
    if not run:
        return section("provenance", "Provenance", note("The runs table is empty."))
    shown = {
        "run_id": run["run_id"],
        "finished": run["finished"],
        "mriqa": run["mriqa_version"],
        "Python": run["python_version"],
        "cohort sha256": run["cohort_sha256"],
        "series indexed": count(run["n_indexed"]),
        "tables' schema version": run["schema_version"],
        "rating by": _rated_by(summary),
    }
    return section(
        "provenance",
        "Provenance",
        facts({name: identifier(str(value)) for name, value in shown.items()}),
        _details("Settings of the rating", run["settings"]),
        _versions("Library versions", run["library_versions"]),
        *_of_model(model),
    )


def _rated_by(summary: Summary) -> str:
    if not summary.methods:
        return "hand-made metrics, no learned model"
    models = ", ".join(f"{name} ({named})" for name, named in summary.methods.items())
    return f"{models}; hand-made metrics where it has no references"


def _of_model(model: Model | None) -> list[Html | None]:
    """Where the model comes from; its settings and those of its references."""
    if model is None:
        return []
    origin = model.provenance
    shown = {
        "model_id": model.model_id,
        "trained by mriqa": origin.get("mriqa_version"),
        "training list sha256": origin.get("data_sha256"),
        "settings sha256": origin.get("config_sha256"),
        "weights sha256": origin.get("weights_sha256"),
        "seed": origin.get("seed"),
        "format version": origin.get("format_version"),
    }
    known = {name: identifier(str(value)) for name, value in shown.items() if value is not None}
    libraries = origin.get("library_versions")
    bank = model.references
    return [
        element("h3", "Model"),
        facts(known),
        _details("Settings of the pretraining", model.pretraining) if model.pretraining else None,
        _details("Settings of the references", bank.section) if bank else None,
        _versions("Library versions of the training", libraries)
        if isinstance(libraries, dict)
        else None,
    ]


def _details(title: str, settings: Json) -> Html:
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)
    return element("details", element("summary", title), element("pre", text))


def _versions(title: str, versions: Json) -> Html:
    rows = [[name, str(version)] for name, version in sorted(versions.items())]
    return element("details", element("summary", title), table(title, ["package", "version"], rows))


def questions(*, is_learned: bool = False) -> Html:
    """How to query the tables."""
    asked = {**EXAMPLES, **(LEARNED_EXAMPLES if is_learned else {})}
    examples = [
        part
        for title, sql in asked.items()
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
