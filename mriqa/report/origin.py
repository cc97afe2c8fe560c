"""The sections of the page that say where its numbers come from and how to ask for more."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from mriqa.report.html import Html, element, table
from mriqa.report.parts import count, facts, identifier, note, section
from mriqa.report.reading import Json
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

SIMCLR_EXAMPLES = {
    "Where SimCLR and the metrics differ most": """
SELECT series_id, volume, quality_score, simclr_quality_sd, metrics_score, flag_reason
FROM volumes WHERE rating_source = 'simclr' ORDER BY abs(quality_score - metrics_score) DESC""",
    "How a volume was judged": """
SELECT simclr_class, simclr_sim, simclr_margin, simclr_margin_whitened, simclr_matching,
  simclr_nearest_hq, simclr_nearest_lq
FROM volumes WHERE series_id = '...'""",
}
HIERARCHY_EXAMPLES = {
    "Usable volumes of each session, by shell": """
SELECT subject, session, hierarchy_rating, hierarchy_usable, hierarchy_blamed
FROM subjects WHERE hierarchy_rating IS NOT NULL ORDER BY hierarchy_share_fail DESC""",
    "Slices that fail": """
SELECT series_id, volume, slice, hierarchy_p_fail
FROM slices WHERE hierarchy_p_fail > 0.5 ORDER BY hierarchy_p_fail DESC""",
}
HYSNET_EXAMPLES = {
    "What HyS-Net predicts, the lowest first": """
SELECT series_id, volume, hysnet_target, hysnet_prediction, hysnet_spread
FROM volumes WHERE hysnet_prediction IS NOT NULL ORDER BY hysnet_prediction""",
}
METHOD_EXAMPLES = {
    "simclr": SIMCLR_EXAMPLES, "hierarchy": HIERARCHY_EXAMPLES, "hysnet": HYSNET_EXAMPLES,
}  # fmt: skip
LABEL_EXAMPLES = {
    "What raters said, beside the rating": """
SELECT rater, l.rating AS said, v.rating, count(*) AS n
FROM labels l JOIN volumes v USING (series_id, volume) WHERE l.used GROUP BY ALL ORDER BY ALL""",
}
LACKING = {
    "simclr": "it has no references", "hierarchy": "it has not learned the stratum",
}  # fmt: skip
"""Where a method, if it is the only one, does not rate."""


class Described(Protocol):
    """A model as this section shows it; `settings` are by their titles."""

    @property
    def name(self) -> str:
        """Of the method, in a sentence."""

    @property
    def model_id(self) -> str:
        """As the tables have it."""

    @property
    def provenance(self) -> Json:
        """Its provenance.json, as far as it could be read."""

    @property
    def settings(self) -> Mapping[str, Json]:
        """Those that are known."""


def provenance(summary: Summary, models: Sequence[Described]) -> Html:
    """Run, versions, settings, and those of the learned models."""
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
    if named := summary.methods.get("hysnet"):
        shown["prediction by"] = f"hysnet ({named}), which does not rate"
    return section(
        "provenance",
        "Provenance",
        facts({name: identifier(str(value)) for name, value in shown.items()}),
        _details("Settings of the rating", run["settings"]),
        _versions("Library versions", run["library_versions"]),
        *(part for model in models for part in _of_model(model)),
    )


def _rated_by(summary: Summary) -> str:
    raters = summary.raters
    if not raters:
        return "hand-made metrics, no learned model"
    models = ", ".join(f"{name} ({named})" for name, named in raters.items())
    names = list(raters)
    lacking = LACKING.get(names[0], "it cannot") if len(names) == 1 else "neither can"
    return f"{models}; hand-made metrics where {lacking}"


def _of_model(model: Described) -> list[Html | None]:
    """Where a model comes from, and its settings."""
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
    return [
        element("h3", f"Model of {model.name}"),
        facts(known),
        *(_details(title, settings) for title, settings in model.settings.items() if settings),
        _versions(f"Library versions of the training of {model.name}", libraries)
        if isinstance(libraries, dict)
        else None,
    ]


def _details(title: str, settings: Json) -> Html:
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)
    return element("details", element("summary", title), element("pre", text))


def _versions(title: str, versions: Json) -> Html:
    rows = [[name, str(version)] for name, version in sorted(versions.items())]
    return element("details", element("summary", title), table(title, ["package", "version"], rows))


def questions(methods: Collection[str], *, has_labels: bool) -> Html:
    """How to query the tables; with examples for the learned `methods` that have rated."""
    asked = dict(EXAMPLES)
    for name, own in METHOD_EXAMPLES.items():
        asked |= own if name in methods else {}
    asked |= LABEL_EXAMPLES if has_labels else {}
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
