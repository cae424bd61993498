"""The driver: pending cells -> executor -> events -> tracking. The only module that writes to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from time import perf_counter

import pandas as pd
import torch

from ablations.best import CRITERION, TAG_BEST, BestSeeds
from ablations.executors.events import CellResult, EpochDone, Event, Executor, KeptWeights, Preparing, State
from ablations.grid import Cell
from ablations.plan import Plan
from ablations.records import (
    cell_fields,
    cell_record,
    floor_tags,
    git_commit,
    planned,
    read_results,
    settings_as_text,
    state_of,
    study_fields,
    study_files,
    study_tags,
    trained_of,
)
from reports.claims.references import References
from reports.judging.floors import Floors
from reports.page.tables import arm_means
from tracking.errors import TrackingError
from tracking.models import log_torch_model
from tracking.search import completed
from tracking.store import Store
from tracking.weights import KeptCell, kept, read_weights
from tracking.writer import StudyWriter, open_study
from vae.building import build
from vae.losses import loss
from vae.models import Reconstructor

LIVE_FROM = 0.25  # seconds per cell and epoch from which epochs are sent as they come: some 10 ms each, so under 5 %
STAGES = ("preparing", "training", "measuring", "tracking")


@dataclass
class Outcome:
    """How a run ended. done, failed: cells of this run. remeasured: those of them measured from kept weights.
    interrupted: by the user. seconds: by stage."""

    done: int = 0
    remeasured: int = 0
    failed: int = 0
    interrupted: bool = False
    total: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @property
    def exit_code(self) -> int:
        """0 all done, 3 finished with failed cells, 130 interrupted."""
        return 130 if self.interrupted else 3 if self.failed else 0


def with_stored(plan: Plan, store: Store) -> Plan:
    """The plan, knowing what the store holds of it: results, and weights that can be measured again.

    Weights are read once to know that they can be: a cell whose file is damaged or gone is to be trained.
    """
    done = completed(store, plan.wanted, plan.study.name)
    missing = [key for key in plan.wanted if key not in done]
    held = kept(store, missing, plan.study.name) if missing else {}
    return plan.with_stored(done, {key: cell for key, cell in held.items() if _readable(store, cell)})


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

    Stopping it, even by killing the process, loses the stack in hand and nothing else. train: False only measures.
    device: what the executor trains on, for the record. references: gives the floors and ceilings of these images,
    which are kept with the study; None leaves them out, and no arm is known to be at the floor.
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
    with open_study(store, plan.study.name, study_fields(plan), files, study_tags(commit)) as writer:
        only_best = bool(to_train) and plan.study.storage.weights == "best"
        tracker = _Tracker(writer, plan, outcome, BestSeeds(store, plan) if only_best else None)
        try:
            for event in chain(executor.measure(_kept(plan, store)), executor.train(to_train)):
                tracker.track(event)
                listen(event)
        except KeyboardInterrupt:
            outcome.interrupted = True
            writer.finish("KILLED")
        else:
            complete = train or not plan.to_train
            if outcome.done and complete:  # else an earlier run has them, or means would be of some seeds only
                tracker.write_arms(store, Floors(known))
            writer.finish("FAILED" if outcome.failed else "FINISHED")
    outcome.total = perf_counter() - started
    return outcome


def _kept(plan: Plan, store: Store) -> Iterator[KeptWeights]:
    def load(cell: KeptCell) -> State:
        return state_of(read_weights(store, cell))

    for cell in plan.to_measure:
        yield KeptWeights(cell, partial(load, plan.kept[cell]), trained_of(plan.kept[cell]))


class _Tracker:
    """Writes each event of a run, and at the end one run per arm."""

    def __init__(self, writer: StudyWriter, plan: Plan, outcome: Outcome, best_seeds: BestSeeds | None) -> None:
        """best_seeds: where only the weights of the best seed of each arm are kept."""
        self._writer, self._plan, self._outcome, self._best_seeds = writer, plan, outcome, best_seeds
        self._live: dict[Cell, str] = {}  # cells whose epochs are sent as they come -> their run
        self._best: dict[str, CellResult] = {}  # arm's label -> its best seed of this run, whose model is logged

    def track(self, event: Event) -> None:
        started = perf_counter()
        if isinstance(event, CellResult):
            self._write(event)
        elif isinstance(event, EpochDone):
            self._send_epoch(event)
        self._outcome.seconds["tracking"] += perf_counter() - started

    def _send_epoch(self, event: EpochDone) -> None:
        """Send the epochs of a slow stack as they come, for MLflow's UI; a fast one is over before anybody looks."""
        if event.seconds < LIVE_FROM * len(event.cells):
            return
        for cell, row in zip(event.cells, event.rows):
            if cell not in self._live:
                key, fields = self._plan.keys[cell], cell_fields(self._plan, cell)
                self._live[cell] = self._writer.start_cell(key, cell.label, fields)
            self._writer.log_epoch(self._live[cell], row)

    def _write(self, result: CellResult) -> None:
        is_trained, best_seeds, outcome = result.cell not in self._plan.kept, self._best_seeds, self._outcome
        is_best = best_seeds is not None and is_trained and best_seeds.improves(result)
        keeps = is_best or (is_trained and bool(result.state) and self._plan.study.storage.weights == "all")
        record = cell_record(self._plan, result, with_weights=keeps, tags={TAG_BEST: "true"} if is_best else {})
        run_id = self._writer.write_cell(record, self._live.pop(result.cell, None))
        if best_seeds is not None and is_best:
            best_seeds.replace(result, run_id)
        elif best_seeds is not None and not is_trained and not result.failed:
            best_seeds.remeasured(result)
        outcome.seconds["training"] += result.trained.seconds if is_trained else 0.0
        outcome.seconds["measuring"] += result.seconds
        outcome.failed += result.failed
        outcome.done += not result.failed
        outcome.remeasured += not result.failed and result.cell in self._plan.kept
        if not result.failed and self._plan.study.storage.weights != "none":
            self._keep_best(result)

    def _keep_best(self, result: CellResult) -> None:
        label = result.cell.arm_label
        if label not in self._best or result.metrics[CRITERION] < self._best[label].metrics[CRITERION]:
            self._best[label] = result

    def write_arms(self, store: Store, floors: Floors) -> None:
        """One run per arm: its mean over seeds with its interval, whether it is at the floor, and the model of the best
        seed of this run."""
        started, plan = perf_counter(), self._plan
        _, frame = read_results(store, pd.DataFrame(planned(plan)), plan.study.name)
        cells = {cell.arm_label: cell for cell in plan.cells}
        for label, rows in arm_means(frame).groupby("arm", sort=False):
            values = {column: dict(zip(rows["metric"], rows[column])) for column in ("mean", "low", "high")}
            cell = cells[str(label)]
            run_id = self._writer.write_arm(
                str(label),
                {**settings_as_text(cell.arm), "beta_eff": plan.beta_eff(cell.arm)},
                means=values["mean"],
                ci_low=values["low"],
                ci_high=values["high"],
                n=int(rows["n"].max()),
                tags=floor_tags(cell.arm, values["mean"], floors),
            )
            if label in self._best:
                best = self._best[str(label)]
                _write_model(store, run_id, plan, best.cell, best.state)
        self._outcome.seconds["tracking"] += perf_counter() - started


def _write_model(store: Store, run_id: str, plan: Plan, cell: Cell, state: State) -> None:
    if cell.arm["model.conditional"]:
        return  # a logged model takes images alone
    model = build(cell.arm, plan.images.image_shape, plan.images.n_classes)
    model.load_state_dict(dict(state))
    whole = Reconstructor(model, loss(cell.arm.loss).mean, cell.arm.posterior).eval()
    log_torch_model(store, run_id, whole, plan.images.test[:2])
