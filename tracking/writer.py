"""Writes a study to MLflow: one parent run per invocation, one child per cell, one summary run per arm.

Only explicit run ids are used: MLflow's fluent interface has one hidden active run. A cell may be cut short anywhere:
its completion tag is sent last, in the batch of its final metrics, and MLflow stores a batch's tags after its metrics.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tracking import artifacts, schema
from tracking.dead_runs import close_dead, this_process
from tracking.errors import TrackingError, explained
from tracking.experiments import experiment_for
from tracking.records import CellRecord, bad_tag, check_fields, files_of, numbers_of, values_of
from tracking.store import Store
from tracking.values import as_text, epoch_of, part

if TYPE_CHECKING:
    from mlflow.entities import Run

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
) -> StudyWriter:
    """Opens the parent run of one invocation, in the experiment named after the study (made if need be).

    fields: what the study is, as params. files: the study file, claims and environment, by their names in `schema`.
    tags: further tags, such as ``mlflow.source.git.commit`` or ``mlflow.note.content``. Runs that an earlier, killed
    process left open are closed as KILLED. Raises TrackingError if the store refuses.
    """
    with explained(f"study {study!r} cannot be opened in {store.shown}"):
        experiment_id = experiment_for(store, study)
        close_dead(store, experiment_id)
        own = {schema.TAG_KIND: schema.KIND_STUDY, schema.TAG_STUDY: study}
        run = store.client.create_run(
            experiment_id,
            tags={**_who(), schema.TAG_PROCESS: this_process(), **(tags or {}), **own},
            run_name=f"{study} {time.strftime('%Y-%m-%d %H:%M')}",
        )
        writer = StudyWriter(store, study, run)
        writer._log(writer.parent_id, {}, fields)
    writer.write_files(writer.parent_id, files)
    return writer


class StudyWriter:
    """One invocation of a study, being written. Made by `open_study`.

    As a context manager it closes the parent run: FINISHED at the end, KILLED on an interrupt, FAILED on an error.
    """

    def __init__(self, store: Store, study: str, parent: Run) -> None:
        self.store = store
        self.study = study
        self.experiment_id: str = parent.info.experiment_id
        self.parent_id: str = parent.info.run_id
        self.counts = dict.fromkeys(schema.STATUSES, 0)
        self._addresses: dict[str, str] = {self.parent_id: parent.info.artifact_uri}
        self._open: dict[str, int] = {}  # cells begun and not yet written -> last epoch logged
        self._finished = False

    def start_cell(self, key: str, name: str, fields: Mapping[str, object]) -> str:
        """Opens a cell's run before it is trained, so that the UI shows it live. Returns its run id."""
        check_fields(name, fields)
        with explained(f"cell {name!r} cannot be started"):
            run_id = self._child(name, {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_KEY: key})
            self._open[run_id] = -1
            self._log(run_id, {}, fields)
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
            run_id = run_id or self._child(cell.name, {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_KEY: cell.key})
            self._open.setdefault(run_id, -1)
            self.write_files(run_id, files_of(cell))
            metrics, tags = numbers_of(cell, run_id, sent=self._open[run_id])
            self._log(run_id, metrics, cell.fields, tags)
            self.store.client.set_terminated(run_id, "FINISHED" if cell.status == schema.STATUS_DONE else "FAILED")
        self._open.pop(run_id, None)
        self._addresses.pop(run_id, None)
        self.counts[cell.status] += 1
        return run_id

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
        with explained(f"arm {label!r} cannot be written"):
            run_id = self._child(label, {schema.TAG_KIND: schema.KIND_ARM})
            metrics = {(name, 0): value for name, value in (finite | {schema.COUNT: float(n)}).items()}
            own = bad_tag(bad) | {schema.TAG_STATUS: schema.STATUS_DONE}
            self._log(run_id, metrics, fields, dict(tags or {}) | own)
            self.store.client.set_terminated(run_id)
        self._addresses.pop(run_id, None)
        return run_id

    def write_files(self, run_id: str, files: Mapping[str, artifacts.Content]) -> None:
        """Stores files with any run of this study: path inside the run -> bytes, text or a file to copy."""
        if run_id not in self._addresses:
            with explained(f"run {run_id} cannot be read"):
                self._addresses[run_id] = self.store.client.get_run(run_id).info.artifact_uri
        artifacts.write(self.store, run_id, self._addresses[run_id], files)

    def finish(self, status: str = "FINISHED") -> None:
        """Closes the parent run: FINISHED, FAILED or KILLED. Cells begun and not written whole are closed as KILLED.

        The counts of the cells written become metrics of the parent, which `overview.progress` reads.
        """
        self._finished = True
        with explained(f"study {self.study!r} cannot be closed"):
            for run_id in self._open:
                self.store.client.set_terminated(run_id, "KILLED")
            self._open.clear()
            done, failed = (float(self.counts[status]) for status in schema.STATUSES)
            self._log(self.parent_id, {(schema.CELLS_DONE, 0): done, (schema.CELLS_FAILED, 0): failed}, {})
            self.store.client.set_terminated(self.parent_id, status)

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

    def _child(self, name: str, tags: Mapping[str, str]) -> str:
        run = self.store.client.create_run(
            self.experiment_id,
            tags=_who() | {schema.TAG_PARENT: self.parent_id, schema.TAG_STUDY: self.study} | dict(tags),
            run_name=name,
        )
        self._addresses[run.info.run_id] = run.info.artifact_uri
        return str(run.info.run_id)

    def _log(
        self,
        run_id: str,
        metrics: Mapping[tuple[str, int], float],
        params: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Sends metrics, by name and step, and params in as few batches as MLflow takes; the tags with the last one.

        We cut the batches ourselves: MLflow's client would send the tags with the first.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        every_metric = [Metric(name, value, now, step) for (name, step), value in metrics.items()]
        every_param = [Param(name, as_text(value)) for name, value in params.items()]
        every_tag = [RunTag(name, value) for name, value in (tags or {}).items()]
        batches = _paired(_chunks(every_metric, _METRICS), _chunks(every_param, _PARAMS))
        for i, (some_metrics, some_params) in enumerate(batches):
            last = i == len(batches) - 1
            self.store.client.log_batch(run_id, some_metrics, some_params, every_tag if last else ())


def _who() -> dict[str, str]:
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
