"""A study written to a real SQLite store: whole or not at all, with every limit and every NaN respected."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from tests.paths import REPOSITORY
from tests.tracking_samples import METRICS, cell, failed, fields, local_store
from tracking.dead_runs import is_dead, this_process
from tracking.errors import TrackingError
from tracking.models import log_torch_model
from tracking.reader import read_cells, read_history, read_pictures, studies
from tracking.records import CellRecord, pack_cell
from tracking.search import completed
from tracking.store import Store, local_folder
from tracking.values import as_text, history_of, history_text, join_names, split_names
from tracking.writer import StudyWriter, open_study

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of this module's own."""
    return local_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def writer(store: Store, request: pytest.FixtureRequest) -> Iterator[StudyWriter]:
    """A study named after the test."""
    with open_study(store, request.node.name, {"epochs": 3}, {}) as opened:
        yield opened


def rows(store: Store, query: str, *values: str) -> list[Any]:
    """What the database itself holds, without MLflow."""
    with closing(sqlite3.connect(store.path or "")) as database:
        return database.execute(query, values).fetchall()


def test_a_study_is_one_parent_with_its_files(store: Store) -> None:
    files: dict[str, str | bytes | Path] = {"study.toml": "name = 'digits'", "claims.json": b"[]"}
    many = {f"grid.{i}": i for i in range(130)}  # more than one batch takes
    with open_study(store, "my digits", many, files, {"mlflow.source.git.commit": "abc"}) as opened:
        run = store.client.get_run(opened.parent_id)
        assert run.info.status == "RUNNING"
    assert run.data.params == {name: str(value) for name, value in many.items()}
    assert (
        run.data.tags.items()
        >= {
            "ablate.kind": "study",
            "ablate.study": "my digits",
            "mlflow.source.git.commit": "abc",
        }.items()
    )
    assert run.info.run_name.startswith("my digits 20")
    assert run.info.artifact_uri.startswith(f"{store.artifacts}/my-digits/")
    for name, text in (("study.toml", "name = 'digits'"), ("claims.json", "[]")):
        assert Path(store.client.download_artifacts(opened.parent_id, name)).read_text() == text
    assert store.client.get_run(opened.parent_id).info.status == "FINISHED"
    assert mlflow.active_run() is None  # explicit run ids only


def test_a_cell_is_one_child_as_mlflow_and_its_ui_see_it(store: Store, writer: StudyWriter) -> None:
    record = cell("k1", seed=4, tags={"note": "by hand"})
    run = store.client.get_run(writer.write_cell(record))
    assert run.info.run_name == "mae-sum-b1-s4"
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: as_text(value) for name, value in fields(seed=4).items()}
    assert (
        run.data.tags.items()
        >= {
            "mlflow.parentRunId": writer.parent_id,
            "ablate.kind": "cell",
            "ablate.key": "k1",
            "ablate.status": "done",
            "ablate.metrics": ",".join(METRICS),
            "note": "by hand",
        }.items()
    )
    assert {f"final/{name}": value for name, value in record.metrics.items()}.items() <= run.data.metrics.items()
    history = store.client.get_metric_history(run.info.run_id, "train_loss")
    assert {(point.step, point.value) for point in history} == {
        (row["epoch"], row["train_loss"]) for row in record.history
    }
    assert sorted(file.path for file in store.client.list_artifacts(run.info.run_id)) == [
        "history.json",
        "pictures",
        "pictures.npz",
        "record.json",
    ]
    assert Path(store.client.download_artifacts(run.info.run_id, "pictures/grid.png")).read_bytes() == b"\x89PNGk1"


def test_nan_and_infinity_are_never_sent(store: Store, writer: StudyWriter) -> None:
    record = cell(
        "nan",
        metrics={"rate": 24.5, "psnr": INF, "acutance": NAN, "mse": -INF},
        history=[{"epoch": 1, "train_loss": NAN, "test_rate": 2.0}, {"epoch": 2, "train_loss": INF, "test_rate": 3.0}],
        seconds=NAN,
    )
    run = store.client.get_run(writer.write_cell(record))
    assert run.data.tags["ablate.non_finite"] == "psnr,acutance,mse,train_loss@1"
    assert run.data.tags["ablate.metrics"] == "rate,psnr,acutance,mse"
    assert run.data.metrics["non_finite"] == 5
    assert set(run.data.metrics) == {"final/rate", "test_rate", "non_finite"}
    assert rows(store, "SELECT key FROM metrics WHERE is_nan OR abs(value) > 1e300") == []
    assert rows(store, "SELECT key FROM metrics WHERE run_uuid = ? AND value = 0", run.info.run_id) == []


