"""What is written of a study when its cells are done: one run per arm, with its means, its interval and a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from ablations.best import CRITERION
from ablations.grid import Cell
from ablations.plan import Plan
from ablations.records import floor_tags, planned, read_results, settings_as_text, state_of
from reports.judging.floors import Floors
from reports.page.tables import arm_means
from tracking import schema
from tracking.errors import TrackingError
from tracking.models import log_torch_model
from tracking.reader import latest
from tracking.retries import GaveUp, Retries
from tracking.search import Gathered
from tracking.store import Store
from tracking.weights import weights_behind
from tracking.writer import StudyWriter
from vae.building import build
from vae.losses import loss
from vae.models import Reconstructor

if TYPE_CHECKING:
    from mlflow.entities import Run

ENDED = ("FINISHED", "FAILED")  # not interrupted, nor killed: the runs of its arms are written


def stands(store: Store, study: str, files: Mapping[str, str]) -> bool:
    """Whether the latest run of a study has ended whole and holds these files, those that say what it was run with.

    Its environment may be another: nothing would be done in this one.
    """
    info = latest(store, study, files)
    wanted = {name: text for name, text in files.items() if name != schema.ENVIRONMENT}
    return info is not None and not info.damage and info.status in ENDED and wanted.items() <= info.artifacts.items()


def write_arms(writer: StudyWriter, store: Store, plan: Plan, floors: Floors, calls: Retries) -> None:
    """One run per arm: its mean over seeds with its interval, whether it is at the floor, and the model of the best
    seed whose weights are kept."""
    cells, frame = calls.call(lambda: read_results(store, pd.DataFrame(planned(plan)), plan.study.name))
    if frame.empty:
        return
    by_label = {cell.arm_label: cell for cell in plan.cells}
    best = _best(frame, cells)
    for label, rows in arm_means(frame).groupby("arm", sort=False):
        values = {column: dict(zip(rows["metric"], rows[column])) for column in ("mean", "low", "high")}
        cell = by_label[str(label)]
        run_id = writer.write_arm(
            str(label),
            {**settings_as_text(cell.arm), "beta_eff": plan.beta_eff(cell.arm)},
            means=values["mean"],
            ci_low=values["low"],
            ci_high=values["high"],
            n=int(rows["n"].max()),
            tags=floor_tags(cell.arm, values["mean"], floors),
        )
        if str(label) in best and not cell.arm["model.conditional"]:  # a logged model takes images alone
            _write_model(writer, run_id, plan, cell, cells.runs[best[str(label)]], calls)


def _best(frame: pd.DataFrame, cells: Gathered) -> dict[str, str]:
    """Arm -> key of its best seed whose weights are kept."""
    kept = {key for key, run in cells.runs.items() if schema.TAG_WEIGHTS in run.data.tags}
    measured = frame[frame["key"].isin(kept) & (frame["status"] == schema.STATUS_DONE)].dropna(subset=[CRITERION])
    best = measured.sort_values(CRITERION, kind="stable").drop_duplicates("arm")
    return dict(zip(best["arm"], best["key"]))


def _write_model(writer: StudyWriter, run_id: str, plan: Plan, cell: Cell, trained: Run, calls: Retries) -> None:
    try:
        weights = calls.call(partial(weights_behind, writer.store, trained))
    except GaveUp:
        raise
    except TrackingError:  # the file is lost or damaged: the cell's numbers are still there
        return
    if weights is None:
        return
    model = build(cell.arm, plan.images.image_shape, plan.images.n_classes)
    model.load_state_dict(dict(state_of(weights)))
    whole = Reconstructor(model, loss(cell.arm.loss).mean, cell.arm.posterior).eval()
    log_torch_model(writer.store, run_id, whole, plan.images.test[:2], calls, experiment_id=writer.experiment_id)
