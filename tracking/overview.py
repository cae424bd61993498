"""How far each study is, from the counts that its latest run keeps: no cell is read once that run has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tracking import schema
from tracking.dead_runs import is_dead
from tracking.search import children, parents
from tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class StudyProgress:
    """The latest invocation of a study.

    started: UTC. status: MLflow's in lower case, or 'killed' where the process that wrote it is known to be dead.
    cells: how many the study has. done: of these, before this invocation or in it. failed: in this invocation.
    """

    study: str
    run_id: str
    started: datetime
    status: str
    cells: int
    done: int
    failed: int


def progress(store: Store) -> list[StudyProgress]:
    """The latest invocation of every study in the store, newest first."""
    latest: dict[str, Run] = {}
    for run in parents(store):
        latest.setdefault(run.data.tags.get(schema.TAG_STUDY, ""), run)
    return [_progress(store, run) for run in latest.values()]


def _progress(store: Store, run: Run) -> StudyProgress:
    killed = run.info.status == "RUNNING" and is_dead(run.data.tags.get(schema.TAG_PROCESS, ""))
    cells = int(run.data.params.get(schema.CELLS, 0))
    done, failed = _counts(store, run)
    return StudyProgress(
        study=run.data.tags.get(schema.TAG_STUDY, ""),
        run_id=run.info.run_id,
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        status="killed" if killed else run.info.status.lower(),
        cells=cells,
        done=cells - int(run.data.params.get(schema.PENDING, cells)) + done,
        failed=failed,
    )


def _counts(store: Store, run: Run) -> tuple[int, int]:
    """How many cells of an invocation are done and how many have failed; counted one by one only until it has ended."""
    metrics = run.data.metrics
    if schema.CELLS_DONE in metrics and schema.CELLS_FAILED in metrics:  # written when it ended
        return int(metrics[schema.CELLS_DONE]), int(metrics[schema.CELLS_FAILED])
    statuses = [child.data.tags.get(schema.TAG_STATUS) for child in children(store, run)]
    return statuses.count(schema.STATUS_DONE), statuses.count(schema.STATUS_FAILED)
