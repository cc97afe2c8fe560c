"""From stored volumes to rated tables by SimCLR, with an untrained encoder."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from simclr_cohort import (
    MODEL,
    RATING,
    REFERENCE,
    TRAINING,
    Cohort,
    write_cohort,
    write_untrained,
)

from mriqa.artifacts import Artifact
from mriqa.errors import UserError
from mriqa.methods.simclr.bank import read_bank
from mriqa.methods.simclr.columns import SCORE_SCHEMA
from mriqa.rating.publish import publish_tables
from mriqa.rating.published import SLICE_FILES, SUBJECTS, VOLUMES
from mriqa.rating.reference import make_bank, propose_references


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Measured, with a model, references, a bank, rated and published."""
    made = write_cohort(tmp_path_factory.mktemp("simclr"))
    made.measure()
    write_untrained(made.model)
    build(made)
    made.rate_all()
    publish_tables(made.results, RATING, methods=("simclr",))
    return made


def build(cohort, **changes):
    settings = REFERENCE.model_copy(update=changes)
    return make_bank(
        cohort.results, MODEL, settings=settings, rating=RATING, training=TRAINING, mem_mb=1000
    )


@pytest.fixture
def copy(cohort, tmp_path):
    """The same cohort, its results to be changed."""
    shutil.copytree(cohort.results, tmp_path / "results")
    return Cohort(tmp_path, list(cohort.rows))


def table(cohort, name="volumes"):
    return pq.ParquetFile(cohort.results / "tables" / f"{name}.parquet").read()


def volumes(cohort):
    rows = table(cohort).to_pylist()
    return {(row["subject"], row["volume"]): row for row in rows}


def test_every_measured_volume_is_rated_and_no_scan_disappears(cohort):
    found = volumes(cohort)
    assert len(found) == 18
    for (subject, _), row in found.items():
        if subject.isdigit() or subject.startswith("bad"):
            assert row["status"] == "ok"
            assert row["rating_source"] == "simclr"
            assert row["model_id"] == MODEL
            assert row["quality_score"] == row["simclr_quality_score"]
            assert row["simclr_margin"] == pytest.approx(row["simclr_s_hq"] - row["simclr_s_lq"])
            assert (row["simclr_class"] == "HQ") == (row["simclr_margin"] > 0)
            assert 0 <= row["simclr_quality_sd"] <= 1
            assert row["simclr_matching"].endswith("height_weight")
    assert found["4d", 0]["simclr_matching"] == "none"
    assert found["4d", 0]["rating_source"] == "simclr"
    assert found["4d", 1]["status"] == found["cut", None]["status"] == "failed"
    assert found["4d", 1]["simclr_s_hq"] is None
    lone = found["lone", 0]
    assert (lone["status"], lone["rating_source"], lone["simclr_sim"]) == (
        "no_reference",
        None,
        None,
    )


def test_bad_volumes_have_lower_scores_than_good_ones(cohort):
    found = volumes(cohort)
    margin = {
        key[0]: row["simclr_margin_whitened"] for key, row in found.items() if row["status"] == "ok"
    }
    good = [margin[subject] for subject in margin if subject.isdigit()]
    assert max(margin["bad0"], margin["bad1"]) < min(good)
    assert {found[one, 0]["rating"] for one in ("bad0", "bad1")} <= {"questionable", "fail"}
    assert found["bad0", 0]["flag"] is True


def test_references_are_good_volumes_of_train_and_validation_subjects(cohort):
    lines = (cohort.results / "references" / "simclr.tsv").read_text().splitlines()
    header, rows = lines[0].split("\t"), [line.split("\t") for line in lines[1:]]
    assert header[:2] == ["series_id", "volume"]
    assert header[-1] == "confirmed"
    listed = [dict(zip(header, row, strict=True)) for row in rows]
    splits = {key[0]: row["split"] for key, row in volumes(cohort).items()}
    assert len(listed) == REFERENCE.proposed
    assert len({row["subject"] for row in listed}) == len(listed)
    for row in listed:
        assert splits[row["subject"]] in ("train", "validation")
        assert not row["subject"].startswith("bad")
        assert row["confirmed"] == "n/a"
    scores = [float(row["quality_score"]) for row in listed]
    assert scores == sorted(scores, reverse=True)


