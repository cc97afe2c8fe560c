"""Where HyS-Net's numbers come from: metrics, tables, and what is wrong with either."""

import pyarrow as pa
import pytest

from mriqa.cohort.manifest import COHORT_SCHEMA, shard_name
from mriqa.config import HysnetLearningSection, HysnetTargetSection
from mriqa.errors import UserError
from mriqa.files import write_parquet
from mriqa.methods.hysnet.gather import gather_lessons
from mriqa.methods.hysnet.target_sources import (
    check_target,
    metric_names,
    read_table_targets,
    targets_digest,
)
from mriqa.rating.score import SCORE_SCHEMA
from mriqa.training.manifest import pin_training, read_pinned

SPLITS = ("train", "train", "validation", "train", "test", "train")


def row(number, **changed):
    usual = {
        "series_id": f"c_sub-{number}_T1w", "subject": str(number), "contrast": "T1w",
        "split": SPLITS[number], "source_path": f"/d/sub-{number}_T1w.nii.gz",
        "source_kind": "nifti", "size_bytes": 9, "mtime_ns": 5, "shard": number // 3,
    }  # fmt: skip
    return dict.fromkeys(COHORT_SCHEMA.names) | usual | changed


def write(results, rows, values=None):
    """The cohort, and its scores: a value of body_snr_tissue a series, 10 + number by default."""
    write_parquet(results / "cohort.parquet", pa.Table.from_pylist(rows, schema=COHORT_SCHEMA))
    for shard in {one["shard"] for one in rows}:
        own = {one["series_id"]: one["subject"] for one in rows if one["shard"] == shard}
        found = [
            dict.fromkeys(SCORE_SCHEMA.names)
            | {"series_id": name, "volume": 0, "status": "ok"}
            | {"body_snr_tissue": (values or {}).get(name, 10.0 + int(subject))}
            for name, subject in own.items()
        ]
        found.append({**found[0], "volume": 0, "slice": 3, "body_snr_tissue": 99.0})
        found.append({**found[0], "volume": 1, "status": "failed", "body_snr_tissue": None})
        table = pa.Table.from_pylist(found, schema=SCORE_SCHEMA)
        write_parquet(results / "scores" / f"{shard_name(shard)}.parquet", table)


@pytest.fixture
def results(tmp_path):
    write(tmp_path, [row(number) for number in range(6)])
    return tmp_path


def lessons(results, **section):
    learning = HysnetLearningSection(**section)
    pin = pin_training(results, "hysnet", learning, retrain=False).path
    return gather_lessons(results, read_pinned(pin), learning)


def numbers(examples):
    return {one.series_id[6]: one.target for one in examples}


def table(folder, text):
    path = folder / "numbers.tsv"
    path.write_text(text)
    return path


def test_a_metric_is_learned_of_training_subjects_and_tried_on_the_others(results):
    found = lessons(results)
    assert numbers(found.train) == {"0": 10, "1": 11, "3": 13, "5": 15}
    assert {split: numbers(some) for split, some in found.held_out.items()} == {
        "validation": {"2": 12}, "test": {"4": 14},
    }  # fmt: skip
    assert found.contrasts == ("T1w",)
    assert {one.store.name for one in found.train} == {"shard-00000.zarr", "shard-00001.zarr"}
    assert found.train[0].store.is_absolute()


def test_held_out_volumes_are_drawn_by_the_seed(results):
    write(results, [row(number, split=("train", "test")[number % 2]) for number in range(6)])
    first, again = (lessons(results, held_out=2) for _ in range(2))
    assert len(first.held_out["test"]) == 2
    assert first == again
    assert lessons(results, held_out=0).held_out == {"validation": [], "test": []}


def test_volumes_without_a_number_are_left_out(results, capsys):
    write(results, [row(number) for number in range(6)], {"c_sub-1_T1w": None})
    assert numbers(lessons(results).train) == {"0": 10, "3": 13, "5": 15}
    assert "1 volumes have no body_snr_tissue" in capsys.readouterr().err


def test_who_withdrew_is_neither_learned_nor_tried(results):
    pin_training(results, "hysnet", HysnetLearningSection(), retrain=False)
    withdrawn = {"excluded_by": "withdrawn"}
    rows = [row(number, **(withdrawn if number in (0, 2) else {})) for number in range(6)]
    write(results, rows)
    found = lessons(results)
    assert set(numbers(found.train)) == {"1", "3", "5"}
    assert found.held_out["validation"] == []


def test_where_nothing_has_a_number_it_says_so(results):
    write(results, [row(n) for n in range(6)], {f"c_sub-{n}_T1w": None for n in range(6)})
    with pytest.raises(UserError, match="no measured volume of the 4 series .* body_snr_tissue"):
        lessons(results)


def test_an_unknown_metric_is_refused_with_those_that_there_are(results):
    wrong = HysnetLearningSection(target={"column": "body_snr_tisue"})
    with pytest.raises(UserError, match=r"target.column: 'body_snr_tisue' is no metric.*body_efc"):
        check_target(results, wrong)
    check_target(results, HysnetLearningSection())
    assert "dwi_n_outlier_slices" not in metric_names()


