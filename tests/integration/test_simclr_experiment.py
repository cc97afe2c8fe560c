"""`mriqa experiment simclr` on a tiny cohort after a whole run."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from simclr_run import PRETRAINING, write_run

from mriqa.artifacts import Artifact
from mriqa.errors import UserError
from mriqa.evaluation import one_pass
from mriqa.evaluation.simclr import experiment as simclr
from mriqa.evaluation.simclr.banks import build_banks
from mriqa.evaluation.simclr.experiment import experiment, run_experiments
from mriqa.evaluation.simclr.ground import choose_tests, read_ground
from mriqa.evaluation.simclr.settings import ExperimentsSection
from mriqa.methods.simclr.bank import Dropped, read_bank, without
from mriqa.training.imported import import_model
from mriqa.training.manifest import pin_path, read_pinned

LEVELS = dict.fromkeys(("noise", "ghosting", "breathing"), (0.5, 1.0))
SECTION = ExperimentsSection.model_validate(
    {
        "bootstraps": 40,
        "full": {
            "subjects": 4, "trained": 2, "untrained": 1, "shuffles": 4,
            "levels": {**LEVELS, "dropout": (1.0,)}, "held_out": ("ghosting",),
            "rising": (0.25, 0.5, 1.0), "rising_families": ("noise",), "rising_subjects": 3,
        },
        "small": {"subjects": 4, "hq_volumes": 4, "shuffles": 1},
        "references": {
            "untrained": 0, "shuffles": 1, "copy_slices": 4,
            "levels": {"noise": (1.0,), "ghosting": (0.5, 1.0)}, "held_out": ("ghosting",),
        },
        "encoders": [{"name": "whole slices", "whole_slice_px": 24, "trained": False}],
        "readouts": [{"name": "four", "hq_volumes": 4}],
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, on which the full experiments have been done."""
    made = write_run(tmp_path_factory.mktemp("experiment"))
    go(made)
    return made


def go(run, *, mode="full", config=None, seeds=None):
    path = run_experiments(config or run.config, SECTION, mode=mode, seeds=seeds, threads=1)
    return json.loads(path.read_text())


def read(run, name="simclr"):
    return json.loads((run.results / "experiments" / f"{name}.json").read_text())


def rows(run):
    return pq.read_table(run.results / "experiments" / "simclr_volumes.parquet").to_pandas()


def cell(content, **wanted):
    found = [one for one in content["cells"] if wanted.items() <= one.items()]
    assert len(found) == 1, wanted
    return found[0]


def test_nobody_is_tested_who_was_trained_on_or_lent_a_reference(run):
    content = read(run)
    tested = {one["subject"] for one in content["tests"]}
    pinned = read_pinned(pin_path(run.results, "simclr", PRETRAINING))
    bank = read_bank(run.results / "models" / "simclr" / run.model_id / "bank")
    assert len(tested) == content["counts"]["n_subjects"] == 4
    assert not tested & {one.subject for one in pinned}
    assert not tested & set().union(*(one.subjects for one in bank.strata.values()))
    assert not any(subject.startswith(("bad", "pair")) for subject in tested)


def test_who_was_proposed_is_not_tested_even_if_the_bank_dropped_it(run):
    """Dropped were those who look bad: they would make the bank look worse than it is."""
    ground = read_ground(run.config)
    name, bank = max(ground.bank.strata.items(), key=lambda item: len(item[1].subjects))
    untrained = sorted(bank.subjects - ground.trained_subjects)
    assert untrained, "else the test shows nothing"
    rest = without(bank, untrained[0])
    names = {(one.series_id, one.volume) for one in bank.references} - {
        (one.series_id, one.volume) for one in rest.references
    }
    dropped = tuple(Dropped(*one, untrained[0], 0.3) for one in names)
    strata = {**ground.bank.strata, name: replace(rest, dropped=dropped)}
    smaller = replace(ground.bank, strata=strata)
    mode = SECTION.full.model_copy(update={"subjects": 1000})
    found = choose_tests(replace(ground, bank=smaller), mode, 0)
    assert found
    assert untrained[0] not in {one.person.subject for one in found}


