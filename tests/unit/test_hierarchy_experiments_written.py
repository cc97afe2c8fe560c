"""What the hierarchy's experiments say of their results: targets, tables, curves."""

import pytest
from PIL import Image

from mriqa.evaluation.hierarchy import plots
from mriqa.evaluation.hierarchy.curves import ONCE, SELF_TRAINED, TRUE
from mriqa.evaluation.hierarchy.markdown import written
from mriqa.evaluation.hierarchy.plots import plot_curves
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.hierarchy.summary import at, check_targets, mean, over_seeds
from mriqa.evaluation.hierarchy.unseen import HIERARCHY, SIMCLR

SECTION = HierarchyExperiments(
    seed=4, seeds=2, noise=(0.0, 0.2), fractions=(0.1, 0.5), noise_at=0.2, fraction_at=0.1
)
SEEDS = (4, 5)
CONTESTED = {"n_labels": 50, "n_wrong": 10, "n_listed": 12, "precision": 0.5, "recall": 0.6,
             "precision_at_recall": None}  # fmt: skip


def value(number):
    return {"value": number, "low": None, "high": None}


def record(how, seed, fraction=1.0, noise=0.0, accuracy=0.9, **more):
    """Accuracies of the second seed are .02 higher."""
    told = {
        "seed": seed, "fraction": fraction, "noise": noise, "how": how,
        "accuracy": value(accuracy + 0.02 * (seed - 4)),
        "recall": {"pass": 0.91, "questionable": 0.72, "fail": 0.83},
        "auc_fail": value(0.98), "auc_questionable": value(0.87),
    }  # fmt: skip
    if how == SELF_TRAINED:
        told |= {"gain": value(0.1), "short": value(0.03), "n_rounds": 2, "contested": CONTESTED}
    return told | more


def curves(**of_target):
    """A record a seed and condition; `of_target`: values where fraction_at and noise_at meet."""
    found = [record(TRUE, seed) for seed in SEEDS]
    for fraction, noise in SECTION.conditions:
        here = (fraction, noise) == (SECTION.fraction_at, SECTION.noise_at)
        for seed in SEEDS:
            found.append(record(ONCE, seed, fraction, noise, 0.6 - noise))
            more = of_target if here else {"gain": value(0.5), "short": value(0.5)}
            found.append(record(SELF_TRAINED, seed, fraction, noise, 0.7 - noise, **more))
    return found


def family(name, rater, fail, questionable=0.75, n=30, seed=4):
    return {"seed": seed, "without": [name], "family": name, "rater": rater,
            "auc_fail": value(fail) | {"n": n, "n_without_value": 0},
            "auc_questionable": value(questionable) | {"n": n, "n_without_value": 0}}  # fmt: skip


def content(**changed):
    whos = [(seed, how) for seed in SEEDS for how in (TRUE, SELF_TRAINED)]
    told = {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"cores": 2, "cpu": "a cpu", "mriqa": "0.1", "torch": "2.9"},
        "settings": SECTION.model_dump(mode="json"),
        "counts": {"n_learnt": 160, "n_learnt_scans": 10, "n_learnt_subjects": 9, "n_held": 65,
                   "n_held_subjects": 5, "n_strata": 2, "n_tuned_on": 40},
        "notes": [],
        "curves": curves(),
        "calibration": [
            {"seed": seed, "how": how, "n": 65, "ece": 0.06, "corrected": 0.04, "low": 0.01,
             "high": 0.07} for seed, how in whos
        ],
        "sessions": [
            {"seed": seed, "how": how, "n_sessions": 40, "n_failing": 15, "found": 1.0,
             "n_sound": 16, "false_alarms": 0.125} for seed, how in whos
        ],
        "ablation": [],
        "unseen": [],
        "elsewhere": [],
    }  # fmt: skip
    told |= changed
    return {**told, "targets": check_targets(told)}


def target(made, name):
    (found,) = (one for one in made["targets"] if one["name"] == name)
    return found


def parts(text):
    """Paragraphs below each heading."""
    found = [one.split("\n", 1) for one in text.split("\n## ")]
    return dict(found[1:])


