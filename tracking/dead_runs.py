"""Closes the runs that killed processes left open, so that the UI does not show them as running for ever."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracking.schema import KIND_STUDY, TAG_KIND, TAG_PARENT, TAG_PROCESS
from tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run


def this_process() -> str:
    """A name for the running process that no later process of this machine can have: host, id and start time."""
    import psutil

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def is_dead(process: str) -> bool:
    """Whether a process named by `this_process` is known to have ended. One of another machine never is."""
    import psutil

    host, pid, started = [*process.split(":"), "", ""][:3]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" != started
    except psutil.NoSuchProcess:
        return True


def close_dead(store: Store, experiment_id: str) -> None:
    """Marks as KILLED parent runs of dead processes of this machine, and open children of parents that have ended."""
    running = [run for run in _running(store, experiment_id) if TAG_KIND in run.data.tags]
    parents = {run.info.run_id: run for run in running if run.data.tags[TAG_KIND] == KIND_STUDY}
    dead = [run_id for run_id, run in parents.items() if is_dead(run.data.tags.get(TAG_PROCESS, ""))]
    alive = parents.keys() - set(dead)
    children = [run for run in running if run.info.run_id not in parents]
    orphans = [run.info.run_id for run in children if run.data.tags.get(TAG_PARENT) not in alive]
    for run_id in (*orphans, *dead):
        store.client.set_terminated(run_id, "KILLED")


def close_open(store: Store, experiment_id: str, parent_id: str) -> None:
    """Deletes the open children of a parent that ends: they were made by requests whose answers were lost."""
    for run in _running(store, experiment_id):
        if run.data.tags.get(TAG_PARENT) == parent_id:
            store.client.delete_run(run.info.run_id)


def _running(store: Store, experiment_id: str) -> Iterator[Run]:
    token = None
    while True:
        page = store.client.search_runs([experiment_id], "attributes.status = 'RUNNING'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return
