"""Contrasts name folders of the slices table: what no folder can be called is a problem."""

from cohort_trees import add_file, cohort_rows, index, problem_rows, table


def test_a_contrast_that_can_name_no_folder_is_a_problem(tmp_path):
    """It would stop the merge of the whole cohort."""
    long = "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 41
    rows = f"path,subject,contrast\na.nii,1,T1w\nb.nii,2,{long}\nc.nii,3,{long[:40]}\n"
    path = add_file(tmp_path, "series.csv", rows.encode())
    index(tmp_path / "out", table(path))
    assert {row["contrast"] for row in cohort_rows(tmp_path / "out").values()} == {"T1w", long[:40]}
    (problem,) = [row for row in problem_rows(tmp_path / "out") if row["column"] == "contrast"]
    assert (problem["line"], problem["value"]) == (3, long)
