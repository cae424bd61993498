"""MLflow's own UI on a store: the command that starts it, on this machine only."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tracking.errors import TrackingError
from tracking.schema import KIND_ARM, KIND_STUDY, MEAN, TAG_KIND
from tracking.store import Store, set_switches

HOST = "127.0.0.1"
PORT = 5000


def free_port(preferred: int = PORT) -> int:
    """The preferred port if nothing listens there, else one that the system chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise TrackingError(f"no port of {HOST} is free for the UI.")


def check_port(port: int) -> None:
    """Raises TrackingError for a port that something else listens on."""
    if free_port(port) != port:
        raise TrackingError(f"port={port} of {HOST} is taken; name another, or none to have a free one chosen.")


@dataclass(frozen=True)
class Links:
    """Where the UI shows a study: its runs, cells below the run that trained them; and its arms, one row each."""

    study: str
    runs: str
    arms: str


def links(store: Store, address: str, metric: str) -> list[Links]:
    """The pages of every study in the store, its arms sorted by their mean of a metric, the largest first.

    address: where the UI is, such as ``http://127.0.0.1:5000``. (Sorted by anything but time, the UI shows runs side
    by side; otherwise it hides arms below their study.)
    """
    experiments = store.client.search_experiments(filter_string=f"tags.`{TAG_KIND}` = '{KIND_STUDY}'")
    filtered = {"searchFilter": f"tags.`{TAG_KIND}` = '{KIND_ARM}'"}
    query = urlencode(filtered | {"orderByKey": f"metrics.`{MEAN}{metric}`", "orderByAsc": "false"}, quote_via=quote)
    pages = {study.name: f"{address}/#/experiments/{study.experiment_id}/runs" for study in experiments}
    return [Links(name, page, f"{page}?{query}") for name, page in pages.items()]


def ui_command(store: Store, port: int | None = None) -> list[str]:
    """The command that serves MLflow's UI for a database, at ``http://127.0.0.1:<port>``.

    port: None for `free_port()`. Sets MLflow's switches in this process, for the command to inherit, and an address
    that holds a password. Raises
    TrackingError for a store that is a server: it has a UI already.

    >>> from tracking.store import resolve
    >>> ui_command(resolve("sqlite:////data/lab.db"), 5001)[3:]
    ['ui', '--backend-store-uri', 'sqlite:////data/lab.db', '--host', '127.0.0.1', '--port', '5001', ...]
    """
    if store.is_server:
        raise TrackingError(f"tracking_uri={store.shown!r} is a server with a UI of its own: open it in a browser.")
    set_switches()
    command = [sys.executable, "-m", "mlflow", "ui"]
    if store.shown == store.uri:
        command += ["--backend-store-uri", store.uri]
    else:  # every user of the machine can read the command line of a process, and nobody else its environment
        os.environ["MLFLOW_BACKEND_STORE_URI"] = store.uri
    command += ["--host", HOST, "--port", str(free_port() if port is None else port)]
    return [*command, "--workers", "1"]  # one reader needs no more, and four take seconds longer to start