def test_limits_of_a_batch_are_kept_and_the_end_comes_last(store: Store, writer: StudyWriter) -> None:
    sent: list[str] = []

    def watch(*arguments: Any) -> None:
        statement, parameters = arguments[2], arguments[3]
        if statement.startswith("INSERT INTO metrics"):
            sent.append("metrics")
        if statement.startswith("INSERT INTO tags") and "ablate.status" in str(parameters):
            sent.append("completion")

    record = cell(
        "long",
        fields=fields() | {f"extra{i}": i for i in range(230)},
        history=[{"epoch": e} | {f"m{i}": float(e * i) for i in range(20)} for e in range(90)],
        metrics={f"f{i}": float(i) for i in range(70)},
    )
    event.listen(Engine, "before_cursor_execute", watch)
    try:
        run = store.client.get_run(writer.write_cell(record))
    finally:
        event.remove(Engine, "before_cursor_execute", watch)
    assert len(run.data.params) == len(record.fields)
    assert sum(name.startswith("final/") for name in run.data.metrics) == 70
    assert rows(store, "SELECT count(*) FROM metrics WHERE run_uuid = ?", run.info.run_id) == [(90 * 20 + 70 + 1,)]
    assert sent.count("completion") == 1
    assert sent[-1] == "completion"


def test_a_cell_costs_the_same_transactions_whatever_its_epochs(store: Store, writer: StudyWriter) -> None:
    commits: list[int] = []
    event.listen(Engine, "commit", lambda _: commits.append(1))
    counts = []
    for epochs in (1, 50):
        commits.clear()
        writer.write_cell(cell(f"e{epochs}", history=[{"epoch": e, "train_loss": e / 3} for e in range(epochs)]))
        counts.append(len(commits))
    assert counts[0] == counts[1] <= 16


def test_a_failed_cell_says_why_and_is_no_result(store: Store, writer: StudyWriter) -> None:
    run = store.client.get_run(writer.write_cell(failed("f1", reason="diverged, " * 900)))
    assert run.info.status == "FAILED"
    assert run.data.tags["ablate.status"] == "failed"
    assert run.data.tags["ablate.reason"].startswith("diverged, diverged")
    assert len(run.data.tags["ablate.reason"]) == 5000
    assert run.data.metrics["train_loss"] == 9.0
    assert completed(store, ["f1"]) == set()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ""}, "has no key"),
        ({"status": "dnoe"}, r"status='dnoe' is not one of \['done', 'failed'\]"),
        ({"metrics": {}}, "is done but has no metrics"),
        ({"status": "failed", "reason": "", "metrics": {}}, "failed: give a reason"),
        ({"status": "failed", "reason": "NaN"}, "and no final metrics"),
        ({"fields": {"loss": "mae", "seed": 1}}, r"lacks the fields \['reduction', 'beta'\]"),
        ({"metrics": {"a,b": 1.0}}, "holds no comma, and 'a,b' does"),
        ({"history": [{"train_loss": 1.0}]}, "needs a whole number 'epoch', and has None"),
        ({"history": [{"epoch": 1.5}]}, "has 1.5"),
    ],
)
def test_a_record_that_could_not_be_trusted_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrackingError, match=message):
        cell(changes.pop("key", "k"), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"rate": "many"}}, "metric 'rate'='many' is not a number"),
        ({"metrics": {"rate?": 1.0}}, r"cell 'mae-sum-b1-s0' cannot be written: Invalid value .*rate\?"),
        ({"files": {"../out.txt": "x"}}, r"file name '../out.txt' must be a path inside the run"),
        ({"files": {"/etc/x": "x"}}, "must be a path inside the run"),
        ({"pictures": {"bad": np.array([{}])}}, "array 'bad' holds Python objects"),
    ],
)
def test_what_cannot_be_written_is_told_and_does_not_count(
    store: Store, writer: StudyWriter, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrackingError, match=message):
        writer.write_cell(cell("unwritable", **changes))
    assert completed(store, ["unwritable"]) == set()
    writer.finish()
    begun = store.client.search_runs([writer.experiment_id], f"tags.`mlflow.parentRunId` = '{writer.parent_id}'")
    assert begun == []  # a cell is one transaction: nothing is shown as running for ever
    folder = local_folder(store.client.get_experiment(writer.experiment_id).artifact_location)
    assert folder is not None
    assert {path.name for path in folder.glob("*")} <= {writer.parent_id}


