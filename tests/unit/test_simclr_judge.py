"""How alike a volume is to references: against loops, and never against itself."""

import dataclasses
import math

import numpy as np
import pytest
from embedding_pieces import no_metrics
from simclr_banks import N_FINAL, N_SLICES, SECTION, embedding, made_bank, reordered

from mriqa.config import ReferenceSection
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.methods.simclr.bank import LEAST_SEVERE, subset
from mriqa.methods.simclr.judge import Judge
from mriqa.methods.simclr.whitening import whitening
from mriqa.references.person import Person

STRANGER = Person("stranger", "F", 170.0, 66.0)


def cosine(a, b):
    """Of the network's output, by loops."""
    a, b = a[-N_FINAL:], b[-N_FINAL:]
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b))


def slow_choice(bank, person, hq, count):
    """The nearest of the same sex, by sorting all of them."""
    able = [
        (number, one)
        for number, one in enumerate(bank.references)
        if one.person.subject != person.subject
        and one.person.sex == person.sex
        and ((one.family is None) if hq else one.severity >= LEAST_SEVERE)
    ]
    used = [
        one.person
        for one in bank.references
        if one.person.subject != person.subject
        and (one.family is None or one.severity >= LEAST_SEVERE)
    ]
    height = np.std([one.height_cm for one in used])
    weight = np.std([one.weight_kg for one in used])

    def distance(item):
        other = item[1].person
        away = (other.height_cm - person.height_cm) / height
        heavier = (other.weight_kg - person.weight_kg) / weight
        return (round(math.hypot(away, heavier), 9), item[1].order)

    return [number for number, _ in sorted(able, key=distance)[:count]]


@pytest.fixture(scope="module")
def bank():
    return made_bank()


def query(seed=5, severity=0.0):
    rng = np.random.default_rng(seed)
    return embedding(rng, rng.normal(0, 0.1, 12), severity, "noise" if severity else None)


def test_the_rule_of_the_paper_is_the_mean_cosine_of_the_matched_references(bank):
    volume = query()
    judged = Judge(bank, SECTION).volume(volume, STRANGER)
    means = []
    for hq in (True, False):
        chosen = slow_choice(bank, STRANGER, hq, SECTION.per_class)
        means.append(np.mean([cosine(volume.volume, bank.volumes[i]) for i in chosen]))
    found = judged.similarities
    assert found.s_hq[0] == pytest.approx(means[0], abs=1e-6)
    assert found.s_lq[0] == pytest.approx(means[1], abs=1e-6)
    assert found.margin[0] == pytest.approx(means[0] - means[1], abs=1e-6)
    assert bool(found.is_hq[0]) == (means[0] > means[1])
    assert found.sim[0] == pytest.approx(means[0] if means[0] > means[1] else 1 - means[1])
    assert judged.matching == "sex_height_weight"


def whitened_set(bank):
    """HQ references and copies of severity .2 and more, and the whitening that they define."""
    used = [i for i, one in enumerate(bank.references) if not one.family or one.severity >= 0.2]
    values = np.sign(bank.volumes) * np.abs(bank.volumes) ** 0.5
    labels = bank.labels[used].tolist()
    return used, values, whitening(values[used], labels, SECTION.shrinkage)


def slow_margin(row, hq, families):
    """Sum of what it is nearer to HQ than to each family, over what there is to gain."""
    gains = sum(math.dist(row, one) - math.dist(row, hq) for one in families)
    return gains / sum(math.dist(one, hq) for one in families)


def test_the_whitened_margin_is_to_the_means_of_all_references_whoever_is_compared(bank):
    volume = query(severity=0.4)
    used, values, whiten = whitened_set(bank)
    at = whiten.apply(values)
    means = {
        name: np.mean([at[i] for i in used if bank.labels[i] == name], axis=0)
        for name in ("hq", "noise", "ghosting")
    }
    own = whiten.apply(np.sqrt(np.abs(volume.volume))[None])[0]
    expected = slow_margin(own, means["hq"], [means["noise"], means["ghosting"]])
    judge = Judge(bank, SECTION)
    for person in (STRANGER, Person("another", "M", 190.0, 110.0), Person("unknown")):
        found = judge.volume(volume, person).similarities
        assert found.margin_whitened[0] == pytest.approx(expected, abs=1e-4)


