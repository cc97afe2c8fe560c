"""Run every benchmark of this folder and keep the last output: results.json and RESULTS.md.

`python tests/benchmarks/run.py [NAME ...]` runs those whose file is bench_<NAME>.py, each in a
process of its own: what one sets up (how memory is kept, above all) would change the peers of the
next. Ours and the peer alternate within one run; ratios hold between machines, times do not.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent
ALONE = "--alone"
"""Then a benchmark's file, and one for its rows: this process runs nothing else."""

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def load(path: Path) -> ModuleType:
    """The module in `path`."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where processes that it starts look for its functions
    spec.loader.exec_module(module)
    return module


def machine() -> str:
    """The processor, cores and Python of this machine."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def cell(value: object) -> str:
    """A number with three digits, or a dash."""
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown(content: dict) -> str:
    """RESULTS.md."""
    lines = [
        "# Benchmarks",
        "",
        f"Last run {content['date']} on {content['machine']} (`make bench`).",
        "",
        "| benchmark | ours | peer | floor | ratio | target | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in content["results"].items():
        values = [cell(row.get(key)) for key in ("ours_ms", "peer_ms", "floor_ms", "ratio")]
        lines.append(
            f"| {name} | {' | '.join(values)} | {row.get('target', '')} | {row.get('note', '')} |"
        )
    return "\n".join(lines) + "\n"


def rows_of(path: Path) -> list[dict]:
    """The rows of the benchmark in `path`, run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        subprocess.run([sys.executable, __file__, ALONE, str(path), str(rows)], check=True)
        found: list[dict] = json.loads(rows.read_text())
    return found


def main() -> None:
    """Run the named benchmarks, or all."""
    if sys.argv[1:2] == [ALONE]:
        Path(sys.argv[3]).write_text(json.dumps(load(Path(sys.argv[2])).run()))
        return
    wanted = sys.argv[1:]
    kept = FOLDER / "results.json"
    old = json.loads(kept.read_text())["results"] if wanted and kept.exists() else {}
    results = dict(old)
    for path in sorted(FOLDER.glob("bench_*.py")):
        if wanted and path.stem.removeprefix("bench_") not in wanted:
            continue
        print(f"{path.stem} ...", flush=True)
        for row in rows_of(path):
            results[row["name"]] = {key: row[key] for key in row if key != "name"}
            print(f"  {row['name']}: " + ", ".join(f"{k} {cell(v)}" for k, v in row.items()))
    content = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "results": results,
    }
    kept.write_text(json.dumps(content, indent=2) + "\n")
    (FOLDER / "RESULTS.md").write_text(markdown(content))
    print(markdown(content))


if __name__ == "__main__":
    main()