def test_a_live_cell_ends_as_one_written_at_once(store: Store, writer: StudyWriter) -> None:
    record = cell("live", seed=1, tags={"note": "live"})
    run_id = writer.start_cell(record.key, record.name, record.fields)
    for row in record.history[:2]:
        writer.log_epoch(run_id, row)
        assert store.client.get_run(run_id).data.metrics["train_loss"] == row["train_loss"]
    assert completed(store, ["live"]) == set()
    writer.write_cell(record, run_id)
    assert len(store.client.get_metric_history(run_id, "train_loss")) == len(record.history)
    other = store.client.get_run(writer.write_cell(cell("at once", seed=1, metrics=record.metrics)))
    live = store.client.get_run(run_id)
    assert live.data.params == other.data.params
    assert live.data.tags["note"] == "live"
    assert live.data.metrics.keys() == other.data.metrics.keys()


def everything(store: Store, run_id: str) -> dict[str, list[Any]]:
    """All rows of a run in all of MLflow's tables, without what differs between any two runs."""
    varying = {"run_uuid", "start_time", "end_time", "timestamp", "artifact_uri", "created_at", "last_updated_at"}
    contents = {}
    for (table,) in rows(store, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in rows(store, f"PRAGMA table_info({table})")]
        if "run_uuid" in columns:
            shown = ", ".join(f'"{name}"' for name in columns if name not in varying)
            found = rows(store, f"SELECT {shown} FROM {table} WHERE run_uuid = ?", run_id) if shown else []
            contents[table] = sorted(row for row in found if "ablate.token" not in row)
    return contents


@pytest.mark.parametrize("record", [cell("same", tags={"note": "x"}, weights=b"w"), failed("same")])
def test_a_run_written_at_once_is_row_by_row_what_mlflows_client_writes(
    store: Store, writer: StudyWriter, record: CellRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_rows = writer.write_cell(record)
    monkeypatch.setattr(writer, "_rows", None)
    by_client = writer.write_cell(record)
    ours, mlflows = (everything(store, run_id) for run_id in (by_rows, by_client))
    for table in ours:
        expected = [tuple(by_rows if value == by_client else value for value in row) for row in mlflows[table]]
        assert ours[table] == sorted(expected), table
    addresses = [store.client.get_run(run_id).info.artifact_uri for run_id in (by_rows, by_client)]
    assert addresses[0] == addresses[1].replace(by_client, by_rows)


def test_a_run_that_is_there_is_not_written_twice(store: Store, writer: StudyWriter) -> None:
    packed = pack_cell(cell("once only"))
    assert writer.send_cell(packed) == writer.send_cell(packed, begun=True) == packed.run_id
    assert rows(store, "SELECT count(*) FROM metrics WHERE run_uuid = ?", packed.run_id) == [(len(packed.metrics()),)]


def test_an_arm_carries_its_interval(store: Store, writer: StudyWriter) -> None:
    run_id = writer.write_arm(
        "mae-sum-b1", {"loss": "mae"}, means={"ssim": 0.7}, ci_low={"ssim": NAN}, ci_high={"ssim": 0.8}, n=3
    )
    run = store.client.get_run(run_id)
    assert run.data.metrics == {"mean/ssim": 0.7, "ci_high/ssim": 0.8, "n": 3.0}
    assert run.data.tags["ablate.non_finite"] == "ci_low/ssim"
    assert run.data.tags.items() >= {"ablate.kind": "arm", "mlflow.parentRunId": writer.parent_id}.items()


def test_the_parent_closes_as_it_ended(store: Store) -> None:
    writer = open_study(store, "endings", {}, {})
    writer.write_cell(cell("end1"))
    writer.write_cell(failed("end2"))
    started = writer.start_cell("end3", "never written", fields())
    writer.finish("FAILED")
    run = store.client.get_run(writer.parent_id)
    assert (run.info.status, run.data.metrics) == ("FAILED", {"cells_done": 1.0, "cells_failed": 1.0})
    assert store.client.get_run(started).info.status == "KILLED"
    for error, status in ((KeyboardInterrupt, "KILLED"), (RuntimeError, "FAILED")):
        with pytest.raises(error), open_study(store, "endings", {}, {}) as opened:
            raise error
        assert store.client.get_run(opened.parent_id).info.status == status


def test_a_deleted_experiment_is_reported(store: Store) -> None:
    with open_study(store, "gone", {}, {}) as writer:
        writer.write_cell(cell("gone"))
    store.client.delete_experiment(writer.experiment_id)
    with pytest.raises(TrackingError, match=rf"was deleted in MLflow.*experiments restore -x {writer.experiment_id}"):
        open_study(store, "gone", {}, {})
    assert completed(store, ["gone"]) == set()


def test_runs_of_a_dead_process_are_closed_and_others_left_alone(store: Store) -> None:
    alive = open_study(store, "orphans", {}, {})
    dead = open_study(store, "orphans", {}, {})
    child = dead.start_cell("orphan", "orphan", fields())
    host, pid, _ = this_process().rsplit(":", 2)
    store.client.set_tag(dead.parent_id, "ablate.process", f"{host}:{pid}:12345")  # the id was given out again
    open_study(store, "orphans", {}, {}).finish()
    status = {run_id: store.client.get_run(run_id).info.status for run_id in (alive.parent_id, dead.parent_id, child)}
    assert status == {alive.parent_id: "RUNNING", dead.parent_id: "KILLED", child: "KILLED"}
    assert is_dead(f"{socket.gethostname()}:999999999:1")
    assert not any(is_dead(other) for other in ("elsewhere:999999999:1", "", "nonsense", this_process()))


def test_a_model_is_loadable_by_run_id_with_its_signature(store: Store, writer: StudyWriter) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5 * 7, 3)).eval()
    example = torch.rand(4, 5, 7)
    run_id = writer.write_cell(cell("model"))
    model_id = log_torch_model(store, run_id, network, example)
    try:
        mlflow.set_tracking_uri(store.uri)
        loaded = mlflow.pytorch.load_model(f"runs:/{run_id}/model")
        signature = mlflow.models.get_model_info(f"models:/{model_id}").signature
    finally:
        mlflow.set_tracking_uri(None)  # it also sets the variable of that name
    assert torch.equal(loaded(example), network(example))
    assert signature.inputs.inputs[0].shape == (-1, 5, 7)
    assert signature.outputs.inputs[0].shape == (-1, 3)