def test_the_whitened_margin_of_a_slice_is_to_the_means_at_its_place(bank):
    volume = query(severity=0.5)
    found = Judge(bank, SECTION).slices(volume, STRANGER)
    used, _, _ = whitened_set(bank)
    owner = np.repeat(np.arange(len(bank.references)), bank.counts)
    rows = [row for row in range(len(owner)) if owner[row] in used]
    values = np.sign(bank.slices) * np.abs(bank.slices.astype(float)) ** 0.5
    whiten = whitening(values[rows], bank.labels[owner[rows]].tolist(), SECTION.shrinkage)
    at = whiten.apply(values)

    def mean_at(place, name):
        near = [
            min(np.flatnonzero(owner == i), key=lambda row: abs(float(bank.places[row]) - place))
            for i in used
            if bank.labels[i] == name
        ]
        return np.mean([at[row] for row in near], axis=0)

    for z in range(1, N_SLICES):
        place = (z - 1) / (N_SLICES - 2)
        hq, *families = (mean_at(place, name) for name in ("hq", "noise", "ghosting"))
        own = whiten.apply(np.sqrt(np.abs(volume.slices[z].astype(float)))[None])[0]
        expected = slow_margin(own, hq, families)
        assert found.margin_whitened[z] == pytest.approx(expected, abs=1e-3)


def test_slices_are_compared_with_those_at_the_same_place(bank):
    volume = query()
    found = Judge(bank, SECTION).slices(volume, STRANGER)
    first = np.cumsum(bank.counts) - bank.counts
    chosen = slow_choice(bank, STRANGER, True, SECTION.per_class)
    for z in range(1, N_SLICES):
        place = (z - 1) / (N_SLICES - 2)
        expected = []
        for number in chosen:
            rows = range(first[number], first[number] + bank.counts[number])
            near = min(rows, key=lambda row: abs(float(bank.places[row]) - place))
            expected.append(cosine(volume.slices[z], bank.slices[near]))
        assert found.s_hq[z] == pytest.approx(np.mean(expected), abs=1e-5)
    for values in (found.s_hq, found.s_lq, found.margin_whitened):
        assert np.isnan(values[0])  # no body in it
        assert np.isfinite(values[1:]).all()


def test_the_whitened_margin_sees_what_the_raw_one_hardly_does(bank):
    judge = Judge(bank, SECTION)
    margins = np.array(
        [
            [
                (lambda found: (found.margin[0], found.margin_whitened[0]))(
                    judge.volume(query(seed, severity), STRANGER).similarities
                )
                for seed in range(20)
            ]
            for severity in (0.0, 1.0)
        ]
    )
    clean, bad = margins[0, :, 1], margins[1, :, 1]
    assert clean.min() > bad.max()
    assert clean.mean() > 0 > bad.mean()


def test_a_subject_is_never_judged_by_its_own_volumes(bank):
    """Whatever its own references are, they change nothing: neither choice nor whitening."""
    person = bank.references[0].person
    changed = made_bank()
    own = changed.people.subject == person.subject
    changed.volumes[own] = np.random.default_rng(1).normal(0, 100, changed.volumes[own].shape)
    changed.slices[own[changed.owner]] *= -3
    volume = query()
    judged = [Judge(one, SECTION).volume(volume, person) for one in (bank, changed)]
    slices = [Judge(one, SECTION).slices(volume, person) for one in (bank, changed)]
    assert judged[0].similarities.margin[0] == judged[1].similarities.margin[0]
    assert judged[0].similarities.margin_whitened[0] == judged[1].similarities.margin_whitened[0]
    np.testing.assert_array_equal(slices[0].margin_whitened, slices[1].margin_whitened)
    assert not judged[0].nearest_hq.startswith("s0 ")
    assert not judged[0].nearest_lq.startswith("s0 ")
    other = [Judge(one, SECTION).volume(volume, STRANGER) for one in (bank, changed)]
    assert other[0].similarities.margin_whitened[0] != other[1].similarities.margin_whitened[0]


def test_a_copy_of_a_reference_is_nearest_to_its_likes(bank):
    """The references that are named: of the right class, and the most similar of the compared."""
    severe = next(i for i, one in enumerate(bank.references) if one.severity == 1)
    reference = bank.references[severe]
    judged = Judge(bank, SECTION).embedded(bank.volumes[severe], STRANGER)
    assert judged.nearest_lq.split()[2] == reference.family
    assert len(judged.nearest_hq.split()) == 2
    assert judged.similarities.margin_whitened[0] < 0


