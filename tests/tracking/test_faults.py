"""A tracker that is away, slow or failing, for real: what was finished is there at the end, once, to the last bit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tracking_samples import cell, failed, local_store
from tests.tracking_servers import Proxy, Server
from tracking import retries, schema
from tracking.errors import TrackingError
from tracking.opening import open_store
from tracking.reader import read_cells, read_history, read_pictures
from tracking.records import CellRecord
from tracking.retries import GaveUp, Retries, patience
from tracking.sender import Left, Sender, send_left
from tracking.spool import Spool
from tracking.store import Store
from tracking.writer import open_study

RECORDS = [cell(f"c{i}", seed=i, measures="m", weights=bytes(99)) for i in range(6)] + [failed("c6", seed=6)]


def begin(store: Store, study: str, cache: Path) -> tuple[Sender, Spool]:
    calls = Retries(30.0)
    writer = open_study(store, study, {"cells": len(RECORDS)}, {"study.toml": study}, retries=calls)
    calls.wait_for_ever()
    spool = Spool.of(store, study, cache)
    return Sender(writer, spool, calls), spool


def check(store: Store, study: str, records: list[CellRecord] = RECORDS) -> None:
    """Every cell is there once, with all its numbers and files, and no run of a cell is open."""
    (experiment,) = store.client.search_experiments(filter_string=f"name = '{study}'")
    runs = [run for run in store.client.search_runs([experiment.experiment_id]) if schema.TAG_KEY in run.data.tags]
    assert Counter(run.data.tags[schema.TAG_KEY] for run in runs) == Counter(record.key for record in records)
    assert {run.info.status for run in runs} <= {"FINISHED", "FAILED"}
    cells = read_cells(store, study=study).set_index("key")
    history = read_history(store, study=study)
    pictures = read_pictures(store, [record.key for record in records])
    for record in records:
        assert cells.loc[record.key, list(record.metrics)].to_dict() == record.metrics
        assert (record.key in pictures) == bool(record.pictures)
        rows = history[history["key"] == record.key]
        assert len(rows) == sum(len(row) - 1 for row in record.history)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server."""
    one = Server(tmp_path_factory.mktemp("server"))
    one.start()
    yield one
    one.stop()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before it, without faults."""
    one = Proxy(server.port)
    yield one
    one.close()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits grow to half a second, so that the tests do not wait for ten; MLflow's own retries are off, as in a run."""
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(retries, "LONGEST_WAIT", 0.5)
    with retries.without_mlflows_own():
        yield


def test_a_fifth_of_all_requests_failing_and_slow_answers_lose_nothing_and_double_nothing(
    proxy: Proxy, tmp_path: Path
) -> None:
    store = open_store(proxy.address)
    sender, spool = begin(store, "flaky", tmp_path)
    proxy.faults, proxy.delay = 0.2, 0.02
    started = time.monotonic()
    for record in RECORDS[:-1]:
        for row in record.history[:2]:
            sender.put_epoch(record.key, record.name, record.fields, row)
        sender.put_cell(record)
    sender.put_cell(RECORDS[-1])
    waited = time.monotonic() - started
    assert sender.drain(30.0) == ""
    assert waited < time.monotonic() - started  # it is the thread that waits
    proxy.faults = 0.0
    assert [name for name in proxy.lost if "runs/create" in name]  # among the lost answers are runs that were made
    check(store, "flaky")
    spool.tidy()
    assert not spool.folder.exists()


def test_a_server_that_is_stopped_and_started_again_and_one_that_is_given_up(server: Server, tmp_path: Path) -> None:
    store = open_store(server.address)
    (waiting, spool), (given_up, left_behind) = (begin(store, study, tmp_path) for study in ("waiting", "given up"))
    waiting.put_cell(RECORDS[0])
    server.stop()
    for record in RECORDS[1:]:
        waiting.put_cell(record)  # training goes on
    for record in RECORDS:
        given_up.put_cell(record)
    waiting.settle()
    reason = given_up.drain(0.3)
    assert "onnection" in reason
    assert left_behind.count() == len(RECORDS)
    assert waiting.trouble
    assert spool.count() >= len(RECORDS) - 1
    again = send_left(store, "given up", left_behind, Retries(0.3))  # still away
    assert (again.sent, again.unsent) == (0, len(RECORDS))
    server.start()
    assert waiting.drain(60.0) == ""
    check(store, "waiting")
    assert send_left(store, "given up", left_behind, Retries(30.0)) == Left(sent=len(RECORDS))
    check(store, "given up")
    assert send_left(store, "given up", left_behind, Retries(30.0)) == Left()


LOCK = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(2)
database.execute("COMMIT")
"""


@pytest.mark.parametrize("waits", [20, 0.1])  # with SQLite's own patience, and beyond it
def test_a_database_that_another_program_has_locked(
    tmp_path: Path, waits: float, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tracking.rows._LOCKED", waits)
    store = local_store(tmp_path)
    sender, spool = begin(store, "locked", tmp_path)
    command = [sys.executable, "-c", LOCK, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        for record in RECORDS:
            sender.put_cell(record)
        sender.settle()
        assert spool.count() == len(RECORDS)  # none could be sent, and none had to be waited for
        assert sender.drain(30.0) == ""
    check(store, "locked")
    assert capfd.readouterr() == ("", "")


def test_what_the_tracker_refuses_for_good_is_told_and_set_aside_and_the_rest_is_sent(tmp_path: Path) -> None:
    store = local_store(tmp_path)
    sender, spool = begin(store, "refused", tmp_path)
    sender.put_cell(cell("bad", metrics={"rate?": 1.0}))
    sender.put_cell(RECORDS[0])
    assert sender.drain(5.0) == ""
    with pytest.raises(TrackingError, match=r"cannot be written: Invalid value .*rate\?.* is in .*\.refused"):
        sender.check()
    check(store, "refused", RECORDS[:1])
    assert spool.count() == 0


def test_calls_are_tried_again_only_where_that_can_help(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def work(error: Exception, name: str = "work") -> str:
        calls.append(name)
        if len(calls) < 3:
            raise error
        return "done"

    assert Retries(30.0).call(lambda: work(ConnectionError()), lambda: work(TimeoutError(), "again")) == "done"
    assert calls == ["work", "again", "again"]
    calls.clear()
    with pytest.raises(FileNotFoundError):
        Retries(30.0).call(lambda: work(FileNotFoundError()))
    assert calls == ["work"]
    calls.clear()
    with pytest.raises(GaveUp, match="did not answer: no route"):
        Retries(0.0).call(lambda: work(ConnectionError("no route")))
    assert calls == ["work"]


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_patience_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retries.PATIENCE_VARIABLE, text)
    with pytest.raises(TrackingError, match=f"ABLATE_TRACKER_PATIENCE='{text}' is not a number of seconds"):
        patience()


def test_mlflows_own_settings_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    names: Any = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.setenv(names[0], "7")
    monkeypatch.delenv(names[1], raising=False)
    with retries.without_mlflows_own():
        assert [os.environ[name] for name in names] == ["7", "30"]
    assert names[1] not in os.environ
