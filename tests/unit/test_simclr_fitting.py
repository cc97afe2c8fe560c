"""Doubtful references: listed ones that the others find bad."""

import numpy as np
import pytest
from simclr_banks import FAMILIES, LENGTH, SECTION, bank_of, embedding

from mriqa.methods.simclr import fitting
from mriqa.methods.simclr.bank import Bank, Reference, read_bank, subset, write_bank
from mriqa.methods.simclr.fitting import calibrated, without_doubtful
from mriqa.methods.simclr.judge import Judge
from mriqa.references.person import Person
from mriqa.seeds import fixed_number

SECTION = SECTION.model_copy(update={"min_references": 6, "min_auc": 0.6})
BAD = {"03": 0.8, "07": 1.0}
"""Subjects whose scan is degraded though it was listed, and how much; the worst comes later."""


def listed(n_subjects=14, bad=BAD, copies=4, seed=2, second=()):
    """A bank of listed scans; copies of a bad one are bad, too. `second`: who has a good volume 1
    beside."""
    rng = np.random.default_rng(seed)
    references, made = [], []
    for number in range(n_subjects):
        subject = f"{number:02d}"
        for volume in (0, 1) if subject in second else (0,):
            anatomy = rng.normal(0, 0.1, LENGTH)
            anatomy[3:5] *= 0.1
            if volume == 0:
                anatomy[3] += 4 * bad.get(subject, 0.0)  # `noise` of its own
            for copy in range(copies + 1):
                family = FAMILIES[(number + copy) % 2] if copy else None
                severity = copy / copies
                order = fixed_number(0, number, volume, copy)
                artifact = "{}" if copy else None
                references.append(
                    Reference(
                        f"s{subject}", volume, Person(subject), order, family, severity, artifact
                    )
                )
                made.append(embedding(rng, anatomy, severity, family))
    return bank_of(references, made)


def dropped(bank, confirmed=(), section=SECTION):
    return [one.subject for one in without_doubtful(bank, confirmed, section).dropped]


def test_bad_scans_of_the_list_are_dropped_with_their_copies():
    bank = listed()
    kept = without_doubtful(bank, (), SECTION)
    assert {one.subject for one in kept.dropped} == set(BAD)
    qualities = [one.quality for one in kept.dropped]
    assert qualities == sorted(qualities)
    assert kept.subjects == bank.subjects - set(BAD)
    assert kept.listed_subjects == bank.subjects
    assert len(kept.slices) == kept.counts.sum()
    assert kept.auc > calibrated(bank, SECTION).auc


def test_what_is_left_is_as_if_the_dropped_had_never_been_listed():
    whole = listed()
    kept = without_doubtful(whole, (), SECTION)
    rest = calibrated(subset(whole, ~np.isin(whole.people.subject, list(BAD))), SECTION)
    assert (kept.references, kept.calibration, kept.auc) == (
        rest.references, rest.calibration, rest.auc,
    )  # fmt: skip
    np.testing.assert_array_equal(kept.volumes, rest.volumes)


def test_they_are_told_with_the_score_that_the_tables_will_give_them():
    whole = listed()
    kept = without_doubtful(whole, (), SECTION)
    for one in kept.dropped:
        (row,) = [
            number
            for number, other in enumerate(whole.references)
            if (other.series_id, other.family) == (one.series_id, None)
        ]
        person = whole.references[row].person
        judged = Judge(kept, SECTION).embedded(whole.volumes[row], person)
        margin = judged.similarities.margin_whitened
        assert one.quality == pytest.approx(kept.calibration.quality(margin)[0])
        assert one.quality < SECTION.least_quality


def test_good_lists_are_left_alone():
    assert dropped(listed(bad={})) == []


def test_what_worse_ones_had_hidden_goes_in_a_second_round(monkeypatch):
    many = {"01": 1.0, "05": 1.0, "08": 1.0, "09": 0.4, "11": 0.4}
    both = dropped(listed(bad=many))
    monkeypatch.setattr(fitting, "ROUNDS", 1)
    once = dropped(listed(bad=many))
    assert set(once) < set(both) <= set(many)


@pytest.mark.parametrize("confirmed", [{("s03", 0)}, {("s03", 0), ("s07", 0)}])
def test_what_a_person_has_confirmed_stays(confirmed):
    left = {one[0][1:] for one in confirmed}
    assert set(dropped(listed(), confirmed)) == set(BAD) - left


def test_another_volume_of_a_confirmed_series_is_not_confirmed():
    assert set(dropped(listed(), {("s03", 1)})) == set(BAD)


def test_only_the_bad_volume_of_a_subject_goes():
    kept = without_doubtful(listed(second=("03",)), (), SECTION)
    assert {(one.series_id, one.volume) for one in kept.dropped} == {("s03", 0), ("s07", 0)}
    assert {one.volume for one in kept.references if one.series_id == "s03"} == {1}


def test_the_worst_go_first_and_enough_subjects_stay():
    one_left = SECTION.model_copy(update={"min_references": 13})
    assert dropped(listed(), section=one_left) == ["07"]
    none_left = SECTION.model_copy(update={"min_references": 14})
    assert dropped(listed(), section=none_left) == []


def test_a_bad_volume_goes_where_its_subject_has_others_even_if_no_subject_can_be_spared():
    none_left = SECTION.model_copy(update={"min_references": 14})
    assert dropped(listed(second=("03",)), section=none_left) == ["03"]


def test_nothing_is_dropped_where_it_is_not_wanted():
    assert dropped(listed(), section=SECTION.model_copy(update={"least_quality": 0.0})) == []


def test_a_bank_too_weak_to_rate_drops_none():
    assert dropped(listed(), section=SECTION.model_copy(update={"min_auc": 1.0})) == []


def test_what_was_dropped_is_kept_with_the_bank(tmp_path):
    stratum = without_doubtful(listed(), (), SECTION)
    made = Bank("simclr-1", "float32", ("contrast",), SECTION, {"T1w": stratum}, {})
    write_bank(tmp_path / "bank", made)
    assert read_bank(tmp_path / "bank").strata["T1w"].dropped == stratum.dropped != ()
