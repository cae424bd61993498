"""Closes the runs that killed processes left open, so that the UI does not show them as running for ever."""

from __future__ import annotations

import os
import socket

from tracking.schema import KIND_STUDY, TAG_KIND, TAG_PARENT, TAG_PROCESS
from tracking.store import Store


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
    """Marks as KILLED the parent runs of dead processes of this machine, and their open children."""
    running = f"attributes.status = 'RUNNING' AND tags.`{TAG_KIND}` = '{KIND_STUDY}'"
    for parent in store.client.search_runs([experiment_id], running):
        if is_dead(parent.data.tags.get(TAG_PROCESS, "")):
            still_open = f"attributes.status = 'RUNNING' AND tags.`{TAG_PARENT}` = '{parent.info.run_id}'"
            for run in [*store.client.search_runs([experiment_id], still_open), parent]:
                store.client.set_terminated(run.info.run_id, "KILLED")
