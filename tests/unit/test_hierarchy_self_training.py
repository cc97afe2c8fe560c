"""Self-training on volumes: folds, workers, what it gains, and going on after a kill."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hierarchy_volumes import SECTION, volumes, without_labels
from training_workers import with_workers

from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.lesson import Given, first_lesson
from mriqa.methods.hierarchy.rounds import UNLABELLED
from mriqa.methods.hierarchy.self_training import PROBABILITIES, SCHEMA, all_rounds, self_train
from mriqa.methods.hierarchy.stage import (
    StageLearner,
    StageTask,
    make_nets,
    predict,
)
from mriqa.training.world import World

CPU = torch.device("cpu")


def learner(made, section=SECTION, world=None):
    return StageLearner("volumes", made.features, section, "hierarchy-0", 50, CPU, world or World())


def task_of(made, section=SECTION, given=None):
    lesson = first_lesson(given or made.given, section.rounds.folds, 0)
    nets = make_nets(made.features.length, section)
    return StageTask(nets, made.features, lesson, section)


def test_a_fold_is_never_learned_from_by_its_own_network():
    made = volumes(n=60, labelled=1.0)
    folds = first_lesson(made.given, 3, 0).folds
    task = task_of(made, given=without_labels(made.given, folds != 1))
    (batch,) = task.batches(0, 1, World())
    task.loss(task.module, batch, World())[0].backward()
    moved = [max(float(p.grad.abs().max()) for p in net.parameters()) for net in task.module.nets]
    assert moved[1] == 0
    assert min(moved[0], moved[2]) > 0


def test_every_labelled_volume_is_shown_once_before_any_is_shown_again():
    made = volumes(n=90)
    task = task_of(made)
    used = task.lesson.used
    n_batches = -(-3 * len(used) // SECTION.batch)
    rows = [
        row
        for number in range(n_batches)
        for row in task._rows(range(number * 32, number * 32 + 32))
    ]
    for turn in range(3):
        assert sorted(rows[turn * len(used) : (turn + 1) * len(used)]) == used.tolist()
    assert rows[: len(used)] != rows[len(used) : 2 * len(used)]


def test_batches_are_functions_of_their_number():
    task = task_of(volumes(n=60))
    later = list(task.batches(3, 2, World()))
    everything = list(task.batches(0, 5, World()))
    for one, other in zip(later, everything[3:], strict=True):
        for first, second in zip(one, other, strict=True):
            torch.testing.assert_close(first, second)


def gradient(world, folder):
    made = volumes(n=60)
    task = task_of(made, SECTION.model_copy(update={"dropout": 0.0}))
    (batch,) = task.batches(2, 1, world)
    loss = task.loss(task.module, batch, world)[0]
    loss.backward()
    flat = torch.cat([p.grad.flatten() for p in task.module.parameters()])
    return world.mean(loss.detach()), world.mean(flat)


def test_two_workers_equal_one_with_the_whole_batch(tmp_path):
    loss, flat = gradient(World(), tmp_path)
    for other_loss, other_flat in with_workers(2, tmp_path / "two", gradient, tmp_path):
        torch.testing.assert_close(other_loss, loss)
        torch.testing.assert_close(other_flat, flat, rtol=1e-4, atol=1e-6)


def test_padding_holds_nothing_and_is_known():
    features = Bags.of([np.ones((2, 3), np.float16), np.ones((4, 3), np.float16)])
    slices, is_there = features.padded([0, 1])
    assert slices.shape == (2, 4, 3)
    assert is_there.sum(1).tolist() == [2, 4]
    assert float(slices[0, 2:].abs().max()) == 0


def test_what_is_predicted_does_not_depend_on_who_is_predicted_beside():
    made = volumes(n=20)
    nets = make_nets(made.features.length, SECTION).eval()
    together = predict(nets, made.features)
    np.testing.assert_allclose(together.sum(axis=2), 1, rtol=1e-6)
    alone = np.concatenate([predict(nets, made.features.take([row])) for row in range(20)], axis=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def accuracy(probabilities, truth):
    best = probabilities.argmax(axis=1)
    return np.mean([(best[truth == one] == one).mean() for one in range(len(RATINGS))])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """300 volumes, 30% labelled, a quarter of these wrong; and 150 that nobody trains on."""
    folder = tmp_path_factory.mktemp("rounds")
    made, test = volumes(wrong=0.25), volumes(n=150, seed=9)
    own = learner(made)
    outcome = self_train(own, made.given, SECTION.rounds, 0, folder)
    once = own.trained(first_lesson(made.given, 3, 0), folder / "once")
    final = own.trained(outcome.lesson, folder / "final")
    return made, test, outcome, folder, once, final


def test_self_training_is_better_than_training_once_on_the_same_labels(trained):
    _, test, _, _, once, final = trained
    before = accuracy(predict(once, test.features).mean(axis=0), test.truth)
    after = accuracy(predict(final, test.features).mean(axis=0), test.truth)
    assert after > before + 0.02
    assert after > 0.85


def test_wrong_labels_are_contested_and_right_ones_are_not(trained):
    made, _, outcome, *_ = trained
    last = outcome.rounds[-1]
    labelled = made.given.classes != UNLABELLED
    contested = labelled & (last.probabilities.argmax(axis=1) != made.given.classes)
    found = (contested & made.is_wrong).sum()
    assert found / made.is_wrong.sum() > 0.7
    assert found / contested.sum() > 0.6


def test_a_round_is_written_with_all_that_was_decided(trained):
    made, _, outcome, folder, *_ = trained
    for one in outcome.rounds:
        table = pq.read_table(folder / f"round-{one.number}.parquet")
        assert table.num_rows == len(made.features)
        written = np.stack([table[name].to_numpy() for name in PROBABILITIES], axis=1)
        np.testing.assert_array_equal(written, one.probabilities)
        given = [None if c < 0 else RATINGS[c] for c in made.given.classes.tolist()]
        assert table["given"].to_pylist() == given
        used = [None if c < 0 else RATINGS[c] for c in one.decisions.classes.tolist()]
        assert table["used"].to_pylist() == used
        assert set(table["round"].to_pylist()) == {one.number}
    assert not (folder / f"round-{len(outcome.rounds) + 1}.parquet").exists()


class Killed(Exception):
    """As good as SIGKILL: nothing after it runs."""


class Mortal:
    """A learner that dies at its fit number `at`, before or after the training."""

    def __init__(self, own, at, trains):
        self.own, self.at, self.trains, self.fits = own, at, trains, 0

    def fit(self, lesson, folder):
        self.fits += 1
        if self.fits == self.at:
            if self.trains:
                self.own.fit(lesson, folder)
            raise Killed
        return self.own.fit(lesson, folder)


@pytest.mark.parametrize(("at", "trains"), [(1, False), (2, True), (2, False)])
def test_a_killed_run_goes_on_at_its_round_and_ends_as_if_undisturbed(tmp_path, at, trains):
    made = volumes(n=60, labelled=0.8)
    section = SECTION.model_copy(update={"iterations": 25})
    loose = {"most": 3, "stop_share": 0.0, "keep_from": 0.34, "change_from": 0.5}
    rounds = section.rounds.model_copy(update=loose)
    undisturbed = self_train(learner(made, section), made.given, rounds, 0, tmp_path / "one")
    with pytest.raises(Killed):
        self_train(
            Mortal(learner(made, section), at, trains), made.given, rounds, 0, tmp_path / "two"
        )
    counted = Mortal(learner(made, section), 99, False)
    outcome = self_train(counted, made.given, rounds, 0, tmp_path / "two")
    assert counted.fits == 3 - (at - 1)  # no round that had ended is trained again
    for one, other in zip(undisturbed.rounds, outcome.rounds, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert undisturbed.lesson.digest == outcome.lesson.digest


def test_labels_that_cannot_be_learned_stay_as_they_were_given(tmp_path):
    made = volumes(n=40, labelled=0.9, strength=0.0)  # nothing is to be seen in the features
    section = SECTION.model_copy(update={"iterations": 5})
    outcome = self_train(learner(made, section), made.given, section.rounds, 0, tmp_path)
    labelled = made.given.classes != UNLABELLED
    for one in outcome.rounds:
        decided = one.decisions.classes[labelled]
        assert np.mean(decided == made.given.classes[labelled]) > 0.95


def test_networks_that_confirm_no_label_of_a_class_end_it_with_what_was_given(tmp_path, capsys):
    given = with_copies(n_copies=0)
    outcome = self_train(Doubting(given, given.classes == 2), given, LOOSE, 0, tmp_path)
    assert len(outcome.rounds) == 1
    assert outcome.lesson.digest == first_lesson(given, 3, 0).digest
    said = capsys.readouterr().err
    assert "round 1 confirms no label of fail" in said
    assert "ends with what was learned from before" in said


class Doubting:
    """Networks that agree with every label but those of `rows` (n), which they would change to
    pass or questionable; counts its fits."""

    def __init__(self, given, rows):
        self.fits, self.given, self.rows = 0, given, rows

    def fit(self, lesson, folder):
        self.fits += 1
        classes = np.where(self.rows, (self.given.classes + 1) % 3, self.given.classes)
        one = 0.99 * np.eye(3)[classes] + 0.01 / 3
        return np.repeat(one[None], int(lesson.folds.max()) + 1, axis=0)


def with_copies(n=24, first=0, n_copies=2):
    """Scans, labelled and not, and copies of every third of them."""
    scans = volumes(n=n, labelled=0.6).given
    rows = np.concatenate([np.arange(n), *[np.arange(0, n, 3)] * n_copies])
    numbers = [None] * n + [first + one for one in range(n_copies) for _ in range(n // 3)]
    shares = np.eye(3)[np.arange(len(rows)) % 3]
    shares[:n] = scans.shares
    weights = np.full(len(rows), 0.5)
    weights[:n] = scans.weights
    targets = [scans.targets[row] for row in rows]
    return Given(targets, scans.subjects[rows], shares, weights, tuple(numbers))


LOOSE = SECTION.rounds.model_copy(update={"most": 3, "stop_share": 0.0})


def test_the_labels_of_copies_are_neither_dropped_nor_changed(tmp_path):
    given = with_copies()
    doubted = np.arange(len(given.targets)) % 5 == 0
    outcome = self_train(Doubting(given, doubted), given, LOOSE, 0, tmp_path)
    assert len(outcome.rounds) == 3
    is_copy = np.array(given.copy_numbers) != None  # noqa: E711  # of every item
    for number in range(1, 4):
        rows = pq.read_table(tmp_path / f"round-{number}.parquet").to_pylist()
        assert [row["copy"] for row in rows] == list(given.copy_numbers)
        copies = [row for row in rows if row["copy"] is not None]
        assert len(copies) == is_copy.sum() > 0
        assert all(row["action"] == "kept" for row in copies)
        assert all(row["used"] == row["given"] for row in copies)
        scans = [
            row["action"]
            for row, doubts in zip(rows, doubted, strict=True)
            if doubts and row["copy"] is None and row["given"] is not None
        ]
        assert set(scans) == {"relabelled"}
        assert (doubted & is_copy).any()
    np.testing.assert_array_equal(outcome.lesson.targets[is_copy], given.shares[is_copy])
    assert (outcome.lesson.weights[is_copy] == 0.5).all()


def test_what_is_there_of_these_copies_is_not_trained_again_and_of_others_is(tmp_path):
    given = with_copies()
    first = Doubting(given, given.classes < 0)
    outcome = self_train(first, given, LOOSE, 0, tmp_path)
    again = Doubting(given, given.classes < 0)
    same = self_train(again, given, LOOSE, 0, tmp_path)
    assert (first.fits, again.fits) == (3, 0)
    assert same.lesson.digest == outcome.lesson.digest
    given = with_copies(first=5)
    other = Doubting(given, given.classes < 0)
    self_train(other, other.given, LOOSE, 0, tmp_path)
    assert other.fits == 3


def test_the_rounds_of_a_stage_are_told_in_one_table(tmp_path):
    given = with_copies()
    outcome = self_train(Doubting(given, given.classes < 0), given, LOOSE, 0, tmp_path)
    table = all_rounds("slice", tmp_path, outcome)
    assert set(table["level"].to_pylist()) == {"slice"}
    n = len(given.targets)
    assert table["round"].to_pylist() == [1] * n + [2] * n + [3] * n
    assert table.schema.names[1:] == SCHEMA.names


@pytest.mark.parametrize("other", [volumes(n=36), volumes(n=30, seed=1)])
def test_rounds_of_other_items_or_labels_are_not_taken_for_these(tmp_path, other):
    section = SECTION.model_copy(update={"iterations": 4})
    rounds = section.rounds.model_copy(update={"most": 1})
    made = volumes(n=30)
    self_train(learner(made, section), made.given, rounds, 0, tmp_path)
    counted = Mortal(learner(other, section), 1, False)
    with pytest.raises(Killed):  # it trains: what is there is of no use
        self_train(counted, other.given, rounds, 0, tmp_path)
    again = Mortal(learner(made, section), 1, False)
    self_train(again, made.given, rounds, 0, tmp_path)
    assert again.fits == 0  # and of its own it is
