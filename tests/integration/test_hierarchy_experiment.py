"""`mriqa experiment hierarchy` on a tiny cohort after a whole run with SimCLR."""

import json
import math
import shutil

import pytest
from simclr_cohort import RATING, Cohort, image, save
from simclr_run import write_run

from mriqa.cli import main
from mriqa.errors import UserError
from mriqa.evaluation import one_pass
from mriqa.evaluation.hierarchy import experiment as module
from mriqa.evaluation.hierarchy.experiment import run_experiments
from mriqa.evaluation.hierarchy.ground import read_ground
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.rating.publish import publish_tables

SECTION = HierarchyExperiments.model_validate(
    {
        "seeds": 2, "bootstraps": 20, "learnt": 12, "held": 8, "copies": 6, "held_copies": 6,
        "noise": [0.0, 0.2], "fractions": [0.3, 0.6], "fraction_at": 0.6, "noise_at": 0.2,
        "tuning": {"iterations": 4, "batch": 4, "view_px": 32},
        "volumes": {
            "iterations": 6, "batch": 16, "channels": 8,
            "rounds": {"folds": 2, "most": 2}, "forest_trees": 5,
        },
        "left_out": [["noise", "ghosting"]], "simclr_iterations": 2,
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, on which the experiments have been done."""
    made = write_run(tmp_path_factory.mktemp("experiment"))
    write_another_cohort(elsewhere(made).parent)
    go(made)
    return made


def go(made):
    section = SECTION.model_copy(update={"elsewhere": elsewhere(made)})
    return run_experiments(made.config, section, threads=1)


def elsewhere(made):
    return made.folder / "another" / "results"


def write_another_cohort(folder):
    """A series of nine volumes, measured, of a contrast that the run does not have."""
    volumes = [image(300, noise=6 + 0.3 * number) for number in range(9)]
    path = save(folder / "series.nii.gz", *volumes)
    other = Cohort(folder, [{"subject": "away", "contrast": "bold", "path": path}])
    other.measure()
    publish_tables(other.results, RATING)


def read(run):
    return json.loads((run.results / "experiments" / "hierarchy.json").read_text())


def test_all_that_was_asked_is_answered(run):
    content = read(run)
    for seed in (0, 1):
        asked = {
            (one["fraction"], one["noise"], one["how"])
            for one in content["curves"]
            if one["seed"] == seed
        }
        assert asked == {(1.0, 0.0, "all true")} | {
            (*one, how) for one in SECTION.conditions for how in ("once", "self-trained")
        }
    names = {one["name"] for one in content["ablation"]}
    assert names == {
        "as it is", "SimCLR's start", "no nonlocal blocks in slices",
        "no nonlocal block over slices", "random forests",
    }  # fmt: skip
    raters = {(one["family"], one["rater"]) for one in content["unseen"]}
    families = {family for family, _ in raters}
    assert families == {"noise", "ghosting"}
    assert {rater for _, rater in raters} == {"hierarchy", "SimCLR, whitened"}
    away = {(one["series_id"], one["severity"]) for one in content["elsewhere"]}
    assert len({series for series, _ in away}) == 1
    assert {severity for _, severity in away} == {0.25, 0.5, 1.0}
    assert all(0 <= one["auc"] <= 1 for one in content["elsewhere"])
    assert len(content["calibration"]) == len(content["sessions"]) == 4
    for one in content["curves"]:
        assert 0 <= one["accuracy"]["value"] <= 1
        assert math.isfinite(one["auc_fail"]["value"])


def test_nobody_tests_who_was_learned_from(run):
    ground = read_ground(run.config, SECTION)
    learnt, held = ({one.person.subject for one in some} for some in (ground.learnt, ground.held))
    assert learnt
    assert held
    assert not learnt & held
    assert not held & {one.subject for one in ground.pinned}
    assert not any(one.startswith("bad") for one in learnt | held)


def test_a_slice_network_that_must_not_know_a_family_is_never_shown_it(run, monkeypatch):
    """Everything made anew but the networks; what each is shown is watched."""
    shutil.rmtree(run.results / "experiments" / "hierarchy" / "embeddings")
    shown, real = [], one_pass.EmbeddingReader.take

    def take(self, seen, state):
        shown.append((self._maker, seen.item))
        real(self, seen, state)

    monkeypatch.setattr(one_pass.EmbeddingReader, "take", take)
    before = read(run)["curves"]
    content = json.loads(go(run).read_text())
    held = {one.person.subject for one in read_ground(run.config, SECTION).held}
    learnt = {}
    for maker, item in shown:
        if item.scan.person.subject not in held:
            learnt.setdefault(maker, set()).add(item.family)
    blind = [families for families in learnt.values() if not {"noise", "ghosting"} & families]
    assert len(blind) == 1 < len(learnt)
    assert content["curves"] == before


def test_a_second_time_everything_is_the_same_and_nothing_is_trained(run, monkeypatch):
    before = read(run)

    def never(*_):
        raise AssertionError("nothing is to be embedded")

    monkeypatch.setattr(one_pass, "embed_volume", never)
    after = json.loads(run_experiments(run.config, SECTION, threads=1).read_text())
    changing = {"date", "minutes", "elsewhere", "settings"}  # what is not its own is not kept
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    assert after["elsewhere"] == []


def test_a_killed_run_goes_on_from_its_lessons(run, monkeypatch):
    before = read(run)
    monkeypatch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
    go(run)
    lessons = run.results / "experiments" / "hierarchy" / "lessons"
    kept = {path: path.stat().st_mtime_ns for path in lessons.rglob("round-*.parquet")}
    assert kept
    again = json.loads(go(run).read_text())
    assert {path: path.stat().st_mtime_ns for path in lessons.rglob("round-*.parquet")} == kept
    assert again["curves"] == before["curves"]
    monkeypatch.undo()
    go(run)
    assert not lessons.exists(), "rounds name persons' series"
    assert not lessons.with_name("elsewhere").exists(), "persons of another cohort"


@pytest.mark.parametrize("where", ["results", "nowhere"])
def test_another_cohort_without_long_series_is_refused(run, where):
    folder = run.folder / where
    section = SECTION.model_copy(update={"elsewhere": folder})
    with pytest.raises(UserError, match=str(folder)):
        run_experiments(run.config, section, threads=1)


def test_the_files_say_the_same(run):
    go(run)
    content, folder = read(run), run.results / "experiments"
    text = (folder / "hierarchy.md").read_text()
    assert "hierarchy_curves.png" in text
    assert (folder / "hierarchy_curves.png").read_bytes().startswith(b"\x89PNG")
    for one in content["targets"]:
        assert one["name"] in text
    assert "## Series of another cohort" in text
    assert f"{content['counts']['n_learnt']} volumes to learn from" in text


def test_without_a_truth_or_people_it_says_what_is_missing(run):
    config = run.config
    blind = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"truth": None})}
    )
    with pytest.raises(UserError, match=r"evaluation\.truth: not set"):
        run_experiments(blind, SECTION, threads=1)


def test_the_command_line_refuses_what_is_of_simclr(run, tmp_path, capsys):
    assert main(["experiment", "hierarchy", str(tmp_path / "config.yaml"), "--small"]) != 0
    assert "--small is for simclr" in capsys.readouterr().err
