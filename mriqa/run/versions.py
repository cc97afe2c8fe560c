"""Versions of the stages, without loading their code."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

from mriqa.errors import UserError


@cache
def format_version(module: str) -> int:
    """The constant FORMAT_VERSION of a module, read without importing it (and Zarr with it)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"{module} is missing: this installation of mriqa is not complete")
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == ["FORMAT_VERSION"] and isinstance(node.value.value, int):
                return node.value.value
    raise UserError(f"{module} has no FORMAT_VERSION: state it, as a whole number")
