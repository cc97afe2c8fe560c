"""Bank and cache on disk, and the simulated copies that a bank is made of."""

import dataclasses
import json

import numpy as np
import pytest
from embedding_pieces import no_metrics
from pydantic import ValidationError
from simclr_banks import SECTION, made_bank
from simclr_cohort import SPACING, image

from mriqa.artifacts import Family, draw
from mriqa.artifacts.model import Interslice, Pose
from mriqa.config import ReferenceSection
from mriqa.embedding import cache as cache_module
from mriqa.embedding.cache import EmbeddingCache
from mriqa.embedding.copies import affected_slices, draw_copies, simulate_copy
from mriqa.embedding.judging import check_memory
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.images.store import SeriesAttributes
from mriqa.methods.simclr.bank import Bank, Reference, read_bank, without, write_bank
from mriqa.methods.simclr.build import Embedded, stratum_bank
from mriqa.methods.simclr.fitting import auc_of_margins, calibrated, judged_margins
from mriqa.references.person import Person


def bank():
    stratum = calibrated(made_bank(), SECTION)
    return Bank("simclr-1", "float32", ("contrast",), SECTION, {"T1w": stratum}, {"T2w": 3}, ("x",))


def test_a_bank_comes_back_as_it_was(tmp_path):
    made = bank()
    write_bank(tmp_path / "bank", made)
    found = read_bank(tmp_path / "bank")
    assert dataclasses.replace(found, strata={}) == dataclasses.replace(made, strata={})
    one, other = found.strata["T1w"], made.strata["T1w"]
    for name in ("references", "calibration", "auc"):
        assert getattr(one, name) == getattr(other, name)
    assert one.auc is not None
    for name in ("volumes", "slices", "places", "counts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert read_bank(tmp_path / "bank", ("T2w",)).strata == {}


@pytest.mark.parametrize(("severity", "is_kept"), [(0.1, False), (0.2, True), (1.0, True)])
def test_slices_are_kept_of_all_that_is_compared_with(severity, is_kept):
    hq = Reference("s", 0, Person("p"), 0)
    copy = dataclasses.replace(hq, family="noise", severity=severity)
    members = [
        Embedded(one, made, made.is_body)
        for one, made in ((hq, embedding(0)), (copy, embedding(1)))
    ]
    found = stratum_bank("T1w", members)
    assert found.counts.tolist() == [3, 3 if is_kept else 0]
    assert len(found.slices) == len(found.places) == found.counts.sum()
    assert found.compared.tolist() == [True, is_kept]


def test_equal_banks_are_equal_files(tmp_path):
    for name in ("one", "two"):
        write_bank(tmp_path / name, bank())
    for name in ("bank.json", "bank.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "json", "version"])
def test_a_damaged_bank_is_refused(tmp_path, damage):
    folder = tmp_path / "bank"
    write_bank(folder, bank())
    tensors, described = folder / "bank.safetensors", folder / "bank.json"
    content = bytearray(tensors.read_bytes())
    if damage == "missing":
        tensors.unlink()
    elif damage == "cut":
        tensors.write_bytes(content[:-10])
    elif damage == "changed":
        content[-5] ^= 1
        tensors.write_bytes(content)
    elif damage == "json":
        described.write_text("{")
    else:
        described.write_text(json.dumps(json.loads(described.read_text()) | {"format_version": 0}))
    with pytest.raises(UserError, match=r"delete .* run again|delete it"):
        read_bank(folder)
    with pytest.raises(UserError, match="no reference bank"):
        read_bank(tmp_path / "none")


def test_a_bank_without_a_subject_has_nothing_of_it():
    whole = made_bank()
    rest = without(whole, "03")
    assert "03" not in rest.subjects
    assert len(rest.references) == len(rest.volumes) == len(rest.counts) == 28
    assert len(rest.slices) == len(rest.places) == rest.counts.sum()
    kept = [i for i, one in enumerate(whole.references) if one.person.subject != "03"]
    np.testing.assert_array_equal(rest.volumes, whole.volumes[kept])
    rows = np.isin(whole.owner, kept)
    np.testing.assert_array_equal(rest.slices, whole.slices[rows])


def test_references_are_judged_without_their_subject_for_the_calibration():
    from mriqa.methods.simclr.judge import Judge

    whole = made_bank()
    margins = judged_margins(whole, SECTION)
    for number in (0, 5, 17):
        reference = whole.references[number]
        rest = Judge(without(whole, reference.person.subject), SECTION)
        expected = rest.embedded(whole.volumes[number], reference.person).similarities
        assert margins[number] == pytest.approx(expected.margin_whitened[0], abs=1e-9)


def test_the_auc_of_a_bank_counts_pairs_of_what_is_compared():
    whole = made_bank()
    margins = np.round(np.random.default_rng(0).normal(0, 1, len(whole.references)), 1)  # ties
    pairs = [
        1.0 if hq > lq else 0.5 if hq == lq else 0.0
        for one, hq in zip(whole.references, margins, strict=True) if one.family is None
        for other, lq in zip(whole.references, margins, strict=True) if other.severity >= 0.2
    ]  # fmt: skip
    assert 0 < np.mean(pairs) < 1
    assert auc_of_margins(whole, margins) == pytest.approx(np.mean(pairs))


def test_a_bank_below_its_least_auc_does_not_rate():
    made = bank()
    section = SECTION.model_copy(update={"min_auc": 0.7})
    for auc, rates in ((0.7, True), (0.69, False), (None, False)):
        strata = {"T1w": dataclasses.replace(made.strata["T1w"], auc=auc)}
        found = dataclasses.replace(made, section=section, strata=strata).calibration("T1w")
        assert (found is not None) == rates


def embedding(seed=0, depth=4):
    rng = np.random.default_rng(seed)
    slices = rng.normal(0, 1, (depth, 8)).astype(np.float16)
    return VolumeEmbedding(slices, np.arange(depth) > 0, 5, no_metrics(depth))


def test_cached_embeddings_come_back_if_source_and_maker_are_the_same(tmp_path):
    path = tmp_path / "a.safetensors"
    cache = EmbeddingCache(path, "model")
    cache.put("s 0", "sha", embedding(0))
    cache.put("s 1", "sha", embedding(1, depth=6))
    cache.save()
    again = EmbeddingCache(path, "model")
    found = again.get("s 1", "sha")
    np.testing.assert_array_equal(found.slices, embedding(1, depth=6).slices)
    np.testing.assert_array_equal(found.is_body, embedding(1, depth=6).is_body)
    assert again.get("s 0", "other file") is None
    assert again.get("t 0", "sha") is None
    assert EmbeddingCache(path, "other model").get("s 0", "sha") is None


def test_measured_embeddings_are_of_the_metrics_of_now(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    cache = EmbeddingCache(path, "model", with_metrics=True)
    measured = dataclasses.replace(embedding(), metrics=np.ones_like(embedding().metrics))
    cache.put("s 0", "sha", measured)
    cache.save()
    found = EmbeddingCache(path, "model", with_metrics=True).get("s 0", "sha")
    np.testing.assert_array_equal(found.metrics, measured.metrics)
    assert EmbeddingCache(path, "model").get("s 0", "sha") is None
    monkeypatch.setattr(cache_module, "MEASURED", "2 body_snr")
    assert EmbeddingCache(path, "model", with_metrics=True).get("s 0", "sha") is None


def test_what_is_not_asked_for_is_dropped(tmp_path):
    path = tmp_path / "a.safetensors"
    cache = EmbeddingCache(path, "model")
    for name in ("kept", "withdrawn"):
        cache.put(name, "sha", embedding())
    cache.save()
    again = EmbeddingCache(path, "model")
    again.get("kept", "sha")
    again.save()
    assert b"withdrawn" not in path.read_bytes()
    last = EmbeddingCache(path, "model")
    assert last.get("kept", "sha") is not None
    before = path.stat().st_mtime_ns
    last.save()
    assert path.stat().st_mtime_ns == before


def test_a_killed_job_has_kept_what_it_made(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    first = EmbeddingCache(path, "model")
    first.put("old 0", "sha", embedding())
    first.save()
    monkeypatch.setattr("mriqa.embedding.cache.KEEP_EVERY_S", 0.0)
    killed = EmbeddingCache(path, "model")
    killed.put("new 0", "sha", embedding(1))
    found = EmbeddingCache(path, "model")
    assert found.get("new 0", "sha") is not None
    assert found.get("old 0", "sha") is not None  # not asked for yet, but it may be


def test_a_damaged_cache_is_made_again(tmp_path):
    path = tmp_path / "a.safetensors"
    cache = EmbeddingCache(path, "model")
    cache.put("s 0", "sha", embedding())
    cache.save()
    whole = path.read_bytes()
    for content in (b"", b"words", whole[: len(whole) // 2], whole[:-3]):
        path.write_bytes(content)
        assert EmbeddingCache(path, "model").get("s 0", "sha") is None


def test_a_cache_that_cannot_be_written_is_told(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    cache = EmbeddingCache(blocked / "a.safetensors", "model")
    cache.put("s 0", "sha", embedding())
    cache.save()
    assert "not kept" in capsys.readouterr().err


def attributes(dtype="int16", slope=1.0, inter=0.0, shape=(8, 40, 36)):
    values = dict.fromkeys([field.name for field in dataclasses.fields(SeriesAttributes)])
    own = {
        "shape_zyx": shape,
        "spacing_mm": SPACING,
        "dtype": dtype,
        "slope": slope,
        "inter": inter,
    }
    return SeriesAttributes(**(values | own))


COPIES = ReferenceSection(copies=4, seed=3)


def drawn(series="s", volume=0, section=COPIES):
    return list(
        draw_copies(
            series,
            volume,
            np.rint(image(0)),
            attributes(),
            section.families,
            section.copies,
            section.seed,
        )
    )


def test_copies_follow_from_name_and_seed_alone():
    assert drawn() == drawn()
    assert drawn() != drawn("t")
    assert drawn() != drawn(volume=1)
    assert drawn() != drawn(section=ReferenceSection(copies=4, seed=4))


@pytest.mark.parametrize("copies", [2, 4, 13])
def test_copies_have_other_families_and_severities_from_all_parts(copies):
    for name in "abcde":
        made = drawn(name, section=ReferenceSection(copies=copies))
        severities = sorted(one.severity for one in made)
        for number, severity in enumerate(severities):
            assert number / copies < severity <= (number + 1) / copies
        assert len({one.family for one in made}) == min(copies, 11)
        assert severities[-1] >= 0.5  # what the paper's rule compares with


def test_a_single_copy_is_refused_as_it_would_be_severe_by_luck_alone():
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        ReferenceSection(copies=1)


def test_only_the_named_families_are_simulated():
    section = ReferenceSection(copies=5, families=("noise", "bias"))
    assert {one.family for one in drawn(section=section)} == {Family.NOISE, Family.BIAS}


@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.5, -20.0)])
def test_a_copy_has_the_values_that_its_source_could_have(slope, inter):
    """Else references would be known by their decimals."""
    stored = np.rint(image(0))
    source = (stored * slope + inter).astype(np.float32)
    noise = draw(Family.NOISE, 0.5, source.shape, SPACING, seed=1)
    copy = simulate_copy(source, attributes("int16", slope, inter), noise)
    grid = (copy - inter) / slope
    np.testing.assert_allclose(grid, np.rint(grid), atol=1e-3)
    assert np.std(copy - source) > 1
    assert copy.dtype == np.float32


def test_a_copy_of_floating_point_numbers_is_as_fine_as_they_are():
    noise = draw(Family.NOISE, 0.5, (8, 40, 36), SPACING, seed=1)
    fine = simulate_copy(image(0), attributes("float32"), noise)
    assert (fine != np.rint(fine)).any()
    whole = simulate_copy(np.rint(image(0)), attributes("float32"), noise)
    np.testing.assert_array_equal(whole, np.rint(whole))


def test_copies_stay_within_the_range_of_the_data_type():
    bright = (image(0) / image(0).max() * 255).astype(np.float32)
    noise = draw(Family.NOISE, 1.0, bright.shape, SPACING, seed=1)
    copy = simulate_copy(np.rint(bright), attributes("uint8"), noise)
    assert copy.min() >= 0
    assert copy.max() <= 255


def test_slices_between_which_there_was_motion_are_affected_on_both_sides():
    poses = [Pose((0.0, 0.0, 0.0), (0.0, 0.0, float(place))) for place in (0, 0, 0, 4, 4, 0)]
    artifact = Interslice(
        family=Family.INTERSLICE, severity=1.0, seed=0, shape=(6, 8, 8), interleave=2,
        poses=tuple(poses), noise_seed=0,
    )  # fmt: skip
    assert affected_slices(artifact).tolist() == [False, False, True, True, True, True]


def test_copies_have_only_families_that_so_few_slices_can_show():
    source = image(0, shape=(2, 40, 36))
    stored = attributes("float32", shape=source.shape)
    drawn = list(draw_copies("a", 0, source, stored, ["interslice", "noise"], 6, seed=0))
    assert {one.family for one in drawn} == {Family.NOISE}
    with pytest.raises(ValueError, match="a: none of the families shows in 2 slices"):
        next(draw_copies("a", 0, source, stored, ["interslice"], 6, seed=0))


@pytest.mark.parametrize("family", [one for one in Family if one is not Family.INTERSLICE])
def test_affected_slices_are_those_that_change(family):
    source = image(0, shape=(12, 40, 36))
    artifact = draw(family, 1.0, source.shape, SPACING, seed=5)
    copy = simulate_copy(source, attributes("float32", shape=source.shape), artifact)
    changed = np.abs(copy - source).max(axis=(1, 2)) > 1e-3
    np.testing.assert_array_equal(affected_slices(artifact), changed)


def test_a_volume_that_does_not_fit_into_the_job_is_named():
    check_memory((44, 168, 224), 2000)
    with pytest.raises(SeriesError, match=r"900x900x900 voxels.*rate_mem_mb") as error:
        check_memory((900, 900, 900), 2000)
    assert error.value.code == ErrorCode.OUT_OF_MEMORY
