"""Where runs are kept: addresses made absolute, and every failure a sentence that comes within seconds."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.db.utils import _get_latest_schema_revision
from sqlalchemy import make_url

from tracking import probes, sqlite
from tracking.errors import TrackingError, explained, first_line, hide_password
from tracking.opening import open_store
from tracking.store import Store, local_folder, resolve, sqlite_path, sqlite_uri
from tracking.ui import ui_command
from tracking.writer import open_study


@pytest.fixture(autouse=True)
def no_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests name their stores themselves."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


folder_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that `open_store` has made."""
    return open_store("sqlite:///lab/mlflow.db", folder=tmp_path_factory.mktemp("made"))


@pytest.fixture
def copy(made: Store, tmp_path: Path) -> Path:
    """A copy of its file, to damage."""
    assert made.path is not None
    return Path(shutil.copy(made.path, tmp_path / "copy.db"))


def test_the_argument_wins_over_the_environment_and_that_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve() == Store(f"sqlite:///{tmp_path}/mlflow.db", f"file://{tmp_path}/mlartifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///sub/other.db")
    assert resolve() == Store(f"sqlite:///{tmp_path}/sub/other.db", f"file://{tmp_path}/sub/mlartifacts")
    assert resolve("") == resolve()
    assert resolve("https://lab.example/mlflow/") == Store("https://lab.example/mlflow", None)
    assert resolve("postgresql://ada@db/lab").artifacts == f"file://{tmp_path}/mlartifacts"
    assert list(tmp_path.iterdir()) == []  # looking touches nothing


@given(st.lists(folder_names, min_size=1, max_size=3))
def test_every_folder_name_survives_as_an_address(names: list[str]) -> None:
    path = Path("/", *names, "mlflow.db")
    assert sqlite_path(sqlite_uri(path)) == path
    assert make_url(sqlite_uri(path)).database == str(path)  # what SQLAlchemy, and so MLflow, will open
    assert local_folder(path.as_uri()) == path


def test_a_store_in_an_awkward_folder_works(tmp_path: Path) -> None:
    folder = tmp_path / "my lab 100%20 #1? ü"
    store = open_store(folder=folder)
    with open_study(store, "digits", {}, {"study.toml": "name = 'digits'"}) as writer:
        pass
    run = store.client.get_run(writer.parent_id)
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("mlflow.db-")) == [
        "mlartifacts",
        "mlflow.db",
    ]
    assert Path(store.client.download_artifacts(run.info.run_id, "study.toml")).read_text() == "name = 'digits'"


