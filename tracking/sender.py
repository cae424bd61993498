"""The threads that write: one packs finished cells into the spool, one sends them, while the next stack trains.

Few cells wait to be packed; from then on they are on disk, the queue holds names alone, and a process that ends at any
moment has lost nothing. While the tracker does not answer, calls are tried again; cells gather in the spool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Queue, SimpleQueue
from typing import TYPE_CHECKING, Final

from tracking import schema
from tracking.dead_runs import close_dead
from tracking.errors import TrackingError, explained
from tracking.records import CellRecord, pack_cell
from tracking.retries import GaveUp, Retries
from tracking.search import children
from tracking.spool import DamagedEntry, Spool
from tracking.store import Store
from tracking.writer import StudyWriter, open_study

if TYPE_CHECKING:
    from mlflow.entities import Run

_ROWS: Final = 1000  # epochs that wait to be sent live; what comes beyond is sent with its cell
_CELLS: Final = 4  # that wait to be packed: what is measured beyond that waits for the disk
_STUCK: Final = 35.0  # seconds beyond its patience after which a request is not waited for

Sent = Callable[[str], None]  # called with the id of the run that a cell has become
_Finished = tuple[CellRecord | Callable[[], CellRecord], Sent | None]


class Sender:
    """Sends the cells of one invocation, in the order in which they are finished. Not made anew once it has ended."""

    def __init__(self, writer: StudyWriter, spool: Spool, calls: Retries) -> None:
        """writer: uses the same ``calls``, which wait for ever until `drain`."""
        self._writer, self._spool, self._calls = writer, spool, calls
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._live: dict[str, str] = {}  # key -> run of a cell whose epochs are sent as they come
        self._cut: set[str] = set()  # keys whose further epochs are not sent live
        self._error: BaseException | None = None
        self._gone = ""
        self._records: Queue[_Finished | None] = Queue(_CELLS)
        self._packer = threading.Thread(target=self._pack, name="spool", daemon=True)
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._packer.start()
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why the tracker does not answer at present; empty while it does."""
        return self._calls.trouble

    def put_cell(self, record: CellRecord | Callable[[], CellRecord], sent: Sent | None = None) -> None:
        """Hands over a finished cell, or what makes its record. Raises what an earlier one was refused for."""
        self.check()
        self._records.put((record, sent))

    def settle(self) -> None:
        """Waits until every cell that was handed over is on disk."""
        self._records.join()

    def put_epoch(self, key: str, name: str, fields: Mapping[str, object], row: Mapping[str, object]) -> None:
        """Sends one epoch of a cell that is still training, for the UI; its history is kept with the cell anyway."""
        self.check()
        if key not in self._cut and self._tasks.qsize() < _ROWS:
            self._tasks.put(partial(self._epoch, key, name, fields, row))
        else:
            self._cut.add(key)

    def check(self) -> None:
        """Raises what a cell was refused for: the tracker would not take it today or tomorrow."""
        if self._error is not None:
            raise self._error

    def drain(self, patience: float) -> str:
        """Sends what is queued and ends the thread. Returns why not all was sent; empty if it was.

        patience: seconds without an answer after which the tracker is gone. What is not sent stays in the spool.
        """
        self._records.put(None)
        self._packer.join()
        self._tasks.put(None)
        self._calls.hurry(patience)
        while self._thread.is_alive():
            self._thread.join(0.1)
            if self._calls.silent_for > patience + _STUCK:
                return self._calls.trouble or "a request has had no answer"
        return self._gone

    def _pack(self) -> None:
        while (finished := self._records.get()) is not None:
            record, sent = finished
            try:
                self._spool_cell(record if isinstance(record, CellRecord) else record(), sent)
            except BaseException as error:
                self._error = self._error or error
            finally:
                del record, finished  # with the weights and pictures that they hold
                self._records.task_done()

    def _spool_cell(self, record: CellRecord, sent: Sent | None) -> None:
        with explained(f"cell {record.name!r} cannot be written"):
            packed = pack_cell(record)
        place = self._spool.put(packed, self._writer.parent_id)
        self._tasks.put(partial(self._send, place, sent))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except GaveUp as error:
                self._gone = self._calls.trouble or str(error)
                return
            except BaseException as error:
                self._error = self._error or error

    def _send(self, place: Path, sent: Sent | None) -> None:
        try:
            entry = self._spool.load(place)
        except DamagedEntry as error:
            aside = self._spool.set_aside(place, "damaged")
            raise TrackingError(f"a finished cell in the spool is damaged ({error}); see {aside}.") from error
        try:
            run_id = self._writer.send_cell(entry.cell, self._live.pop(entry.cell.key, None))
        except GaveUp:
            raise
        except Exception as error:
            aside = self._spool.set_aside(place, "refused")
            raise TrackingError(f"{error} What was to be written is in {aside}.") from error
        self._cut.discard(entry.cell.key)
        if sent is not None:
            self._calls.call(partial(sent, run_id))
        self._spool.remove(place)

    def _epoch(self, key: str, name: str, fields: Mapping[str, object], row: Mapping[str, object]) -> None:
        if key not in self._live:
            self._live[key] = self._writer.start_cell(key, name, fields)
        self._writer.log_epoch(self._live[key], row)