@given(
    st.lists(st.text(st.characters(exclude_characters=",…", codec="ascii"), min_size=1, max_size=9)),
    st.integers(20, 60),
)
def test_names_are_cut_between_names_and_the_cut_is_known(names: list[str], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracking.values.TAG_LIMIT", limit)
        text = join_names(names)
    kept, whole = split_names(text)
    assert len(text) <= limit
    assert list(kept) == names[: len(kept)]
    assert whole == (len(kept) == len(names))


@given(st.lists(st.fixed_dictionaries({"epoch": st.integers(0, 10**6)}, optional={"a": st.floats(), "b": st.floats()})))
def test_a_history_comes_back_to_the_last_bit(history: list[dict[str, float]]) -> None:
    back = history_of(history_text(history))
    assert [row.keys() for row in back] == [row.keys() for row in history]
    for row, written in zip(back, history, strict=True):
        assert np.array_equal([row[name] for name in written], list(written.values()), equal_nan=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from tests.tracking_samples import cell, local_store
from tracking.writer import open_study

folder, points = Path(sys.argv[1]), [int(point) for point in sys.argv[2].split(",")]
local_store(folder / "unused")  # so that all is imported before the first fork
for point in points:
    child = os.fork()  # each writer is a process of its own
    if child == 0:
        writer = open_study(local_store(folder), "killed", {}, {})
        left = point

        def count(*_):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "after_cursor_execute", count)
        event.listen(Engine, "commit", count)
        writer.write_cell(cell(f"cut{point}", seed=point))
        os._exit(0)
    print(point, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_kill_at_any_moment_leaves_a_cell_done_or_undone(tmp_path: Path) -> None:
    points = [*range(1, 62, 5), 10_000]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), ",".join(map(str, points))],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        cwd=REPOSITORY,
    )
    codes = {int(point): int(code) for point, code in map(str.split, done.stdout.splitlines())}
    assert codes[1] == -signal.SIGKILL
    assert codes[10_000] == 0
    store = local_store(tmp_path)
    records = {f"cut{point}": cell(f"cut{point}", seed=point) for point in points}
    finished = completed(store, list(records), "killed")
    assert "cut1" not in finished
    assert "cut10000" in finished
    assert finished >= {f"cut{point}" for point, code in codes.items() if code == 0}
    seen = read_cells(store, list(records), "killed", allow_missing=True)
    assert set(seen["key"]) == finished  # whatever counts as done reads without a hole
    with open_study(store, "killed", {}, {}) as writer:
        for key in set(records) - finished:
            writer.write_cell(records[key])
    check_whole(store, list(records.values()))
    killed = {info.status for info in studies(store) if info.run_id != writer.parent_id}
    assert killed <= {"KILLED", "RUNNING"}


def check_whole(store: Store, records: list[CellRecord]) -> None:
    """Every number and picture that was written is read."""
    keys = [record.key for record in records]
    frame = read_cells(store, keys).set_index("key")
    history = read_history(store, keys)
    pictures = read_pictures(store, keys)
    for record in records:
        assert frame.loc[record.key, list(METRICS)].to_dict() == record.metrics
        rows = history[history["key"] == record.key]
        assert len(rows) == 2 * len(record.history)
        assert np.array_equal(pictures[record.key]["unit_rate"], record.pictures["unit_rate"])
