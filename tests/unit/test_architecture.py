"""The layout: who may import whom, and what stays out of where."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "mriqa"
LAYERS = [
    {"config", "errors", "files", "progress", "processes", "columns", "seeds", ""},
    {"images", "cohort"},
    {"tables", "metrics", "artifacts", "labels"},
    {"training"},
    {"embedding", "references"},
    {"methods"},
    {"rating"},
    {"report", "evaluation"},
    {"cli", "run", "lock", "documents", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(path: Path) -> str:
    """The part of the package that a file belongs to, e.g. `images`."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem.replace("__init__", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = part(path)
    for name in imported(path):
        if not name.startswith("mriqa.") or name.split(".")[1] not in LEVEL:
            continue
        other = name.split(".")[1]
        assert LEVEL[other] <= LEVEL[own], f"{path} imports {name}"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("zarr", {"images"}),
        ("zarrs", {"images"}),
        ("dask", {"images"}),
        ("dipy", {"metrics"}),
        ("ray", {"training"}),
        ("torch", {"training", "embedding", "methods", "evaluation"}),
        ("cv2", {"evaluation"}),
        ("snakemake", set()),
        ("pickle", set()),
    ],
)
def test_library_stays_in_its_place(library, allowed):
    users = {
        part(path)
        for path in FILES
        for name in imported(path)
        if name == library or name.startswith(f"{library}.")
    }
    assert users <= allowed


def test_every_part_has_a_layer():
    parts = {part(path) for path in FILES}
    assert parts <= set(LEVEL), "name the new part in LAYERS"


def test_help_is_light():
    """`mriqa --help` must answer at once: nothing heavy is imported for it."""
    heavy = ("torch", "ray", "zarr", "dask", "pandas", "pyarrow", "matplotlib", "scipy", "dipy")
    code = (
        "import sys, mriqa.cli\n"
        "try: mriqa.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("HEAVY []")
