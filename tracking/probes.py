"""Tries a store before anything is trained, so that each failure is one sentence and comes within seconds.

For minutes MLflow itself retries a server that is down, and for more than one a file that is not a database; and it
migrates an older schema without asking.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracking import sqlite
from tracking.errors import TrackingError, explained, first_line, remedy
from tracking.store import Store, local_folder, set_switches, sqlite_uri

if TYPE_CHECKING:
    from sqlalchemy import Engine

_SECONDS: Final = 4  # a server that is up answers in milliseconds; a cold one gets a second try
_DRIVERS: Final = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_MIGRATIONS: Final = "store/db_migrations"
_TABLES: Final = {"experiments", "runs", "metrics", "params", "tags"}


def check_server(store: Store) -> None:
    """Sends a server one small request. Raises TrackingError if it does not answer, refuses, or is not MLflow's."""
    prefix = f"tracking_uri={store.shown!r}"
    try:
        with _short_timeouts():
            store.client.search_experiments(max_results=1)
    except Exception as error:
        raise TrackingError(f"{prefix} {_server_reason(error)}") from error


def check_sqlite(store: Store, path: Path, *, create: bool) -> None:
    """Makes or tries an SQLite store. Raises TrackingError if it is missing, not writable or not MLflow's."""
    prefix = f"tracking_uri={store.shown!r}"
    with explained(f"{prefix} cannot be used"):
        if path.is_dir():
            raise TrackingError(f"{prefix} is a folder. Did you mean {sqlite_uri(path / 'mlflow.db')!r}?")
    empty = not path.exists() or path.stat().st_size == 0
    if empty and not create:
        raise TrackingError(f"{prefix} holds no runs: {path} does not exist. Run a study first, or name another store.")
    if create:
        check_folder(path.parent, prefix)
        check_folder(local_folder(store.artifacts or "") or path.parent, prefix)
    if empty:
        sqlite.create(path, prefix)
    elif create:
        check_file(path, prefix)
    _check_schema(store)
    if create:
        sqlite.use_wal(path)
    _open(store)


def check_database(store: Store) -> None:
    """Tries a database. Raises TrackingError if it does not answer, or is not one that this MLflow reads."""
    _check_schema(store)
    _open(store)


def _check_schema(store: Store) -> None:
    """Refuses a database that MLflow would not open."""
    prefix = f"tracking_uri={store.shown!r}"
    set_switches()
    engine = _engine(store.uri, prefix)
    try:
        version = _schema_version(engine, prefix)
    finally:
        engine.dispose()
    if version is not None:
        _check_version(version, prefix, store.shown)


def _open(store: Store) -> None:
    """Lets MLflow open the store; in an empty database it makes its tables."""
    with explained(f"tracking_uri={store.shown!r} cannot be opened"):
        store.client.search_experiments(max_results=1)


def check_folder(folder: Path, prefix: str) -> None:
    """Makes a folder and writes in it, which is the only sure test. Raises TrackingError beginning with ``prefix``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = error.strerror or first_line(error)
        raise TrackingError(
            f"{prefix} cannot be written: nothing can be created in {folder} ({why}). "
            "Choose another folder, or make this one writable."
        ) from error


def check_file(path: Path, prefix: str) -> None:
    """Raises TrackingError beginning with ``prefix`` for a file that may not be written.

    The file is not opened: closing it would drop every lock that this process holds on it, SQLite's among them
    (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise TrackingError(
            f"{prefix} cannot be written: {path} is read-only. Make it writable, or name another store."
        )


def _engine(uri: str, prefix: str) -> Engine:
    """A short-lived connection maker of our own: MLflow's retries ten times, for over a minute."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    options = {"connect_timeout": _SECONDS} if uri.startswith(("postgresql", "mysql")) else {}
    try:
        return create_engine(uri, poolclass=NullPool, connect_args=options)
    except ModuleNotFoundError as error:
        package = _DRIVERS.get(str(error.name), str(error.name))
        raise TrackingError(f"{prefix} needs a Python package that is missing: pip install '{package}'") from error
    except SQLAlchemyError as error:
        raise TrackingError(f"{prefix} is not a database address: {first_line(error)}") from error


def _schema_version(engine: Engine, prefix: str) -> str | None:
    """The revision of MLflow's schema in a database; None in an empty one."""
    from sqlalchemy import inspect, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            if not tables:
                return None
            if "alembic_version" not in tables or not tables >= _TABLES:
                some = ", ".join(sorted(tables)[:3]) + (" and others" if len(tables) > 3 else "")
                raise TrackingError(
                    f"{prefix} is a database, but not one of MLflow's: it holds the tables {some}. "
                    "Name another file or database."
                )
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
    except SQLAlchemyError as error:
        raise TrackingError(f"{prefix} cannot be read as a database: {first_line(error)}{remedy(error)}") from error


def _check_version(version: str, prefix: str, shown: str) -> None:
    """Refuses a schema that the MLflow installed here does not write."""
    if _newest_revisions() == {version}:
        return
    import mlflow
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / _MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    if version in scripts.get_heads():
        return
    if version in {script.revision for script in scripts.walk_revisions()}:
        raise TrackingError(
            f"{prefix} was made by an older MLflow than the {mlflow.__version__} installed. "
            f"Copy it to a safe place, then run: mlflow db upgrade {shown!r}"
        )
    raise TrackingError(
        f"{prefix} was made by a newer MLflow than the {mlflow.__version__} installed (schema {version}). "
        "Upgrade MLflow, or name another store."
    )


def _newest_revisions() -> set[str]:
    """The revisions of MLflow's schema that no other builds on, from the text of its migrations.

    Alembic imports MLflow and all migrations for it, which takes a third of a second.
    """
    package = find_spec("mlflow")
    folder = Path(package.origin or "").parent / _MIGRATIONS / "versions" if package else Path()
    texts = [path.read_text(errors="replace") for path in folder.glob("*.py")]
    revisions = {match[1] for text in texts if (match := re.search(r"^revision\b.*?[\"'](\w+)", text, re.M))}
    earlier = {match[1] for text in texts if (match := re.search(r"^down_revision\b.*?[\"'](\w+)", text, re.M))}
    return revisions - earlier


@contextmanager
def _short_timeouts() -> Iterator[None]:
    """MLflow's HTTP requests wait seconds, not minutes, and are tried twice; the user's settings return afterwards."""
    timeouts = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_SECONDS),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    }
    before = {name: os.environ.get(name) for name in timeouts}
    os.environ.update(timeouts)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _server_reason(error: BaseException) -> str:
    """A server's failure as the rest of a sentence, with what to do."""
    text = str(error)
    start = "Start the server, or leave the address out to keep the runs in a file of this folder."
    for pattern, reason in (
        (r"refused", f"does not answer: the connection was refused. {start}"),
        (r"resolve|Name or service not known|getaddrinfo", f"does not answer: no such host. {start}"),
        (r"timed? ?out", f"does not answer within {2 * _SECONDS} seconds. {start}"),
        (r"CERTIFICATE|SSL", "does not answer safely: its certificate cannot be verified."),
        (
            r"code 40[13]|UNAUTHENTICATED|PERMISSION_DENIED",
            "refuses this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
        ),
        (r"code (404|405|501)|not in a valid JSON", "answers, but is not an MLflow tracking server."),
    ):
        if re.search(pattern, text, re.IGNORECASE):
            return reason
    return f"does not answer as an MLflow tracking server: {first_line(error)}"