@dataclass(frozen=True)
class Left:
    """What became of the cells that earlier runs left in the spool.

    sent: how many the tracker has now. unsent: how many it has not, and reason: why. aside: a sentence for each entry
    that was set aside.
    """

    sent: int = 0
    unsent: int = 0
    reason: str = ""
    aside: tuple[str, ...] = ()


def send_left(store: Store, study: str, spool: Spool, calls: Retries) -> Left:
    """Sends what processes that have ended left in the spool, each cell once, into the runs that they belong to."""
    with spool.alone():
        if next(spool.entries(others=False), None) is None:
            return Left()
        return _Leftovers(store, study, spool, calls).send()


class _Leftovers:
    def __init__(self, store: Store, study: str, spool: Spool, calls: Retries) -> None:
        self._store, self._study, self._spool, self._calls = store, study, spool, calls
        self._writers: dict[str, StudyWriter] = {}  # by the parent that the cells name
        self._closed: set[str] = set()  # experiments

    def send(self) -> Left:
        sent, aside, reason = 0, [], ""
        for place in list(self._spool.entries(others=False)):
            try:
                entry = self._spool.load(place)
                self._writer(entry.parent_id).send_cell(entry.cell, begun=True)
            except DamagedEntry as error:
                moved = self._spool.set_aside(place, "damaged")
                aside.append(f"A finished cell in the spool is damaged ({error}): it counts as not done; see {moved}.")
            except GaveUp as error:
                reason = self._calls.trouble or str(error)
                break
            except TrackingError as error:
                moved = self._spool.set_aside(place, "refused")
                aside.append(f"{error} It counts as not done; see {moved}.")
            else:
                self._spool.remove(place)
                sent += 1
        if not reason:
            for writer in self._writers.values():
                self._calls.call(partial(recount, self._store, writer.parent_id))
        return Left(sent, sum(1 for _ in self._spool.entries(others=False)), reason, tuple(aside))

    def _writer(self, parent_id: str) -> StudyWriter:
        if parent_id not in self._writers:
            self._writers[parent_id] = self._opened(parent_id)
        return self._writers[parent_id]

    def _opened(self, parent_id: str) -> StudyWriter:
        parent = self._calls.call(partial(find_run, self._store, parent_id))
        if parent is None:  # another store than the one that the cells were meant for, or a run that was deleted
            writer = open_study(self._store, self._study, {}, {}, retries=self._calls)
            writer.finish("KILLED")
            return writer
        experiment = parent.info.experiment_id
        if experiment not in self._closed:
            self._calls.call(partial(close_dead, self._store, experiment))
            self._closed.add(experiment)
        return StudyWriter(self._store, self._study, parent.info, self._calls)


def find_run(store: Store, run_id: str) -> Run | None:
    """A run that was not deleted; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        if error.get_http_status_code() == 404:
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def recount(store: Store, parent_id: str) -> None:
    """Closes an invocation whose cells were sent after it had ended, and corrects its counts where it has them."""
    parent = store.client.get_run(parent_id)
    if parent.info.status == "RUNNING":  # the tracker was gone when it ended
        store.client.set_terminated(parent_id, "KILLED")
    if schema.CELLS_DONE not in parent.data.metrics:
        return
    statuses = [child.data.tags.get(schema.TAG_STATUS) for child in children(store, parent)]
    counts = {schema.CELLS_DONE: schema.STATUS_DONE, schema.CELLS_FAILED: schema.STATUS_FAILED}
    for name, status in counts.items():
        store.client.log_metric(parent_id, name, float(statuses.count(status)), step=0)