def test_another_cohorts_model_is_tested_and_none_is_trained(run, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(run.results, results)
    shutil.rmtree(results / "training")
    shutil.rmtree(results / "experiments")
    source = run.results / "models" / "simclr" / run.model_id
    made = import_model("simclr", source, results)
    shutil.copytree(source / "bank", results / "models" / "simclr" / made.model_id / "bank")
    section = run.config.simclr.model_copy(update={"pretrained": source})
    config = run.config.model_copy(update={"results": results, "simclr": section})
    content = go(run, mode="small", config=config, seeds=2)
    assert content["model_id"] == made.model_id
    assert content["counts"]["n_trained_on"] == 0
    assert {one["seed"] for one in content["cells"] if one["kind"] == "trained"} == {0}
    assert "trained on another cohort" in (results / "experiments/simclr_small.md").read_text()
    assert not (results / "experiments" / "simclr" / "training").exists()


def test_every_key_of_the_json_is_documented(run):
    told = set(re.findall(r"`(\w+)`", run_experiments.__doc__))
    assert set(read(run)) <= told


def test_encoders_and_metrics_stand_in_the_same_cells(run):
    content = read(run)
    encoders = {(one["kind"], one["seed"]) for one in content["cells"]}
    assert encoders == {("trained", 0), ("trained", 1), ("untrained", 0), ("metrics", None)}
    strong = {"family": "noise", "severity": 1.0, "bank": "all"}
    for kind, rule in (("trained", "paper"), ("trained", "whitened"), ("metrics", "metrics")):
        found = cell(content, kind=kind, rule=rule, unit="volume", **strong, **seed_of(kind))
        assert found["auc"] > 0.9
        assert found["n_positive_subjects"] == found["n_negative"] == 4
        assert found["low"] <= found["auc"] <= found["high"]
        assert found["level"] == "strong"
    sliced = cell(content, kind="trained", rule="whitened", unit="slice", seed=0, **strong)
    assert sliced["n_positive"] > 4 * 4
    # a volume a subject: subjects are volumes
    whole = cell(content, kind="trained", rule="paper", unit="volume", seed=0, **strong)
    subject = cell(content, kind="trained", rule="paper", unit="subject", seed=0, **strong)
    assert subject["auc"] == whole["auc"]


def seed_of(kind):
    return {"seed": None if kind == "metrics" else 0}


def test_the_six_cells_hold_ghosting_out_and_carry_targets(run):
    content = read(run)
    six = {
        (one["cell"], one["rule"]): one
        for one in content["six_cells"]
        if (one["kind"], one["unit"]) == ("trained", "volume")
    }
    held = six["ghosting strong, held out", "whitened"]
    assert held["target"] == 0.85
    assert held["per_seed"] == [
        cell(content, kind="trained", seed=seed, rule="whitened", unit="volume",
             family="ghosting", severity=1.0, bank="ghosting")["auc"]
        for seed in (0, 1)
    ]  # fmt: skip
    assert held["worst"] == min(held["per_seed"])
    assert six["mean of the six", "paper"]["target"] == 0.8
    met = {one["name"]: one["met"] for one in content["targets"]}
    assert met["noise strong, whitened"] is True
    assert met["Spearman, noise"] is True
    assert met["Spearman, jumps"] is None  # not asked here


def test_a_volume_can_be_made_again_and_one_seed_grows_with_severity(run):
    table = rows(run)
    copies = table[(table["kind"] == "trained") & table["artifact"].notna()]
    assert len(copies) == 2 * (4 * 7 + 3)  # two encoders; severity rises for three subjects
    for row in copies.itertuples():
        artifact = Artifact.from_json(row.artifact)
        assert (artifact.family, artifact.severity) == (row.family, row.severity)
    seeds = copies.groupby(["series_id", "family"])["artifact"].agg(
        lambda some: len({json.loads(one)["seed"] for one in some})
    )
    assert (seeds == 1).all()


def test_dropout_is_judged_by_the_slices_that_it_changes(run):
    found = cell(read(run), kind="trained", seed=0, rule="paper", unit="slice", family="dropout",
                 severity=1.0)  # fmt: skip
    copies = rows(run)
    copies = copies[(copies["family"] == "dropout") & (copies["kind"] == "metrics")]
    dropped = sum(len(json.loads(one)["slices"]) for one in copies["artifact"])
    # one that lost its signal is no body any more: it has no score, and is told
    assert 0 < found["n_positive"] + found["n_without_value"] <= dropped


def test_severity_rises_within_subjects(run):
    rising = {
        (one["kind"], one["seed"], one["family"], one["measure"]): one
        for one in read(run)["rising"]
    }
    noise = rising["trained", 0, "noise", "quality"]
    assert (noise["n_subjects"], noise["n_levels"]) == (3, 4)
    assert noise["median"] > 0.7
    ghosting = rising["trained", 0, "ghosting", "whitened"]  # at its levels, for all subjects
    assert (ghosting["n_subjects"], ghosting["n_levels"]) == (4, 3)
    assert ghosting["pooled"] > 0
    assert rising["untrained", 0, "noise", "whitened"]["n_subjects"] == 0  # not asked of it
    assert rising["untrained", 0, "noise", "quality"]["pooled"] is None  # nor calibrated


def test_the_second_protocol_judges_by_other_subjects_only(run):
    content = read(run)["second_protocol"]
    assert content["n_trained_scans"] == 0
    assert content["n_scans"] == 8
    own = {
        one["rule"]: one
        for one in content["auc"]
        if (one["kind"], one["seed"], one["bank"], one["unit"]) == ("trained", 0, "own", "volume")
    }
    assert own["whitened"]["auc"] > 0.8
    assert own["whitened"]["paired"] == 1.0
    assert own["whitened"]["n_pairs"] == 4
    assert {one["bank"] for one in content["auc"]} == {"own", "T1w/none"}


def test_the_ablation_has_the_six_cells_of_encoders_and_readouts(run):
    found = {(one["part"], one["name"], one["rule"]): one for one in read(run)["ablation"]}
    assert {name for _, name, _ in found} == {"the run's own", "whole slices", "four"}
    own, content = found["encoder", "the run's own", "whitened"], read(run)
    assert own["ghosting strong, held out"] == cell(
        content, kind="trained", seed=0, rule="whitened", unit="volume", family="ghosting",
        severity=1.0, bank="ghosting",
    )["auc"]  # fmt: skip
    assert found["readout", "four", "paper"]["n_banks"] == 5
    assert found["encoder", "whole slices", "paper"]["mean of the six"] is not None


def test_the_runs_own_bank_is_built_again_exactly(run):
    """So that the experiments speak of what the run rates by."""
    plan, setup = own_setup(run)
    made = build_banks(setup.references, setup.embeddings(plan), setup.reference)
    stored = read_bank(run.results / "models" / "simclr" / run.model_id / "bank").strata
    mine, theirs = made["T1w/none"], stored["T1w/none"]
    order = {one.name: row for row, one in enumerate(mine.references)}
    rows = [order[one.name] for one in theirs.references]
    assert len(rows) == len(mine.references)
    assert [mine.references[row] for row in rows] == list(theirs.references)
    assert mine.volumes[rows] == pytest.approx(theirs.volumes)
    assert (mine.counts[rows] == theirs.counts).all()


def own_setup(run):
    setup = simclr.prepare(run.config, SECTION, "full", 1)
    return setup.plans[0], setup


def test_markdown_and_plots_say_the_same(run):
    folder, content = run.results / "experiments", read(run)
    text = (folder / "simclr.md").read_text()
    six = next(one for one in content["six_cells"] if one["cell"] == "noise medium")
    assert f"{six['worst']:.2f} / {six['mean']:.2f}" in text
    for name in re.findall(r"\]\((\S+\.png)\)", text):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert "Nothing of this protocol was trained on." in text


def test_a_rerun_needs_no_network_and_gives_the_same(run, monkeypatch):
    before = read(run)
    monkeypatch.setattr(simclr, "open_encoder", lambda *_: pytest.fail("a network was opened"))
    again = go(run)
    for one in (before, again):
        del one["date"], one["minutes"]
    assert again == before


def test_small_leaves_the_full_one_alone_and_a_killed_one_goes_on(run, monkeypatch):
    before = read(run)
    shown, real = [], one_pass.embed_volume

    def embed(*shown_it, **how):
        if len(shown) == 40:
            raise KeyboardInterrupt
        shown.append(shown_it[3])
        return real(*shown_it, **how)

    for path in run.results.glob("experiments/simclr/embeddings/*/*.safetensors"):
        path.unlink()
    monkeypatch.setattr(one_pass, "embed_volume", embed)
    with pytest.raises(KeyboardInterrupt):
        go(run, mode="small")
    kept = len(list(run.results.glob("experiments/simclr/embeddings/*/*.safetensors")))
    assert kept > 2
    first, shown[:] = list(shown), []
    monkeypatch.setattr(
        one_pass, "embed_volume", lambda *a, **how: (shown.append(a[3]), real(*a, **how))[1]
    )
    content = go(run, mode="small")
    assert 0 < len(set(shown) & set(first)) <= 10  # of the series that the kill cut short
    assert content["mode"] == "small"
    assert content["counts"]["n_hq_references"] == 4
    assert content["second_protocol"]["auc"] == content["ablation"] == []
    assert read(run) == before


def test_references_are_tested_where_there_is_no_truth(run):
    blind = run.config.model_copy(
        update={"evaluation": run.config.evaluation.model_copy(update={"truth": None})}
    )
    content = go(run, mode="references", config=blind)
    bank = read_bank(run.results / "models" / "simclr" / run.model_id / "bank")
    assert {(one["subject"], one["stratum"]) for one in content["tests"]} == {
        (subject, name) for name, one in bank.strata.items() for subject in one.subjects
    }
    stratum = max(bank.strata, key=lambda name: len(bank.strata[name].subjects))
    n_subjects = len(bank.strata[stratum].subjects)
    assert (content["mode"], content["targets"]) == ("references", [])
    strong = {
        (one["unit"], one["bank"]): one
        for one in content["strata"]
        if (one["kind"], one["seed"], one["rule"]) == ("trained", 0, "whitened")
        and (one["family"], one["stratum"]) == ("ghosting", stratum)
    }
    assert set(strong) == {(unit, what) for unit in ("volume", "slice")
                           for what in ("all", "held out")}  # fmt: skip
    one = strong["volume", "all"]
    assert one["n_subjects"] == n_subjects
    assert 0.5 < one["auc"] <= 1
    assert 0.5 < one["paired"] <= 1
    assert strong["slice", "all"]["paired"] is None
    text = (run.results / "experiments" / "simclr_references.md").read_text()
    assert "each judged without those of its own subject" in text
    assert "What was to be reached" not in text


def test_what_is_kept_of_withdrawn_subjects_goes(run):
    folder = run.results / "experiments" / "simclr"
    stranger = folder / "metrics" / "t_sub-gone_T1w.json"
    stranger.write_text("{}")
    kept = sorted(folder.glob("metrics/*.json"))
    one_pass.forget_strangers(folder, run.results)
    assert sorted(folder.glob("metrics/*.json")) == [one for one in kept if one != stranger]


def test_test_subjects_come_before_validation_subjects(run):
    ground = read_ground(run.config)
    mode = SECTION.full.model_copy(update={"subjects": 50})
    split = dict(zip(ground.volumes["subject"], ground.volumes["split"], strict=True))
    everyone = choose_tests(ground, mode, 0)
    some = choose_tests(ground, mode.model_copy(update={"subjects": 3}), 0)
    assert {split[one.person.subject] for one in some} == {"test"}
    assert {one.person.subject for one in some} < {one.person.subject for one in everyone}
    assert {one.person.subject for one in choose_tests(ground, mode, 1)} == {
        one.person.subject for one in everyone
    }


def test_a_cohort_too_small_to_test_on_is_told(run, tmp_path, monkeypatch):
    ground = read_ground(run.config)
    few = replace(ground, volumes=ground.volumes[ground.volumes["split"] == "train"])
    monkeypatch.setattr(simclr, "read_ground", lambda _: few)
    results = tmp_path / "results"
    path = tmp_path / "config.yaml"
    settings = json.loads(run.config.model_dump_json())
    path.write_text(yaml.safe_dump({**settings, "results": str(results)}))
    with pytest.raises(UserError, match="lower simclr.reference.proposed"):
        experiment(path, None, mode="full", seeds=None, threads=1)
    made = experiment(path, None, mode="small", seeds=None, threads=1)
    assert made == results / "experiments" / "simclr_small.json"
    assert "no stratum" in json.loads(made.read_text())["skipped"]


def test_what_is_missing_is_said(run):
    for update, match in (
        ({"methods": ()}, "methods: simclr is not switched on"),
        ({"evaluation": run.config.evaluation.model_copy(update={"truth": None})}, "truth"),
        ({"results": run.folder / "nowhere"}, "run"),
    ):
        with pytest.raises(UserError, match=match):
            run_experiments(
                run.config.model_copy(update=update), SECTION, mode="small", seeds=None, threads=1
            )


def test_shuffled_references_know_nothing(run):
    for one in read(run)["shuffled"]:
        assert one["n_shuffles"] == 4
        assert one["low"] <= one["mean"] <= one["high"]
    spread = [one["high"] - one["low"] for one in read(run)["shuffled"]]
    assert np.median(spread) > 0.05  # each dealing another direction
