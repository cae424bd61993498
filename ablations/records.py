"""What is written of a cell and of a study, as plain values and files; and how the results are read back."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load, save

from ablations.executors.events import CellResult, State, Trained
from ablations.grid import RESULTS_VERSION, Cell
from ablations.pictures import png_files
from ablations.plan import Plan
from ablations.study import to_toml
from reports.claims.load import claims_hash
from reports.claims.references import References
from reports.judging.floors import FIDELITY, LEAST_SHARE, Floors
from reports.page.base import ALWAYS_THERE
from tracking import schema
from tracking.reader import read_cells
from tracking.records import CellRecord
from tracking.search import Gathered, gather
from tracking.store import Store
from tracking.sums import Damage
from tracking.weights import KeptCell
from vae.arms import Arm
from vae.factors import factors
from vae.metrics.similarity import ssim_window

PACKAGES = ("torch", "torchvision", "numpy", "scikit-image", "scikit-learn", "scipy", "mlflow")
AT_FLOOR = (
    f"At the floor: by every metric of fidelity ({', '.join(FIDELITY)}) this arm is less than {LEAST_SHARE:.0%} of the "
    "way from a model without latents to the original images. Its pictures show nothing of their originals."
)


def cell_record(plan: Plan, result: CellResult, *, with_weights: bool, tags: Mapping[str, str]) -> CellRecord:
    """A finished cell, as it is tracked. with_weights: its weights are kept in its run. tags: further ones."""
    cell, failed = result.cell, result.failed
    kept = plan.kept.get(cell)
    further = {
        **{name: result.trained.hashes.get(name, "") for name in schema.HASHES},
        "train_seconds": round(result.trained.seconds, 3),
        "measure_seconds": round(result.seconds, 3),
    }
    return CellRecord(
        key=plan.keys[cell],
        name=cell.label,
        fields=cell_fields(plan, cell) | further,
        metrics={} if failed else result.metrics,
        history=result.trained.history,
        status=schema.STATUS_FAILED if failed else schema.STATUS_DONE,
        reason=result.failure,
        seconds=result.trained.seconds + result.seconds,
        pictures=result.pictures,
        per_image=result.per_image,
        files=png_files(result.pictures),
        measures="" if failed else plan.measures,
        tags=tags,
        weights=weights_file(result.state) if with_weights else None,
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
    return load(content)


def trained_of(kept: KeptCell) -> Trained:
    """What was recorded of the training of a cell whose weights are kept."""
    seconds = kept.params.get("train_seconds", "")
    hashes = {name: kept.params.get(name, "") for name in schema.HASHES}
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


def study_files(
    plan: Plan, device: torch.device, commit: str, references: References | None = None
) -> Mapping[str, str]:
    """The study, its claims, its plan, its environment and what its images give: a report needs nothing else but the
    cells."""
    claims = {
        "hash": claims_hash(plan.claims),
        "registrations": [registration.model_dump(mode="json") for registration in plan.registrations],
        "claims": [claim.model_dump(mode="json") for claim in plan.claims],
    }
    return {
        schema.STUDY_FILE: to_toml(plan.study),
        schema.CLAIMS_FILE: json.dumps(claims, indent=1, ensure_ascii=False),
        schema.ENVIRONMENT: json.dumps(environment(device, commit), indent=1),
        schema.PLAN_FILE: json.dumps(planned(plan), indent=0),
    } | ({} if references is None else {schema.REFERENCES: references.to_json()})


def floor_tags(arm: Arm, means: Mapping[str, float], floors: Floors) -> dict[str, str]:
    """Tags of an arm that carries nothing; none of any other. means: by metric, over its seeds."""
    if not floors.carries_nothing(arm, means):
        return {}
    return {schema.TAG_AT_FLOOR: "yes", schema.TAG_NOTE: AT_FLOOR}


def planned(plan: Plan) -> list[dict[str, Any]]:
    """Every cell of the plan as plain values: what a report holds the results against."""
    shown = dict.fromkeys((*ALWAYS_THERE, *plan.varied))
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


def read_results(
    store: Store, planned: pd.DataFrame, study: str, damage: list[Damage] | None = None
) -> tuple[Gathered, pd.DataFrame]:
    """The runs of the planned cells, and the frame of those that there are.

    planned: as `planned` gives it, one row per cell. The frame has the same columns of factors. A cell that another
    study trained carries that study's label and origin; here it has the plan's. damage: takes cells that cannot be
    trusted, which are then left out.
    """
    cells = gather(store, dict(zip(planned["key"], planned["measures"])), study)
    known = factors()
    further = [name for name in planned.columns if name in known and name not in ALWAYS_THERE]
    parsers = {name: known[name].parse for name in further}
    frame = read_cells(store, cells, parsers=parsers, allow_missing=True, damage=damage)
    by_key = planned.set_index("key")
    for column in ("arm", "origin"):
        frame[column] = frame["key"].map(by_key[column])
    read = {key: cells.runs[key] for key in frame["key"]}
    return dataclasses.replace(cells, runs=read), frame


def environment(device: torch.device, commit: str) -> dict[str, Any]:
    """What the numbers were made with. commit: as `git_commit` gives it."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": f"{device.type}: {name}, {torch.get_num_threads()} threads",
        "commit": commit,
        "versions": {package: metadata.version(package) for package in PACKAGES},
    }


def git_commit() -> str:
    """The commit of the source tree this package runs from, with ``+changes`` where it differs; empty elsewhere."""
    folder = Path(__file__).resolve().parent.parent

    def git(*command: str) -> str:
        arguments = ["git", "-C", str(folder), *command]
        return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return f"{git('rev-parse', 'HEAD')[:12]}{'+changes' if git('status', '--porcelain') else ''}"
    except (OSError, subprocess.SubprocessError):
        return ""


def study_tags(commit: str) -> dict[str, str]:
    """Tags of an invocation."""
    return {"mlflow.source.git.commit": commit} if commit else {}
