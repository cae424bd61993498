"""The rooms and their arrows: who may import whom, and how large a room may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# ablations -> reports -> {vae, tracking}; vae and tracking import nothing of ours.
MAY_IMPORT = {
    "ablations": {"ablations", "reports", "vae", "tracking"},
    "reports": {"reports", "vae", "tracking"},
    "tracking": {"tracking"},
    "vae": {"vae"},
}
# So that the models, the metrics and the bench run wherever torch does.
FORBIDDEN = {"mlflow", "pydantic", "pandas"}
MAX_LINES = 400
MAX_FUNCTION = 60

FILES = sorted(path for package in MAY_IMPORT for path in (REPOSITORY / package).rglob("*.py"))
LIGHT = sorted([*(REPOSITORY / "vae").rglob("*.py"), *REPOSITORY.glob("ablations/bench.py")])


def module(path: Path) -> str:
    """The dotted name of a file: vae/metrics/__init__.py is vae.metrics."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that a file imports, at its top, inside a function, or by a name in a string.

    package: the dotted name of the package the file lies in, which relative imports start from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield ".".join([*base, *filter(None, [node.module])])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"import_module", "__import__", "importorskip"}:
                yield str(node.args[0].value)


def imported_rooms(path: Path) -> set[str]:
    package = module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]
    return {found.partition(".")[0] for found in imports(ast.parse(path.read_text()), package)}


def test_imports_are_found_wherever_they_stand() -> None:
    code = """
import vae.data as d, os
def late():
    from tracking.schema import FINAL
    from . import sibling
    from .. import above
    from ..room.corner import thing
    importlib.import_module("mlflow.tracking")
"""
    found = ["vae.data", "os", "tracking.schema", "vae.metrics", "vae", "vae.room.corner", "mlflow.tracking"]
    assert sorted(imports(ast.parse(code), "vae.metrics")) == sorted(found)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_arrows_point_one_way(path: Path) -> None:
    room = name(path).partition("/")[0]
    ours = imported_rooms(path) & set(MAY_IMPORT)
    assert ours <= MAY_IMPORT[room], f"{name(path)} imports {sorted(ours - MAY_IMPORT[room])}"


@pytest.mark.parametrize("path", LIGHT, ids=name)
def test_light_rooms_name_no_heavy_library(path: Path) -> None:
    assert not imported_rooms(path) & FORBIDDEN


def test_light_rooms_can_be_imported_where_heavy_libraries_are_missing() -> None:
    """What they import imports none either: tried in a process that cannot find them."""
    code = f"""
import importlib, sys

sys.modules.update(dict.fromkeys({sorted(FORBIDDEN)}))  # None: importing it fails, looking for it finds nothing
for module in {[module(path) for path in LIGHT if path.stem != "__main__"]}:
    importlib.import_module(module)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=name)
def test_rooms_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION} == {}