@pytest.mark.parametrize(
    ("contrasts", "brains", "says"),
    [
        ([], (), r"score.brain names \(none\)"),
        (["T2w"], ("T1w",), r"names \(T1w\).*learning.contrasts: T2w"),
        (["T1w"], ("T1w", "T2w"), None),
        ([], ("T1w",), None),
    ],
)
def test_a_metric_of_brains_must_be_measured_in_what_is_learned(results, contrasts, brains, says):
    section = HysnetLearningSection(target={"column": "snr_total"}, contrasts=contrasts)
    if says is None:
        check_target(results, section, brains)
        return
    with pytest.raises(UserError, match=says):
        check_target(results, section, brains)


def test_contrasts_are_pooled_only_if_a_person_says_so(results):
    write(results, [row(n, contrast=("T1w", "bold")[n == 5]) for n in range(6)])
    with pytest.raises(UserError, match=r"hysnet.learning.contrasts: not set.* \(T1w, bold\)"):
        lessons(results)
    assert lessons(results, contrasts=["T1w"]).contrasts == ("T1w",)
    assert lessons(results, contrasts=["T1w", "bold"]).contrasts == ("T1w", "bold")


def test_a_contrast_that_is_not_there_names_the_key(results):
    with pytest.raises(UserError, match=r"hysnet\.learning\.contrasts T2w"):
        lessons(results, contrasts=["T2w"])


def test_a_table_by_series_id_with_the_cohorts_name_or_without(results):
    path = table(results, "series_id\tSNR_Total\nc_sub-0_T1w\t1\nsub-1_T1w\t2.5\nother\t3\n")
    found = lessons(results, target={"table": path, "column": "SNR_Total"})
    assert numbers(found.train) == {"0": 1, "1": 2.5}


def test_an_mriqc_table_is_joined_by_the_name_of_the_file(results):
    rows = [row(number, series_id=f"c_id{number}") for number in range(6)]
    write(results, rows)
    path = table(results, "bids_name\tcjv\tsnr_total\nsub-3_T1w\t.4\t9\nsub-4_T1w\t.5\t8\n")
    targets = read_table_targets(path, "snr_total", results / "cohort.parquet")
    assert targets.values == {("c_id3", None): 9, ("c_id4", None): 8}


def test_a_name_that_two_files_have_is_nobodys(results):
    write(results, [row(n, source_path=f"/d{n}/a_T1w.nii", series_id=f"c_{n}") for n in range(6)])
    path = table(results, "bids_name\tx\na_T1w\t1\nb_T1w\t2\n")
    with pytest.raises(UserError, match=r"no row with a number .* bids_name is e.g. a_T1w"):
        read_table_targets(path, "x", results / "cohort.parquet")


def test_a_volumes_own_number_counts_before_its_series(results):
    text = "series_id\tvolume\tx\nsub-0_T1w\t\t5\nsub-0_T1w\t2\t7\nsub-1_T1w\t0\tn/a\n"
    found = read_table_targets(table(results, text), "x", results / "cohort.parquet")
    assert [found.of("c_sub-0_T1w", volume) for volume in (0, 2)] == [5, 7]
    assert found.of("c_sub-1_T1w", 0) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("series_id\ty\nsub-0_T1w\t1\n", "target.column: .* has no column 'x'; its columns are"),
        ("name\tx\nsub-0_T1w\t1\n", "neither a column series_id nor bids_name"),
        ("series_id\tx\nsub-0_T1w\tgood\n", "line 2: x is 'good'; it must be a finite number"),
        ("series_id\tx\nsub-0_T1w\tinf\n", "line 2: x is 'inf'"),
        ("series_id\tx\tvolume\nsub-0_T1w\t1\t-1\n", "line 2: volume is '-1'; it must be an index"),
        ("series_id\tx\nsub-0_T1w\t1\nsub-0_T1w\t2\n", "line 3: .* has x 2 here and 1 before"),
        ("series_id\tx\nelse\t1\n", "no row with a number is of a series of this cohort"),
        ("series_id\tx\n", "no row with a number"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(results, text, says):
    path = table(results, text)
    with pytest.raises(UserError, match=says):
        check_target(results, HysnetLearningSection(target={"table": path, "column": "x"}))


def test_a_digest_stands_for_the_numbers_of_the_series_alone(results):
    cohort, series = results / "cohort.parquet", ["c_sub-0_T1w", "c_sub-1_T1w"]

    def digest(text):
        target = HysnetTargetSection(table=table(results, text), column="x")
        return targets_digest(target, cohort, series)

    first = digest("series_id\tx\nsub-0_T1w\t1\nsub-1_T1w\t2\n")
    assert digest("series_id\tx\tz\nsub-1_T1w\t2\t0\nsub-0_T1w\t1\t0\nsub-3_T1w\t5\t0\n") == first
    assert digest("series_id\tx\nsub-0_T1w\t1\nsub-1_T1w\t2.5\n") != first
    assert targets_digest(HysnetTargetSection(), cohort, series) == ""
