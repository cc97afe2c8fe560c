"""Doubtful references: proposed ones that the others would not pass."""

import dataclasses

import numpy as np
import pytest
from simclr_banks import FAMILIES, LENGTH, SECTION, bank_of, embedding

from mriqa.methods.simclr.bank import Reference
from mriqa.methods.simclr.fitting import calibrated, judged_margins, without_doubtful
from mriqa.methods.simclr.matching import Person, fixed_number

SECTION = SECTION.model_copy(update={"min_references": 6, "min_auc": 0.6})
BAD = {"03": 1.0, "07": 0.8}
"""Subjects whose scan is degraded though it was proposed, and how much."""


def listed(n_subjects=14, bad=BAD, copies=4, seed=2):
    """A bank of proposed scans; copies of a bad one are bad, too."""
    rng = np.random.default_rng(seed)
    references, made = [], []
    for number in range(n_subjects):
        anatomy = rng.normal(0, 0.1, LENGTH)
        anatomy[3:5] *= 0.1
        person = Person(f"{number:02d}")
        shown = bad.get(person.subject, 0.0)
        anatomy[3] += 4 * shown  # `noise` of its own
        for copy in range(copies + 1):
            family = FAMILIES[(number + copy) % 2] if copy else None
            severity = copy / copies
            order = fixed_number(0, number, copy)
            references.append(
                Reference(
                    f"s{number:02d}", 0, person, order, family, severity, "{}" if copy else None
                )
            )
            made.append(embedding(rng, anatomy, severity, family))
    return bank_of(references, made)


def dropped(bank, confirmed=(), section=SECTION):
    return [
        one.reference.person.subject for one in without_doubtful(bank, confirmed, section).dropped
    ]


def test_bad_scans_among_the_proposed_are_dropped_with_their_copies():
    bank = listed()
    kept = without_doubtful(bank, (), SECTION)
    assert {one.reference.person.subject for one in kept.dropped} == set(BAD)
    assert kept.bank.subjects == bank.subjects - set(BAD)
    assert all(one.quality < SECTION.least_quality for one in kept.dropped)
    assert len(kept.bank.slices) == kept.bank.counts.sum()
    assert kept.bank.auc > calibrated(bank, SECTION).auc


def test_what_is_left_is_as_if_the_dropped_had_never_been_listed():
    kept = without_doubtful(listed(), (), SECTION).bank
    again = calibrated(dataclasses.replace(kept, calibration=None, auc=None), SECTION)
    assert (again.calibration, again.auc) == (kept.calibration, kept.auc)
    np.testing.assert_array_equal(judged_margins(again, SECTION), judged_margins(kept, SECTION))


def test_good_lists_are_left_alone():
    assert dropped(listed(bad={})) == []


@pytest.mark.parametrize("confirmed", [{("s03", 0)}, {("s03", 0), ("s07", 0)}])
def test_what_a_person_has_confirmed_stays(confirmed):
    left = {one[0][1:] for one in confirmed}
    assert set(dropped(listed(), confirmed)) == set(BAD) - left


def test_another_volume_of_a_confirmed_series_is_not_confirmed():
    assert set(dropped(listed(), {("s03", 1)})) == set(BAD)


def test_the_worst_go_first_and_enough_subjects_stay():
    one_left = SECTION.model_copy(update={"min_references": 13})
    assert dropped(listed(), section=one_left) == ["03"]
    none_left = SECTION.model_copy(update={"min_references": 14})
    assert dropped(listed(), section=none_left) == []


def test_nothing_is_dropped_where_it_is_not_wanted():
    assert dropped(listed(), section=SECTION.model_copy(update={"least_quality": 0.0})) == []


def test_a_bank_too_weak_to_rate_drops_none():
    assert dropped(listed(), section=SECTION.model_copy(update={"min_auc": 1.0})) == []


def test_the_note_names_scan_value_and_what_to_do():
    text = str(without_doubtful(listed(), (), SECTION).dropped[0])
    for part in ("s03 0", "least_quality is 0.8", "confirmed"):
        assert part in text
