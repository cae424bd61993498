"""Opens a store: resolved, and tried before anything is trained."""

from __future__ import annotations

from pathlib import Path

from tracking import probes
from tracking.store import Store, resolve


def open_store(uri: str | None = None, *, create: bool = True, folder: Path | None = None) -> Store:
    """A store that has been tried: reachable, MLflow's own, of this MLflow's schema, and writable if ``create``.

    uri, folder: as for `resolve`. create: make the SQLite file and its schema when they are missing; with False a
    missing file is an error, for commands that only read. Takes two seconds where a schema is made, and at most about
    ten where a server does not answer. Raises TrackingError for everything that would fail later.
    """
    store = resolve(uri, folder=folder)
    if store.is_server:
        probes.check_server(store)
    elif store.path is not None:
        probes.check_sqlite(store, store.path, create=create)
    else:
        probes.check_database(store)
    return store