def test_the_nearest_are_those_of_the_stratum_at_the_least_distance(bank):
    volume = query(severity=0.7)
    judged = Judge(bank, SECTION).volume(volume, STRANGER)
    used, values, whiten = whitened_set(bank)
    own = whiten.apply(np.sqrt(np.abs(volume.volume))[None])[0]
    away = {i: math.dist(whiten.apply(values[i][None])[0], own) for i in used}
    for clean, found in ((True, judged.nearest_hq), (False, judged.nearest_lq)):
        able = [i for i in used if (bank.references[i].family is None) == clean]
        assert found == bank.references[min(able, key=lambda i: away[i])].name


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_references_changes_nothing(bank, seed):
    order = np.random.default_rng(seed).permutation(len(bank.references)).tolist()
    other = reordered(bank, order)
    volume = query(severity=0.5)
    for person in (STRANGER, bank.references[0].person, Person("nobody")):
        one, two = (Judge(found, SECTION).volume(volume, person) for found in (bank, other))
        assert (one.nearest_hq, one.nearest_lq) == (two.nearest_hq, two.nearest_lq)
        assert one.matching == two.matching
        for name in ("s_hq", "s_lq", "margin_whitened"):
            first, second = (getattr(found.similarities, name) for found in (one, two))
            np.testing.assert_allclose(first, second, atol=1e-5)
        slices = [Judge(found, SECTION).slices(volume, person) for found in (bank, other)]
        for name in ("margin", "margin_whitened"):
            first, second = (getattr(found, name) for found in slices)
            np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_family_that_only_the_judged_subject_has_does_not_judge_it(bank):
    """Without its copies there is none: what is left must do, for volume and slices."""
    person = bank.references[0].person
    own = bank.people.subject == person.subject
    alone = subset(bank, own | (bank.labels != "ghosting"))
    rest = subset(bank, bank.labels != "ghosting")
    assert "ghosting" in alone.labels
    for volume in (query(), query(severity=0.7)):
        found, expected = (Judge(one, SECTION).volume(volume, person) for one in (alone, rest))
        assert found == expected
        slices = [Judge(one, SECTION).slices(volume, person) for one in (alone, rest)]
        np.testing.assert_array_equal(slices[0].margin_whitened, slices[1].margin_whitened)


def test_a_family_without_slices_judges_volumes_but_no_slice(bank):
    """So it is where an artifact changed none of the slices that were embedded."""
    counts = np.where(bank.labels == "ghosting", 0, bank.counts)
    kept = (bank.labels != "ghosting")[bank.owner]
    bare = dataclasses.replace(
        bank, slices=bank.slices[kept], places=bank.places[kept], counts=counts
    )
    volume = query(severity=0.7)
    found, whole = (Judge(one, SECTION) for one in (bare, bank))
    assert found.volume(volume, STRANGER) == whole.volume(volume, STRANGER)
    margins = found.slices(volume, STRANGER).margin_whitened
    rest = Judge(subset(bank, bank.labels != "ghosting"), SECTION)
    expected = rest.slices(volume, STRANGER).margin_whitened
    np.testing.assert_allclose(margins, expected, atol=1e-5)
    assert np.isfinite(margins[1:]).all()


@pytest.mark.parametrize(("copies", "seen_by_ours"), [(3, True), (8, False)])
def test_mild_copies_are_not_compared_with(copies, seen_by_ours):
    """Those below .5 are no LQ references of the paper's rule, those below .2 of neither."""
    bank, changed = made_bank(copies=copies), made_bank(copies=copies)
    mild = ~(bank.severe if seen_by_ours else bank.compared)
    assert mild.any()
    changed.volumes[mild] = np.random.default_rng(0).normal(7, 1, changed.volumes[mild].shape)
    found = [Judge(one, SECTION).volume(query(), STRANGER).similarities for one in (bank, changed)]
    assert found[0].s_lq[0] == found[1].s_lq[0]
    same = found[0].margin_whitened[0] == found[1].margin_whitened[0]
    assert same == (not seen_by_ours)


def test_a_class_counts_at_most_so_many_references(bank):
    one = ReferenceSection(per_class=1, min_references=2)
    judged = Judge(bank, one).volume(query(), STRANGER)
    (nearest,) = slow_choice(bank, STRANGER, True, 1)
    expected = cosine(query().volume, bank.volumes[nearest])
    assert judged.similarities.s_hq[0] == pytest.approx(expected, abs=1e-6)


def test_a_volume_of_one_body_slice_can_be_judged(bank):
    slices = query().slices
    body = np.zeros(N_SLICES, dtype=bool)
    body[2] = True
    embedded = VolumeEmbedding(slices, body, N_FINAL, no_metrics(len(slices)))
    found = Judge(bank, SECTION).slices(embedded, STRANGER)
    assert np.isfinite(found.s_hq).sum() == 1
