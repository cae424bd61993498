"""Where runs are kept: the tracking address, made absolute, and MLflow's client for it.

An address given comes before `MLFLOW_TRACKING_URI`, and that before `sqlite:///mlflow.db` in the working folder. MLflow
resolves a relative path in every process, so runs could be kept in two places.
"""

from __future__ import annotations

import difflib
import gc
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlparse

from tracking.errors import TrackingError, explained, hide_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE: Final = "mlflow.db"  # the name that a bare `mlflow ui` looks for
ARTIFACTS: Final = "mlartifacts"
VARIABLE: Final = "MLFLOW_TRACKING_URI"
SERVERS: Final = ("http", "https")
DATABASES: Final = ("sqlite", "postgresql", "mysql", "mssql")
_RESERVED: Final = ("databricks", "databricks-uc", "uc")  # addresses for MLflow, though they look like folders

# Set unless the user has: no progress bar per file, no address printed per run, no job workers beside the UI.
_QUIET: Final = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
_TELEMETRY: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@dataclass(frozen=True, repr=False)
class Store:
    """One place where runs are kept. Made by `resolve`, checked by `opening.open_store`.

    uri: absolute tracking address. artifacts: absolute file address under which experiments keep their files; None
    where a server decides.
    """

    uri: str
    artifacts: str | None

    def __repr__(self) -> str:
        return f"Store(uri={self.shown!r}, artifacts={self.artifacts!r})"  # a traceback shows it

    @property
    def is_server(self) -> bool:
        """Whether the address is an MLflow server's, rather than a database's."""
        return _scheme(self.uri) in SERVERS

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for every other kind of store."""
        return sqlite_path(self.uri) if _scheme(self.uri) == "sqlite" else None

    @property
    def shown(self) -> str:
        """The address as it may be printed: without its password."""
        return hide_password(self.uri)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client for this address. The first use in a process imports MLflow: over a second."""
        return connect(self.uri)


def resolve(uri: str | None = None, *, folder: Path | None = None) -> Store:
    """The store that an address means, made absolute. Uses neither disk nor network.

    uri: a database (``sqlite:///mlflow.db``, ``postgresql://...``) or a server (``http://...``); None or empty for
    `MLFLOW_TRACKING_URI`, else the default. folder: what relative paths start from; the working folder if None.
    Raises TrackingError for an address that is neither.

    >>> resolve("sqlite:////data/lab.db")
    Store(uri='sqlite:////data/lab.db', artifacts='file:///data/mlartifacts')
    >>> resolve("http://127.0.0.1:5000").is_server
    True
    """
    text = (uri or os.environ.get(VARIABLE) or f"sqlite:///{DATABASE}").strip()
    scheme = _scheme(text)
    start = folder or Path.cwd()
    if scheme in SERVERS:
        return Store(text.rstrip("/"), None)
    if scheme == "sqlite":
        return _sqlite(text, start)
    if scheme in DATABASES:
        return Store(text, (start / ARTIFACTS).absolute().as_uri())
    raise TrackingError(_refusal(text, scheme))


def connect(uri: str) -> MlflowClient:
    """MLflow's client for an address, imported here: no telemetry, no progress bars, warnings only."""
    set_switches()
    with warnings.catch_warnings(), _without_collection():
        warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's, of its own dependencies
        from mlflow import MlflowClient

        if "MLFLOW_LOGGING_LEVEL" not in os.environ:
            logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints a traceback of what it raises
        with explained(f"tracking_uri={hide_password(uri)!r} cannot be opened"):
            return MlflowClient(uri, registry_uri=uri)


@contextmanager
def _without_collection() -> Iterator[None]:
    """No garbage collection while modules are imported, nor of their objects afterwards: it costs a quarter second."""
    if not gc.isenabled() or "mlflow" in sys.modules:  # once is enough: what is frozen is never freed
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def set_switches() -> None:
    """Sets MLflow's own switches, for this process and those it starts, wherever the user has set none.

    Must run before MLflow is imported: telemetry starts with the import.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not any(name in os.environ for name in _TELEMETRY):
        os.environ.update(_TELEMETRY)


def sqlite_path(uri: str) -> Path:
    """The file that an absolute SQLite address means."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0]))


def sqlite_uri(path: Path, query: str = "") -> str:
    """The address of an SQLite file. Only what an address would misread is escaped.

    >>> sqlite_uri(Path("/data/100%/my lab.db"))
    'sqlite:////data/100%25/my lab.db'
    """
    safe = path.as_posix().replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{safe}" + (f"?{query}" if query else "")


def local_folder(address: str) -> Path | None:
    """The folder that an artifact address means; None if it is not on this machine.

    >>> local_folder("file:///data/my%20lab/mlartifacts")
    PosixPath('/data/my lab/mlartifacts')
    """
    if not address.startswith("file:"):
        return None if _scheme(address) else Path(address)
    from urllib.request import url2pathname  # slow to import

    return Path(url2pathname(urlparse(address).path))


def _sqlite(text: str, start: Path) -> Store:
    """The store of an SQLite address; relative paths start from ``start``."""
    if not text.startswith("sqlite:///"):
        likely = "sqlite:///" + (text.partition(":")[2].strip("/") or DATABASE)
        raise TrackingError(
            f"tracking_uri={hide_password(text)!r} lacks a slash: a file is named after three. "
            f"Did you mean {hide_password(likely)!r}?"
        )
    name, _, query = text.removeprefix("sqlite:///").partition("?")
    if name in ("", ":memory:"):
        raise TrackingError(
            f"tracking_uri={hide_password(text)!r} is a database in memory, lost when the process ends. "
            f"Name a file, such as 'sqlite:///{DATABASE}'."
        )
    path = (start / Path(unquote(name)).expanduser()).absolute()
    return Store(sqlite_uri(path, query), (path.parent / ARTIFACTS).as_uri())


def _scheme(uri: str) -> str:
    """The scheme without the driver: 'postgresql' of 'postgresql+psycopg2://...'. A single letter, a Windows drive, is
    none."""
    match = re.match(r"([A-Za-z][A-Za-z0-9.-]+)(\+[A-Za-z0-9_]+)?:", uri)
    return match[1].lower() if match else ""


def _refusal(text: str, scheme: str) -> str:
    """Why an address names no store that can be used, and what was probably meant."""
    shown = f"tracking_uri={hide_password(text)!r}"
    scheme = scheme or (text if text in _RESERVED else "")
    if not scheme and text.endswith((".db", ".sqlite", ".sqlite3")):
        return f"{shown} is a path, not an address. Did you mean {'sqlite:///' + text!r}?"
    if scheme in ("", "file"):
        return (
            f"{shown} is a folder of files, a kind of store that MLflow refuses from 3.13 on. Name a database "
            f"such as 'sqlite:///{DATABASE}' or a server such as 'http://127.0.0.1:5000'."
        )
    allowed = [*SERVERS, *DATABASES]
    near = difflib.get_close_matches(scheme, allowed, n=1)
    tail = f" Did you mean {near[0]!r}?" if near else ""
    return f"{shown}: {scheme!r} is not one of {allowed}.{tail}"
