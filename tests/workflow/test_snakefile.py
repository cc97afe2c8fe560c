"""The Snakefile itself: as plain `snakemake`, its style, its errors, its size."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_cohort import LOCAL, ROOT, Cohort


def test_plain_snakemake_indexes_first_and_gives_the_same_tables(fresh: Cohort) -> None:
    planned = fresh.snakemake("--profile", LOCAL, "--dry-run")
    assert "index_cohort" in planned
    fresh.snakemake("--profile", LOCAL)
    tables = fresh.tables()
    assert tables["volumes"].num_rows == 8
    # and `mriqa run` has nothing left to do
    assert "nothing to do" in fresh.run()
    assert fresh.tables() == tables


def test_plain_snakemake_sees_a_changed_section(cohort: Cohort) -> None:
    cohort.edit_config("rating:", "score: {foreground_percentile: 98}\nrating:")
    planned = cohort.snakemake("--profile", LOCAL, "--dry-run")
    assert re.search(r"score_shard +3\n", planned)
    assert not re.search(r"convert_shard +\d", planned)
    assert not re.search(r"index_cohort +\d", planned)


def test_a_changed_cohort_section_indexes_again(cohort: Cohort) -> None:
    cohort.edit_config("withdrawn: withdrawn.txt", "seed: 3")
    planned = cohort.snakemake("--profile", LOCAL, "--dry-run")
    assert re.search(r"index_cohort +1\n", planned)
    assert not re.search(r"convert_shard +\d", planned)


def test_braces_in_the_configuration_mean_themselves(cohort: Cohort) -> None:
    """Snakemake takes them for wildcards in a parameter that is plain text."""
    cohort.edit_config("report:", 'report:\n  title: "Study {2026}, {wildcards} $(false)"')
    cohort.run()
    page = (cohort.results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Study {2026}, {wildcards} $(false)" in page


def test_wrong_configuration_stops_before_any_work(fresh: Cohort) -> None:
    fresh.edit_config("min_stratum: 3", "min_stratum: 2\n  pas_from: 0.9")
    for output in (fresh.snakemake("--profile", LOCAL, status=1), fresh.run(status=2)):
        assert "rating.min_stratum" in output
        assert "rating.pas_from: no such key" in output
        assert "Traceback" not in output
    assert not fresh.results.exists()


def test_a_missing_truth_table_stops_before_any_work(fresh: Cohort) -> None:
    fresh.edit_config("report:", "evaluation: {truth: gone.tsv}\nreport:")
    output = fresh.run(status=2)
    assert "evaluation.truth: gone.tsv: no such file" in output
    assert not fresh.results.exists()


def test_no_configuration_is_said(fresh: Cohort) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n"],
        cwd=fresh.folder, env=fresh.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--configfile" in done.stdout + done.stderr


def test_a_missing_profile_is_said(fresh: Cohort) -> None:
    assert "no/where: no config.yaml there" in fresh.run("--profile", "no/where", status=2)


def test_a_dry_run_through_mriqa_runs_no_job(fresh: Cohort) -> None:
    output = fresh.run("--", "--dry-run")
    assert re.search(r"convert_shard +3\n", output)
    assert not (fresh.results / "convert").exists()


def test_hysnets_tables_are_made_only_when_asked_for(cohort: Cohort) -> None:
    tables = ("ablation", "comparators")
    asked = cohort.snakemake("--profile", LOCAL, "--dry-run", *tables)
    unasked = cohort.snakemake("--profile", LOCAL, "--dry-run")
    for rule in tables:
        assert re.search(rf"{rule} +1\n", asked)
        assert rule not in unasked


def test_a_failing_table_of_hysnet_says_why(cohort: Cohort) -> None:
    output = cohort.run("--", "--retries", "0", "comparators", status=1)
    assert "experiment of hysnet_comparators failed; the end of " in output
    assert "volumes of training subjects" in output


def test_a_failing_job_is_named_with_the_end_of_its_log(cohort: Cohort) -> None:
    before = cohort.mtimes("tables/**/*.parquet")
    other = cohort.results / "scores" / "shard-00001.parquet"
    pq.write_table(pa.table({"of": ["another version"]}), other)
    output = cohort.run("--", "--retries", "0", status=1)
    assert "merge failed; the end of results/logs/merge.log:" in output
    assert "scores of another version; delete it and run again" in output
    assert "results/logs/run-" in output
    assert cohort.mtimes("tables/**/*.parquet") == before, "the old tables stand"


@pytest.mark.slow
def test_too_many_failures_stop_the_run_after_its_tables(cohort: Cohort) -> None:
    for number in range(4):
        path = (
            cohort.folder / "bids" / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz"
        )
        path.write_bytes(b"")
    cohort.edit_config("min_stratum: 3", "min_stratum: 3\n  max_failed_fraction: 0.4")
    output = cohort.run(status=1)
    assert "4 of 8 series failed, more than rating.max_failed_fraction 0.4 allows" in output
    assert cohort.tables()["failures"].num_rows == 4
    assert (cohort.results / "report" / "index.html").is_file()


def test_lint_is_clean(cohort: Cohort) -> None:
    assert "workflow is in a good condition" in cohort.snakemake("--lint")


def test_formatting_is_clean() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check",
         str(ROOT / "Snakefile"), str(ROOT / "workflow")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[tuple[str, list[str]]]:
    """Name and lines of every rule."""
    found: list[tuple[str, list[str]]] = []
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]:
        blocks = re.split(r"\n(?=\S)", path.read_text())
        named = ((re.match(r"(?:rule|checkpoint) (\w+):", block), block) for block in blocks)
        found += [(match[1], block.rstrip().splitlines()) for match, block in named if match]
    return found


def test_rules_are_short_and_call_one_verb() -> None:
    verbs = {name: " ".join(lines) for name, lines in rules() if name != "all"}
    assert set(verbs) == {
        "index_cohort", "convert_shard", "score_shard", "train_method", "propose_references",
        "build_bank", "rate_shard", "merge_scores", "write_report", "evaluate_ratings",
        "experiment_method", "ablation",
    }  # fmt: skip
    for name, lines in rules():
        assert len(lines) <= 25, name
    for name, text in verbs.items():
        assert len(re.findall(r"\bmriqa \w+ ", text)) == 1, name
        assert all(word in text for word in ("message:", "log:", "shell:")), name


@pytest.mark.slow
def test_snakemake_report_holds_the_page_and_the_counts(cohort: Cohort) -> None:
    target = cohort.folder / "report.html"
    cohort.snakemake("--report", str(target))
    text = target.read_text()
    assert "Automatic quality assessment" in text
    assert "compact.html" in text
    assert "reconciliation.json" in text


def test_the_environment_file_lists_what_the_package_needs() -> None:
    import tomllib

    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = yaml.safe_load((ROOT / "workflow" / "envs" / "mriqa.yaml").read_text())
    pip = next(entry["pip"] for entry in listed["dependencies"] if isinstance(entry, dict))
    needed = {name for name in project["dependencies"] if not name.startswith("snakemake")}
    assert set(pip) == needed


def test_profiles_agree_on_what_makes_a_job_due() -> None:
    import yaml

    from mriqa.run.launch import RERUN_TRIGGERS

    for name in ("local", "slurm"):
        profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
        assert tuple(profile["rerun-triggers"]) == RERUN_TRIGGERS
        assert profile["rerun-incomplete"] is True


def test_no_path_of_this_machine_is_written_down() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*"), *(ROOT / "profiles").rglob("*")]
    for path in (path for path in files if Path(path).is_file()):
        assert not re.search(r"/work/|/opt/|/root/", path.read_text()), path
