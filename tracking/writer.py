"""Writes a study to MLflow: one parent run per invocation, one child per cell, one summary run per arm.

Only explicit run ids are used: MLflow's fluent interface has one hidden active run. A cell may be cut short anywhere:
in a database it is one transaction; to a server its completion tag is sent last, in the batch of its final metrics, and
MLflow stores a batch's tags after its metrics. Every call may be tried again: a run carries a token, by which one that
was made though its answer was lost is found and used.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

from tracking import artifacts, schema
from tracking.dead_runs import close_dead, close_open, this_process
from tracking.errors import TrackingError, explained
from tracking.experiments import experiment_for
from tracking.records import CellRecord, Packed, bad_tag, check_fields, pack_cell, values_of
from tracking.retries import Retries, once
from tracking.rows import Rows, WholeRun
from tracking.store import Store
from tracking.sums import PARTS, as_bytes, latest_of, numbers_sum, record_text, sums_tag
from tracking.values import as_text, epoch_of, part

if TYPE_CHECKING:
    from mlflow.entities import Run, RunInfo

# MLflow takes 1000 items in a batch, of which 100 params and 100 tags.
_METRICS: Final = 800
_PARAMS: Final = 100
T = TypeVar("T")


def open_study(
    store: Store,
    study: str,
    fields: Mapping[str, object],
    files: Mapping[str, artifacts.Content],
    tags: Mapping[str, str] | None = None,
    retries: Retries | None = None,
) -> StudyWriter:
    """Opens the parent run of one invocation, in the experiment named after the study (made if need be).

    fields: what the study is, as params. files: the study file, claims and environment, by their names in `schema`.
    tags: further tags, such as ``mlflow.source.git.commit`` or ``mlflow.note.content``. retries: how long each call is
    tried; once if None. Runs that an earlier, killed process left open are closed as KILLED. Raises TrackingError if
    the store refuses.
    """
    calls = retries or once()
    contents = {name: as_bytes(content) for name, content in files.items()}
    with explained(f"study {study!r} cannot be opened in {store.shown}"):
        experiment_id = calls.call(lambda: experiment_for(store, study))
        calls.call(lambda: close_dead(store, experiment_id))
        own = {schema.TAG_KIND: schema.KIND_STUDY, schema.TAG_STUDY: study}
        every_tag = {**who(), schema.TAG_PROCESS: this_process(), **(tags or {}), **own}
        maker = RunMaker(store, experiment_id, calls)
        run = maker.make(f"{study} {time.strftime('%Y-%m-%d %H:%M')}", every_tag, uuid4().hex)
        writer = StudyWriter(store, study, run.info, calls)
        params = {name: as_text(value) for name, value in fields.items()}
        sums = {schema.TAG_SUMS: sums_tag(contents)} if contents else {}
        writer._log(writer.parent_id, {}, params, sums)
    record = _record(run.info.run_id, run.info.run_name, study, params, every_tag | sums, run.info.start_time)
    texts = {name: content.decode(errors="replace") for name, content in contents.items()}
    writer.write_files(writer.parent_id, {**files, schema.RECORD: record_text(record | {"files": texts})})
    return writer


class RunMaker:
    """Makes runs in one experiment, each once, though the answer of the store be lost."""

    def __init__(self, store: Store, experiment_id: str, calls: Retries) -> None:
        self._store, self._experiment_id, self._calls = store, experiment_id, calls

    def make(self, name: str, tags: Mapping[str, str], token: str, *, begun: bool = False) -> Run:
        """A new run, or the one that has this token. begun: whether there may be one before the first call."""
        find_or_make = partial(self._find_or_make, name, tags, token)
        return self._calls.call(find_or_make if begun else partial(self._make, name, tags, token), find_or_make)

    def _make(self, name: str, tags: Mapping[str, str], token: str) -> Run:
        every_tag = dict(tags) | {schema.TAG_TOKEN: token}
        return self._store.client.create_run(self._experiment_id, tags=every_tag, run_name=name)

    def find(self, token: str) -> Run | None:
        """The run that has this token; None where there is none."""
        return self._calls.call(partial(self._find, token))

    def _find(self, token: str) -> Run | None:
        """Where there are several, one that is whole: the others are answers that were lost, and are deleted."""
        query = f"tags.`{schema.TAG_TOKEN}` = '{token}'"
        runs = self._store.client.search_runs([self._experiment_id], query, order_by=["attributes.start_time ASC"])
        runs = sorted(runs, key=lambda run: schema.TAG_STATUS not in run.data.tags)
        for ghost in runs[1:]:
            self._store.client.delete_run(ghost.info.run_id)
        return runs[0] if runs else None

    def _find_or_make(self, name: str, tags: Mapping[str, str], token: str) -> Run:
        return self._find(token) or self._make(name, tags, token)


class StudyWriter:
    """One invocation of a study, being written. Made by `open_study`.

    As a context manager it closes the parent run: FINISHED at the end, KILLED on an interrupt, FAILED on an error.
    """

    def __init__(self, store: Store, study: str, parent: RunInfo, retries: Retries | None = None) -> None:
        """parent: its run. retries: how long each call is tried; once if None."""
        self.store = store
        self.study = study
        self.experiment_id: str = parent.experiment_id
        self.parent_id: str = parent.run_id
        self.counts = dict.fromkeys(schema.STATUSES, 0)
        self._calls = retries or once()
        self._maker = RunMaker(store, self.experiment_id, self._calls)
        self._addresses: dict[str, str] = {self.parent_id: parent.artifact_uri}
        self._open: dict[str, int] = {}  # cells begun and not yet written -> last epoch logged
        self._finished = False
        self._root = parent.artifact_uri.removesuffix(f"/{self.parent_id}/artifacts")
        self._rows = Rows.of(store) if self._root != parent.artifact_uri else None

    def start_cell(self, key: str, name: str, fields: Mapping[str, object]) -> str:
        """Opens a cell's run before it is trained, so that the UI shows it live. Returns its run id."""
        check_fields(name, fields)
        with explained(f"cell {name!r} cannot be started"):
            run_id = self._child(name, {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_KEY: key}, uuid4().hex)
            self._open[run_id] = -1
            self._log(run_id, {}, {name: as_text(value) for name, value in fields.items()})
        return run_id

    def log_epoch(self, run_id: str, row: Mapping[str, object]) -> None:
        """Sends one epoch of a started cell, for the UI, in about 5 ms; `write_cell` sends the rest."""
        epoch = epoch_of(row)
        finite, _ = part(values_of(row))
        with explained(f"epoch {epoch} of run {run_id} cannot be written"):
            self._log(run_id, {(name, epoch): value for name, value in finite.items()}, {})
        self._open[run_id] = max(epoch, self._open.get(run_id, -1))

    def write_cell(self, cell: CellRecord, run_id: str | None = None) -> str:
        """Writes a cell, done or failed, and marks it so with the last batch. Returns its run id.

        run_id: the run that `start_cell` opened; None to open one. Raises TrackingError if anything cannot be written;
        the cell then does not count, and is run again next time.
        """
        with explained(f"cell {cell.name!r} cannot be written"):
            packed = pack_cell(cell)
        return self.send_cell(packed, run_id)

    def send_cell(self, cell: Packed, run_id: str | None = None, *, begun: bool = False) -> str:
        """Writes a packed cell, as `write_cell` does. begun: an earlier process may have sent it, whole or in part; it
        is not written twice."""
        with explained(f"cell {cell.name!r} cannot be written"):
            whole = self._maker.find(cell.run_id) if begun else None
            if whole is not None and schema.TAG_STATUS in whole.data.tags:
                self._end(whole.info.run_id, _ended(cell))
                return str(whole.info.run_id)
            if run_id is None and self._rows is not None:
                run_id = self._write_rows(cell, self._rows)
            else:
                run_id = self._send(cell, run_id, begun)
        self.counts[cell.status] += 1
        return run_id

    def _write_rows(self, cell: Packed, rows: Rows) -> str:
        """The files, and then all else in one transaction."""
        address = f"{self._root}/{cell.run_id}/artifacts"
        metrics = cell.metrics()
        tags, files = self._with_sums(cell, cell.run_id)
        own = {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_KEY: cell.key}
        run = self._whole(cell.run_id, cell.name, own, metrics, cell.params, tags, _ended(cell), cell.time)
        try:
            self._calls.call(lambda: artifacts.write(self.store, cell.run_id, address, files))
            self._calls.call(lambda: rows.write(run))
        except TrackingError:
            raise
        except Exception:
            artifacts.remove(address)  # of a run that will not be
            raise
        return cell.run_id

    def _send(self, cell: Packed, run_id: str | None, begun: bool) -> str:
        if run_id is None:
            own = {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_KEY: cell.key}
            run_id = self._child(cell.name, own, cell.run_id, begun=begun)
        self._open.setdefault(run_id, -1)
        tags, files = self._with_sums(cell, run_id)
        self.write_files(run_id, files)
        tags = {schema.TAG_TOKEN: cell.run_id} | tags  # a run that was started live has another
        self._log(run_id, cell.metrics(sent=self._open[run_id]), cell.params, tags, cell.time)
        self._end(run_id, _ended(cell))
        self._open.pop(run_id, None)
        self._addresses.pop(run_id, None)
        return run_id

    def _with_sums(self, cell: Packed, run_id: str) -> tuple[dict[str, str], dict[str, artifacts.Content]]:
        """The tags and the files of a cell, with its sums and its record."""
        tags, metrics = cell.tags_in(run_id), cell.metrics()
        own = {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_KEY: cell.key}
        numbers = numbers_sum(cell.params, latest_of(metrics), own | tags)
        parts = {name: as_bytes(cell.files[name]) for name in PARTS if name in cell.files}
        tags = {schema.TAG_SUMS: sums_tag(parts, numbers)} | tags
        record = _record(run_id, cell.name, self.study, cell.params, self._belonging() | own | tags, cell.time)
        record |= {"status": _ended(cell), "metrics": [[name, step, value] for (name, step), value in metrics.items()]}
        if schema.HISTORY in parts:
            record["history"] = parts[schema.HISTORY].decode()
        return tags, {**cell.files, schema.RECORD: record_text(record)}

    def write_arm(
        self,
        label: str,
        fields: Mapping[str, object],
        *,
        means: Mapping[str, float],
        ci_low: Mapping[str, float],
        ci_high: Mapping[str, float],
        n: int,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Writes the mean of an arm over its seeds with its interval, which the UI cannot compute. Returns the run id.

        label: such as 'mae-sum-b1'. means, ci_low, ci_high: by metric, in the metric's unit. n: number of seeds.
        tags: further ones.
        """
        named = {
            prefix + name: value
            for prefix, values in ((schema.MEAN, means), (schema.CI_LOW, ci_low), (schema.CI_HIGH, ci_high))
            for name, value in values.items()
        }
        finite, bad = part(named)
        metrics = {(name, 0): value for name, value in (finite | {schema.COUNT: float(n)}).items()}
        params = {name: as_text(value) for name, value in fields.items()}
        every_tag = dict(tags or {}) | bad_tag(bad) | {schema.TAG_STATUS: schema.STATUS_DONE}
        own, token = {schema.TAG_KIND: schema.KIND_ARM}, uuid4().hex
        with explained(f"arm {label!r} cannot be written"):
            if (rows := self._rows) is not None:
                run = self._whole(token, label, own, metrics, params, every_tag, "FINISHED", _now())
                self._calls.call(lambda: rows.write(run))
                return token
            run_id = self._child(label, own, token)
            self._log(run_id, metrics, params, every_tag)
            self._end(run_id, "FINISHED")
        self._addresses.pop(run_id, None)
        return run_id

    def write_files(self, run_id: str, files: Mapping[str, artifacts.Content]) -> None:
        """Stores files with any run of this study: path inside the run -> bytes, text or a file to copy."""
        if run_id not in self._addresses:
            with explained(f"run {run_id} cannot be read"):
                run = self._calls.call(lambda: self.store.client.get_run(run_id))
                self._addresses[run_id] = run.info.artifact_uri
        address = self._addresses[run_id]
        for some in artifacts.parts(address, files):
            self._calls.call(partial(artifacts.write, self.store, run_id, address, some))

    def finish(self, status: str = "FINISHED") -> None:
        """Closes the parent run: FINISHED, FAILED or KILLED. Cells begun and not written whole are closed as KILLED.

        The counts of the cells written become metrics of the parent, which `overview.progress` reads.
        """
        self._finished = True
        with explained(f"study {self.study!r} cannot be closed"):
            for run_id in self._open:
                self._end(run_id, "KILLED")
            self._open.clear()
            if self.store.is_server:
                self._calls.call(lambda: close_open(self.store, self.experiment_id, self.parent_id))
            done, failed = (float(self.counts[status]) for status in schema.STATUSES)
            self._log(self.parent_id, {(schema.CELLS_DONE, 0): done, (schema.CELLS_FAILED, 0): failed}, {})
            self._end(self.parent_id, status)

    def abandon(self) -> None:
        """Leaves the parent run as it is: the store is gone. The next run closes it."""
        self._finished = True

    def __enter__(self) -> StudyWriter:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._finished:
            return
        if error is None:
            self.finish()
            return
        try:
            self.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        except TrackingError as not_closed:
            error.add_note(str(not_closed))  # the first error is the one to show

    def _child(self, name: str, tags: Mapping[str, str], token: str, *, begun: bool = False) -> str:
        run = self._maker.make(name, self._belonging() | dict(tags), token, begun=begun)
        self._addresses[run.info.run_id] = run.info.artifact_uri
        return str(run.info.run_id)

    def _belonging(self) -> dict[str, str]:
        return who() | {schema.TAG_PARENT: self.parent_id, schema.TAG_STUDY: self.study}

    def _whole(
        self,
        run_id: str,
        name: str,
        own: Mapping[str, str],
        metrics: Mapping[tuple[str, int], float],
        params: Mapping[str, str],
        tags: Mapping[str, str],
        status: str,
        time: int,
    ) -> WholeRun:
        """A child that has ended, with the tags that MLflow's client adds."""
        every_tag = self._belonging() | dict(own) | {"mlflow.runName": name}
        return WholeRun(
            run_id=run_id,
            experiment_id=self.experiment_id,
            name=name,
            user=every_tag.get("mlflow.user", "unknown"),
            status=status,
            time=time,
            address=f"{self._root}/{run_id}/artifacts",
            metrics=metrics,
            params=params,
            tags=every_tag | dict(tags),
        )

    def _end(self, run_id: str, status: str) -> None:
        self._calls.call(lambda: self.store.client.set_terminated(run_id, status))

    def _log(
        self,
        run_id: str,
        metrics: Mapping[tuple[str, int], float],
        params: Mapping[str, str],
        tags: Mapping[str, str] | None = None,
        time: int | None = None,
    ) -> None:
        """Sends metrics, by name and step, and params in as few batches as MLflow takes; the tags with the last one.

        We cut the batches ourselves: MLflow's client would send the tags with the first. time: of the metrics, in ms;
        a batch that is sent again with the same time adds nothing.
        """
        from mlflow.entities import Metric, Param, RunTag

        stamp = _now() if time is None else time
        every_metric = [Metric(name, value, stamp, step) for (name, step), value in metrics.items()]
        every_param = [Param(name, value) for name, value in params.items()]
        every_tag = [RunTag(name, value) for name, value in (tags or {}).items()]
        batches = _paired(_chunks(every_metric, _METRICS), _chunks(every_param, _PARAMS))
        for i, (some_metrics, some_params) in enumerate(batches):
            some_tags = every_tag if i == len(batches) - 1 else ()
            self._calls.call(partial(self.store.client.log_batch, run_id, some_metrics, some_params, some_tags))


def _record(
    run_id: str, name: str, study: str, params: Mapping[str, str], tags: Mapping[str, str], time: int
) -> dict[str, Any]:
    """What `tracking.rebuild` makes a run of."""
    run = {"format": 1, "run_id": run_id, "name": name, "study": study, "time": time}
    return {**run, "params": dict(params), "tags": dict(tags)}


def _ended(cell: Packed) -> str:
    return "FINISHED" if cell.status == schema.STATUS_DONE else "FAILED"


def _now() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


@cache
def who() -> dict[str, str]:
    """MLflow's tag for the user, which only its fluent interface sets."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError, ImportError):  # a container without a user database
        return {}


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _paired(metrics: list[Any], params: list[Any]) -> list[tuple[Any, Any]]:
    """Batches aligned at their ends, so that the last holds the last metrics; at least one, which may be empty."""
    return [*zip_longest(reversed(metrics), reversed(params), fillvalue=())][::-1] or [((), ())]
