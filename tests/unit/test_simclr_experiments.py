"""The parts of the SimCLR experiments whose answers are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from embedding_pieces import no_metrics

from mriqa.artifacts import Family, draw
from mriqa.config import PretrainingSection, ReferenceSection
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import ConfigError
from mriqa.evaluation.items import Item
from mriqa.evaluation.simclr.banks import shuffled, smaller, without_family
from mriqa.evaluation.simclr.cells import (
    Design,
    Judged,
    aucs,
    cell_records,
    judge_volumes,
    of_subjects,
)
from mriqa.evaluation.simclr.encoders import resize
from mriqa.evaluation.simclr.items import rising_scans, severities
from mriqa.evaluation.simclr.metrics import metrics_scores
from mriqa.evaluation.simclr.rising import rising_records
from mriqa.evaluation.simclr.settings import (
    SMALL,
    ExperimentsSection,
    ModeSection,
    changed_pretraining,
    changed_reference,
    load_experiments,
)
from mriqa.evaluation.simclr.strata import strata_records
from mriqa.evaluation.simclr.summary import (
    MEAN_OF_SIX,
    SIX_CELLS,
    check_targets,
    summarise,
    summarise_six,
)
from mriqa.methods.simclr.bank import Reference, StratumBank, subset
from mriqa.methods.simclr.whitening import HQ
from mriqa.rating.rate import RATED_METRICS
from mriqa.references.listing import HqVolume
from mriqa.references.person import Person

SHAPE, SPACING = (4, 16, 16), (3.0, 2.0, 2.0)


def scan(number, stratum="A"):
    return HqVolume(f"s{number}", 0, stratum, 0, Person(f"p{number}"))


def copy(of, family, severity):
    return Item(of, draw(Family(family), severity, SHAPE, SPACING, seed=1))


def bank(n=6, families=("noise", "ghosting")):
    """HQ volumes with a strong copy of each family, and a mild one."""
    references, rng = [], np.random.default_rng(0)
    for number in range(n):
        hq = Reference(f"s{number}", 0, Person(f"p{number}"), number)
        references += [hq, *(replace(hq, family=one, severity=1.0) for one in families)]
        references.append(replace(hq, family="noise", severity=0.1))
    count = len(references)
    return {
        "A": StratumBank(
            "A", tuple(references), rng.normal(size=(count, 8)).astype(np.float32),
            rng.normal(size=(2 * count, 8)).astype(np.float32),
            np.zeros(2 * count, np.float32), np.full(count, 2), 8,
        )
    }  # fmt: skip


def test_without_a_family_nothing_of_it_is_left():
    left = without_family(bank(), "ghosting")["A"]
    assert {one.family for one in left.references} == {None, "noise"}
    assert len(left.volumes) == len(left.counts) == len(left.references) == 18
    assert len(left.slices) == 36


def test_shuffling_deals_out_what_compared_references_are_and_nothing_else():
    before = bank()["A"]
    after = shuffled(bank(), 3)["A"]
    assert sorted(after.labels) == sorted(before.labels)
    assert (after.labels != before.labels).any()
    assert (after.compared == before.compared).all()
    mild = ~before.compared
    assert mild.any()
    assert (after.labels[mild] == before.labels[mild]).all()
    assert [one.person for one in after.references] == [one.person for one in before.references]
    assert (after.volumes == before.volumes).all()
    assert [one.label for one in shuffled(bank(), 4)["A"].references] != list(after.labels)


def test_a_smaller_bank_keeps_volumes_with_their_copies():
    drawn = [smaller(bank(), 2, seed)["A"] for seed in range(5)]
    names = [frozenset(one.series_id for one in left.references) for left in drawn]
    assert {len(some) for some in names} == {2}
    assert {len(left.references) for left in drawn} == {8}
    assert len(set(names)) > 1
    assert [one.series_id for one in smaller(bank(), 2, 0)["A"].references] == [
        one.series_id for one in drawn[0].references
    ]


def design(n=4, families=(("noise", 0.5), ("noise", 1.0), ("bias", 1.0)), strata="AB"):
    """`n` subjects, the strata in turn; each its scan and a copy of each family."""
    items = []
    for number in range(n):
        own = scan(number, strata[number % len(strata)])
        items += [Item(own), *(copy(own, *one) for one in families)]
    return Design.of(items, 30, 0)


def judged(made, badness):
    nothing = np.full(len(badness), np.nan)
    return Judged(np.arange(len(badness)), nothing, nothing, -badness, nothing)


def test_auc_compares_with_clean_scans_of_the_same_stratum():
    made = design()
    offset = np.where(made.sampling.stratum == 0, 0.0, 100.0)
    found = aucs(made, offset + made.severity, np.arange(len(made.items)))
    assert {key: one.auc for key, one in found.items()} == {
        ("noise", 0.5): 1.0, ("noise", 1.0): 1.0, ("bias", 1.0): 1.0,
    }  # fmt: skip
    worse = aucs(made, offset - made.severity, np.arange(len(made.items)), ["bias"])
    assert {key: one.auc for key, one in worse.items()} == {("bias", 1.0): 0.0}


def test_who_alone_has_references_of_a_class_is_not_judged():
    whole = bank(2)["A"]
    of_one = whole.people.subject == "p0"
    kept = (whole.labels != HQ) | of_one  # the HQ references are all of p0
    made = design(2, strata="A")
    rng = np.random.default_rng(0)
    embeddings = {
        item: VolumeEmbedding(
            rng.normal(0, 1, (3, 8)).astype(np.float16), np.ones(3, bool), 8, no_metrics(3)
        )
        for item in made.items
    }
    banks, section = {"A": subset(whole, kept)}, ReferenceSection(min_references=2)
    found = judge_volumes(made, embeddings, banks, section).whitened
    of_p0 = np.array([item.scan.person.subject == "p0" for item in made.items])
    assert np.isnan(found[of_p0]).all()
    assert np.isfinite(found[~of_p0]).all()


def test_strata_stand_for_themselves():
    made = design(6)
    rng = np.random.default_rng(1)
    badness = np.where(made.sampling.stratum == 0, made.severity, rng.normal(0, 1, len(made.items)))
    records = {
        (one["stratum"], one["family"]): one
        for one in strata_records({}, made, badness, np.arange(len(made.items)))
    }
    assert set(records) == {(stratum, name) for stratum in "AB" for name in ("noise", "bias")}
    sure = records["A", "noise"]
    assert (sure["auc"], sure["paired"], sure["n_subjects"]) == (1.0, 1.0, 3)
    rows = [row for row, item in enumerate(made.items) if item.scan.stratum == "B"]
    clean = [row for row in rows if made.items[row].artifact is None]
    aucs_of_levels, wins = [], []
    for level in (0.5, 1.0):
        copies = [row for row in rows if (made.items[row].family, made.severity[row])
                  == ("noise", level)]  # fmt: skip
        aucs_of_levels.append(np.mean([badness[c] > badness[n] for c in copies for n in clean]))
        wins += [badness[c] > badness[n] for c in copies for n in clean
                 if made.items[c].scan == made.items[n].scan]  # fmt: skip
    unsure = records["B", "noise"]
    assert unsure["auc"] == pytest.approx(np.mean(aucs_of_levels))
    assert unsure["paired"] == pytest.approx(np.mean(wins))
    assert 0 < unsure["auc"] < 1


def test_what_has_no_score_is_counted():
    made = design()
    badness = made.severity.copy()
    badness[3] = np.nan  # of the first subject, bias
    records = cell_records({"kind": "x"}, made, badness, np.arange(len(made.items)))
    found = {(one["family"], one["level"]): one for one in records}
    assert found["bias", "strong"]["n_without_value"] == 1
    assert found["bias", "strong"]["n_positive"] == 3
    assert found["noise", "medium"]["n_without_value"] == 0


def test_a_subject_is_the_mean_of_its_volumes():
    own = [HqVolume("a", volume, "A", 0, Person("p")) for volume in (0, 1)]
    items = [Item(own[0]), Item(own[1]), copy(own[0], "noise", 1.0), copy(own[1], "noise", 1.0)]
    made = Design.of(items, 0, 0)
    found = of_subjects(made, judged(made, np.array([0.0, 2.0, 5.0, 7.0])))
    assert (-found.whitened).tolist() == [1.0, 6.0]
    assert made.family[found.item].tolist() == ["none", "noise"]


def test_spearman_is_within_subjects_and_one_where_badness_rises():
    made = design(families=(("noise", 0.25), ("noise", 0.5), ("noise", 1.0)), strata="A")
    mode = ModeSection(rising=(0.25, 0.5, 1.0), rising_families=("noise",))
    level = 100.0 * made.sampling.subject  # subjects far apart: only within them it rises
    still = np.zeros(len(made.items))
    measures = {"up": made.severity + level, "down": level - made.severity, "still": still}
    found = {one["measure"]: one for one in rising_records({}, made, measures, mode)}
    assert found["up"]["median"] == pytest.approx(1)
    assert found["down"]["median"] == pytest.approx(-1)
    assert found["up"]["pooled"] < 0.5
    assert found["still"]["median"] == 0.0
    assert found["still"]["pooled"] is None
    assert (found["up"]["n_subjects"], found["up"]["n_levels"]) == (4, 4)


def test_metrics_judge_a_copy_in_the_place_of_its_scan():
    rng = np.random.default_rng(0)
    names = [metric.name for metric in RATED_METRICS]
    values = {name: rng.normal(10, 1, 30) for name in names}
    cohort = pd.DataFrame({"series_id": [f"s{n}" for n in range(30)], "volume": 0,
                           "stratum": "A", **values})  # fmt: skip
    made = design(1, (("noise", 1.0),), "A")
    same = {name: float(some[0]) for name, some in values.items()}
    noisy = {**same, "body_snr": 1.0}
    measured = dict(zip(made.items, (same, noisy), strict=True))
    clean, degraded = metrics_scores(made, cohort, measured)
    # the scan of subject 0 is itself one of the thirty: its copy takes its place, not a 31st
    again = metrics_scores(made, cohort.drop(0).reset_index(drop=True), measured)
    assert [clean, degraded] == pytest.approx(again.tolist())
    assert degraded < 0.2 < clean
    assert np.isnan(metrics_scores(made, cohort.assign(stratum="B"), measured)).all()


def test_resizing_equals_torchs_bilinear():
    volume = np.random.default_rng(0).random((3, 20, 31), dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(volume)[:, None], (12, 12), mode="bilinear", antialias=False
    )
    assert resize(volume, 12) == pytest.approx(expected[:, 0].numpy(), abs=1e-5)
    assert resize(volume, 40).shape == (3, 40, 40)


def test_severity_rises_for_some_subjects_only():
    mode = ModeSection(
        levels={"noise": (0.5, 1.0)}, rising=(0.25, 0.5), rising_families=("bias", "noise")
    )
    assert severities(mode, "noise", rises=False) == [0.5, 1.0]
    assert severities(mode, "noise", rises=True) == [0.25, 0.5, 1.0]
    assert severities(mode, "bias", rises=False) == []
    assert severities(mode, "bias", rises=True) == [0.25, 0.5]
    tests = [scan(number) for number in range(12)]
    assert len(rising_scans(tests, mode, 0)) == 8
    assert rising_scans(tests[::-1], mode, 0) == rising_scans(tests, mode, 0)
    assert rising_scans(tests, mode.model_copy(update={"rising": ()}), 0) == []


def cells(kind, seed, values, rule="whitened", unit="volume"):
    return [
        {"kind": kind, "encoder": kind, "seed": seed, "rule": rule, "bank": one.bank,
         "unit": unit, "family": one.family, "severity": one.severity, "level": None,
         "auc": value}
        for one, value in zip(SIX_CELLS, values, strict=True)
    ]  # fmt: skip


def test_targets_are_held_against_the_worst_seed():
    good, poor = [0.97, 0.99, 0.9, 0.95, 0.8, 0.9], [0.97, 0.99, 0.9, 0.95, 0.7, 0.9]
    records = cells("trained", 0, good) + cells("trained", 1, poor)
    six = {one["cell"]: one for one in summarise_six(records)}
    assert six["breathing medium"]["worst"] == 0.7
    assert six["breathing medium"]["mean"] == pytest.approx(0.75)
    assert six[MEAN_OF_SIX]["per_seed"] == [pytest.approx(np.mean(x)) for x in (good, poor)]
    content = {"six_cells": list(six.values()), "shuffled": [], "rising": [],
               "second_protocol": {"auc": []}}  # fmt: skip
    met = {one["name"]: one["met"] for one in check_targets(content)}
    assert met["breathing medium, whitened"] is False
    assert met["breathing strong, whitened"] is True
    assert met["mean of the six, whitened"] is True
    assert met["second protocol, own bank, whitened"] is None
    worst = {(one["family"], one["severity"]): one["worst"] for one in summarise(records)}
    assert worst["breathing", 0.5] == 0.7


def test_a_missing_cell_makes_no_mean():
    values = [0.97, None, 0.9, 0.95, 0.8, 0.9]
    six = {one["cell"]: one for one in summarise_six(cells("trained", 0, values))}
    assert six[MEAN_OF_SIX]["worst"] is None
    assert six["noise strong"]["mean"] is None


def test_shuffled_references_far_from_one_half_are_told():
    record = {"kind": "trained", "seed": 0, "rule": "paper", "mean": 0.63}
    content = {"six_cells": [], "shuffled": [record], "rising": [], "second_protocol": {"auc": []}}
    (found,) = (one for one in check_targets(content) if "shuffled" in one["name"])
    assert (found["value"], found["met"]) == (0.63, False)


def test_small_settings_of_a_file_start_from_the_small_mode(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("bootstraps: 10\nsmall: {subjects: 5}\nfull: {trained: 1}\n")
    loaded = load_experiments(path)
    assert loaded.small == SMALL.model_copy(update={"subjects": 5})
    assert loaded.full == ModeSection(trained=1)
    assert loaded.bootstraps == 10
    assert load_experiments(None) == ExperimentsSection()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("full: {subject: 5}", r"mine\.yaml: full\.subject: no such key; did you mean `subjects`"),
        ("full: {levels: {noise: [0.0]}}", "severities must lie above 0"),
        ("full: {levels: {nois: [0.5]}}", "nois"),
        ("full: [", "cannot be read as YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, match):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=match):
        load_experiments(path)


def test_ablations_change_known_keys_only():
    assert changed_pretraining(PretrainingSection(), {"gamma": 1.0}).gamma == 1.0
    assert changed_reference(ReferenceSection(), {"per_class": 5}).per_class == 5
    with pytest.raises(ConfigError, match=r"encoders\.pretraining\.gama"):
        changed_pretraining(PretrainingSection(), {"gama": 1.0})


def test_the_defaults_stand_in_the_project():
    from mriqa.documents import experiments_yaml

    loaded = ExperimentsSection.model_validate(yaml.safe_load(experiments_yaml()))
    assert loaded == ExperimentsSection()
