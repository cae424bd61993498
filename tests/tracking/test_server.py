"""The same study through a real MLflow server as on a local file; and MLflow's own UI on a local store."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tracking_samples import cell, failed, local_store
from tracking.errors import TrackingError
from tracking.opening import open_store
from tracking.reader import read_cells, read_history, read_pictures, study_info
from tracking.search import completed, gather
from tracking.store import Store
from tracking.ui import free_port, links, ui_command
from tracking.weights import kept, read_weights
from tracking.writer import open_study

RECORDS = [cell("s1", seed=1), failed("s2", seed=2), cell("s3", seed=3, metrics={"rate": 1 / 3, "psnr": float("nan")})]
WEIGHTS = b"safetensors"
FILES: dict[str, str | bytes | Path] = {"study.toml": "name = 'digits'"}


def write(store: Store, study: str) -> str:
    """The same study wherever it goes; returns the parent's id."""
    with open_study(store, study, {"epochs": 3, "note": ""}, FILES) as writer:
        for record in RECORDS:
            writer.write_cell(record)
        live = cell("s4", seed=4, measures="m", weights=WEIGHTS)
        run_id = writer.start_cell(live.key, live.name, live.fields)
        writer.log_epoch(run_id, live.history[0])
        writer.write_cell(live, run_id)
        writer.write_arm("mae-sum-b1", {"loss": "mae"}, means={"rate": 2.0}, ci_low={}, ci_high={}, n=3)
    return writer.parent_id


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A local store with one study in it."""
    store = local_store(tmp_path_factory.mktemp("local"))
    write(store, "on disk")
    return store


@pytest.fixture(scope="module")
def address(local: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server on the local store, started as `ui_command` says and stopped afterwards."""
    port = free_port(0)
    folder = tmp_path_factory.mktemp("server")  # where the server keeps the files that it is sent
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            ui_command(local, port), cwd=folder, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ)
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1800):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
    pytest.fail(f"the server did not start: {log.read_text()}")


def test_a_server_keeps_a_study_as_a_file_does(local: Store, address: str, capfd: pytest.CaptureFixture[str]) -> None:
    remote = open_store(address)
    assert remote.is_server
    parent = write(remote, "over http")
    keys = [record.key for record in RECORDS] + ["s4"]
    assert completed(remote, keys, "over http") == {"s1", "s3", "s4"}
    remote_cells, local_cells = read_cells(remote, study="over http"), read_cells(local, study="on disk")
    pd.testing.assert_frame_equal(remote_cells, local_cells, check_exact=True)
    pd.testing.assert_frame_equal(
        read_history(remote, study="over http"), read_history(local, study="on disk"), check_exact=True
    )
    remote_pictures = read_pictures(remote, gather(remote, study="over http"))
    local_pictures = read_pictures(local, gather(local, study="on disk"))
    assert remote_pictures.keys() == local_pictures.keys() == {"s1", "s3", "s4"}
    np.testing.assert_array_equal(remote_pictures["s3"]["samples"], local_pictures["s3"]["samples"], strict=True)
    assert completed(remote, {"s3": "m", "s4": "m"}, "over http") == {"s4"}
    for store, study in ((remote, "over http"), (local, "on disk")):
        assert read_weights(store, kept(store, ["s3", "s4"], study)["s4"]) == WEIGHTS
    assert study_info(remote, "over http").artifacts == dict(FILES)
    run = remote.client.get_run(parent)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert capfd.readouterr() == ("", "")  # no progress bars, no addresses
    with pytest.raises(TrackingError, match="sent to an MLflow server, which keeps them: start that server"):
        read_history(local, study="over http")  # past the server, from the database behind it


def test_a_missing_file_on_a_server_is_distinguished_from_a_lost_server(address: str) -> None:
    remote = open_store(address)
    with open_study(remote, "files", {}, {}) as writer:
        writer.write_cell(cell("bare", pictures={}))
    assert read_pictures(remote, ["bare"]) == {}


def test_the_ui_shows_a_local_study_and_its_pictures(local: Store, address: str) -> None:
    with urllib.request.urlopen(address, timeout=30) as page:
        assert b"MLflow" in page.read()
    runs = local.client.search_runs(
        [local.client.get_experiment_by_name("on disk").experiment_id], "tags.`ablate.key` = 's1'"
    )
    query = urllib.parse.urlencode({"path": "pictures/grid.png", "run_uuid": runs[0].info.run_id})
    with urllib.request.urlopen(f"{address}/get-artifact?{query}", timeout=30) as picture:
        assert picture.read() == b"\x89PNGs1"


def test_links_lead_to_the_runs_and_to_the_arms_alone(local: Store) -> None:
    pages = {page.study: page for page in links(local, "http://127.0.0.1:5000", "rate")}
    experiment = local.client.get_experiment_by_name("on disk").experiment_id
    assert pages["on disk"].runs == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs"
    query = dict(urllib.parse.parse_qsl(pages["on disk"].arms.split("?")[1]))
    runs = local.client.search_runs([experiment], query["searchFilter"], order_by=[f"{query['orderByKey']} DESC"])
    assert [run.info.run_name for run in runs] == ["mae-sum-b1"]  # with a filter that MLflow understands
