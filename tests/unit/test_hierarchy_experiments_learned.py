"""The hierarchy's experiments: what is learned, of unseen artifacts too; sessions and volumes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from embedding_pieces import no_metrics
from hierarchy_exam import SEVERITIES, SHAPE, SPACING, item, people, said, volumes
from hierarchy_volumes import SECTION
from hierarchy_volumes import volumes as make_volumes
from simclr_banks import FAMILIES, LENGTH, embedding
from simclr_banks import SECTION as REFERENCES
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from mriqa.artifacts import Family, draw
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.evaluation.calibration_error import calibration_error
from mriqa.evaluation.hierarchy.curves import ONCE, SELF_TRAINED, TRUE, Exam, learn_curves
from mriqa.evaluation.hierarchy.figures import (
    FAIL,
    PASS,
    QUESTIONABLE,
    contested_record,
    sampling_of,
)
from mriqa.evaluation.hierarchy.lessons import Pupil, draw_labels
from mriqa.evaluation.hierarchy.sessions import (
    FAILING,
    SIZE,
    _draw_sessions,
    calibration_record,
    cross_calibrated,
    session_record,
)
from mriqa.evaluation.hierarchy.unseen import HIERARCHY, SIMCLR, simclr_rater, unseen_records
from mriqa.evaluation.hierarchy.volumes import Volumes, usual_levels, volumes_of
from mriqa.evaluation.items import Item
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.calibration import at_temperature, fit_temperature
from mriqa.methods.hierarchy.levels import fit_levels
from mriqa.references.listing import HqVolume
from mriqa.references.person import Person


def sitting(n_subjects=4, failing=6, others=8):
    """Volumes of subjects, in two strata, enough of each for every session."""
    own = [2] * failing + [0, 1] * (others // 2)
    names = [(f"p{number}", stratum) for number in range(n_subjects) for stratum in "AB"]
    subjects, strata = zip(*(name for name in names for _ in own), strict=True)
    return volumes(own * len(names), list(subjects), list(strata))


def test_a_session_is_of_one_subject_and_stratum():
    made = sitting()
    sessions = _draw_sessions(made, 0)
    assert len(sessions) == 4 * 2 * len(FAILING)
    for rows in sessions:
        assert len(set(rows.tolist())) == SIZE
        assert len({(made.subjects[row], made.strata[row]) for row in rows}) == 1
    counts = [int((made.truth[rows] == FAIL).sum()) for rows in sessions]
    assert counts == list(FAILING) * 8


def test_who_has_few_failed_volumes_is_in_few_sessions():
    sessions = _draw_sessions(sitting(n_subjects=1, failing=2), 0)
    assert len(sessions) == 2 * sum(count <= 2 for count in FAILING)
    assert _draw_sessions(sitting(failing=0, others=6), 0) == []


def test_who_sees_every_failure_finds_every_session_and_raises_no_false_alarm():
    made = sitting()
    told = session_record(cross_calibrated(said(made.truth), made, 0), made, 0)
    assert told == {"n_sessions": 64, "n_failing": 24, "found": 1.0, "n_sound": 24,
                    "false_alarms": 0.0}  # fmt: skip


def test_who_calls_everything_failed_raises_every_false_alarm():
    made = sitting()
    told = session_record(cross_calibrated(said([2] * len(made.items)), made, 0), made, 0)
    assert (told["found"], told["false_alarms"]) == (1.0, 1.0)


def test_without_sessions_nothing_is_said_of_them():
    made = sitting(failing=0, others=6)
    told = session_record(cross_calibrated(said(made.truth), made, 0), made, 0)
    assert told == {"n_sessions": 0, "n_failing": 0, "found": None, "n_sound": 0,
                    "false_alarms": None}  # fmt: skip


def test_a_half_is_scaled_by_the_other_half():
    rng = np.random.default_rng(0)
    made = people(rng, n=60)
    probabilities = rng.dirichlet(np.ones(3), 60)
    scaled = cross_calibrated(probabilities, made, 0)
    for name in np.unique(made.subjects):
        assert len(set(scaled.half[made.subjects == name].tolist())) == 1
    for half in (0, 1):
        own = scaled.half == half
        assert 0 < own.sum() < 60
        temperature = fit_temperature(probabilities[~own], made.truth[~own])
        assert scaled.probabilities[own] == pytest.approx(
            at_temperature(probabilities[own], temperature)
        )
    assert (scaled.probabilities.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_a_single_subject_is_not_scaled():
    made = volumes([0, 1, 2, 2], ["p"] * 4)
    scaled = cross_calibrated(said([0, 1, 2, 0]), made, 0)
    assert scaled.probabilities == pytest.approx(said([0, 1, 2, 0]))


@pytest.mark.parametrize("bootstraps", [0, 20])
def test_the_error_of_probabilities_is_that_of_the_scaled_ones(bootstraps):
    made = people(np.random.default_rng(0), n=60)
    scaled = cross_calibrated(said(np.roll(made.truth, 1), 0.6), made, 0)
    told = calibration_record(scaled, made, bootstraps, 3)
    found = calibration_error(scaled.probabilities, made.truth, made.subjects, bootstraps, 3)
    assert told == {name: getattr(found, name) for name in told}
    assert set(told) == {"n", "ece", "corrected", "low", "high"}


def test_volumes_know_what_they_should_be_rated():
    ratings, subjects = [None, 0, 1, 2], ["p", "p", "q", "q"]
    made = volumes(ratings, subjects, ["A", "B", "A", "B"])
    assert made.truth.tolist() == [PASS, PASS, QUESTIONABLE, FAIL]
    assert made.families.tolist() == ["none", "noise", "noise", "noise"]
    kept = made.only(made.strata == "B")
    assert (kept.subjects.tolist(), kept.truth.tolist()) == (["p", "q"], [PASS, FAIL])
    assert len(kept.bags) == 2


def embedded(value):
    return VolumeEmbedding(np.full((3, 2), value, np.float16), np.ones(3, bool), 2, no_metrics(3))


def test_levels_are_those_of_scans_not_of_copies():
    scans = {item(f"p{number}", None): embedded(float(number)) for number in range(5)}
    copies = {item("p0", 2, seed=number): embedded(100.0) for number in range(9)}
    levels, alone = usual_levels({**copies, **scans}), fit_levels({"A": list(scans.values())})
    assert levels.strata == ("A",)
    assert levels.centre.tolist() == alone.centre.tolist()
    assert levels.centre[0, :2].tolist() == [2.0, 2.0]
    np.testing.assert_array_equal(levels.spread, alone.spread)


def test_what_was_not_embedded_is_left_out():
    items = [item(f"p{number}", None) for number in range(4)]
    known = {one: embedded(float(number)) for number, one in enumerate(items) if number != 1}
    levels = usual_levels(known)
    made = volumes_of(items[:3], known, levels)
    assert made.items == (items[0], items[2])
    assert np.array_equal(made.bags.take([1]).values, levels.bag(known[items[2]], "A"))


ROUNDS = SECTION.rounds.model_copy(update={"most": 2})
QUICK = SECTION.model_copy(update={"iterations": 40, "learning_rate": 1e-2, "rounds": ROUNDS})


def as_volumes(made, families=("noise", "ghosting"), shift=0):
    """The made-up `Made` as copies of scans, the `families` in turn; `shift` parts subjects."""
    items = []
    for number, (rating, subject) in enumerate(zip(made.truth, made.given.subjects, strict=True)):
        own = HqVolume(f"v{shift + number}", 0, "A", 0, Person(f"{shift} {subject}"))
        family = Family(families[number % len(families)])
        items.append(Item(own, draw(family, SEVERITIES[rating], SHAPE, SPACING, seed=number)))
    return Volumes(tuple(items), made.features)


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """Networks that learn from 90 volumes, and 60 of other subjects that test them."""
    learnt = as_volumes(make_volumes(n=90, strength=1.0))
    held = as_volumes(make_volumes(n=60, strength=1.0, seed=1), shift=1000)
    pupil = Pupil(learnt, QUICK, tmp_path_factory.mktemp("lessons"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on busy cores, so small networks wait for one another
    yield Exam(pupil, held, sampling_of(held, 40, 0))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def marks(exam):
    return learn_curves(exam, {"seed": 5}, [(0.5, 0.3), (0.3, 0.0)], 5)


def test_each_condition_is_learned_once_and_in_rounds_and_all_labels_once(marks):
    told = [(one["fraction"], one["noise"], one["how"]) for one in marks.records]
    assert told == [
        (1.0, 0.0, TRUE), (0.5, 0.3, ONCE), (0.5, 0.3, SELF_TRAINED), (0.3, 0.0, ONCE),
        (0.3, 0.0, SELF_TRAINED),
    ]  # fmt: skip
    assert {one["seed"] for one in marks.records} == {5}
    assert set(marks.probabilities) == set(told)


def test_records_are_of_the_probabilities_beside_them(exam, marks):
    truth = exam.held.truth
    for one in marks.records:
        probabilities = marks.probabilities[one["fraction"], one["noise"], one["how"]]
        assert probabilities.shape == (60, 3)
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(60))
        found = probabilities.argmax(axis=1)
        assert one["accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, found))


def test_who_learns_all_true_labels_knows_most(marks):
    best, *others = (one["accuracy"]["value"] for one in marks.records)
    assert best > 0.8
    assert best > others[0]  # a third of half of the labels is wrong


def test_gain_is_over_once_and_short_is_of_all_true(exam, marks):
    best, once, again, *_ = marks.records
    values = [one["accuracy"]["value"] for one in (best, once, again)]
    assert again["gain"]["value"] == pytest.approx(values[2] - values[1])
    assert again["short"]["value"] == pytest.approx(values[0] - values[2])
    assert values[1] != values[2]
    found = [marks.probabilities[key].argmax(axis=1) for key in
             ((1.0, 0.0, TRUE), (0.5, 0.3, ONCE), (0.5, 0.3, SELF_TRAINED))]  # fmt: skip
    paired = []
    for times in exam.sampling.drawn[1:]:  # whoever is drawn tests both
        rows = np.repeat(np.arange(60), times[exam.sampling.subject].astype(int))
        accuracy = [balanced_accuracy_score(exam.held.truth[rows], one[rows]) for one in found]
        paired.append(accuracy[2] - accuracy[1])
    interval = again["gain"]["low"], again["gain"]["high"]
    assert interval == pytest.approx(tuple(np.percentile(paired, [2.5, 97.5])))


def test_only_self_training_has_rounds_and_contested_labels(exam, marks):
    for one in marks.records:
        is_again = one["how"] == SELF_TRAINED
        assert is_again == ("gain" in one) == ("contested" in one) == ("n_rounds" in one)
    again = marks.records[2]
    assert 1 <= again["n_rounds"] <= 2
    assert (again["contested"]["n_labels"], again["contested"]["n_wrong"]) == (45, 14)
    assert marks.records[4]["contested"]["n_wrong"] == 0
    assert marks.records[4]["contested"]["recall"] is None
    # the contested ones are those of the last round, out of fold
    labels = draw_labels(exam.pupil.learnt.truth, 0.5, 0.3, 5)
    _, outcome = exam.pupil.self_trained(labels, exam.held.bags)
    last = outcome.rounds[-1].probabilities
    assert again["contested"] == contested_record(last, labels)


def test_what_has_been_learned_is_not_learned_again(exam, marks):
    def written():
        return {path: path.stat().st_mtime_ns for path in exam.pupil.folder.rglob("*")
                if path.is_file()}  # fmt: skip

    before = written()
    again = learn_curves(exam, {"seed": 5}, [(0.5, 0.3), (0.3, 0.0)], 5)
    assert again.records == marks.records
    assert written() == before
    assert before


def unseen(exam, simclr, held=None):
    told = unseen_records({"seed": 5}, exam.pupil, held or exam.held, exam.sampling, simclr)
    return {(one["rater"], one["family"]): one for one in told}


def test_unseen_families_are_judged_by_who_learned_all_labels(exam, marks):
    told = unseen(exam, None)
    assert set(told) == {(HIERARCHY, "noise"), (HIERARCHY, "ghosting")}
    worse = marks.probabilities[1.0, 0.0, TRUE] @ [0, 0.5, 1]
    truth, family = exam.held.truth, exam.held.families
    for name in ("noise", "ghosting"):
        for kind, place in (("auc_fail", FAIL), ("auc_questionable", QUESTIONABLE)):
            own = (truth == place) & (family == name)
            rows = own | (truth == PASS)
            one = told[HIERARCHY, name][kind]
            assert one["value"] == pytest.approx(roc_auc_score(own[rows], worse[rows]))
            assert (one["n"], one["n_without_value"]) == (own.sum(), 0)


def test_volumes_that_simclr_cannot_judge_are_counted(exam):
    def rate(learnt, held):
        assert learnt is exam.pupil.learnt
        worse = held.truth.astype(float)
        worse[np.flatnonzero((held.truth == FAIL) & (held.families == "noise"))[:2]] = np.nan
        return worse

    told = unseen(exam, rate)
    n_failing = int(((exam.held.truth == FAIL) & (exam.held.families == "noise")).sum())
    assert told[SIMCLR, "noise"]["auc_fail"]["n"] == n_failing - 2
    assert told[SIMCLR, "noise"]["auc_fail"]["n_without_value"] == 2
    assert told[SIMCLR, "noise"]["auc_fail"]["value"] == 1.0
    assert told[SIMCLR, "ghosting"]["auc_fail"]["n_without_value"] == 0
    assert told[HIERARCHY, "noise"]["auc_fail"]["n_without_value"] == 0


def sitters(first, n, stratum, rng):
    """Each of n subjects' scan and a mild and a severe copy, as SimCLR's encoder would see them."""
    seen = {}
    for number in range(first, first + n):
        anatomy = rng.normal(0, 0.1, LENGTH)
        for rating in (None, 0, 2):
            one = item(f"p{number}", rating, stratum, FAMILIES[number % 2], seed=number)
            made = embedding(rng, anatomy, one.severity, FAMILIES[number % 2])
            seen[one] = replace(made, slices=made.slices[1:], is_body=made.is_body[1:])
    return seen


def test_simclr_judges_by_banks_of_what_is_learned_from():
    rng = np.random.default_rng(0)
    learnt, held = sitters(0, 8, "A", rng), sitters(20, 4, "A", rng)
    strange = sitters(30, 2, "B", rng)  # a stratum of which nothing is known
    seen = {**learnt, **held, **strange}
    some = [Volumes(tuple(one), Bags.of([np.zeros((1, 2), np.float16)] * len(one)))
            for one in (learnt, {**held, **strange})]  # fmt: skip
    worse = simclr_rater(seen, REFERENCES, 0, 0)(*some)
    assert np.isnan(worse[12:]).all()
    truth = some[1].truth[:12]
    assert worse[:12][truth == FAIL].min() > worse[:12][truth == PASS].max()
