"""The experiments with HyS-Net as Markdown that reads well unrendered."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mriqa.evaluation.hysnet.figures import Record
from mriqa.evaluation.hysnet.networks import HYPER, PLAIN
from mriqa.evaluation.markdown import DASH, table

Content = Mapping[str, Any]
PAPER = {
    ("resnet18", 2, PLAIN): (0.7324, 0.7996), ("resnet18", 2, HYPER): (0.7196, 0.8034),
    ("resnet18", 3, PLAIN): (0.7374, 0.8096), ("resnet18", 3, HYPER): (0.7567, 0.8226),
    ("resnet34", 2, PLAIN): (0.7106, 0.7592), ("resnet34", 2, HYPER): (0.7298, 0.7997),
    ("resnet34", 3, PLAIN): (0.7409, 0.8128), ("resnet34", 3, HYPER): (0.7519, 0.8208),
    ("resnet50", 2, PLAIN): (0.6863, 0.7697), ("resnet50", 2, HYPER): (0.6867, 0.7171),
    ("resnet50", 3, PLAIN): (0.7448, 0.8169), ("resnet50", 3, HYPER): (0.7566, 0.8231),
}  # fmt: skip
"""SROCC and PLCC of arXiv 2107.06888, Table 1: other data, to stand beside, never to be ranked."""
PAPER_COMPARED = {
    "hysnet": (0.7567, 0.8226),
    "deepiqa": (0.7259, 0.7997),
    "two_stream": (0.7230, 0.7898),
    "dbcnn": (0.7121, 0.7719),
    "brisque": (0.3483, 0.5849),
}
NAMES = {
    "hysnet": "HyS-Net, 3D", "deepiqa": "deepIQA, small", "two_stream": "Two-Stream CNN, small",
    "dbcnn": "DBCNN, small", "brisque": "BRISQUE",
}  # fmt: skip


def written(content: Content, plots: Mapping[str, str]) -> str:
    """The whole text; `plots`: files beside it by what they show."""
    parts = [_opening(content)]
    if content["targets"]:
        parts.append("## Targets\n" + _targets(content["targets"]))
    if content["ablation"]:
        parts.append("## Dimensions, head, depth (Table 1)\n" + _ablation(content))
    if content["families"]:
        parts.append("## Which artifacts they see\n" + _families(content["families"]))
    if content["comparators"]:
        parts.append("## Beside others (Table 2)\n" + _comparators(content["comparators"]))
    if content["shift"]:
        parts.append("## Another content\n" + _shift(content))
    if content["planes"]:
        parts.append(
            "## What networks make of each content (Fig. 3)\n"
            f"![planes]({plots['planes']})\n\n" + _planes(content["planes"])
        )
    if content["noise"]:
        parts.append(
            f"## Real volumes with added noise\n![noise]({plots['noise']})\n\n"
            + _noise(content["noise"])
        )
    return "\n\n".join(parts) + "\n"


def _opening(content: Content) -> str:
    counts, machine, own = content["counts"], content["machine"], content["settings"]
    learning = content["learning"]
    patches, net = learning["patches"], learning["net"]
    sides = "×".join(map(str, patches["sides"]))
    where = (
        f"{content['date']}, {machine['cores']} cores ({machine['cpu']}), mriqa "
        f"{machine['mriqa']}, torch {machine['torch']}; {content['minutes']} minutes, without what "
        "an earlier run had left."
    )
    whose = (
        f"Target `{learning['target']['column']}`; {counts['n_learnt']} volumes of "
        f"{counts['n_learnt_subjects']} subjects to learn from, {counts['n_held']} of "
        f"{counts['n_held_subjects']} others to test on."
    )
    how = (
        f"Networks: {net['width']:g} times the paper's channels, cubes of {sides} or slices of "
        f"{patches['slice_px']}², {patches['per_volume']} a volume in each of "
        f"{learning['epochs']:g} epochs, batches of {learning['batch']}, learning rate "
        f"{learning['learning_rate']:g}, halved every {learning['halve_epochs']:g} epochs. Seeds "
        f"{own['seed']} to {own['seed'] + own['seeds'] - 1} of {own['backbones'][0]} in 3D, "
        f"{own['other_seeds']} of all others. In brackets the 95% interval of "
        f"{own['bootstraps']} resamples of subjects; MAE in the target's unit."
    )
    return f"# HyS-Net on a cohort of one's own\n\n{where}\n\n{whose}\n\n{how}"


def _targets(records: Sequence[Record]) -> str:
    answers = {True: "yes", False: "**no**", None: DASH}
    rows = [
        (one["name"], three(one["value"]), f"{one['bound']} {one['target']:g}",
         answers[one["met"]])
        for one in records
    ]  # fmt: skip
    return table(("what", "found", "asked for", "met"), rows)


def _ablation(content: Content) -> str:
    margins = {(one["backbone"], one["dimensions"]): one for one in content["margins"]}
    rows = []
    for one in sorted(
        content["ablation"], key=lambda r: (r["backbone"], r["dimensions"], r["head"] == HYPER)
    ):
        key = one["backbone"], one["dimensions"]
        margin = margins.get(key) if one["head"] == HYPER else None
        paper = PAPER.get((*key, one["head"]))
        rows.append(
            (one["backbone"], f"{one['dimensions']}D", one["head"], one["n_seeds"],
             spanned(one["srocc"]), spanned(one["plcc"]), spanned(one["mae"]),
             spanned(margin["srocc"]) if margin else "", _paper(paper))
        )  # fmt: skip
    head = ("backbone", "", "head", "seeds", "SROCC", "PLCC", "MAE", "SROCC over plain",
            "paper's SROCC/PLCC")  # fmt: skip
    return table(head, rows)


def _families(records: Sequence[Record]) -> str:
    by_head = {head: [one for one in records if one["head"] == head] for head in (PLAIN, HYPER)}
    rows = [
        (plain["family"], plain["n"], *(three(one[what]) for what in ("error", "srocc", "plcc")
                                        for one in (plain, hyper)))
        for plain, hyper in zip(by_head[PLAIN], by_head[HYPER], strict=True)
    ]  # fmt: skip
    note = (
        "First backbone in 3D; error: prediction less target, above 0 where an artifact is "
        "overlooked. Correlations within so few volumes are rough."
    )
    head = ("artifact", "n", "error, plain", "hyper", "SROCC, plain", "hyper", "PLCC, plain",
            "hyper")  # fmt: skip
    return f"{note}\n\n" + table(head, rows)


def _comparators(records: Sequence[Record]) -> str:
    rows = [
        (NAMES[one["name"]], one["n_seeds"], spanned(one["srocc"]), spanned(one["plcc"]),
         spanned(one["mae"]), _paper(PAPER_COMPARED[one["name"]]))
        for one in records
    ]  # fmt: skip
    note = (
        "Networks after deepIQA, Two-Stream CNN and DBCNN are small and trained from scratch on "
        "slices, so no reproductions; BRISQUE's regression is fitted to the same volumes."
    )
    return f"{note}\n\n" + table(
        ("what", "seeds", "SROCC", "PLCC", "MAE", "paper's SROCC/PLCC"), rows
    )


def _shift(content: Content) -> str:
    shift = content["settings"]["shift"]
    rows = [
        (" + ".join(one["learned"]), one["tested"],
         "yes" if one["tested"] in one["learned"] else "no",
         *(spanned(one[what]["srocc"]) for what in (PLAIN, HYPER, "margin")))
        for one in content["shift"]
    ]  # fmt: skip
    note = f"Target `{shift['target']}`, which has the same definition in all; 3D."
    head = ("learned", "tested on", "known", "SROCC plain", "SROCC hyper", "hyper over plain")
    return f"{note}\n\n" + table(head, rows)


def _planes(records: Sequence[Record]) -> str:
    lines = [
        f"- {'generated weights (hyper)' if one['of'] == HYPER else 'features (plain)'}: "
        f"{len(one['points'])} volumes; the plane holds {sum(one['explained']):.0%} of the "
        f"variance, of which {three(one['between'])} lies between contents."
        for one in records
    ]
    return "\n".join(lines)


def _noise(records: Sequence[Record]) -> str:
    rows = []
    for net in (PLAIN, HYPER):
        own = [one["spearman"] for one in records if one["net"] == net]
        known = [one for one in own if one is not None]
        if known:
            least, middle, worst = np.min(known), np.median(known), np.max(known)
            rows.append((net, len({one["volume"] for one in records}), len(own),
                         three(least), three(middle), three(worst),
                         sum(one <= -0.9 for one in known)))  # fmt: skip
    head = ("head", "volumes", "volumes × seeds", "best", "median", "worst", "≤ -.9")
    return "Spearman's correlation of the prediction with the severity of noise.\n\n" + table(
        head, rows
    )


def three(value: float | None) -> str:
    """Three decimals, or a dash."""
    return DASH if value is None else f"{value:.3f}"


def spanned(value: Mapping[str, float | None]) -> str:
    """A value with its interval."""
    text = three(value["value"])
    if value["low"] is None:
        return text
    return f"{text} [{three(value['low'])}, {three(value['high'])}]"


def _paper(values: tuple[float, float] | None) -> str:
    return DASH if values is None else f"{values[0]:.3f}/{values[1]:.3f}"