def test_a_reference_is_never_judged_by_its_own_volumes(cohort):
    found = volumes(cohort)
    bank = read_bank(cohort.bank).strata["T1w/none"]
    for subject in bank.subjects:
        row = found[subject, 0]
        assert row["series_id"] not in (
            row["simclr_nearest_hq"].split()[0],
            row["simclr_nearest_lq"].split()[0],
        )


def test_the_bank_says_how_each_copy_was_made(cohort):
    bank = read_bank(cohort.bank).strata["T1w/none"]
    copies = [one for one in bank.references if one.family]
    assert len(copies) == REFERENCE.copies * REFERENCE.proposed
    for one in copies:
        artifact = Artifact.from_json(one.artifact)
        assert (artifact.family, artifact.severity) == (one.family, one.severity)
        assert one.severity > 0
    by_subject = {one.person.subject: [] for one in copies}
    for one in copies:
        by_subject[one.person.subject].append(one)
    for own in by_subject.values():
        assert sum(one.severity >= 0.5 for one in own) == 1  # one from each half
        assert len({one.family for one in own}) == 2


def test_slices_have_similarities_where_there_is_body(cohort):
    rows = pq.read_table(cohort.results / "tables" / "slices" / "contrast=T1w").to_pylist()
    assert len(rows) == 15 * 8
    known = [row for row in rows if row["simclr_s_hq"] is not None]
    assert len(known) >= 0.9 * len(rows)
    assert all(row["model_id"] == MODEL for row in known)
    worst = [row["simclr_margin_whitened"] for row in known if row["subject"] == "bad0"]
    good = [row["simclr_margin_whitened"] for row in known if row["subject"].isdigit()]
    assert max(worst) < np.median(good)


def test_subjects_carry_the_similarities_of_their_volumes(cohort):
    rows = {row["subject"]: row for row in table(cohort, "subjects").to_pylist()}
    found = volumes(cohort)
    assert rows["bad0"]["simclr_margin_whitened"] == found["bad0", 0]["simclr_margin_whitened"]
    assert rows["bad0"]["rating_source"] == "simclr"
    assert rows["lone"]["simclr_class"] is None
    (run,) = table(cohort, "runs").to_pylist()
    assert MODEL in run["methods"]


def test_the_schema_is_the_same_without_simclr(cohort, tmp_path):
    shutil.copytree(cohort.results, tmp_path / "results")
    publish_tables(tmp_path / "results", RATING)
    plain = pq.read_schema(tmp_path / "results" / "tables" / "volumes.parquet")
    assert plain.equals(pq.read_schema(cohort.results / "tables" / "volumes.parquet"))
    rows = pq.ParquetFile(tmp_path / "results" / "tables" / "volumes.parquet").read().to_pylist()
    assert {row["rating_source"] for row in rows} == {"metrics", None}
    assert {row["simclr_s_hq"] for row in rows} == {row["model_id"] for row in rows} == {None}
    assert plain.names == [column.name for column in VOLUMES]
    slices = pq.ParquetFile(next((tmp_path / "results/tables/slices").glob("*/*.parquet")))
    assert slices.schema_arrow.names == [column.name for column in SLICE_FILES]
    subjects = pq.read_schema(tmp_path / "results/tables/subjects.parquet")
    assert subjects.names == [column.name for column in SUBJECTS]


def score_rows(cohort):
    files = sorted((cohort.results / "scores" / "simclr").glob("*.parquet"))
    tables = [pq.ParquetFile(path).read() for path in files]
    assert all(one.schema.equals(SCORE_SCHEMA, check_metadata=False) for one in tables)
    return [row for one in tables for row in one.to_pylist()]