def test_a_new_store_is_whole_local_and_readable_while_written(made: Store) -> None:
    assert made.path is not None
    with closing(sqlite3.connect(made.path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list(made.path.parent.glob(".mlflow-*"))
    assert open_store(made.uri, create=False) == made
    with made.client._tracking_client.store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL: only checkpoints wait


def test_wal_is_left_alone_on_a_disk_that_machines_share(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint=str(copy.parent), fstype="nfs4"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert sqlite.network_disk(copy) == "nfs4"
    assert sqlite.network_disk(Path("/elsewhere")) is None
    sqlite.use_wal(copy)
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("./mlruns", r"'./mlruns' is a folder of files.*MLflow refuses.*'sqlite:///mlflow.db'"),
        ("file:///tmp/mlruns", "is a folder of files"),
        ("lab.db", r"'lab.db' is a path, not an address. Did you mean 'sqlite:///lab.db'\?"),
        ("sqlite://lab.db", r"lacks a slash.*Did you mean 'sqlite:///lab.db'\?"),
        ("sqlite://", "lacks a slash"),
        ("sqlite:///:memory:", "a database in memory, lost when the process ends"),
        ("sqllite:///lab.db", r"'sqllite' is not one of .*Did you mean 'sqlite'\?"),
        ("databricks", "'databricks' is not one of"),
        ("s3://bucket/runs", "'s3' is not one of"),
    ],
)
def test_an_address_that_is_no_store_is_refused(uri: str, message: str) -> None:
    with pytest.raises(TrackingError, match=message):
        resolve(uri)


def test_a_store_to_read_must_exist(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"holds no runs: .*none.db does not exist. Run a study first"):
        open_store("sqlite:///none.db", create=False, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_something_else_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE loans (book TEXT)")
    before = path.read_bytes()
    with pytest.raises(TrackingError, match=r"not one of MLflow's: it holds the tables loans. Name another"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_without_asking_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.store.connect", None)  # MLflow retries for more than a minute
    (tmp_path / "notes.db").write_text("not a database, though long enough to be one " * 40)
    with pytest.raises(TrackingError, match=r"cannot be read as a database: file is not a database"):
        open_store("sqlite:///notes.db", folder=tmp_path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=rf"is a folder. Did you mean 'sqlite:///{tmp_path}/mlflow.db'\?"):
        open_store(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0584bdc529eb", r"made by an older MLflow .*Copy it to a safe place, then run: mlflow db upgrade 'sqlite:"),
        ("ffffffffffff", r"made by a newer MLflow .*schema ffffffffffff.*Upgrade MLflow"),
    ],
)
def test_another_schema_is_refused_and_not_migrated(copy: Path, version: str, message: str) -> None:
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
    with pytest.raises(TrackingError, match=message):
        open_store(f"sqlite:///{copy}")
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(version,)]


def test_the_newest_schema_is_read_without_importing_mlflow() -> None:
    code = "import sys; from tracking import probes; print(probes._newest_revisions(), 'mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{ {_get_latest_schema_revision()} } False\n"


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    names = [experiment.name for experiment in open_store(folder=tmp_path).client.search_experiments()]
    assert names == ["Default"]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        (version,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    assert version == _get_latest_schema_revision()


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write anywhere: for a while, be nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_is_refused(made: Store) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are hidden from nobody
        Path(folder).chmod(0o555)
        with (
            without_privileges(),
            pytest.raises(TrackingError, match=rf"nothing can be created in {folder} \(Permission"),
        ):
            open_store(folder=Path(folder))
        Path(folder).chmod(0o755)
        shutil.copy(made.path or "", Path(folder, "mlflow.db"))
        Path(folder, "mlflow.db").chmod(0o444)
        Path(folder).chmod(0o777)
        with without_privileges(), pytest.raises(TrackingError, match=r"mlflow.db is read-only"):
            open_store(folder=Path(folder))


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrackingError, match=r"nothing can be created in .*file .*Choose another folder"):
        open_store("sqlite:///file/mlflow.db", folder=tmp_path)


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(TrackingError, match=r"'mssql://ada:\*\*\*@db/lab' needs .* missing: pip install 'pyodbc'"):
        open_store("mssql://ada:secret@db/lab")


def test_a_server_that_does_not_listen_is_refused() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but no process listens
        with pytest.raises(TrackingError, match=r"does not answer: the connection was refused\. Start"):
            open_store(f"http://127.0.0.1:{taken.getsockname()[1]}")


def test_a_server_that_keeps_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_SECONDS", 1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TrackingError, match="does not answer within 2 seconds"):
            open_store(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"  # the user's setting is restored
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


class Teapot(http.server.BaseHTTPRequestHandler):
    """A web server that is not MLflow's: answers with the status in its path."""

    requests = 0

    def do_POST(self) -> None:
        Teapot.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (200, "answers, but is not an MLflow tracking server"),
        (404, "answers, but is not an MLflow tracking server"),
        (401, "refuses this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (418, "does not answer as an MLflow tracking server: .*418"),
        (503, "does not answer as an MLflow tracking server: .*503"),
    ],
)
def test_a_server_of_something_else_is_refused(status: int, message: str) -> None:
    Teapot.requests = 0
    with http.server.HTTPServer(("127.0.0.1", 0), Teapot) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            with pytest.raises(TrackingError, match=message):
                open_store(f"http://127.0.0.1:{server.server_port}/{status}")
        finally:
            server.shutdown()
            thread.join()
    assert Teapot.requests <= 2  # MLflow's own setting is to try for minutes


FIRST_USE = """
import sys
from tracking.opening import open_store
heavy = {"mlflow", "pandas", "numpy", "sqlalchemy", "torch"} & set(sys.modules)
assert not heavy, heavy
open_store(folder=__import__("pathlib").Path(sys.argv[1]))
from mlflow.telemetry import utils
utils._IS_IN_CI_ENV_OR_TESTING = False
print("telemetry", "off" if utils.is_telemetry_disabled() else "on")
"""


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """A new process that imports tracking and opens a store."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DO_NOT"))}
    return subprocess.Popen(
        [sys.executable, "-c", FIRST_USE, str(folder)],
        env=env | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_first_use_is_light_and_quiet_and_safe_to_race(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path, MLFLOW_DISABLE_TELEMETRY="false")  # both make the same store
    assert first.communicate(timeout=180)[0] == "telemetry off\n"
    assert second.communicate(timeout=180)[0] == "telemetry on\n"  # the user's own setting counts
    assert (first.returncode, second.returncode) == (0, 0)
    assert not list(tmp_path.glob(".mlflow*"))


def test_a_store_that_another_process_made_first_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    for content, kept in ((b"runs of somebody else", True), (b"", False)):
        path.write_bytes(content)
        sqlite.create(path, "tracking_uri='sqlite:///mlflow.db'")  # which was missing a moment ago
        assert (path.read_bytes() == content) == kept
    assert path.read_bytes().startswith(b"SQLite format 3")


def test_passwords_and_pages_of_sql_stay_out_of_messages() -> None:
    assert hide_password("mysql://ada:a:b@db/lab and http://u@h/p") == "mysql://ada:***@db/lab and http://u@h/p"
    assert len(first_line(RuntimeError("x" * 5000))) == 300
    assert first_line(RuntimeError()) == "RuntimeError"
    with pytest.raises(ZeroDivisionError), explained("A slip of ours"):  # is not dressed up as the store's fault
        _ = 1 / 0


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ada:pr@ivate@db/lab",
        "postgresql://ada:pr/ivate@db/lab",
        "postgresql://db/lab?user=ada&password=private",
        "oracle://ada:priv@te@private@db/lab",
        "sqlite://ada:private@lab",
    ],
)
def test_no_password_is_shown(address: str) -> None:
    try:
        shown = repr(resolve(address)) + resolve(address).shown
    except TrackingError as error:
        shown = str(error)
    assert "***" in shown
    assert "ivate" not in shown
    assert "te@" not in shown


def test_a_password_is_not_on_the_command_line_of_the_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    store = resolve("postgresql://ada:pr@ivate@db/lab")
    assert not any("ivate" in word for word in ui_command(store, 5001))
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == store.uri
