"""Damage to what is stored: named in the report, found by status --check, repaired by the same command."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.damaged_stores import command, failures, laboratory, moved
from tests.fuzzing import KINDS, content
from tests.fuzzing import failures as refusals
from vae.errors import LONGEST, UserError

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    laboratory(folder)
    return folder


def a_file(folder: Path, name: str) -> Path:
    return sorted(folder.glob(f"mlartifacts/small/*/artifacts/{name}"))[0]


def numbers(folder: Path) -> list[tuple[str, str, float]]:
    """The final metrics of every cell that is read, by key and name."""
    query = """SELECT DISTINCT t.value, m.key, m.value FROM latest_metrics m JOIN tags t ON t.run_uuid = m.run_uuid
        WHERE t.key = 'ablate.key' AND m.key LIKE 'final/%' ORDER BY 1, 2"""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return database.execute(query).fetchall()


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_met_by_a_sentence(tmp_path: Path, kind: str) -> None:
    assert list(refusals(kind, range(400), tmp_path)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_most_mutations_are_refused(tmp_path: Path, kind: str) -> None:
    """Else the generator would change nothing that is read."""
    sources, read = KINDS[kind]
    refused = 0
    for seed in range(100):
        path = tmp_path / "mine.toml"
        path.write_bytes(content(sources, random.Random(seed)))
        try:
            read(path)
        except UserError as error:
            refused += len(str(error)) <= LONGEST
    assert refused > 50


@pytest.mark.parametrize("name", ["history.json", "pictures.npz"])
def test_a_damaged_part_is_named_and_repaired_with_the_same_numbers(lab: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / name.partition(".")[0]
    moved(lab, copy)
    before, path = numbers(copy), a_file(copy, name)
    path.write_bytes(path.read_bytes()[:-9])
    run_id = path.parent.parent.name
    assert command(copy, "report", "small")[0] == 0
    page = (copy / "out" / "small" / "report.md").read_text()
    assert f"{name} of cell" in page
    assert run_id in page
    code, printed = command(copy, "status", "--check")
    assert code == 1
    assert f"(run {run_id})" in printed
    code, printed = command(copy, "run", "small.toml")
    assert code == 0
    assert "1 cell measured from kept weights, none trained" in printed
    assert numbers(copy) == before
    assert "Nothing is damaged." in command(copy, "status", "--check")[1]
    assert "Damaged" not in (copy / "out" / "small" / "report.md").read_text()


def test_a_metric_changed_by_hand_is_noticed(lab: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    moved(lab, copy)
    before = numbers(copy)
    with closing(sqlite3.connect(copy / "mlflow.db")) as database, database:
        database.execute(
            """UPDATE latest_metrics SET value = value + 0.01 WHERE key = 'final/ssim' AND run_uuid =
            (SELECT run_uuid FROM tags WHERE key = 'ablate.kind' AND value = 'cell' ORDER BY run_uuid LIMIT 1)"""
        )
    assert "numbers of cell" in command(copy, "status", "--check")[1]
    assert command(copy, "run", "small.toml")[0] == 0
    assert set(before) <= set(numbers(copy))
    assert "Nothing is damaged." in command(copy, "status", "--check")[1]


def test_a_cut_database_is_made_anew_from_the_records(lab: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    moved(lab, copy)
    before = numbers(copy)
    database = copy / "mlflow.db"
    database.write_bytes(database.read_bytes()[:20_000])
    for companion in copy.glob("mlflow.db-*"):
        companion.unlink()
    code, printed = command(copy, "run", "small.toml")
    assert code == 2
    assert "ablate rebuild" in printed
    code, printed = command(copy, "rebuild")
    assert code == 0, printed
    assert "4 cells restored" in printed
    assert len(list(copy.glob("mlflow.db.damaged-*"))) == 1
    assert numbers(copy) == before
    assert "Nothing is damaged." in command(copy, "status", "--check")[1]
    code, printed = command(copy, "run", "small.toml")
    assert code == 0
    assert "4 done" in printed
    assert numbers(copy) == before
    assert command(copy, "rebuild")[0] == 2


def test_damaged_stores_are_met_by_a_sentence(lab: Path, tmp_path: Path) -> None:
    assert list(failures(lab, tmp_path, range(1000, 1002))) == []
