"""How far each study is: the counts that a run keeps are those of its cells, however it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracking_samples import cell, failed, fields, local_store
from tracking import search
from tracking.dead_runs import this_process
from tracking.overview import StudyProgress, progress
from tracking.search import completed, gather
from tracking.store import Store
from tracking.writer import StudyWriter, open_study


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of this test's own."""
    return local_store(tmp_path)


def begin(store: Store, study: str, keys: list[str], tags: dict[str, str] | None = None) -> StudyWriter:
    """An invocation of a study of these cells, of which those that are not done are pending."""
    pending = len(keys) - len(completed(store, keys))
    return open_study(store, study, {"cells": len(keys), "pending": pending}, {}, tags)


def counts(entry: StudyProgress) -> tuple[str, str, int, int, int]:
    return entry.study, entry.status, entry.cells, entry.done, entry.failed


def test_progress_is_exact_at_every_moment(store: Store) -> None:
    keys = ["a", "b", "c", "d"]
    records = [cell("a"), failed("b", seed=1), cell("c", seed=2), cell("d", seed=3)]
    for stop in ("b", "d"):  # the first invocation is stopped, the second trains what is missing
        writer = begin(store, "lab", keys)
        assert writer.parent_id == progress(store)[0].run_id
        for record in records:
            if record.key not in completed(store, keys):
                run_id = writer.start_cell(record.key, record.name, record.fields)
                check_against_cells(store, keys, "running")
                writer.write_cell(record, run_id)
                check_against_cells(store, keys, "running")
            if record.key == stop:
                break
        writer.finish("KILLED" if stop == "b" else "FAILED")
        check_against_cells(store, keys, "killed" if stop == "b" else "failed")
    assert counts(progress(store)[0]) == ("lab", "failed", 4, 3, 1)


def check_against_cells(store: Store, keys: list[str], status: str) -> None:
    """What is shown is what reading every cell gives."""
    runs = gather(store, keys).runs.values()
    statuses = [run.data.tags["ablate.status"] for run in runs]
    (entry,) = progress(store)
    assert (entry.status, entry.cells, entry.done) == (status, len(keys), statuses.count("done"))
    parent = [run for run in runs if run.data.tags["mlflow.parentRunId"] == entry.run_id]
    assert entry.failed == [run.data.tags["ablate.status"] for run in parent].count("failed")


def test_cells_are_not_read_once_an_invocation_has_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for study in ("first", "second"):
        with begin(store, study, ["a", f"only {study}"]) as writer:
            writer.write_cell(cell(f"only {study}"))
            writer.write_cell(cell("a")) if study == "first" else None
    queries: list[str] = []
    pages = search._pages
    monkeypatch.setattr(search, "_pages", lambda *call: queries.append(call[2]) or pages(*call))
    assert [counts(entry) for entry in progress(store)] == [
        ("second", "finished", 2, 2, 0),  # newest first; of its two cells the first study trained one
        ("first", "finished", 2, 2, 0),
    ]
    assert queries == ["tags.`ablate.kind` = 'study'"]


def test_an_invocation_whose_process_is_dead_was_killed(store: Store) -> None:
    writer = begin(store, "lab", ["a", "b"])
    writer.write_cell(cell("a"))
    writer.start_cell("b", "b", fields())
    (entry,) = progress(store)
    assert entry.status == "running"
    host, pid, _ = this_process().rsplit(":", 2)
    store.client.set_tag(writer.parent_id, "ablate.process", f"{host}:{pid}:12345")  # the id was given out again
    assert [counts(entry) for entry in progress(store)] == [("lab", "killed", 2, 1, 0)]
    begin(store, "lab", ["a", "b"])  # closes what the dead process left open
    assert store.client.get_run(writer.parent_id).info.status == "KILLED"
    assert [counts(entry) for entry in progress(store)] == [("lab", "running", 2, 1, 0)]


def test_a_store_without_studies_has_no_progress(store: Store) -> None:
    assert progress(store) == []