def table(text):
    """The first table of a text as rows of cells, the head first."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [rows[0], *rows[2:]]


def test_a_mean_is_of_what_is_known():
    assert mean([0.5, None, 1.0]) == 0.75
    assert mean([None]) is mean([]) is None
    records = [{"a": {"b": 1}}, {"a": {"b": None}}, {"a": None}, {"a": {"b": 4}}]
    assert over_seeds(records, "a", "b") == 2.5
    assert at([{"x": 1, "y": 2}, {"x": 1, "y": 3}], x=1, y=3) == [{"x": 1, "y": 3}]


def test_the_gain_that_counts_is_where_fraction_and_noise_meet():
    made = content()
    told = target(made, "self-trained over once")
    assert (told["value"], told["target"], told["met"]) == (pytest.approx(0.1), 0.08, True)
    told = target(made, "short of all true labels")
    assert (told["value"], told["bound"], told["met"]) == (pytest.approx(0.03), "at most", True)
    poor = content(curves=curves(gain=value(0.079), short=value(0.041)))
    assert target(poor, "self-trained over once")["met"] is False
    assert target(poor, "short of all true labels")["met"] is False


def test_targets_are_held_against_means_over_seeds():
    records = curves()
    for one in records:
        if one["how"] == TRUE:
            one["auc_fail"] = value({4: 0.95, 5: 0.98}[one["seed"]])
    told = target(content(curves=records), "AUC fail against pass")
    assert (told["value"], told["met"]) == (pytest.approx(0.965), False)


def test_what_was_reached_is_reached():
    told = target(content(curves=curves(contested=CONTESTED | {"recall": 0.7})),
                  "contested: recall")  # fmt: skip
    assert (told["target"], told["met"]) == (0.7, True)
    assert target(content(), "contested: recall")["met"] is False
    assert target(content(), "contested: precision where recall is .7, worst seed")["met"] is False


def test_one_session_that_is_not_found_is_too_many():
    made = content()
    assert target(made, "sessions with 30% failed volumes, found")["met"] is True
    at(made["sessions"], how=SELF_TRAINED)[0]["found"] = 0.5  # learned from some of the labels
    told = check_targets(made)
    assert target({"targets": told}, "sessions with 30% failed volumes, found")["met"] is True
    at(made["sessions"], how=TRUE)[0]["found"] = 0.98
    told = target({"targets": check_targets(made)}, "sessions with 30% failed volumes, found")
    assert (told["value"], told["met"]) == (pytest.approx(0.99), False)


def test_the_worst_calibration_counts():
    made = content()
    assert target(made, "expected calibration error")["met"] is True
    made["calibration"][2]["corrected"] = 0.051
    told = target({"targets": check_targets(made)}, "expected calibration error")
    assert (told["value"], told["met"]) == (0.051, False)


def test_unseen_families_are_held_against_simclr():
    ours = [family("noise", HIERARCHY, 0.98), family("wrap", HIERARCHY, 0.84)]
    theirs = [family("noise", SIMCLR, 0.95), family("wrap", SIMCLR, 0.85)]
    above = "unseen families, above SimCLR's whitened margin"
    made = content(unseen=ours + theirs)
    assert target(made, "unseen families, AUC fail")["value"] == pytest.approx(0.91)
    assert target(made, "unseen families, AUC fail")["met"] is True
    told = target(made, above)
    assert (told["value"], told["target"], told["met"]) == (
        pytest.approx(0.91), pytest.approx(0.9), True,
    )  # fmt: skip
    theirs[0] = family("noise", SIMCLR, 0.999)
    assert target(content(unseen=ours + theirs), above)["met"] is False
    alone = content(unseen=ours)  # the run had no SimCLR
    assert (target(alone, above)["target"], target(alone, above)["met"]) == (None, None)


def test_what_was_not_asked_is_neither_met_nor_missed():
    made = content(calibration=[], sessions=[])
    nothing = {one["name"] for one in made["targets"] if one["met"] is None}
    assert nothing == {
        "sessions with 30% failed volumes, found",
        "expected calibration error", "unseen families, AUC fail",
        "unseen families, above SimCLR's whitened margin",
    }  # fmt: skip


def test_a_reader_learns_what_was_done_with_whom():
    opening = written(content(), "c.png").split("\n## ")[0]
    for told in (
        "seeds 4 to 5", "160 volumes to learn from: 10 good scans of 9 subjects",
        "65 to test on, of 5 other subjects; 2 strata", "pass (severity 0 to 0.1)",
        "questionable (0.3 to 0.5), fail (0.75 to 1)", "2000 steps of 32 slices on 40 series",
        "2 cores (a cpu), mriqa 0.1, torch 2.9",
    ):  # fmt: skip
        assert told in opening


def test_targets_are_written_with_what_was_found():
    _, *rows = table(parts(written(content(), "c.png"))["Targets"])
    assert ["self-trained over once", "0.10", "at least 0.08", "yes"] in rows
    assert ["short of all true labels", "0.03", "at most 0.04", "yes"] in rows
    assert ["contested: recall", "0.60", "at least 0.70", "**no**"] in rows
    assert ["unseen families, AUC fail", "–", "at least 0.90", "–"] in rows
    assert len(rows) == 9


def test_curves_are_written_as_means_and_extremes_over_seeds():
    text = parts(written(content(), "c.png"))["Few labels, some of them wrong"]
    assert "![curves](c.png)" in text
    head, *rows = table(text)
    assert head[:3] == ["labels", "learned", "accuracy"]
    values = ["0.91", "0.72", "0.83", "0.98", "0.87"]
    assert rows[0] == ["all, true", "", "0.91 (0.90 to 0.92)", *values, ""]
    assert rows[1] == ["10%, 0% wrong", ONCE, "0.61 (0.60 to 0.62)", *values, ""]
    assert rows[2] == ["10%, 0% wrong", SELF_TRAINED, "0.71 (0.70 to 0.72)", *values, "0.50"]
    assert rows[4] == ["10%, 20% wrong", SELF_TRAINED, "0.51 (0.50 to 0.52)", *values, "0.10"]
    assert [row[0] for row in rows[5:]] == ["50%, 20% wrong"] * 2


def test_a_rating_that_nobody_should_have_is_a_dash():
    records = curves()
    for one in records:
        one["recall"] = {"pass": 0.5, "questionable": None, "fail": 0.25}
        one["auc_questionable"] = value(None)
    rows = table(parts(written(content(curves=records), "c.png"))["Few labels, some of them wrong"])
    assert rows[1][3:8] == ["0.50", "–", "0.25", "0.98", "–"]


def test_contested_labels_are_written_where_some_are_wrong():
    records = curves()
    for one in at(records, how=SELF_TRAINED, noise=0.0):
        one["contested"] = CONTESTED | {"n_wrong": 0, "recall": None}
    text = parts(written(content(curves=records), "c.png"))["Labels worth a second look"]
    _, *rows = table(text)
    assert rows[0] == ["10%, 20% wrong", "4", "50", "10", "12", "0.50", "0.60", "–"]
    assert [(row[0], row[1]) for row in rows[1:]] == [
        ("10%, 20% wrong", "5"), ("50%, 20% wrong", "4"), ("50%, 20% wrong", "5"),
    ]  # fmt: skip


def test_without_a_wrong_label_nothing_is_contested():
    records = curves()
    for one in at(records, how=SELF_TRAINED):
        one["contested"] = CONTESTED | {"n_wrong": 0}
    text = parts(written(content(curves=records), "c.png"))["Labels worth a second look"]
    assert len(table(text)) == 1


def test_the_ablation_is_a_row_a_network():
    made = [record(how, seed, accuracy=accuracy, name=name)
            for name, base in (("as it is", 0.8), ("random forest", 0.7))
            for how, accuracy in ((ONCE, base), (SELF_TRAINED, base + 0.05), (TRUE, base + 0.1))
            for seed in SEEDS]  # fmt: skip
    head, *rows = table(parts(written(content(ablation=made), "c.png"))["Ablation"])
    assert head[1:3] == ["once: accuracy", "AUC fail"]
    assert rows == [
        ["as it is", "0.81", "0.98", "0.86", "0.98", "0.91", "0.98"],
        ["random forest", "0.71", "0.98", "0.76", "0.98", "0.81", "0.98"],
    ]


def test_unseen_families_are_written_beside_simclr():
    made = [
        *(family("wrap", HIERARCHY, 0.9 + 0.04 * (seed - 4), 0.7, 20, seed) for seed in SEEDS),
        *(family("noise", HIERARCHY, 1.0, 0.8, 30, seed) for seed in SEEDS),
        family("noise", SIMCLR, 0.95, 0.6, 28), family("wrap", SIMCLR, None, None, 0),
    ]  # fmt: skip
    _, *rows = table(
        parts(written(content(unseen=made), "c.png"))["Artifacts that nobody had simulated"]
    )
    assert rows == [  # the volumes of both seeds are the same
        ["noise", "30", "1.00", "0.95", "0.80", "0.60"],
        ["wrap", "20", "0.92", "–", "0.70", "–"],
        ["mean", "50", "0.96", "0.95", "0.75", "0.60"],
    ]


def test_calibration_and_sessions_share_a_row():
    made = content()
    at(made["sessions"], seed=5, how=TRUE)[0].update(n_failing=0, found=None)
    _, *rows = table(parts(written(made, "c.png"))["Probabilities and sessions"])
    assert rows[0] == [TRUE, "4", "0.06", "0.04 (0.01 to 0.07)", "15", "1.00", "16", "0.12"]
    assert rows[2] == [TRUE, "5", "0.06", "0.04 (0.01 to 0.07)", "0", "–", "16", "0.12"]
    assert len(rows) == 4


def test_what_was_not_done_has_no_heading_and_what_was_left_out_is_named():
    plain = parts(written(content(), "c.png"))
    assert not plain.keys() & {"Ablation", "Artifacts that nobody had simulated", "Left out"}
    text = written(content(notes=["s1 cannot be read"]), "c.png")
    assert text.endswith("## Left out\n- s1 cannot be read\n")


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws curves; the figure that is written."""
    figures = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: (figures.append(figure),
                                                             save(figure, path)))  # fmt: skip

    def draw(records, section=SECTION):
        plot_curves(tmp_path / "c.png", records, section)
        with Image.open(tmp_path / "c.png") as image:
            assert image.size[0] > image.size[1] > 100
        return figures[-1].axes

    return draw


