"""Made-up cells for the tests of tracking: every number distinct, so that a mix-up shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracking.opening import open_store
from tracking.records import CellRecord
from tracking.store import Store

METRICS = ("rate", "bce", "ssim", "psnr")


def fields(loss: str = "mae", beta: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """The params of a cell, types as a study has them."""
    return {
        "loss": loss,
        "reduction": "sum",
        "beta": beta,
        "beta_eff": beta * 39.2,
        "seed": seed,
        "posterior": "half-logvar",
        "arm": f"{loss}-sum-b{beta:g}",
        "origin": "grid",
        "init_hash": f"init{seed}",
        "order_hash": f"order{seed}",
        "batch_size": 128,
    }


def cell(key: str, *, loss: str = "mae", beta: float = 1.0, seed: int = 0, **changes: Any) -> CellRecord:
    """A done cell with three epochs, four metrics, two pictures and a file."""
    number = float(sum(key.encode()))
    record: dict[str, Any] = {
        "key": key,
        "name": f"{loss}-sum-b{beta:g}-s{seed}",
        "fields": fields(loss, beta, seed),
        "metrics": {name: number + i / 7 for i, name in enumerate(METRICS)},
        "history": [{"epoch": e, "train_loss": number / e, "test_rate": number + e} for e in (1, 2, 3)],
        "seconds": number / 3,
        "files": {"pictures/grid.png": b"\x89PNG" + key.encode()},
        "pictures": {
            "samples": np.full((2, 5, 7), len(key), np.uint8),
            "unit_rate": np.linspace(0, number, 4),
        },
    }
    return CellRecord(**record | changes)


def failed(key: str, *, seed: int = 0, reason: str = "the loss became NaN at epoch 2, step 17") -> CellRecord:
    """A cell that diverged in its second epoch."""
    return cell(
        key,
        seed=seed,
        status="failed",
        reason=reason,
        metrics={},
        history=[{"epoch": 1, "train_loss": 9.0}, {"epoch": 2, "train_loss": float("nan")}],
        pictures={},
    )


def local_store(folder: Path) -> Store:
    """The SQLite store of a folder, whatever the environment says."""
    return open_store("sqlite:///mlflow.db", folder=folder)
