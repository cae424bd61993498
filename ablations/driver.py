"""The driver: pending cells -> executor -> events -> spool -> tracking. The only module that writes to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter

import torch

from ablations.best import TAG_BEST, BestSeeds
from ablations.executors.events import (
    CellResult,
    EpochDone,
    Event,
    Executor,
    KeptWeights,
    Notice,
    Preparing,
    State,
)
from ablations.plan import Plan
from ablations.records import (
    cell_fields,
    cell_record,
    git_commit,
    state_of,
    study_fields,
    study_files,
    study_tags,
    trained_of,
)
from ablations.summaries import stands, write_arms
from reports.claims.references import References
from reports.judging.floors import Floors
from tracking.errors import TrackingError, shorten
from tracking.parts import check_cells
from tracking.retries import GaveUp, Retries, patience, without_mlflows_own
from tracking.schema import TAG_DAMAGED
from tracking.search import gather, is_done
from tracking.sender import Left, Sender, send_left
from tracking.spool import Spool
from tracking.store import Store
from tracking.values import TAG_LIMIT
from tracking.weights import KeptCell, kept, read_weights
from tracking.writer import StudyWriter, open_study
from vae.cache import user_cache

LIVE_FROM = 0.25  # seconds per cell and epoch from which epochs are sent as they come: some 10 ms each, so under 5 %
STAGES = ("preparing", "training", "measuring", "tracking")
TRACKER_GONE = 4  # exit code of a run whose tracker did not come back
INTERRUPTED_PATIENCE = 5.0  # seconds that a run which was interrupted waits for a tracker that does not answer


@dataclass
class Outcome:
    """How a run ended.

    done, failed: cells of this run. remeasured: those of them measured from kept weights. interrupted: by the user.
    gone: why the tracker was given up; empty where it was not. unsent: cells that wait for it in spool, a folder. idle:
    nothing was to be done, and nothing was written. seconds: by stage, as the run had to wait for each.
    """

    done: int = 0
    remeasured: int = 0
    failed: int = 0
    interrupted: bool = False
    gone: str = ""
    unsent: int = 0
    spool: Path | None = None
    idle: bool = False
    total: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @property
    def exit_code(self) -> int:
        """0 all done, 3 finished with failed cells, 4 the tracker is gone, 130 interrupted."""
        return 130 if self.interrupted else TRACKER_GONE if self.gone else 3 if self.failed else 0


def spool_of(store: Store, study: str) -> Spool:
    """Where the finished cells of a study wait for this store."""
    return Spool.of(store, study, user_cache())


def sync(store: Store, study: str) -> Left:
    """Send what earlier runs of a study have left in the spool. A tracker that stops answering is waited for as at the
    end of a run."""
    with without_mlflows_own():
        return send_left(store, study, spool_of(store, study), Retries(patience()))


def with_stored(plan: Plan, store: Store) -> Plan:
    """The plan, knowing what the store holds of it: results, and weights that can be measured again.

    Results in the spool count; those of which a part is damaged do not.

    Weights are read once to know that they can be: a cell whose file is damaged or gone is to be trained.
    """
    stored = gather(store, plan.wanted, plan.study.name)
    spooled = spool_of(store, plan.study.name).keys()
    damage = check_cells(store, {key: run for key, run in stored.runs.items() if is_done(run)})
    done = {key for key, run in stored.runs.items() if is_done(run) and key not in damage}
    done |= {key for key, measures in plan.wanted.items() if spooled.get(key) == measures}
    missing = [key for key in plan.wanted if key not in done]
    held = kept(store, missing, plan.study.name) if missing else {}
    return plan.with_stored(done, {key: cell for key, cell in held.items() if _readable(store, cell)}, stored, damage)


def _readable(store: Store, kept_cell: KeptCell) -> bool:
    try:
        read_weights(store, kept_cell)
    except TrackingError:
        return False
    return True


def execute(
    plan: Plan,
    executor: Executor,
    store: Store,
    listen: Callable[[Event], None],
    *,
    device: torch.device,
    train: bool = True,
    references: Callable[[], References] | None = None,
) -> Outcome:
    """Measure kept weights, train and measure what is pending, and write every cell as soon as it is finished.

    Stopping it, even by killing the process, loses the stack in hand and nothing else; nor does a tracker that goes
    away, for what it has not taken waits in the spool. Where nothing is to be done and the study's latest run says all
    that this one would, nothing is written. train: False only measures. device: what the executor trains on, for the
    record. references: gives the floors and ceilings of these images, which are kept with the study; None leaves them
    out, and no arm is known to be at the floor.
    """
    outcome, started = Outcome(), perf_counter()
    to_train = plan.to_train if train else ()
    if plan.to_measure or to_train:
        listen(Preparing())
        executor.prepare()
        listen(Preparing(done=True))
    known = None if references is None else references()
    outcome.seconds["preparing"] = perf_counter() - started
    commit = git_commit()
    files = study_files(plan, device, commit, known)
    ended_whole = stands(store, plan.study.name, files)
    if ended_whole and not plan.to_measure and not to_train:
        outcome.idle = True
        return outcome
    calls, own = Retries(patience()), (study_fields(plan), files, study_tags(commit))
    with without_mlflows_own(), open_study(store, plan.study.name, *own, retries=calls) as writer:
        for run_id, sentences in plan.set_aside:
            calls.call(partial(store.client.set_tag, run_id, TAG_DAMAGED, shorten(sentences, TAG_LIMIT)))
        calls.wait_for_ever()
        tracker = _Tracker(writer, plan, store, outcome, calls, listen)
        events = chain(executor.measure(_kept(plan, store)), executor.train(to_train))
        try:
            tracker.follow(events)
        except KeyboardInterrupt:
            outcome.interrupted = True
        complete = train or not plan.to_train  # else means would be of some seeds only
        tracker.finish(Floors(known) if complete and (outcome.done or not ended_whole) else None)
    outcome.total = perf_counter() - started
    return outcome


def _kept(plan: Plan, store: Store) -> Iterator[KeptWeights]:
    def load(cell: KeptCell) -> State:
        return state_of(Retries(patience()).call(partial(read_weights, store, cell)))

    for cell in plan.to_measure:
        yield KeptWeights(cell, partial(load, plan.kept[cell]), trained_of(plan.kept[cell]))


class _Tracker:
    """Hands each event of a run to the thread that sends, and at the end writes one run per arm."""

    def __init__(
        self,
        writer: StudyWriter,
        plan: Plan,
        store: Store,
        outcome: Outcome,
        calls: Retries,
        listen: Callable[[Event], None],
    ) -> None:
        only_best = bool(plan.to_train) and plan.study.storage.weights == "best"
        self._best_seeds = BestSeeds(store, plan) if only_best else None
        self._writer, self._plan, self._store, self._outcome = writer, plan, store, outcome
        self._calls, self._listen = calls, listen
        self._spool = spool_of(store, plan.study.name)
        self._sender = Sender(writer, self._spool, calls)
        self._away = False

    def follow(self, events: Iterator[Event]) -> None:
        """Put every result into the spool. Raises TrackingError where the tracker refuses a cell for good."""
        try:
            for event in events:
                started = perf_counter()
                if isinstance(event, CellResult):
                    self._put(event)
                elif isinstance(event, EpochDone):
                    self._put_epoch(event)
                self._outcome.seconds["tracking"] += perf_counter() - started
                self._listen(event)
                self._tell()
        except TrackingError:
            self._sender.drain(INTERRUPTED_PATIENCE)
            raise

    def _tell(self) -> None:
        """Once when the tracker stops answering, and once when it is back."""
        trouble = self._sender.trouble
        if bool(trouble) != self._away:
            self._away = bool(trouble)
            away = f"the tracker does not answer ({trouble}): the run goes on, and its cells wait on disk"
            self._listen(Notice(away if trouble else "the tracker answers again"))

    def _put_epoch(self, event: EpochDone) -> None:
        """Send the epochs of a slow stack as they come, for MLflow's UI; a fast one is over before anybody looks."""
        if event.seconds < LIVE_FROM * len(event.cells):
            return
        for cell, row in zip(event.cells, event.rows):
            self._sender.put_epoch(self._plan.keys[cell], cell.label, cell_fields(self._plan, cell), row)

    def _put(self, result: CellResult) -> None:
        is_trained, best_seeds, outcome = result.cell not in self._plan.kept, self._best_seeds, self._outcome
        is_best = best_seeds is not None and is_trained and best_seeds.improves(result)
        keeps = is_best or (is_trained and bool(result.state) and self._plan.study.storage.weights == "all")
        tags = {TAG_BEST: "true"} if is_best else {}
        record = partial(cell_record, self._plan, result, with_weights=keeps, tags=tags)
        replace = partial(best_seeds.replace, result.cell.arm) if best_seeds is not None and is_best else None
        self._sender.put_cell(record, replace)
        if result.last:  # its checkpoint goes next: the cells must be on disk before
            self._sender.settle()
        if best_seeds is not None and is_best:
            best_seeds.take(result)
        elif best_seeds is not None and not is_trained and not result.failed:
            best_seeds.remeasured(result)
        outcome.seconds["training"] += result.trained.seconds if is_trained else 0.0
        outcome.seconds["measuring"] += result.seconds
        outcome.failed += result.failed
        outcome.done += not result.failed
        outcome.remeasured += not result.failed and result.cell in self._plan.kept

    def finish(self, floors: Floors | None) -> None:
        """Send all that waits, write the runs of the arms, and close the parent run. floors: None for no such runs.

        Where the tracker is gone, the outcome says so.
        """
        started, outcome = perf_counter(), self._outcome
        outcome.gone = self._sender.drain(INTERRUPTED_PATIENCE if outcome.interrupted else patience())
        try:
            self._sender.check()
            if not outcome.gone:
                if floors is not None and not outcome.interrupted:
                    write_arms(self._writer, self._store, self._plan, floors, self._calls)
                status = "KILLED" if outcome.interrupted else "FAILED" if outcome.failed else "FINISHED"
                self._writer.finish(status)
        except GaveUp:
            outcome.gone = self._calls.trouble
        except KeyboardInterrupt:  # the second one: nothing more is waited for
            self._writer.abandon()
            raise
        finally:
            if outcome.gone:
                self._writer.abandon()
            outcome.unsent, outcome.spool = self._spool.count(), self._spool.folder
            self._spool.tidy()
            outcome.seconds["tracking"] += perf_counter() - started
