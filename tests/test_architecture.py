"""The packages and who may import whom; what can be imported where a heavy library is missing; what starts at once."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

# ablations -> reports -> {vae, tracking}; vae and tracking import nothing else of ours.
MAY_IMPORT = {
    "ablations": {"ablations", "reports", "vae", "tracking"},
    "reports": {"reports", "vae", "tracking"},
    "tracking": {"tracking"},
    "vae": {"vae"},
}
# Inside reports, what lies below imports nothing that lies above; executors know nothing of the driver.
LAYERS = (
    ("reports.numbers", "reports.validation"),
    ("reports.claims",),
    ("reports.judging",),
    ("reports.page",),
)
# So that the models, the metrics and the bench run wherever torch does.
FORBIDDEN = {"mlflow", "pydantic", "pandas"}
# What help and usage errors do not wait for.
HEAVY = {"torch", "pydantic", "pandas", "mlflow", "numpy"}
LONGEST_FUNCTION = 50

FILES = sorted(path for package in MAY_IMPORT for path in (REPOSITORY / package).rglob("*.py"))
# The peer of the whole study logs to MLflow, as its user would.
BENCH = [path for path in (REPOSITORY / "ablations" / "bench").rglob("*.py") if path.name != "study.py"]
LIGHT = sorted([*(REPOSITORY / "vae").rglob("*.py"), *BENCH])


def module(path: Path) -> str:
    """The dotted name of a file: vae/metrics/__init__.py is vae.metrics."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


MODULES = {module(path): path for path in FILES}


def package_of(path: Path) -> str:
    """The dotted name of the package a file lies in, which relative imports start from."""
    return module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]


def from_modules(node: ast.ImportFrom, package: str) -> Iterator[str]:
    """What `from x import y` imports: the module x.y where there is one, or else x."""
    base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    source = ".".join([*base, *filter(None, [node.module])])
    yield from (full if (full := f"{source}.{alias.name}") in MODULES else source for alias in node.names)


def imports(tree: ast.AST, package: str) -> set[str]:
    """Every module that a file imports, at its top, inside a function, or by a name in a string."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= set(from_modules(node, package))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"import_module", "__import__", "importorskip"}:
                modules.add(str(node.args[0].value))
    return modules


def needed(tree: ast.Module, package: str) -> set[str]:
    """The modules that this one needs: those imported at its top or inside a function, but not for types alone."""
    waiting: list[ast.AST] = list(tree.body)
    modules: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules |= imports(ast.Module([node], []), package)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return modules


def imported(path: Path) -> set[str]:
    return imports(ast.parse(path.read_text()), package_of(path))


def test_imports_are_found_wherever_they_stand() -> None:
    code = """
import vae.data as d, os
from vae.metrics import catalogue, UNITS
def late():
    from tracking.schema import FINAL
    from . import sibling
    from .. import arms
    from ..room.corner import thing
    importlib.import_module("mlflow.tracking")
if TYPE_CHECKING:
    import pandas
else:
    import json
class Lazy:
    import csv
