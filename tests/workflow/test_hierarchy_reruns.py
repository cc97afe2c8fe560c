"""The hierarchy through the Snakefile: trained once, and what new labels and people do to it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_cohort import (
    CONFIG,
    HIERARCHY,
    LOCAL,
    Cohort,
    changed,
    stages,
    write_participants,
    write_subject,
)

pytestmark = pytest.mark.timeout(1800)

MODELS = ("models/*/*/*", "training/**/*")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Cohort]:
    """Seven subjects in three shards, four of them labelled, before their first run."""
    bids = tmp_path / "bids"
    for number in range(7):
        write_subject(bids, number, noise=8.0 + number)
    write_participants(bids, dict.fromkeys(range(7), 40))
    (bids / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    (tmp_path / "withdrawn.txt").write_text("")
    (tmp_path / "config.yaml").write_text(CONFIG + HIERARCHY)
    cohort = Cohort(tmp_path)
    write_labels(cohort, range(4))
    yield cohort
    cohort.stop()


def write_labels(cohort: Cohort, numbers: range) -> None:
    """Raters' words for subjects; the ids are those that `index` will give."""
    rows = []
    for number in numbers:
        for path in (cohort.folder / "bids" / f"sub-{number:02d}").rglob("*.nii.gz"):
            series = f"tiny_{path.name.removesuffix('.nii.gz')}"
            rows.append(f"{series}\tann\t{('pass', 'fail')[number % 2]}")
    text = "\n".join(["series_id\trater\trating", *rows]) + "\n"
    (cohort.folder / "labels.tsv").write_text(text)


def models(cohort: Cohort) -> set[str]:
    return {path.name for path in cohort.results.glob("models/hierarchy/hierarchy-*")}


def rated_by(cohort: Cohort) -> set[str]:
    return {row["rating_source"] for row in cohort.tables()["volumes"].to_pylist()}


def test_trained_once_and_rated_again_only_where_something_changed(small: Cohort) -> None:
    small.snakemake("--profile", LOCAL)
    (first,) = models(small)
    assert "hierarchy" in rated_by(small)
    subjects = small.tables()["subjects"].to_pylist()
    assert all(row["hierarchy_usable"] for row in subjects if row["rating_source"] == "hierarchy")
    page = (small.results / "report" / "index.html").read_text()
    assert "hierarchy" in page
    before = small.mtimes()
    assert "nothing to do" in small.run()
    names = changed(before, small.mtimes())  # of labelled files the contents are known by now
    assert {name for name in names if not name.startswith("labels/")} == set()

    write_labels(small, range(6))  # more labels alone retrain nothing, and it says so
    output = small.run()
    assert stages(output) == {"report"}
    assert "which training.retrain: true would learn from" in output
    assert models(small) == {first}

    kept = small.mtimes(*MODELS)
    write_subject(small.folder / "bids", 8, noise=9.0)  # growth: a new shard is rated
    assert stages(small.run()) == {"convert", "score", "rate", "merge", "report"}
    assert changed(kept, small.mtimes(*MODELS)) == set()

    small.edit_config("training: {", "training: {retrain: true, ")
    assert {"train", "rate", "merge"} <= stages(small.run())
    assert len(models(small)) == 2


def test_who_withdraws_is_in_no_list_of_doubted_labels(small: Cohort) -> None:
    small.run()
    (model,) = small.results.glob("models/hierarchy/*")
    people = pq.read_table(model / "rounds.parquet")["subject"].to_pylist()
    gone = people[0]
    (small.folder / "withdrawn.txt").write_text(f"{gone}\n")
    output = small.run()
    assert "train" not in stages(output)
    left = pq.read_table(model / "rounds.parquet")["subject"].to_pylist()
    assert gone not in left
    assert set(left) == set(people) - {gone}
    told = small.verb("query", "results", "SELECT count(*) FROM label_rounds")
    assert str(len(left)) in told
