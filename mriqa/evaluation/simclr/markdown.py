"""The experiments with SimCLR as Markdown that reads well unrendered."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mriqa.evaluation.markdown import DASH, number, table
from mriqa.evaluation.simclr.cells import METRICS, PAPER, SLICE, SUBJECT, VOLUME, WHITENED, WHOLE
from mriqa.evaluation.simclr.encoders import TRAINED, UNTRAINED
from mriqa.evaluation.simclr.strata import mean_by_stratum
from mriqa.evaluation.simclr.summary import MEAN_OF_SIX, SIX_CELLS, mean

Content = Mapping[str, Any]
Record = dict[str, Any]
COLUMNS = (
    (TRAINED, PAPER), (TRAINED, WHITENED), (UNTRAINED, PAPER), (UNTRAINED, WHITENED),
    (METRICS, METRICS),
)  # fmt: skip
TESTED = "clean by the truth, never trained on and no references"
OWN_TESTED = (
    "HQ references themselves, each judged without those of its own subject (some were trained on, "
    "without labels)"
)
_HEAD = [f"{kind}, {rule}" if kind != METRICS else METRICS for kind, rule in COLUMNS]


def written(content: Content, plots: Mapping[str, str]) -> str:
    """The whole text; `plots` are file names by `auc`, `severity`, `encoders`."""
    parts = [
        "# SimCLR against simulated artifacts",
        _opening(content),
        *_targets(content["targets"]),
        "## The six cells",
        "AUC of volumes: worst / mean over seeds.",
        _six(content["six_cells"]),
        _gain(content["six_cells"]),
        f"![the six cells by encoder]({plots['encoders']})",
        *_units(content["six_cells"]),
        "## Every family",
        "AUC of volumes: worst / mean over seeds; all families are in the bank.",
        _families(content["summary"], VOLUME, lambda one: one["bank"] == WHOLE),
        f"![AUC by family and severity]({plots['auc']})",
        "### Families held out of the bank",
        _families(content["summary"], VOLUME, lambda one: one["bank"] == one["family"]),
        *_more_units(content["summary"]),
        "## By stratum",
        _strata(content["strata"]),
        "## Rising severity",
        _rising(content["rising"]),
        f"![score against severity]({plots['severity']})",
        "## Shuffled references",
        _shuffled(content["shuffled"]),
        *_second(content["second_protocol"]),
        *_ablation(content["ablation"]),
        *_notes(content["notes"]),
    ]
    return "\n\n".join(parts) + "\n"


def printed(content: Content) -> str:
    """What the command prints."""
    return (
        f"AUC of volumes, simulated against clean, worst / mean over seeds "
        f"({content['counts']['n_subjects']} test subjects):\n{_six(content['six_cells'])}\n"
    )


def _opening(content: Content) -> str:
    counts, machine, settings = content["counts"], content["machine"], content["settings"]
    pool = f"{counts['n_trained_on']} series" if counts["n_trained_on"] else "another cohort"
    return (
        f"{content['date']}, {content['mode']} mode, {content.get('minutes', DASH)} minutes on "
        f"{machine['threads']} threads ({machine['cpu']}, {machine['precision']}, torch "
        f"{machine['torch']}). Model `{content['model_id']}`, trained on {pool}; "
        f"{settings['trained']} trained and {settings['untrained']} untrained encoders; "
        f"seed {settings['seed']}.\n\n"
        f"{counts['n_subjects']} subjects of {counts['n_strata']} strata, "
        f"{OWN_TESTED if content['mode'] == 'references' else TESTED}, with "
        f"{counts['n_simulated']} simulated copies; "
        f"{counts['n_hq_references']} HQ reference volumes. AUC: the probability that a degraded "
        "volume looks worse than a clean one of its own stratum (0.5 is chance). Rules: the "
        "paper's margin of mean cosine similarities, and ours after whitening (docs/methods.md)."
    )


def _targets(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    said = {True: "yes", False: "**no**", None: "not asked here"}
    rows = [
        [one["name"], number(one["value"]), number(one["target"]), said[one["met"]]]
        for one in records
    ]
    head = ["what (of trained encoders, the worst seed)", "is", "target", "met"]
    return ["## What was to be reached", table(head, rows)]


def _pair(record: Record | None) -> str:
    if record is None or record["mean"] is None:
        return DASH
    return f"{number(record['worst'])} / {number(record['mean'])}"


def _six(records: Sequence[Record], unit: str = VOLUME) -> str:
    known = {(one["cell"], one["kind"], one["rule"]): one for one in records if one["unit"] == unit}
    cells = [*(one.name for one in SIX_CELLS), MEAN_OF_SIX]
    rows = [[cell, *(_pair(known.get((cell, *column))) for column in COLUMNS)] for cell in cells]
    return table(["cell", *_HEAD], rows)


def _gain(records: Sequence[Record]) -> str:
    """Trained minus untrained at the same readout."""
    means = {
        (one["kind"], one["rule"]): one["mean"]
        for one in records
        if one["cell"] == MEAN_OF_SIX and one["unit"] == VOLUME
    }
    told = []
    for rule in (PAPER, WHITENED):
        trained, untrained = means.get((TRAINED, rule)), means.get((UNTRAINED, rule))
        if trained is not None and untrained is not None:
            told.append(f"{rule} {trained - untrained:+.3f}")
    return f"Trained minus untrained, mean of the six: {', '.join(told) or DASH}."


def _units(records: Sequence[Record]) -> list[str]:
    if not any(one["unit"] == SLICE for one in records):
        return []
    return ["### Slices", "Slices that the artifact changes, against clean ones.",
            _six(records, SLICE)]  # fmt: skip


def _families(records: Sequence[Record], unit: str, chosen: Any) -> str:
    known = {
        (one["family"], one["severity"], one["kind"], one["rule"]): one
        for one in records
        if one["unit"] == unit and chosen(one)
    }
    cells = sorted({(family, severity) for family, severity, _, _ in known})
    if not cells:
        return "Not asked here."
    rows = [
        [family, f"{severity:g}", *(_pair(known.get((family, severity, *one))) for one in COLUMNS)]
        for family, severity in cells
    ]
    return table(["family", "severity", *_HEAD], rows)


def _more_units(records: Sequence[Record]) -> list[str]:
    parts = []
    for unit, title in ((SLICE, "Slices, every family"), (SUBJECT, "Subjects, every family")):
        some = _families(records, unit, lambda one: one["bank"] == WHOLE)
        parts += [f"### {title}", some]
    return parts


def _strata(records: Sequence[Record]) -> str:
    told = (
        "Mean over families of the AUC from medium severity on, worst / mean over seeds. Held out: "
        "each family judged by banks without it."
    )
    parts = [told]
    subjects = {one["stratum"]: one["n_subjects"] for one in records}
    for value, title in (("auc", "AUC:"), ("paired", "Share of copies worse than their own scan:")):
        known = {
            key: _pair({"worst": min(some), "mean": mean(some)})
            for key, some in mean_by_stratum(records, value).items()
        }
        lines = sorted({key[:3] for key in known})
        rows = [
            [stratum, subjects[stratum], unit, bank,
             *(known.get((stratum, bank, unit, *column), DASH) for column in COLUMNS)]
            for stratum, bank, unit in lines
        ]  # fmt: skip
        head = ["stratum", "subjects", "unit", "bank", *_HEAD]
        parts += [title, table(head, rows)] if rows else []
    return "\n\n".join(parts)


def _over_seeds(records: Sequence[Record], keys: Sequence[str], value: str) -> dict[Any, str]:
    """`worst / mean` of a value over the seeds, by the other `keys`; what is null is left out."""
    found: dict[Any, list[float]] = defaultdict(list)
    for one in records:
        if one[value] is not None:
            found[tuple(one[key] for key in keys)].append(one[value])
    return {key: _pair({"worst": min(some), "mean": mean(some)}) for key, some in found.items()}


def _rising(records: Sequence[Record]) -> str:
    columns = [(TRAINED, one) for one in ("quality", WHITENED, PAPER, "s_lq")]
    columns += [(UNTRAINED, WHITENED), (METRICS, METRICS)]
    head = ["family", *(f"{kind}, {measure}" for kind, measure in columns[:-1]), METRICS]
    parts = []
    for value, title in (
        ("median", "Within a subject, the median over subjects:"),
        ("pooled", "Over all volumes of a family and the clean ones:"),
    ):
        known = _over_seeds(records, ("family", "kind", "measure"), value)
        families = sorted({family for family, _, _ in known})
        rows = [[one, *(known.get((one, *column), DASH) for column in columns)] for one in families]
        parts.append(f"{title}\n\n{table(head, rows)}" if rows else "")
    levels = sorted({(one["n_subjects"], one["n_levels"]) for one in records if one["n_subjects"]})
    told = ", ".join(f"{subjects} subjects x {count} levels" for subjects, count in levels)
    return (
        "Spearman's ρ of severity and badness, 1 is best, worst / mean over seeds. `quality` is "
        f"1 - quality_score; `s_lq` the similarity to LQ. {told}\n\n"
        + "\n\n".join(filter(None, parts))
    )


def _shuffled(records: Sequence[Record]) -> str:
    if not any(one["n_shuffles"] for one in records):
        return "Not asked here."
    rows = [
        [one["kind"], one["seed"], one["rule"], number(one["mean"]),
         f"{number(one['low'])} to {number(one['high'])}", one["n_shuffles"]]
        for one in records
    ]  # fmt: skip
    head = ["encoder", "seed", "rule", "mean AUC", "over shuffles", "shuffles"]
    return "HQ and LQ labels dealt out anew; mean over all cells. 0.5 is right.\n\n" + table(
        head, rows
    )


def _second(content: Mapping[str, Any]) -> list[str]:
    records = content["auc"]
    if not records:
        return []
    keys = ("bank", "unit", "rule", "kind")
    known = _over_seeds(records, keys, "auc")
    paired = _over_seeds(records, keys, "paired")
    cells = dict.fromkeys(key[:3] for key in known)
    kinds = (TRAINED, UNTRAINED, METRICS)
    rows = [
        [*cell, *(some.get((*cell, kind), DASH) for some in (known, paired) for kind in kinds)]
        for cell in cells
    ]
    pairs = [f"pairs, {kind}" for kind in kinds]
    head = ["bank", "unit", "rule", *kinds, *pairs]
    seen = content["n_trained_scans"]
    told = (
        "Free-breathing against breath-held scans of the same subjects. Bank `own`: breath-held "
        "scans of the other subjects and their copies; the others are the first protocol's. AUC, "
        "then the share of subjects whose free-breathing scan is the worse one; worst / mean over "
        "seeds. "
    )
    told += (
        f"**{seen} scans of this protocol were trained on; their subjects are left out.**"
        if seen
        else "Nothing of this protocol was trained on."
    )
    return ["## Second protocol", told, table(head, rows)]


def _ablation(records: Sequence[Record]) -> list[str]:
    if not records:
        return []
    cells = [MEAN_OF_SIX, *(one.name for one in SIX_CELLS)]
    rows = [
        [one["part"], one["name"], one["rule"], *(number(one[cell]) for cell in cells)]
        for one in records
    ]
    head = ["part", "changed", "rule", *cells]
    return ["## Ablation", "One thing changed at a time; one seed; AUC of volumes.",
            table(head, rows)]  # fmt: skip


def _notes(notes: Sequence[str]) -> list[str]:
    return ["## Notes", "\n".join(f"- {one}" for one in notes)] if notes else []
