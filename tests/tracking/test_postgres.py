"""The same study in a real PostgreSQL as in an SQLite file, started for the test and stopped after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.tracking_samples import cell, failed, local_store
from tracking.errors import TrackingError
from tracking.opening import open_store
from tracking.reader import read_cells, read_history
from tracking.search import completed
from tracking.store import Store
from tracking.ui import free_port
from tracking.writer import open_study

PASSWORD = "s3cret"
RECORDS = [cell("s1", seed=1), failed("s2", seed=2), cell("s3", seed=3, metrics={"rate": 1 / 3, "psnr": float("nan")})]


def programs() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps them off the PATH."""
    initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    return Path(initdb).resolve().parent


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A database of its own on a free port of this machine."""
    folder_of_programs, port = programs(), free_port(0)
    root: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses root

    def call(program: str, *options: str) -> None:
        subprocess.run([folder_of_programs / program, *options], check=True, capture_output=True, cwd=folder, **root)

    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        if root:
            shutil.chown(folder, "postgres", "postgres")
        data, password = f"{folder}/data", Path(folder, "password")
        password.write_text(PASSWORD)
        password.chmod(0o644)
        call("initdb", "-D", data, "-U", "ada", "-A", "scram-sha-256", "--pwfile", str(password), "--no-sync")
        options = f"-p {port} -k {folder} -h 127.0.0.1"
        call("pg_ctl", "-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start")
        try:
            yield f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")


def write(store: Store) -> None:
    with open_study(store, "lab", {"epochs": 3}, {"study.toml": "name = 'lab'"}) as writer:
        for record in RECORDS:
            writer.write_cell(record)


def test_a_database_keeps_a_study_as_a_file_does(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # files of runs lie beside the process that wrote them
    server, file = open_store(address), local_store(tmp_path)
    for store in (server, file):
        write(store)
    assert completed(server, [record.key for record in RECORDS], "lab") == {"s1", "s3"}
    assert completed(server, {"s1": "m", "s3": ""}, "lab") == {"s3"}
    pd.testing.assert_frame_equal(read_cells(server, study="lab"), read_cells(file, study="lab"), check_exact=True)
    pd.testing.assert_frame_equal(read_history(server, study="lab"), read_history(file, study="lab"), check_exact=True)
    assert PASSWORD not in server.shown


def test_a_database_that_refuses_is_reported_in_one_sentence_without_the_password(address: str) -> None:
    wrong = address.replace(PASSWORD, "wr0ng")
    with pytest.raises(TrackingError, match=r"postgresql://ada:\*\*\*@127.* cannot be read as a database") as refused:
        open_store(wrong)
    assert "wr0ng" not in str(refused.value)
    assert "\n" not in str(refused.value)