"""
    tree = ast.parse(code)
    needs = {"vae.data", "os", "vae.metrics.catalogue", "vae.metrics", "json", "csv"}
    needs |= {"tracking.schema", "vae.arms", "vae.room.corner"}
    assert imports(tree, "vae.metrics") == needs | {"mlflow.tracking", "pandas"}
    assert needed(tree, "vae.metrics") == needs


@pytest.mark.parametrize("path", FILES, ids=name)
def test_arrows_point_one_way(path: Path) -> None:
    package = name(path).partition("/")[0]
    ours = {found.partition(".")[0] for found in imported(path)} & set(MAY_IMPORT)
    assert ours <= MAY_IMPORT[package], f"{name(path)} imports {sorted(ours - MAY_IMPORT[package])}"


def layer(dotted: str) -> int | None:
    """The number of the layer that a module lies in; None for one outside the layers."""
    for number, parts in enumerate(LAYERS):
        if any(dotted == part or dotted.startswith(f"{part}.") for part in parts):
            return number
    return None


@pytest.mark.parametrize("path", [path for path in FILES if name(path).startswith("reports/")], ids=name)
def test_arrows_inside_reports_point_down(path: Path) -> None:
    own = layer(module(path))
    assert own is not None or path.name == "__init__.py", f"{name(path)} lies in no layer"
    above = {found for found in imported(path) if (layer(found) or 0) > (own or 0)}
    assert not above


def test_executors_know_nothing_of_who_calls_them() -> None:
    callers = {"ablations.driver", "ablations.cli", "ablations.plan", "ablations.records", "tracking", "mlflow"}
    for path in (REPOSITORY / "ablations" / "executors").glob("*.py"):
        assert not {found for found in imported(path) if found in callers or found.partition(".")[0] in callers}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions count: they put a heavy import off, and must not hide a circle."""
    graph = {
        dotted: (needed(ast.parse(path.read_text()), package_of(path)) & MODULES.keys()) - {dotted}
        for dotted, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", LIGHT, ids=name)
def test_light_modules_name_no_heavy_library(path: Path) -> None:
    assert not {found.partition(".")[0] for found in imported(path)} & FORBIDDEN


def python(code: str, folder: Path = REPOSITORY) -> str:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_light_modules_can_be_imported_where_heavy_libraries_are_missing() -> None:
    """What they import imports none either: tried in a process that cannot find them."""
    python(f"""
import importlib, sys

sys.modules.update(dict.fromkeys({sorted(FORBIDDEN)}))  # None: importing it fails, looking for it finds nothing
for module in {[module(path) for path in LIGHT if path.stem != "__main__"]}:
    importlib.import_module(module)
""")


def test_the_command_line_itself_imports_nothing_heavy() -> None:
    assert python(f"import sys, ablations.cli; print(sorted({HEAVY} & set(sys.modules)))").strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["measure", "--help"], 0),
        (["run", "--sees", "3"], 2),
        (["rnu"], 2),
        (["run", "digist"], 2),
        (["measure", "digist"], 2),
        (["plan", "elsewhere/mine.toml"], 2),
    ],
)
def test_help_and_mistakes_come_at_once(arguments: list[str], code: int, tmp_path: Path) -> None:
    """Nothing heavy is imported for them. (Where arguments are parsed, Typer itself imports pydantic, in 50 ms.)"""
    printed = python(
        f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from ablations import cli
sys.argv = ["ablate", *{arguments}]
try:
    cli.main()
except SystemExit as end:
    assert (end.code or 0) == {code}, end.code
print(sorted({HEAVY - {"pydantic"}} & set(sys.modules)))
""",
        tmp_path,
    )
    assert printed.splitlines()[-1] == "[]"


CLAIM = """
[[claim]]
id = "x"
quote = "x"
kind = "greater"
metric = "ssim"
a = { loss = "mae", beta = 1 }
b = { loss = "mse", beta = 1 }
margin = 0.1
reason = "x"
"""


def refused_at_once(arguments: list[str], folder: Path) -> str:
    """The one sentence with which a process of its own refuses these arguments, without importing what is heavy."""
    code = f"""
import sys
from ablations import cli
sys.argv = ["ablate", *{arguments}]
try:
    cli.main()
except SystemExit as end:
    assert end.code == 2, end.code
print(sorted({HEAVY - {"pydantic"}} & set(sys.modules)))
"""
    path = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=path, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digits", "--only", "loss=x"], "--only loss=x: the study's grid has loss=['bce', 'mse', 'mae']"),
        (["check", "loss", "nope"], "loss='nope' is not one of ['bce', "),
        (["check", "loss", "no.such:thing"], "the module 'no.such' cannot be imported"),
        (["plan", "study.toml"], "study.toml: the key 'gird' is not known; known here: ['name', "),
        (["plan", "digits", "--claims", "nope"], "claims='nope' is neither a file nor one of the bundled"),
        (["report", "digits", "--claims", "nope"], "claims='nope' is neither a file nor one of the bundled"),
        (["report", "digits", "--fail-on", "nope"], "--fail-on='nope' is not one of ['supported', "),
        (["report", "digits"], "mlflow.db does not exist. Run a study first"),
        (["check", "claims", "nope"], "claims='nope' is neither a file nor one of the bundled"),
        (["check", "data", "digist"], "dataset='digist' is not one of ['digits', "),
        (["init", "elsewhere/pictures"], "dataset='elsewhere/pictures': there is no such folder or file"),
        (["open", "digits"], "there is no report in "),
        (["show", "mae-sum-b1"], "mlflow.db does not exist. Run a study first"),
        (["export", "mae-sum-b1"], "mlflow.db does not exist. Run a study first"),
        (["clean"], "mlflow.db does not exist. Run a study first"),
    ],
)
def test_mistakes_of_names_do_not_wait_for_torch(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("[gird]\nbeta = 1\n")
    assert message in refused_at_once(arguments, tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("grid.beta=-1", "digits.toml: [grid] beta=-1 must be a finite number, 0 or more"),
        ("grid.bata=1", "digits.toml: the key 'grid.bata' is not known"),
        ("grid.loss=x", "digits.toml: [grid] loss='x' is not one of ['bce', "),
        ("model.latents=-3", "digits.toml: [model] latents=-3 must be a whole number, 1 or more"),
        ("model.hidden=[0]", "digits.toml: [model] hidden=0 must be a whole number, 1 or more"),
        ("model.name=x", "digits.toml: [model] name is not an option of family='mlp'"),
        ("model.hidden=3", "digits.toml: [model] hidden=3 must be a list, such as [16]"),
        ("training.epochs=0", "digits.toml: [training] epochs=0 must be a whole number, 1 or more"),
        ("images.size=5000", "study 'digits': [images] size=5000 is not a side in pixels"),
        ("dataset=kmist", "study 'digits': dataset='kmist' is not one of ['digits', 'mnist', "),
    ],
)
def test_mistakes_in_a_study_do_not_wait_for_torch(value: str, message: str, tmp_path: Path) -> None:
    assert message in refused_at_once(["plan", "digits", "--set", value], tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('"mae"', '"maee"', "claim 'x', a: loss='maee' is not one of ['bce', "),
        ('"ssim"', '"ssmi"', "claim 'x': metric='ssmi' is not in the catalogue"),
        ('"greater"', '"graeter"', "claim 'x': kind='graeter' is not one of ['greater', "),
        ("beta = 1 }", "channels = 1 }", "unknown key 'channels' (= 1)"),
        ("beta = 1 }", '"model.channels" = [1], beta = 1 }', "claim 'x' cannot be judged on this study: channels is"),
    ],
)
def test_mistakes_in_claims_do_not_wait_for_torch(right: str, wrong: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text(CLAIM.replace(right, wrong, 1))
    assert message in refused_at_once(["run", "digits", "--claims", "claims.toml"], tmp_path)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_stay_short(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
