"""Which series a model learns from: pinned once, and the id that follows from it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mriqa.cohort.manifest import COHORT_SCHEMA
from mriqa.config import PretrainingSection
from mriqa.errors import UserError
from mriqa.files import write_parquet
from mriqa.training.manifest import (
    PIN_SCHEMA,
    PinnedSeries,
    model_id,
    pin_path,
    pin_training,
    read_pinned,
)

SECTION = PretrainingSection()


def row(number: int, **changed: Any) -> dict[str, Any]:
    usual = {
        "series_id": f"c_sub-{number:02d}_T1w", "subject": f"{number:02d}", "contrast": "T1w",
        "source_path": f"/d/{number}.nii", "source_kind": "nifti", "size_bytes": 10 + number,
        "mtime_ns": 5, "shard": number // 3, "split": "train",
    }  # fmt: skip
    return dict.fromkeys(COHORT_SCHEMA.names) | usual | changed


def write_cohort(results: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=COHORT_SCHEMA)
    write_parquet(results / "cohort.parquet", table)


def pinned(results: Path, section: PretrainingSection = SECTION, **changed: Any) -> list[str]:
    pin = pin_training(results, "simclr", section, retrain=changed.get("retrain", False))
    return [one.subject for one in read_pinned(pin.path)]


def test_what_is_learned_from(tmp_path: Path) -> None:
    """Training subjects; nothing excluded, withdrawn or unreadable; in the order of their ids."""
    write_cohort(
        tmp_path,
        [
            row(4),
            row(1),
            row(2, split="test"),
            row(3, split="validation"),
            row(5, excluded_by="withdrawn"),
            row(6, error_code="file_missing"),
            row(7, contrast="bold"),
        ],
    )
    assert pinned(tmp_path) == ["01", "04", "07"]
    assert pinned(tmp_path, PretrainingSection(contrasts=("T1w",))) == ["01", "04"]


def test_a_growing_cohort_changes_no_list(tmp_path: Path) -> None:
    write_cohort(tmp_path, [row(1), row(2)])
    path = pin_training(tmp_path, "simclr", SECTION, retrain=False).path
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    write_cohort(tmp_path, [row(1, size_bytes=77), row(2, excluded_by="withdrawn"), row(3)])
    pin = pin_training(tmp_path, "simclr", SECTION, retrain=False)
    assert (pin.written, pin.n_series) == (False, 2)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_retrain_pins_the_cohort_as_it_is_and_only_if_it_changed(tmp_path: Path) -> None:
    write_cohort(tmp_path, [row(1), row(2)])
    path = pin_training(tmp_path, "simclr", SECTION, retrain=False).path
    before = path.stat().st_mtime_ns
    assert not pin_training(tmp_path, "simclr", SECTION, retrain=True).written
    assert path.stat().st_mtime_ns == before
    write_cohort(tmp_path, [row(2), row(3)])
    assert pinned(tmp_path, retrain=True) == ["02", "03"]


def test_a_changed_split_is_refused_unless_it_is_trained_anew(tmp_path: Path) -> None:
    """Or the model would know subjects that it is tested on."""
    write_cohort(tmp_path, [row(1), row(2)])
    pin_training(tmp_path, "simclr", SECTION, retrain=False)
    write_cohort(tmp_path, [row(1), row(2, split="test")])
    with pytest.raises(UserError, match=r"1 of 2 series .* cohort\.seed or cohort\.split"):
        pin_training(tmp_path, "simclr", SECTION, retrain=False)
    assert pinned(tmp_path, retrain=True) == ["01"]


def test_another_section_has_a_list_of_its_own(tmp_path: Path) -> None:
    write_cohort(tmp_path, [row(1)])
    pin_training(tmp_path, "simclr", SECTION, retrain=False)
    write_cohort(tmp_path, [row(1), row(2)])
    other = PretrainingSection(gamma=0.5)
    assert pinned(tmp_path, other) == ["01", "02"]
    assert pinned(tmp_path) == ["01"]
    assert pin_path(tmp_path, "simclr", other) != pin_path(tmp_path, "simclr", SECTION)


def test_a_larger_cohort_draws_the_same_ones_again(tmp_path: Path) -> None:
    small, large = [row(n) for n in range(20)], [row(n) for n in range(60)]
    section = PretrainingSection(max_series=8)
    write_cohort(tmp_path, small)
    first = set(pinned(tmp_path, section))
    write_cohort(tmp_path, large)
    again = set(pinned(tmp_path, section, retrain=True))
    assert len(first) == len(again) == 8
    assert {one for one in again if int(one) < 20} <= first
    other = PretrainingSection(max_series=8, seed=1)
    assert set(pinned(tmp_path, other)) != again


@pytest.mark.parametrize(
    ("rows", "section", "told"),
    [
        ([row(1, split="test"), row(2, split="test")], SECTION, "`train` (2 test); raise"),
        ([row(1)], PretrainingSection(contrasts=("T2w",)), "contrasts T2w (the cohort's are T1w)"),
        ([row(1, site="A")], PretrainingSection(sites=("B",)), "sites B (the cohort's are A)"),
        ([row(1, error_code="truncated")], SECTION, "all 1 are excluded or unreadable"),
    ],
)  # fmt: skip
def test_an_empty_list_says_why(
    tmp_path: Path, rows: list[dict[str, Any]], section: PretrainingSection, told: str
) -> None:
    write_cohort(tmp_path, rows)
    with pytest.raises(UserError) as caught:
        pin_training(tmp_path, "simclr", section, retrain=False)
    assert "simclr.pretraining" in str(caught.value)
    assert told in str(caught.value)
    assert not pin_path(tmp_path, "simclr", section).exists()


def test_a_damaged_list_is_refused_and_pinned_anew(tmp_path: Path) -> None:
    write_cohort(tmp_path, [row(1)])
    path = pin_training(tmp_path, "simclr", SECTION, retrain=False).path
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="missing or damaged; run `mriqa index CONFIG`"):
        read_pinned(path)
    assert pinned(tmp_path) == ["01"]
    assert pq.read_schema(path).equals(PIN_SCHEMA, check_metadata=False)


SERIES = [PinnedSeries("a", "1", "T1w", 0, 10, 5), PinnedSeries("b", "2", "T1w", 1, 11, 6)]


def test_equal_training_has_an_equal_id() -> None:
    one = model_id("simclr", "{}", SERIES, 1)
    assert one.startswith("simclr-")
    assert len(one) == len("simclr-") + 12
    moved = [PinnedSeries("b", "2", "T1w", 7, 11, 6), SERIES[0]]
    assert model_id("simclr", "{}", moved, 1) == one, "order and shards decide nothing"


@pytest.mark.parametrize(
    "other",
    [
        ("simclr", '{"gamma":1}', SERIES, 1),
        ("simclr", "{}", SERIES, 2),
        ("simclr", "{}", SERIES[:1], 1),
        ("simclr", "{}", [PinnedSeries("a", "1", "T1w", 0, 10, 6), SERIES[1]], 1),
        ("simclr", "{}", [PinnedSeries("a", "1", "T1w", 0, 12, 5), SERIES[1]], 1),
    ],
)
def test_what_changes_the_model_changes_its_id(
    other: tuple[str, str, list[PinnedSeries], int],
) -> None:
    assert model_id(*other) != model_id("simclr", "{}", SERIES, 1)
