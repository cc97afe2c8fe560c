"""`mriqa experiment hysnet` on a tiny cohort, with noise added to the volumes of another one."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from hysnet_cohort import LEARNING
from scipy.stats import pearsonr, spearmanr
from simclr_cohort import RATING, Cohort, image, save

from mriqa.cli import main
from mriqa.cohort.manifest import read_cohort
from mriqa.config import CohortSection, load_config
from mriqa.errors import UserError
from mriqa.evaluation.hysnet import networks
from mriqa.evaluation.hysnet.experiment import run_experiments
from mriqa.evaluation.hysnet.ground import kept_as, read_ground
from mriqa.evaluation.hysnet.settings import HysnetExperiments
from mriqa.rating.publish import publish_tables

SPLIT = {"train": 0.5, "validation": 0.0, "test": 0.5}
SECTION = HysnetExperiments.model_validate(
    {
        "seeds": 2, "bootstraps": 20, "dimensions": [3], "backbones": ["resnet18"],
        "comparators": ["brisque", "two_stream"],
        "shift": {"contrasts": ["T1w", "T2w"], "target": "body_snr_tissue"},
    }
)  # fmt: skip
LEARNED = LEARNING.model_copy(
    update={"patches": LEARNING.patches.model_copy(update={"slice_px": 48})}
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A measured cohort of two contrasts, and the results of another one."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = [
        {
            "subject": f"{number:03d}",
            "contrast": contrast,
            "path": save(
                folder / f"{contrast}-{number}.nii.gz", image(first + number, noise=3.0 + number)
            ),
        }
        for contrast, first in (("T1w", 0), ("T2w", 100))
        for number in range(40)
    ]
    cohort = Cohort(folder, rows)
    cohort.measure(split=CohortSection.model_fields["split"].annotation(**SPLIT))
    away = folder / "away"
    away.mkdir()
    path = save(away / "one.nii.gz", image(99, noise=4.0))
    other = Cohort(away, [{"subject": "away", "contrast": "T1w", "path": path}])
    other.measure()
    publish_tables(other.results, RATING)
    publish_tables(cohort.results, RATING)
    families = ["noise" if int(row["subject"]) > 19 else "none" for row in rows]
    truth = [
        f"t_sub-{row['subject']}_{row['contrast']},{family},1"
        for row, family in zip(rows, families, strict=True)
    ]
    (folder / "truth.csv").write_text("\n".join(["series_id,family,severity", *truth]))
    run_experiments(config(cohort), SECTION, threads=1)
    return cohort


def config(cohort):
    """As the user writes it."""
    path = cohort.folder / "config.yaml"
    content = {
        "results": str(cohort.results),
        "methods": [],
        "cohort": {
            "name": "t",
            "sources": [{"kind": "table", "path": str(cohort.folder / "series.csv")}],
            "split": SPLIT,
        },
        "hysnet": {"learning": LEARNED.model_dump(mode="json")},
        "evaluation": {
            "elsewhere": str(cohort.folder / "away" / "results"),
            "truth": str(cohort.folder / "truth.csv"),
        },
        "training": {"device": "cpu", "precision": "float32", "checkpoint_every": 5},
    }
    path.write_text(json.dumps(content))
    return load_config(path)


def found(cohort, name="hysnet"):
    return json.loads((cohort.results / "experiments" / f"{name}.json").read_text())


def test_every_number_is_that_of_the_predictions_that_were_kept(made):
    ground = read_ground(config(made), LEARNED)
    target = [one.example.target for one in ground.held]
    keys = [kept_as(one.example) for one in ground.held]
    records = found(made)["ablation"]
    assert [(one["head"], one["n_seeds"]) for one in records] == [("plain", 2), ("hyper", 2)]
    folder = made.results / "experiments" / "hysnet" / "predicted"
    for one in records:
        plans = networks.main_pair(LEARNED, SECTION)
        said = []
        for plan in plans:
            if plan.head == one["head"]:
                path = folder / f"{networks.identify(plan, ground.learnt)}.parquet"
                table = pq.read_table(path).to_pydict()
                by_key = dict(zip(table["key"], table["value"], strict=True))
                said.append([by_key[key] for key in keys])
        assert one["n"] == len(target)
        ranks = [spearmanr(each, target).statistic for each in said]
        assert one["srocc"]["value"] == pytest.approx(np.mean(ranks))
        assert one["srocc"]["lowest"] == pytest.approx(min(ranks))
        assert one["plcc"]["value"] == pytest.approx(
            np.mean([pearsonr(each, target).statistic for each in said])
        )
        assert one["mae"]["value"] == pytest.approx(np.abs(np.array(said) - target).mean())


def test_nobody_is_on_both_sides(made):
    rows = read_cohort(made.results / "cohort.parquet").to_pylist()
    split = {row["series_id"]: row["split"] for row in rows}
    ground = read_ground(config(made), LEARNED)
    assert {split[one.series_id] for one in ground.learnt} == {"train"}
    assert {split[one.example.series_id] for one in ground.held} == {"test"}
    learnt = {ground.subjects[one.series_id] for one in ground.learnt}
    assert not learnt & {one.subject for one in ground.held}


def test_comparators_stand_beside_hysnet(made):
    named = {one["name"]: one for one in found(made)["comparators"]}
    assert list(named) == ["hysnet", "brisque", "two_stream"]
    assert named["hysnet"]["n_seeds"] == 2
    hyper = next(one for one in found(made)["ablation"] if one["head"] == "hyper")
    assert named["hysnet"]["srocc"] == hyper["srocc"]
    # these volumes differ by noise alone, of which BRISQUE's features are full
    assert named["brisque"]["srocc"]["value"] > 0.8


def test_a_shift_is_tested_on_each_content_alone(made):
    shift = found(made)["shift"]
    assert [(one["learned"], one["tested"]) for one in shift] == [
        (["T1w"], "T1w"), (["T1w"], "T2w"), (["T2w"], "T1w"), (["T2w"], "T2w"),
        (["T1w", "T2w"], "T1w"), (["T1w", "T2w"], "T2w"),
    ]  # fmt: skip
    for one in shift:
        difference = one["hyper"]["srocc"]["value"] - one["plain"]["srocc"]["value"]
        assert one["margin"]["srocc"]["value"] == pytest.approx(difference)


def test_planes_show_every_held_volume_of_all_contents(made):
    planes = found(made)["planes"]
    assert [one["of"] for one in planes] == ["plain", "hyper"]
    for one in planes:
        assert len(one["points"]) == len(one["contrasts"]) == len(one["targets"])
        assert set(one["contrasts"]) == {"T1w", "T2w"}
        assert 0 <= one["between"] <= 1


def test_artifacts_stand_apart(made):
    families = found(made)["families"]
    assert [(one["head"], one["family"]) for one in families] == [
        ("plain", "none"), ("plain", "noise"), ("hyper", "none"), ("hyper", "noise"),
    ]  # fmt: skip
    ground = read_ground(config(made), LEARNED)
    assert families[0]["n"] + families[1]["n"] == len(ground.held)


def test_noise_is_added_to_the_other_cohorts_volume(made):
    records = found(made)["noise"]
    assert [(one["net"], one["seed"]) for one in records] == [
        ("plain", 0), ("hyper", 0), ("plain", 1), ("hyper", 1),
    ]  # fmt: skip
    for one in records:
        assert len(one["predicted"]) == 7
        assert len(set(one["predicted"])) == 7
        severities = [0, 0.125, 0.25, 0.375, 0.5, 0.75, 1]
        rank = spearmanr(severities, one["predicted"]).statistic
        assert one["spearman"] == pytest.approx(rank)


def test_the_page_says_what_the_numbers_say(made):
    text = (made.results / "experiments" / "hysnet.md").read_text()
    hyper = next(one for one in found(made)["ablation"] if one["head"] == "hyper")
    assert f"{hyper['srocc']['value']:.3f} [" in text
    assert "0.757/0.823" in text  # the paper's
    for name in ("hysnet_planes.png", "hysnet_noise.png"):
        assert f"({name})" in text
        assert (made.results / "experiments" / name).read_bytes().startswith(b"\x89PNG")


def test_a_rerun_trains_nothing_and_says_the_same(made, monkeypatch):
    before = found(made)

    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(networks, "launch", fail)
    run_experiments(config(made), SECTION, threads=1)
    after = found(made)
    for name in ("ablation", "margins", "comparators", "shift", "noise", "targets"):
        assert after[name] == before[name]


def test_a_part_by_itself_equals_that_part_of_all(made):
    assert main(
        ["experiment", "hysnet", str(made.folder / "config.yaml"), "--part", "comparators",
         "--experiments", str(settings(made)), "--threads", "1"]
    ) == 0  # fmt: skip
    part = found(made, "hysnet_comparators")
    assert part["comparators"] == found(made)["comparators"]
    assert part["ablation"] == []


def settings(made):
    path = made.folder / "experiments.yaml"
    path.write_text(json.dumps(SECTION.model_dump(mode="json")))
    return path


def test_what_no_network_needs_any_more_is_forgotten(made):
    folder = made.results / "experiments" / "hysnet"
    strangers = [folder / "predicted" / "0123456789abcdef.parquet", folder / "models" / "0123"]
    strangers[0].write_bytes(b"")
    strangers[1].mkdir()
    run_experiments(config(made), SECTION, threads=1)
    assert not any(path.exists() for path in strangers)
    # the main pair of two seeds, one of which has learned T1w alone as the shift asks, the pairs
    # of the two other mixes, a comparator
    assert len(list((folder / "models").iterdir())) == 4 + 4 + 1


def test_too_few_volumes_are_named(made):
    learning = LEARNED.model_copy(update={"contrasts": ("T1w",)})
    target = learning.target.model_copy(update={"column": "snr_total"})
    with pytest.raises(UserError, match=r"0 volumes of training subjects \(T1w\) have a snr_total"):
        read_ground(config(made), learning.model_copy(update={"target": target}))


def test_contrasts_must_be_named_where_they_differ(made):
    learning = LEARNED.model_copy(update={"contrasts": ()})
    with pytest.raises(UserError, match=r"the cohort has T1w, T2w; name one"):
        read_ground(config(made), learning)


def test_without_a_run_it_is_said_what_to_do(made, tmp_path):
    nowhere = config(made).model_copy(update={"results": tmp_path})
    with pytest.raises(UserError, match=r"no finished run there; run `mriqa run CONFIG` first"):
        read_ground(nowhere, LEARNED)


@pytest.fixture
def untrained(monkeypatch):
    """Fails where anything is trained or predicted."""

    def fail(*_):
        raise AssertionError("work was begun")

    for name in ("launch", "predictions"):
        monkeypatch.setattr(networks, name, fail)
    monkeypatch.setattr("mriqa.evaluation.hysnet.experiment.predictions", fail)


@pytest.mark.parametrize(
    ("shift", "told"),
    [
        ({"contrasts": ["T1w", "T3w"]}, r"shift.contrasts .*'T3w' is no contrast .* has T1w, T2w"),
        ({"contrasts": ["T1w", "T2w"], "target": "snr"}, r"shift.target .*'snr' is no metric"),
        (
            {"contrasts": ["T1w", "T2w"], "target": "snr_total"},
            r"0 volumes of training subjects \(T1w\) .* see shift.contrasts",
        ),
    ],
)
def test_a_shift_that_cannot_be_is_refused_before_any_work(made, untrained, shift, told):
    content = SECTION.model_dump(mode="json") | {"shift": shift}
    with pytest.raises(UserError, match=told):
        run_experiments(config(made), HysnetExperiments.model_validate(content), threads=1)


def test_another_cohort_without_tables_is_refused_before_any_work(made, untrained, tmp_path):
    own = config(made)
    evaluation = own.evaluation.model_copy(update={"elsewhere": tmp_path})
    with pytest.raises(UserError, match=r"evaluation.elsewhere: .* holds no tables"):
        run_experiments(own.model_copy(update={"evaluation": evaluation}), SECTION, threads=1)


def test_without_opencv_brisque_is_refused_before_any_work(made, untrained, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install 'mriqa\[compare\]'"):
        run_experiments(config(made), SECTION, threads=1, part="comparators")
