"""An SQLite file as a store: made whole or not at all, readable while it is written, with few waits for the disk.

A cell is a dozen transactions. With a write-ahead log only checkpoints wait for the disk. A killed process loses
nothing by this; a power cut may lose the last cells, which are then run again, and cannot damage the file
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Final

from tracking.errors import explained
from tracking.store import connect, sqlite_uri

# Disks that other machines write to: WAL keeps its index in shared memory, which they do not share.
_NETWORK: Final = re.compile(r"nfs|cifs|smb|9p|afs|ceph|lustre|gpfs|beegfs|gluster|fuse|vboxsf|prl_fs|drvfs|virtiofs")

_modes: Final[dict[str, str]] = {}  # file -> SQLite's `synchronous` mode: when its connections wait for the disk


def create(path: Path, prefix: str) -> None:
    """Makes an MLflow database in one step; a file that holds anything is never replaced.

    MLflow's own way is some seventy migrations in place: cut short it leaves a file that nothing can open, and two
    processes at once break each other's. So each makes a file of its own, and one of them gets the name. Raises
    TrackingError beginning with ``prefix``.
    """
    folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-", ignore_cleanup_errors=True)
    with explained(f"{prefix} cannot be written"), folder as scratch:
        draft, whole = Path(scratch, "draft.db"), Path(scratch, "whole.db")
        _set_synchronous(draft, "OFF")
        connect(sqlite_uri(draft))
        shutil.copyfile(draft, whole)  # MLflow keeps the draft open: the store is a file that nobody has open
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        _place(whole, path)


def use_wal(path: Path) -> None:
    """Lets the UI read while a study writes. Only on a local disk; a busy database keeps the mode it has.

    Call it before MLflow opens the file: a connection keeps the `synchronous` mode with which it was opened.
    """
    if network_disk(path) is not None:
        return
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=1)) as database:
        if database.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",):
            _set_synchronous(path, "NORMAL")


def network_disk(path: Path) -> str | None:
    """The kind of network disk that a path lies on, such as 'nfs4'; None for a local one."""
    import psutil

    mounts = sorted(psutil.disk_partitions(all=True), key=lambda mount: len(mount.mountpoint), reverse=True)
    resolved = path.resolve()
    kind = next((mount.fstype for mount in mounts if resolved.is_relative_to(mount.mountpoint)), "")
    return kind if _NETWORK.search(kind.lower()) else None


def _place(whole: Path, path: Path) -> None:
    """Gives a finished file its name, unless another process was first.

    Another process may take the name after it was seen to be free; hence the lock. The lock's file can be removed once
    the name is taken: a process that then locks another finds it taken.
    """
    from filelock import FileLock

    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        if not path.exists() or path.stat().st_size == 0:
            os.replace(whole, path)
        with suppress(OSError):  # a system that keeps what is open
            lock.unlink(missing_ok=True)


def _set_synchronous(path: Path, mode: str) -> None:
    """The mode of every connection that MLflow opens to this file from now on: FULL, NORMAL or OFF."""
    _watch_connections()
    _modes[str(path.resolve())] = mode


@cache
def _watch_connections() -> None:
    """Calls `_opened` for every connection that SQLAlchemy opens in this process; it changes those to our files."""
    from sqlalchemy import Engine, event

    event.listen(Engine, "connect", _opened)


def _opened(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        mode = _modes.get(str(Path(file).resolve())) if file else None
        if mode is not None:
            connection.execute(f"PRAGMA synchronous={mode}")
