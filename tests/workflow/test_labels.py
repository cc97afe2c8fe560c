"""Labels in a real run: the report alone runs for them, and they go with the files they were
given to."""

import pyarrow.parquet as pq
from tiny_cohort import Cohort, stages, write_subject


def series_of(cohort: Cohort, subject: str) -> str:
    volumes = cohort.tables()["volumes"].to_pylist()
    return next(row["series_id"] for row in volumes if row["subject"] == subject)


def rated(cohort: Cohort) -> dict[str, bool]:
    """Whether a label is used, by rater."""
    rows = pq.read_table(cohort.results / "labels" / "ratings.parquet").to_pylist()
    return {row["rater"]: row["used"] for row in rows}


def test_labels_rerun_the_report_alone_and_follow_their_files(cohort: Cohort) -> None:
    lines = ["series_id\trater\trating"]
    lines += [f"{series_of(cohort, f'0{number}')}\trater{number}\tpass" for number in (3, 4, 5)]
    lines.append("nobody\trater9\tpass")
    (cohort.folder / "labels.tsv").write_text("\n".join(lines) + "\n")
    cohort.edit_config("rating:", "labels: [{kind: table, path: labels.tsv}]\nrating:")
    output = cohort.run()
    assert stages(output) == {"report"}  # which shows them
    assert "rater4" in (cohort.results / "report" / "index.html").read_text()
    assert "nothing to do" in cohort.run()
    assert "index: labels 3 of 3 series (3 pass, 0 questionable, 0 fail); problems 1" in output
    told = cohort.verb("query", "results", "SELECT line, value FROM label_problems")
    assert "nobody" in told

    write_subject(cohort.folder / "bids", 4, noise=30.0, seed=1)
    (cohort.folder / "withdrawn.txt").write_text("03\n")
    cohort.run()
    assert rated(cohort) == {"rater4": False, "rater5": True}

    touched = next((cohort.folder / "bids").glob("sub-05/**/*.nii.gz"))
    touched.touch()
    cohort.run()  # indexes, then reads the file again
    cohort.run()  # and now knows that it is the same
    assert rated(cohort) == {"rater4": False, "rater5": True}
