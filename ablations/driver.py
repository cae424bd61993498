"""The composition root: pending cells -> stacks -> events -> tracking. The only place that writes to MLflow."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from ablations import plan as planning
from ablations.executors.local import CellResult, EpochDone, Event, Preparing, Workshop, run_stacks
from ablations.grid import RESULTS_VERSION, Cell
from ablations.pictures import png_files
from ablations.plan import Plan
from ablations.study import to_toml
from reports.claims.load import claims_hash
from reports.page.tables import arm_means
from tracking import schema
from tracking.models import log_torch_model
from tracking.reader import read_cells
from tracking.records import CellRecord
from tracking.store import Store
from tracking.writer import StudyWriter, open_study
from vae.losses import loss
from vae.metrics.similarity import ssim_window
from vae.models import Reconstructor

LIVE_FROM = 0.25  # seconds per cell and epoch from which epochs are sent as they come: some 10 ms each, so under 5 %
PLAN_FILE = "plan.json"  # every cell asked for: what a report holds the results against
PACKAGES = ("torch", "torchvision", "numpy", "scikit-image", "scikit-learn", "scipy", "mlflow")


@dataclass
class Outcome:
    """How a run ended. done, failed: cells of this run. interrupted: stopped by the person. The seconds say where the
    time went."""

    done: int = 0
    failed: int = 0
    interrupted: bool = False
    seconds: float = 0.0
    preparing: float = 0.0
    training: float = 0.0
    measuring: float = 0.0
    tracking: float = 0.0
    states: dict[str, tuple[float, Cell, dict[str, torch.Tensor]]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all done, 3 finished with failed cells, 130 interrupted."""
        return 130 if self.interrupted else 3 if self.failed else 0


def execute(plan: Plan, shop: Workshop, store: Store, listen: Callable[[Event], None]) -> Outcome:
    """Train and measure what is pending, and write every cell as soon as it is finished.

    Stopping it, by Ctrl-C or by death, loses the stack in hand and nothing else.
    """
    outcome, started = Outcome(), perf_counter()
    stacks = planning.cut(plan, shop)
    if stacks:
        listen(Preparing())
        shop.evaluator.prepare()
        listen(Preparing(done=True))
    outcome.preparing = perf_counter() - started
    with open_study(store, plan.study.name, _study_fields(plan), _study_files(plan, shop), _study_tags()) as writer:
        try:
            live: dict[Cell, str] = {}
            for event in run_stacks(shop, stacks):
                if isinstance(event, CellResult):
                    _write(writer, plan, event, outcome, live.pop(event.cell, None))
                elif isinstance(event, EpochDone):
                    _show(writer, plan, event, outcome, live)
                listen(event)
        except KeyboardInterrupt:
            outcome.interrupted = True
            writer.finish("KILLED")
        else:
            if outcome.done:  # else an earlier run has them
                written = perf_counter()
                _write_arms(writer, store, plan, outcome)
                outcome.tracking += perf_counter() - written
            writer.finish("FAILED" if outcome.failed else "FINISHED")
    outcome.seconds = perf_counter() - started
    return outcome


def _show(writer: StudyWriter, plan: Plan, event: EpochDone, outcome: Outcome, live: dict[Cell, str]) -> None:
    """Let MLflow's UI follow a slow stack epoch by epoch; a fast one is over before anybody looks."""
    if event.seconds < LIVE_FROM * len(event.cells):
        return
    started = perf_counter()
    for cell, row in zip(event.cells, event.rows):
        if cell not in live:
            live[cell] = writer.start_cell(plan.keys[cell], cell.label, _cell_fields(plan, cell))
        writer.log_epoch(live[cell], row)
    outcome.tracking += perf_counter() - started


def _write(writer: StudyWriter, plan: Plan, result: CellResult, outcome: Outcome, run_id: str | None) -> None:
    cell, started = result.cell, perf_counter()
    writer.write_cell(
        CellRecord(
            key=plan.keys[cell],
            name=cell.label,
            fields=_cell_fields(plan, cell) | _result_fields(result),
            metrics={} if result.failed else result.metrics,
            history=result.history,
            status=schema.STATUS_FAILED if result.failed else schema.STATUS_DONE,
            reason=result.failure,
            seconds=result.train_seconds + result.measure_seconds,
            pictures=result.pictures,
            files=png_files(result.pictures),
        ),
        run_id,
    )
    outcome.tracking += perf_counter() - started
    outcome.training += result.train_seconds
    outcome.measuring += result.measure_seconds
    outcome.failed += result.failed
    outcome.done += not result.failed
    if not result.failed:
        _keep_best(outcome, result)


