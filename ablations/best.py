"""`[storage] weights = "best"`: of each arm, the weights of one seed are kept, over all runs of the study.

The best seed is the one with the lowest −ELBO, the common measure of all losses. A trained cell is compared with every
seed of its arm whose weights the study holds already; where it is better, its weights are written with it, and only
then those of the earlier best are deleted. So a run that is stopped at any point has lost none. Weights that were kept
under `"all"` take part in the comparison and are never deleted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ablations.executors.events import CellResult
from ablations.grid import Cell
from ablations.plan import Plan
from tracking.errors import explained
from tracking.schema import FINAL, TAG_KEY, TAG_WEIGHTS, WEIGHTS
from tracking.search import done_runs
from tracking.store import Store, local_folder
from vae.arms import Arm

if TYPE_CHECKING:
    from mlflow.entities import Run

CRITERION = "neg_elbo"
TAG_BEST = "ablate.best"  # on a cell whose weights are kept only because it is the best seed of its arm


class BestSeeds:
    """The seeds of each arm whose weights a study holds, with their −ELBO."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store, self._plan = store, plan
        self._values: dict[Arm, dict[str, float]] = defaultdict(dict)  # arm -> key of a cell -> its −ELBO
        self._marked: dict[Arm, list[str]] = defaultdict(list)  # arm -> runs that hold weights as its best
        unreadable = {plan.keys[cell] for cell in plan.to_train}  # else nobody would train these again
        for arm, run in _holders(store, plan):
            if run.data.tags[TAG_KEY] not in unreadable:
                self._values[arm][run.data.tags[TAG_KEY]] = run.data.metrics.get(FINAL + CRITERION, math.inf)
            if TAG_BEST in run.data.tags:
                self._marked[arm].append(run.info.run_id)

    def improves(self, result: CellResult) -> bool:
        """Whether a cell that was just trained is better than every seed of its arm whose weights are held."""
        value = result.metrics.get(CRITERION, math.nan)
        return value < min(self._values[result.cell.arm].values(), default=math.inf)

    def remeasured(self, result: CellResult) -> None:
        """Note the new −ELBO of a cell whose weights are held."""
        self._values[result.cell.arm][self._plan.keys[result.cell]] = result.metrics[CRITERION]

    def take(self, result: CellResult) -> None:
        """Note that a cell is the best of its arm: what comes after is compared with it."""
        self._values[result.cell.arm][self._plan.keys[result.cell]] = result.metrics[CRITERION]

    def replace(self, arm: Arm, run_id: str) -> None:
        """Delete the weights of the earlier best of an arm; those of the new one lie in its run already.

        Called by the thread that sends, in the order in which cells were taken.
        """
        for earlier in self._marked[arm]:
            if earlier != run_id:
                delete_weights(self._store, earlier)
        self._marked[arm] = [run_id]


def _holders(store: Store, plan: Plan) -> Iterator[tuple[Arm, Run]]:
    """The runs of the study that hold weights of the plan's arms, of any seed."""
    runs = done_runs(store, None, plan.study.name, enough=lambda run: True)
    holders = [run for run in runs if run.data.tags.get(TAG_WEIGHTS) == run.info.run_id]
    seeds = {int(run.data.params["seed"]) for run in holders}
    arms = {plan.key_of(Cell(arm, seed)): arm for arm in plan.arms for seed in seeds}
    return ((arms[key], run) for run in holders if (key := run.data.tags[TAG_KEY]) in arms)


def delete_weights(store: Store, run_id: str) -> None:
    """The tag goes first: without it nothing looks for the file."""
    with explained(f"the weights of run {run_id} cannot be deleted"):
        run = store.client.get_run(run_id)
        if TAG_WEIGHTS in run.data.tags:  # else an earlier call has had no answer
            store.client.delete_tag(run_id, TAG_WEIGHTS)
        address = run.info.artifact_uri
        if (folder := local_folder(address)) is not None:
            (folder / WEIGHTS).unlink(missing_ok=True)
            return
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        get_artifact_repository(address, tracking_uri=store.uri).delete_artifacts(WEIGHTS)
