"""What is written of a cell and of a study: their fields, as plain values, and their files."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from ablations.executors.events import CellResult, State, Trained
from ablations.grid import RESULTS_VERSION, Cell
from ablations.pictures import png_files
from ablations.plan import Plan
from ablations.results import ALWAYS
from ablations.study import to_toml
from reports.claims.load import claims_hash
from tracking import schema
from tracking.records import CellRecord
from tracking.weights import KeptCell
from vae.arms import Arm
from vae.factors import factors
from vae.metrics.similarity import ssim_window

PLAN_FILE = "plan.json"  # every cell asked for: what a report holds the results against
PACKAGES = ("torch", "torchvision", "numpy", "scikit-image", "scikit-learn", "scipy", "mlflow")
HASHES = ("init_hash", "order_hash", "noise_hash")


def cell_record(plan: Plan, result: CellResult) -> CellRecord:
    """A finished cell, as it is tracked. Weights are written with it where all are kept."""
    cell, failed = result.cell, result.failed
    kept = plan.kept.get(cell)
    keeps = plan.study.storage.weights == "all" and kept is None and not failed
    return CellRecord(
        key=plan.keys[cell],
        name=cell.label,
        fields=cell_fields(plan, cell) | _result_fields(result),
        metrics={} if failed else result.metrics,
        history=result.trained.history,
        status=schema.STATUS_FAILED if failed else schema.STATUS_DONE,
        reason=result.failure,
        seconds=result.trained.seconds + result.seconds,
        pictures=result.pictures,
        files=png_files(result.pictures),
        measures="" if failed else plan.measures,
        weights=weights_file(result.state) if keeps else None,
        weights_of=None if failed else kept,
    )


def weights_file(state: State) -> bytes:
    """Weights in the safetensors format.

    >>> state_of(weights_file({"bias": torch.ones(3)}))["bias"]
    tensor([1., 1., 1.])
    """
    return bytes(save({name: value.contiguous() for name, value in state.items()}))


def state_of(content: bytes) -> State:
    """The weights of such a file: no code is run to read it."""
    state: State = load(content)
    return state


def trained_of(kept: KeptCell) -> Trained:
    """What was recorded of the training of a cell whose weights are kept."""
    seconds = kept.params.get("train_seconds", "")
    hashes = {name: kept.params.get(name, "") for name in HASHES}
    return Trained(kept.history, hashes, float(seconds) if seconds else 0.0)


def cell_fields(plan: Plan, cell: Cell) -> dict[str, object]:
    """What a cell is, known before it is trained: the value of every factor, and where it belongs."""
    return {
        **settings_as_text(cell.arm),
        "beta_eff": plan.beta_eff(cell.arm),
        "seed": cell.seed,
        "arm": cell.arm_label,
        "origin": cell.origin,
        "dataset": plan.images.name,
        "data_digest": plan.images.digest,
        "results_version": RESULTS_VERSION,
    }


def settings_as_text(arm: Arm) -> dict[str, str]:
    """Factor -> value as text, which the factor reads back."""
    known = factors()
    return {name: known[name].text(value) for name, value in arm.items}


def _result_fields(result: CellResult) -> dict[str, object]:
    hashes = {name: result.trained.hashes.get(name, "") for name in HASHES}
    return {
        **hashes,
        "train_seconds": round(result.trained.seconds, 3),
        "measure_seconds": round(result.seconds, 3),
    }


def study_fields(plan: Plan) -> dict[str, object]:
    """What one invocation of a study is."""
    conditional = any(arm["model.conditional"] for arm in plan.arms)
    return {
        "dataset": plan.images.name,
        "data_digest": plan.images.digest,
        "ssim_window": ssim_window(*plan.images.image_shape[-2:]),
        "classes": plan.images.n_classes if conditional else 0,
        "arms": len(plan.arms),
        "varied": ", ".join(plan.varied),
        "seeds": ",".join(map(str, plan.study.seeds)),
        schema.CELLS: len(plan.cells),
        schema.PENDING: len(plan.pending),
        "claims_hash": claims_hash(plan.claims),
        "measures": plan.measures,
        "results_version": RESULTS_VERSION,
    }


def study_files(plan: Plan, device: torch.device) -> Mapping[str, str]:
    """The study, its claims, its plan and its environment: a report needs nothing else but the cells."""
    claims = {
        "hash": claims_hash(plan.claims),
        "claims": [claim.model_dump(mode="json") for claim in plan.claims],
    }
    return {
        schema.STUDY_FILE: to_toml(plan.study),
        schema.CLAIMS_FILE: json.dumps(claims, indent=1, ensure_ascii=False),
        schema.ENVIRONMENT: json.dumps(environment(device), indent=1),
        PLAN_FILE: json.dumps(planned(plan), indent=0),
    }


def planned(plan: Plan) -> list[dict[str, Any]]:
    """Every cell of the plan as plain values: what a report holds the results against."""
    shown = dict.fromkeys((*ALWAYS, *plan.varied))
    return [
        {
            "key": plan.keys[cell],
            "measures": plan.measures,
            "arm": cell.arm_label,
            **{name: cell.arm.get(name) for name in shown},
            "beta_eff": plan.beta_eff(cell.arm),
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


def study_tags() -> dict[str, str]:
    """Tags of an invocation."""
    commit = git_commit()
    return {"mlflow.source.git.commit": commit} if commit else {}