def _keep_best(outcome: Outcome, result: CellResult) -> None:
    """Hold on to the best seed's weights of every arm, by −ELBO: the common yardstick of all losses."""
    label, value = result.cell.objective.label, result.metrics["neg_elbo"]
    if label not in outcome.states or value < outcome.states[label][0]:
        outcome.states[label] = (value, result.cell, result.state)


def _write_arms(writer: StudyWriter, store: Store, plan: Plan, outcome: Outcome) -> None:
    """One run per arm: its mean over seeds with its interval, and its best seed's model."""
    frame = read_cells(store, plan.keys.values(), plan.study.name, allow_missing=True)
    means = arm_means(frame)
    for label, rows in means.groupby("arm", sort=False):
        values = {column: dict(zip(rows["metric"], rows[column])) for column in ("mean", "low", "high")}
        run_id = writer.write_arm(
            str(label),
            {name: rows.iloc[0][name] for name in ("loss", "reduction", "beta", "beta_eff", "posterior")},
            means=values["mean"],
            ci_low=values["low"],
            ci_high=values["high"],
            n=int(rows["n"].max()),
        )
        if label in outcome.states:
            _, cell, state = outcome.states[str(label)]
            _write_model(store, run_id, plan, cell, state)


def _write_model(store: Store, run_id: str, plan: Plan, cell: Cell, state: dict[str, torch.Tensor]) -> None:
    if plan.study.model.conditional:
        return  # a logged model takes images alone
    model = plan.study.model.build(plan.images.image_shape, plan.images.n_classes)
    model.load_state_dict(state)
    whole = Reconstructor(model, loss(cell.objective.loss).mean).eval()
    log_torch_model(store, run_id, whole, plan.images.test[:2])


def _cell_fields(plan: Plan, cell: Cell) -> dict[str, object]:
    """What a cell is, known before it is trained."""
    study, objective = plan.study, cell.objective
    return {
        **asdict(objective),
        "beta_eff": plan.beta_eff(objective.reduction, objective.beta),
        "seed": cell.seed,
        "arm": objective.label,
        "origin": cell.origin,
        "dataset": plan.images.name,
        "data_digest": plan.images.digest,
        "family": study.model.family,
        "latents": study.model.latents,
        "conditional": study.model.conditional,
        "epochs": study.training.epochs,
        "batch_size": study.training.batch_size,
        "learning_rate": study.training.learning_rate,
        "precision": study.training.precision,
        "results_version": RESULTS_VERSION,
    }


def _result_fields(result: CellResult) -> dict[str, object]:
    return {
        "init_hash": result.init_hash,
        "order_hash": result.order_hash,
        "train_seconds": round(result.train_seconds, 3),
        "measure_seconds": round(result.measure_seconds, 3),
    }


def _study_fields(plan: Plan) -> dict[str, object]:
    return {
        "dataset": plan.images.name,
        "data_digest": plan.images.digest,
        "ssim_window": ssim_window(*plan.images.image_shape[-2:]),
        "classes": plan.images.n_classes if plan.study.model.conditional else 0,
        "arms": len(plan.objectives),
        "seeds": ",".join(map(str, plan.study.seeds)),
        "cells": len(plan.cells),
        "pending": len(plan.pending),
        "claims_hash": claims_hash(plan.claims),
        "results_version": RESULTS_VERSION,
    }


def _study_files(plan: Plan, shop: Workshop) -> Mapping[str, str]:
    claims = {
        "hash": claims_hash(plan.claims),
        "claims": [each.model_dump(mode="json") for each in plan.claims],
    }
    return {
        schema.STUDY_FILE: to_toml(plan.study),
        schema.CLAIMS_FILE: json.dumps(claims, indent=1, ensure_ascii=False),
        schema.ENVIRONMENT: json.dumps(environment(shop.device), indent=1),
        PLAN_FILE: json.dumps(planned(plan), indent=0),
    }


def planned(plan: Plan) -> list[dict[str, Any]]:
    """Every cell of the plan as plain values: what a report holds the results against."""
    return [
        {
            "key": plan.keys[cell],
            "arm": cell.objective.label,
            **asdict(cell.objective),
            "beta_eff": plan.beta_eff(cell.objective.reduction, cell.objective.beta),
            "seed": cell.seed,
            "origin": cell.origin,
        }
        for cell in plan.cells
    ]


def environment(device: torch.device) -> dict[str, Any]:
    """What the numbers were made with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": f"{device.type}: {name}, {torch.get_num_threads()} threads",
        "commit": git_commit(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def git_commit() -> str:
    """The commit of the source tree this package runs from, with ``+changes`` where it differs; empty elsewhere."""
    here = Path(__file__).resolve().parent.parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return f"{commit[:12]}{'+changes' if _git(here, 'status', '--porcelain') else ''}"
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _study_tags() -> dict[str, str]:
    commit = git_commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