def test_rating_again_from_the_cache_needs_no_network_and_gives_the_same(copy):
    before = score_rows(copy)
    shutil.move(copy.model / "weights.safetensors", copy.folder / "weights")
    copy.rate_all()
    assert score_rows(copy) == before
    shutil.rmtree(copy.results / "embeddings")
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        copy.rate_all()
    shutil.move(copy.folder / "weights", copy.model / "weights.safetensors")
    copy.rate_all()
    for one, other in zip(score_rows(copy), before, strict=True):
        assert one["simclr_margin"] == pytest.approx(other["simclr_margin"], abs=1e-4)


def test_an_edited_list_changes_the_bank_and_is_never_rewritten(copy):
    path = copy.results / "references" / "simclr.tsv"
    lines = path.read_text().splitlines()
    refused = lines[1].split("\t")[0]
    lines[1] = lines[1].removesuffix("n/a") + "no"
    path.write_text("\n".join(lines) + "\n")
    shutil.move(copy.model / "weights.safetensors", copy.folder / "weights")  # cached: not needed
    build(copy)
    used = {one.series_id for one in read_bank(copy.bank).strata["T1w/none"].references}
    assert refused not in used
    assert len(used) == REFERENCE.proposed - 1
    assert path.read_text().splitlines() == lines


def test_doubtful_proposals_are_not_used_until_a_person_confirms_them(copy, capsys):
    path = copy.results / "references" / "simclr.tsv"
    lines = path.read_text().splitlines()
    bad = "t_sub-bad0_T1w"
    lines.append("\t".join([bad, "0", *["n/a"] * (len(lines[0].split("\t")) - 2)]))
    path.write_text("\n".join(lines) + "\n")
    build(copy, least_quality=0.8)
    bank = read_bank(copy.bank).strata["T1w/none"]
    assert bad not in {one.series_id for one in bank.references}
    assert "bad0" in bank.listed_subjects
    told = capsys.readouterr().err
    assert f"{bad} 0: listed, but not used" in told
    (quality,) = (one.quality for one in bank.dropped if one.series_id == bad)
    copy.rate_all()
    (row,) = (row for row in score_rows(copy) if (row["series_id"], row["slice"]) == (bad, None))
    assert row["simclr_quality_score"] == pytest.approx(quality, abs=1e-6)
    path.write_text("\n".join([*lines[:-1], lines[-1].removesuffix("n/a") + "yes"]) + "\n")
    build(copy, least_quality=0.8)
    bank = read_bank(copy.bank).strata["T1w/none"]
    assert bad in {one.series_id for one in bank.references}
    assert bad not in {one.series_id for one in bank.dropped}


def test_trusted_series_take_the_place_of_proposed_ones(copy, tmp_path):
    trusted = tmp_path / "trusted.tsv"
    ids = [f"t_sub-{number:03d}_T1w" for number in (3, 4, 5, 6)]
    trusted.write_text("series_id\n" + "\n".join([*ids, "t_sub-cut_T1w"]) + "\n")
    build(copy, trusted=trusted)
    bank = read_bank(copy.bank)
    assert {one.series_id for one in bank.strata["T1w/none"].references} == set(ids)
    assert any("line 6" in note and "t_sub-cut_T1w" in note for note in bank.notes)
    trusted.write_text("series_id\nnobody\n" + "\n".join(ids) + "\n")
    with pytest.raises(UserError, match=r"trusted\.tsv: line 2: no series nobody"):
        build(copy, trusted=trusted)


def test_too_few_references_give_no_bank_and_the_metrics_rate(copy):
    trusted = copy.folder / "two.tsv"
    trusted.write_text("series_id\nt_sub-003_T1w\nt_sub-004_T1w\n")
    build(copy, trusted=trusted)
    assert read_bank(copy.bank).too_few == {"T1w/none": 2}
    copy.rate_all()
    assert {row["problem"] for row in score_rows(copy) if row["series_id"].endswith("_T1w")} == {
        "references of too few subjects in this stratum"
    }
    publish_tables(copy.results, RATING, methods=("simclr",))
    assert volumes(copy)["003", 0]["rating_source"] == "metrics"


