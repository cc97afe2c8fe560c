"""Names of series, contrasts and splits."""

import pytest

from mriqa.cohort.entities import build_series_id, contrast_of, image_stem
from mriqa.cohort.folder import compile_pattern
from mriqa.cohort.split import split_of
from mriqa.config import SplitSection
from mriqa.errors import UserError


@pytest.mark.parametrize(
    ("entities", "suffix", "contrast"),
    [
        ({}, "T1w", "T1w"),
        ({"acq": "highres"}, "T1w", "T1w"),
        ({"acq": "dixonW"}, "T1w", "dixonW"),
        ({"acq": "DixonF"}, "VIBE", "DixonF"),
        ({"part": "mag"}, "bold", "bold"),
        ({"part": "phase"}, "bold", "bold-phase"),
    ],
)
def test_contrast(entities, suffix, contrast):
    assert contrast_of(entities, suffix) == contrast


def test_id_has_entities_in_bids_order():
    entities = {"echo": "1", "run": "02", "dir": "AP", "acq": "x"}
    assert build_series_id("demo", "0012", "1", entities, "dwi") == (
        "demo_sub-0012_ses-1_acq-x_dir-AP_run-02_echo-1_dwi"
    )


def test_id_stays_legible_and_file_safe():
    assert build_series_id("ukb", "100001_30", None, {}, "T1w") == "ukb_sub-100001_30_T1w"
    assert build_series_id("ukb", "Jörg/1 b", None, {}, "T1_w") == "ukb_sub-Jörg%2F1%20b_T1%5Fw"


def test_values_that_imitate_entities_do_not_share_an_id():
    one = build_series_id("c", "a_run-1", None, {}, "T1w")
    other = build_series_id("c", "a", None, {"run": "1"}, "T1w")
    assert one != other


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.nii", "a"), ("a.b.nii.gz", "a.b"), ("A.NII.GZ", "A"), (".nii", None), ("a.mgz", None)],
)
def test_image_stem(name, stem):
    assert image_stem(name) == stem


def test_pattern_fields():
    match = compile_pattern("./{subject}/{contrast}_{run}_{subject}.nii.gz").fullmatch(
        "7/T1_w_02_7.nii.gz"
    )
    assert match is not None
    assert match.groupdict() == {"subject": "7", "contrast": "T1_w", "run": "02"}


def test_pattern_echo_takes_digits_only():
    match = compile_pattern("{subject}_{acq}_e{echo}.nii").fullmatch("ge_dual_echo_e2.nii")
    assert match is not None
    assert match.groupdict() == {"subject": "ge", "acq": "dual_echo", "echo": "2"}


@pytest.mark.parametrize("name", ["a/T1_1_b.nii.gz", "a/b/T1_1_a.nii.gz", "a/T1_1_aXnii.gz"])
def test_pattern_does_not_match(name):
    assert compile_pattern("{subject}/{contrast}_{run}_{subject}.nii.gz").fullmatch(name) is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{contrast}.nii", "{subject} is missing"),
        ("{subject}_{sequence}.nii", "no field {sequence}; allowed: subject, session"),
        ("{subject}_{run.nii", "not closed"),
        ("{subject}_{}.nii", "not closed, or empty"),
    ],
)
def test_pattern_mistakes_are_named(pattern, message):
    with pytest.raises(UserError, match=message):
        compile_pattern(pattern)


def test_split_is_pinned_for_all_time():
    """Another hash, or Python's own with its random seed, would move subjects between splits."""
    drawn = [split_of(subject, 0, SplitSection()) for subject in ("0", "1", "2", "3", "0003")]
    assert drawn == ["validation", "test", "validation", "train", "train"]
    assert split_of("0", 1, SplitSection()) != split_of("0", 0, SplitSection())


def test_split_shares_are_kept():
    shares = SplitSection(train=0.5, validation=0.3, test=0.2)
    drawn = [split_of(f"{number:06d}", 3, shares) for number in range(20_000)]
    for name in ("train", "validation", "test"):
        assert drawn.count(name) / 20_000 == pytest.approx(getattr(shares, name), abs=0.012)


def test_a_share_of_zero_gets_nobody():
    shares = SplitSection(train=0.9999999999, validation=0, test=0.0000000001)
    assert {split_of(str(number), 0, shares) for number in range(1000)} == {"train"}
