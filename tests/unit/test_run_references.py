"""Lists of references: refused before any work if they cannot be read, named if not all is used."""

from pathlib import Path

import pytest
import yaml

from mriqa.config import load_config
from mriqa.errors import UserError
from mriqa.files import write_json
from mriqa.run import summary
from mriqa.run.launch import run_workflow
from mriqa.run.learned import Learned

PROFILE = Path("profiles/local")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "bids").mkdir()
    return written(tmp_path)


def written(folder: Path, **reference: object) -> Path:
    raw = {
        "results": str(folder / "r"),
        "methods": ["simclr"],
        "cohort": {"name": "c", "sources": [{"kind": "bids", "path": str(folder / "bids")}]},
        "simclr": {"reference": reference},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_a_trusted_list_that_cannot_be_read_is_refused_before_any_work(tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.tsv"
    trusted.write_text("series_id\tconfirmed\na\tYes\n")
    with pytest.raises(UserError, match=r"trusted\.tsv: line 2: column confirmed: 'Yes'"):
        run_workflow(written(tmp_path, trusted=str(trusted)), profile=PROFILE, cores=1, extra=[])
    assert not (tmp_path / "r").exists()


def test_an_edited_list_that_cannot_be_read_is_refused_before_any_work(config: Path) -> None:
    results = load_config(config).results
    (results / "references").mkdir(parents=True)
    (results / "references" / "simclr.tsv").write_text('series_id\tnote\na\t"never closed\nb\t\n')
    with pytest.raises(UserError, match=r"simclr\.tsv: the row that begins on line 2"):
        run_workflow(config, profile=PROFILE, cores=1, extra=[])
    assert [path.name for path in results.iterdir()] == ["references"]


@pytest.mark.parametrize(
    ("notes", "dropped", "said"),
    [
        ([], [], None),
        (["line 3: no series x"], [], ": lines that cannot be used: 1; see the report"),
        ([], ["v", "w"], ": doubtful volumes, not used: 2; see the report"),
        (["n", "m"], ["v"], "cannot be used: 2; doubtful volumes, not used: 1; see"),
    ],
)
def test_a_run_ends_with_what_of_the_list_is_not_used(config, monkeypatch, notes, dropped, said):
    settings = load_config(config)
    monkeypatch.setattr(Learned, "model_ids", lambda _: {"simclr": "simclr-0"})
    bank = settings.results / "models" / "simclr" / "simclr-0" / "bank" / "bank.json"
    write_json(bank, {"notes": notes, "strata": [{"dropped": dropped}, {}]})
    counts = ("n_indexed", "n_ok", "n_failed", "n_excluded", "n_no_reference")
    monkeypatch.setattr(summary, "last_run", lambda _: dict.fromkeys(counts, 1))
    monkeypatch.setattr(summary, "run_query", lambda *_: "")
    told = [
        line for line in summary.describe_results(settings).splitlines() if "simclr.tsv" in line
    ]
    assert len(told) == (said is not None)
    assert all(said in line for line in told)
