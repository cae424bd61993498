"""A database made anew from the records that lie beside the files of every run, where the old one is lost or damaged.

The runs keep their ids and their files. What was damaged is moved aside, never deleted. Not restored: the runs of arms,
which the next run of the study writes again, and tags that were set later, such as which reports were made.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tracking import schema
from tracking.errors import TrackingError, explained
from tracking.experiments import experiment_for
from tracking.opening import open_store
from tracking.rows import Rows, WholeRun
from tracking.store import Store, local_folder
from tracking.sums import record_of

# What SQLite keeps beside a file: they belong to the old one, and would be applied to the new.
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Rebuilt:
    """What became of a rebuilt store. aside: where the damaged database is; None where there was none. studies, cells:
    how many runs of each were restored. damaged: records that could not be read."""

    aside: Path | None
    studies: int
    cells: int
    damaged: tuple[Path, ...]


def rebuild(store: Store) -> Rebuilt:
    """Makes the SQLite file of a store anew. Raises TrackingError for a store of another kind, for a database that is
    whole, and where no record is left."""
    path = store.path
    if path is None or store.artifacts is None:
        raise TrackingError(f"tracking_uri={store.shown!r} is no SQLite file; only such a file can be made anew.")
    if is_whole(path):
        raise TrackingError(
            f"tracking_uri={store.shown!r} is whole: nothing is to be made anew. To do so all the same, rename {path}."
        )
    folder = local_folder(store.artifacts)
    records, damaged = _records(folder) if folder is not None else ([], [])
    if not records:
        raise TrackingError(f"tracking_uri={store.shown!r} cannot be made anew: there is no record in {folder}.")
    aside = _move_aside(path)
    fresh = open_store(store.uri)
    rows = Rows.of(fresh)
    if rows is None:
        raise TrackingError(f"tracking_uri={store.shown!r}: this MLflow has tables that are not known here.")
    counts = {schema.KIND_STUDY: 0, schema.KIND_CELL: 0}
    experiments: dict[str, str] = {}
    for place, record in records:
        study = str(record["study"])
        with explained(f"run {record['run_id']} cannot be restored"):
            if study not in experiments:
                experiments[study] = experiment_for(fresh, study)
            rows.write(_run(record, experiments[study], place))
        counts[record["tags"][schema.TAG_KIND]] += 1
    return Rebuilt(aside, counts[schema.KIND_STUDY], counts[schema.KIND_CELL], tuple(damaged))


def is_whole(path: Path) -> bool:
    """Whether an SQLite file is there and SQLite finds nothing wrong with it."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(path, timeout=1)) as database:
            return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise TrackingError(f"{path} is in use: {error}.") from error
        return False
    except sqlite3.DatabaseError:
        return False


def _records(folder: Path) -> tuple[list[tuple[Path, Mapping[str, Any]]], list[Path]]:
    """The records below a folder with the folders they lie in, studies first; and those that cannot be read."""
    records: list[tuple[Path, Mapping[str, Any]]] = []
    damaged: list[Path] = []
    for path in sorted(folder.glob(f"*/*/artifacts/{schema.RECORD}")):
        try:
            record = record_of(path.read_bytes())
            kind, where = record["tags"][schema.TAG_KIND], path.parent.parent.name
            if kind not in (schema.KIND_STUDY, schema.KIND_CELL) or record["run_id"] != where:
                raise ValueError("it is not of this run")
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            damaged.append(path)
        else:
            records.append((path.parent, record))
    return sorted(records, key=lambda one: one[1]["tags"][schema.TAG_KIND] != schema.KIND_STUDY), damaged


def _run(record: Mapping[str, Any], experiment_id: str, place: Path) -> WholeRun:
    tags = dict(record["tags"]) | {"mlflow.runName": str(record["name"])}
    return WholeRun(
        run_id=str(record["run_id"]),
        experiment_id=experiment_id,
        name=str(record["name"]),
        user=tags.get("mlflow.user", "unknown"),
        status=str(record.get("status", "KILLED")),  # of a study: so the next run writes the runs of its arms
        time=int(record["time"]),
        address=place.as_uri(),
        metrics={(str(name), int(step)): float(value) for name, step, value in record.get("metrics", ())},
        params=dict(record["params"]),
        tags=tags,
    )


def _move_aside(path: Path) -> Path | None:
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    with explained(f"{path} cannot be moved aside"):
        os.rename(path, aside)
        for end in _COMPANIONS:
            with suppress(FileNotFoundError):
                os.rename(f"{path}{end}", f"{aside}{end}")
    return aside