def test_a_bank_that_cannot_tell_its_own_references_apart_leaves_rating_to_the_metrics(
    cohort, copy, capsys
):
    assert 0.7 <= read_bank(cohort.bank).strata["T1w/none"].auc <= 1
    assert volumes(cohort)["003", 0]["rating_source"] == "simclr"
    build(copy, families=("bias",), min_auc=1.0)  # a smooth field: not seen by an untrained one
    assert read_bank(copy.bank).strata["T1w/none"].auc < 1
    assert "the metrics rate this stratum" in capsys.readouterr().err
    copy.rate_all()
    publish_tables(copy.results, RATING, methods=("simclr",))
    row = volumes(copy)["003", 0]
    assert row["rating_source"] == "metrics"
    assert row["quality_score"] == row["metrics_score"]
    assert row["simclr_quality_score"] is None
    assert np.isfinite(row["simclr_margin_whitened"])


def test_a_withdrawn_reference_vanishes_from_list_bank_and_caches(copy):
    subject = sorted(read_bank(copy.bank).strata["T1w/none"].subjects)[0]
    withdrawn = copy.folder / "withdrawn.txt"
    withdrawn.write_text(f"{subject}\n")
    copy.measure(withdrawn=withdrawn)
    build(copy)
    bank = read_bank(copy.bank)
    assert subject not in bank.strata["T1w/none"].subjects
    assert any(f"sub-{subject}" in note and "withdrawn" in note for note in bank.notes)
    copy.rate_all()
    series = f"sub-{subject}_T1w"
    assert not any(series in row["series_id"] for row in score_rows(copy))
    for path in (copy.results / "embeddings").rglob("*.safetensors"):
        assert series.encode() not in path.read_bytes()


def test_a_damaged_store_costs_its_series_alone(copy):
    shard = copy.shards()[0]
    ids = sorted(
        {row["series_id"] for row in score_rows(copy) if row["series_id"].endswith("_T1w")}
    )
    store = copy.results / "zarr" / f"{shard}.zarr"
    broken = next(path for path in sorted(store.iterdir()) if path.is_dir())
    for path in broken.rglob("*"):
        if path.is_file() and path.name != "zarr.json":
            path.write_bytes(b"\0" * path.stat().st_size)
    copy.cache(shard).unlink()
    copy.rate(shard)
    rows = pq.ParquetFile(copy.results / "scores/simclr" / f"{shard}.parquet").read().to_pylist()
    failed = {row["series_id"] for row in rows if row["problem"] and "T1w" in row["series_id"]}
    assert len(failed) == 1
    assert failed <= set(ids)
    assert all(row["simclr_s_hq"] is None for row in rows if row["series_id"] in failed)
    publish_tables(copy.results, RATING, methods=("simclr",))
    row = next(row for row in table(copy).to_pylist() if row["series_id"] in failed)
    assert (row["status"], row["rating_source"]) == ("ok", "metrics")


def test_scores_of_another_model_or_stratum_are_refused(copy):
    path = copy.rate(copy.shards()[0])
    stale = pq.ParquetFile(path).read()
    pq.write_table(stale.replace_schema_metadata({b"model_id": b"simclr-other"}), path)
    with pytest.raises(UserError, match="simclr-other"):
        publish_tables(copy.results, RATING, methods=("simclr",))
    copy.rate_all()
    other = RATING.model_copy(update={"stratum": ("contrast",)})
    with pytest.raises(UserError, match="judged within T1w/none, but is in T1w now"):
        publish_tables(copy.results, other, methods=("simclr",))
    path.unlink()
    with pytest.raises(UserError, match="not rated yet"):
        publish_tables(copy.results, RATING, methods=("simclr",))


def test_propose_keeps_a_list_that_is_there(copy):
    path = copy.results / "references" / "simclr.tsv"
    path.write_text("series_id\nmine\n")
    kept = propose_references(
        copy.results, "simclr", settings=REFERENCE, rating=RATING, mem_mb=1000
    )
    assert kept == path
    assert path.read_text() == "series_id\nmine\n"