def lines(panel):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
            for line in panel.get_lines()}  # fmt: skip


def test_curves_are_means_over_seeds_by_noise_and_by_fraction(drawn):
    left, right = drawn(curves())
    assert lines(left)["trained once"] == ([0, 20], pytest.approx([0.61, 0.41]))
    assert lines(left)["self-trained"] == ([0, 20], pytest.approx([0.71, 0.51]))
    assert lines(right)["self-trained"] == ([10, 50], pytest.approx([0.51, 0.51]))
    for panel in (left, right):
        assert lines(panel)["all labels, true"][1] == pytest.approx([0.91, 0.91])
    assert [one.get_text() for one in right.get_xticklabels()] == ["10%", "50%"]
    assert "10% of volumes labelled" in left.get_xlabel()
    assert "20% of labels wrong" in right.get_xlabel()


def test_bands_run_from_the_worst_seed_to_the_best(drawn):
    left, _ = drawn(curves())
    once, again = (one.get_paths()[0].vertices[:, 1] for one in left.collections)
    assert (once.min(), once.max()) == pytest.approx((0.40, 0.62))
    assert (again.min(), again.max()) == pytest.approx((0.50, 0.72))


def test_a_single_condition_and_seed_is_drawn(drawn):
    section = HierarchyExperiments(seeds=1, noise=(0.2,), fractions=(0.1,))
    records = [one for one in curves() if one["seed"] == 4]
    left, right = drawn(records, section)
    assert lines(left)["trained once"] == ([20], pytest.approx([0.4]))
    assert lines(right)["self-trained"] == ([10], pytest.approx([0.5]))


def test_series_of_another_cohort_are_rows_of_severities():
    def found(name, severity, auc):
        return {"series_id": name, "stratum": "dwi/b1000", "severity": severity, "auc": auc,
                "lowest": auc - 0.1, "highest": auc + 0.1, "n_affected": 4,
                "n_untouched": 8}  # fmt: skip

    records = [
        found("one", 0.25, 0.61), found("one", 0.5, 0.72),
        found("two", 0.25, 0.43), found("two", 0.5, 0.84),
    ]  # fmt: skip
    text = written(content(elsewhere=records), "p.png")
    rows = [line for line in text.splitlines() if line.startswith(("| one", "| two"))]
    assert [[cell.strip() for cell in row.strip("|").split("|")] for row in rows] == [
        ["one", "4 : 8", "0.61 (0.51 to 0.71)", "0.72 (0.62 to 0.82)"],
        ["two", "4 : 8", "0.43 (0.33 to 0.53)", "0.84 (0.74 to 0.94)"],
    ]
    assert "Series of another cohort" not in written(content(), "p.png")
