"""Reading and joining the truth table."""

import pandas as pd
import pytest

from mriqa.errors import UserError
from mriqa.evaluation.truth import match, read_truth

HEAD = "series_id\tvolume\tsubject\tfamily\tseverity\tbreath_hold\terror_code\textra\n"


def truth_of(tmp_path, *lines, head=HEAD, name="truth.tsv"):
    path = tmp_path / name
    path.write_text(head + "".join(line + "\n" for line in lines), encoding="utf-8")
    return read_truth(path)


def volumes_of(*rows):
    names = ["series_id", "volume", "status"]
    return pd.DataFrame(rows, columns=names).astype({"volume": "float64"})


def test_clean_is_none_empty_or_severity_zero(tmp_path):
    truth = truth_of(
        tmp_path, "a\t\t\tnone\t0\t\t\t", "b\t\t\t\t\t\t\t", "c\t\t\tnoise\t0\t\t\t",
        "d\t\t\tnoise\t0.5\t\t\tx", "e\t\t\tclean\tn/a\t\t\t",
    )  # fmt: skip
    assert truth["family"].tolist() == ["none", "none", "none", "noise", "none"]
    assert truth["severity"].tolist() == [0, 0, 0, 0.5, 0]


def test_a_subject_named_na_or_001_stays_text(tmp_path):
    truth = truth_of(tmp_path, "NA\t\t001\tnone\t0\t\t\t", "001\t\tnan\tnone\t0\t\t\t")
    assert truth["series_id"].tolist() == ["NA", "001"]
    assert truth["subject"].tolist() == ["001", "nan"]


def test_breath_hold_in_words_or_digits(tmp_path):
    truth = truth_of(
        tmp_path, "a\t\t\tnone\t0\t1\t\t", "b\t\t\tnone\t0\tfalse\t\t", "c\t\t\tnone\t0\t\t\t"
    )
    assert truth["breath_hold"].tolist() == [True, False, None]


def test_csv_and_parquet_are_read_alike(tmp_path):
    tsv = truth_of(tmp_path, "a\t3\ts\tnoise\t0.25\ttrue\t\t")
    csv = truth_of(
        tmp_path, "a,3,s,noise,0.25,true,,", head=HEAD.replace("\t", ","), name="truth.csv"
    )
    frame = pd.DataFrame(
        {"series_id": ["a"], "volume": [3], "subject": ["s"], "family": ["noise"],
         "severity": [0.25], "breath_hold": [True]}
    )  # fmt: skip
    frame.to_parquet(tmp_path / "truth.parquet")
    parquet = read_truth(tmp_path / "truth.parquet")
    columns = ["series_id", "volume", "subject", "family", "severity", "breath_hold"]
    assert tsv[columns].values.tolist() == csv[columns].values.tolist()
    assert tsv[columns].values.tolist() == parquet[columns].values.tolist()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\t\t\tnoise\t1.5\t\t\t", "severity of a is 1.5; it must be between 0 and 1"),
        ("a\t\t\tnoise\tmuch\t\t\t", "severity: 'much' is not a number"),
        ("a\tx\t\tnoise\t1\t\t\t", "volume: 'x' is not a number"),
        ("a\t\t\tnoise\t1\tmaybe\t\t", "breath_hold: 'maybe' is neither true nor false"),
        ("\t\t\tnoise\t1\t\t\t", "row 1 has no series_id"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        truth_of(tmp_path, line)


def test_a_repeated_row_is_refused(tmp_path):
    with pytest.raises(UserError, match="b stands there twice"):
        truth_of(tmp_path, "b\t1\t\tnoise\t1\t\t\t", "b\t1\t\tnone\t0\t\t\t")


def test_a_missing_column_or_file_is_named(tmp_path):
    with pytest.raises(UserError, match="column severity missing"):
        truth_of(tmp_path, "a\tnoise", head="series_id\tfamily\n")
    with pytest.raises(UserError, match=r"evaluation\.truth: .*nothing.tsv: no such file"):
        read_truth(tmp_path / "nothing.tsv")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(UserError, match="not a table"):
        read_truth(tmp_path / "bad.parquet")


def test_a_row_for_one_volume_goes_before_the_row_for_all(tmp_path):
    truth = truth_of(tmp_path, "d\t\t\tnone\t0\t\t\t", "d\t1\t\tdropout\t0.5\t\t\t")
    matched = match(truth, volumes_of(("d", 0, "ok"), ("d", 1, "ok"), ("d", 2, "ok")))
    families = matched.volumes.set_index("volume")["true_family"].to_dict()
    assert families == {0: "none", 1: "dropout", 2: "none"}
    assert matched.missing == ()


def test_a_failed_series_takes_its_truth_and_is_not_missing(tmp_path):
    truth = truth_of(tmp_path, "d\t\t\tnoise\t1\t\t\t", "e\t4\t\tnoise\t1\t\t\t")
    matched = match(truth, volumes_of(("d", None, "failed"), ("e", None, "failed")))
    assert matched.volumes["series_id"].tolist() == ["d"]
    assert matched.missing == ()


def test_what_is_not_in_the_tables_is_listed_and_the_rest_counted(tmp_path):
    truth = truth_of(
        tmp_path, "a\t\t\tnoise\t1\t\t\t", "gone\t\t\tnone\t0\t\t\t", "b\t7\t\tnone\t0\t\t\t",
        "bad\t\t\tbad_input\t\t\ttruncated\t",
    )  # fmt: skip
    matched = match(
        truth,
        volumes_of(("a", 0, "ok"), ("b", 0, "ok"), ("b", 1, "ok"), ("bad", None, "failed")),
    )
    assert matched.missing == ("gone", "b volume 7")
    assert matched.n_unlabelled == 2
    assert matched.bad_inputs["error_code"].tolist() == ["truncated"]
