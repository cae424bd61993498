"""A finished run written into a database in one transaction, by MLflow's own tables.

MLflow's client makes six transactions of a cell, and an object of every number: 40 ms, all of it under Python's lock,
which training needs too. The same rows inserted at once take 5 ms, and a run is whole or not there. The tables are
those of the installed MLflow, whose schema was checked when the store was opened; a test holds that every row is as the
client writes it. Where a table has columns that are not known here, `Rows.of` gives None, and the client is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tracking.store import DATABASES, Store

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_LOCKED: Final = 20  # seconds for which SQLite waits for another program's lock, as MLflow does
_CHUNK: Final = 500  # rows in one statement
_NUMBERS: Final = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}
_TEXTS: Final = {"key", "value", "run_uuid"}
_COLUMNS: Final[Mapping[str, set[str]]] = {
    "runs": {
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time"),
        *("end_time", "deleted_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
    },
    "metrics": _NUMBERS,
    "latest_metrics": _NUMBERS,
    "params": _TEXTS,
    "tags": _TEXTS,
}


@dataclass(frozen=True, kw_only=True)
class WholeRun:
    """A run that has ended. status: MLflow's. time: of its numbers and its end, in ms. metrics: by name and step; the
    last value of a name is its latest. tags: in the order in which they are written."""

    run_id: str
    experiment_id: str
    name: str
    user: str
    status: str
    time: int
    address: str
    metrics: Mapping[tuple[str, int], float]
    params: Mapping[str, str]
    tags: Mapping[str, str]


class Rows:
    """Writes whole runs into the database of a store. Made by `Rows.of`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def of(cls, store: Store) -> Rows | None:
        """None where the store is a server, or its MLflow has other tables than those known here."""
        if not store.uri.startswith(DATABASES):
            return None
        known = _tables()
        same = all(name in known and set(known[name].columns.keys()) == columns for name, columns in _COLUMNS.items())
        return cls(store) if same else None

    @cached_property
    def _engine(self) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        # A connection per run: none outlives a database that is restarted, and none is left open at the end.
        options = {"timeout": _LOCKED} if self._store.path is not None else {}
        return create_engine(self._store.uri, poolclass=NullPool, connect_args=options)

    def write(self, run: WholeRun) -> None:
        """Writes a run. One that is there already is left as it is: its rows were written whole.

        Raises MlflowException for names and values that MLflow refuses, and SQLAlchemy's errors.
        """
        from sqlalchemy.exc import IntegrityError

        rows = {table: entries for table, entries in _rows(run).items() if entries}
        try:
            with self._engine.begin() as connection:
                for table, entries in rows.items():
                    _insert(connection, table, entries)
        except IntegrityError:
            if not self.has(run.run_id):
                raise

    def has(self, run_id: str) -> bool:
        """Whether a run of this id is in the database."""
        from sqlalchemy import select

        runs = _tables()["runs"]
        with self._engine.connect() as connection:
            return connection.execute(select(runs.c.run_uuid).where(runs.c.run_uuid == run_id)).first() is not None


def _tables() -> Mapping[str, Any]:
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.dbmodels import models

    del models  # imported for the tables that it defines
    return dict(Base.metadata.tables)


def _insert(connection: Connection, table: str, entries: list[dict[str, Any]]) -> None:
    statement = _tables()[table].insert()
    for start in range(0, len(entries), _CHUNK):
        connection.execute(statement, entries[start : start + _CHUNK])


def _rows(run: WholeRun) -> dict[str, list[dict[str, Any]]]:
    """The rows of a run by table, checked as MLflow's client checks them. The tags come last."""
    from mlflow.utils.validation import _validate_metric_name, _validate_param, _validate_tag

    own = {"run_uuid": run.run_id}
    for name in dict.fromkeys(name for name, _ in run.metrics):
        _validate_metric_name(name)
    stamp = {"timestamp": run.time, "is_nan": False} | own
    numbers = [{"key": name, "value": value, "step": step} | stamp for (name, step), value in run.metrics.items()]
    latest: dict[str, dict[str, Any]] = {}
    for (name, step), number in zip(run.metrics, numbers):
        if name not in latest or step >= latest[name]["step"]:
            latest[name] = number
    params = [_validate_param(name, value) for name, value in run.params.items()]
    tags = [_validate_tag(name, value) for name, value in run.tags.items()]
    return {
        "runs": [_run_row(run)],
        "metrics": numbers,
        "latest_metrics": list(latest.values()),
        "params": [{"key": param.key, "value": param.value} | own for param in params],
        "tags": [{"key": tag.key, "value": tag.value} | own for tag in tags],
    }


def _run_row(run: WholeRun) -> dict[str, Any]:
    return {
        "run_uuid": run.run_id,
        "name": run.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": run.user,
        "status": run.status,
        "start_time": run.time,
        "end_time": run.time,
        "deleted_time": None,
        "source_version": "",
        "lifecycle_stage": "active",
        "artifact_uri": run.address,
        "experiment_id": int(run.experiment_id),
    }
