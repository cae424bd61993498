"""Small made-up frames and claims, for the tests of the verdicts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.claims.load import Claim, load_claims, parse_claims
from reports.claims.references import References
from reports.claims.resolve import resolve
from vae.arms import Arm
from vae.factors import factors

SEEDS = 8
NOISE = np.array([0.31, -0.42, 0.05, -0.17, 0.23, -0.28, 0.46, -0.18])  # mean 0, sd about .3: one draw of noise


def arm(
    label: str, values: Mapping[str, Sequence[float]], beta_eff: float | None = None, **fields: Any
) -> pd.DataFrame:
    """The cells of one arm, one a seed: `label` is "mae-sum-1" or "bce-sum-1-log-std"; values: metric -> (n,).

    fields: other columns, those of factors included: `**{"model.latents": 2}`.
    """
    loss, reduction, beta, *posterior = label.split("-", 3)
    objective = {"loss": loss, "reduction": reduction, "beta": float(beta)}
    objective["posterior"] = posterior[0] if posterior else "half-logvar"
    name = Arm.of(objective | {key: value for key, value in fields.items() if key in factors()}).label()
    rows = []
    for seed in range(len(next(iter(values.values())))):
        row = {**objective, "beta_eff": objective["beta"] if beta_eff is None else beta_eff}
        row |= {"seed": seed, "status": "done", **{metric: series[seed] for metric, series in values.items()}}
        row |= {"arm": name, "origin": "grid", "key": f"{name}-{seed}", "reason": "", "seconds": 1.0}
        rows.append(row | {"init_hash": f"i{seed}", "order_hash": f"o{seed}"} | fields)
    return pd.DataFrame(rows)


def frame(*arms: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(arms, ignore_index=True)


def around(mean: float, sd: float = 0.3, seeds: int = SEEDS) -> list[float]:
    """Values over the seeds with about that mean and spread."""
    return list(mean + NOISE[:seeds] * sd / 0.3)


def two_arms(difference: float, sd: float = 0.3, seeds: int = SEEDS, metric: str = "ssim") -> pd.DataFrame:
    """MAE and MSE at the notes' setting, whose metric differs by that much, paired."""
    base = np.linspace(0, 3, seeds)  # what a seed shares over the arms, far larger than the differences
    values = [base + np.array(around(difference, sd, seeds)), base]
    return frame(*(arm(f"{loss}-sum-1", {metric: v}) for loss, v in zip(("mae", "mse"), values)))


def claims(text: str) -> tuple[Claim, ...]:
    """The claims of a file's text; names of metrics are not checked."""
    return parse_claims(tomllib.loads(text), file="sample.toml")


def one(kind: str = "greater", margin: float = 0.2, metric: str = "ssim", extra: str = "", name: str = "sample") -> str:
    """A claim file's text: MAE against MSE at the notes' setting."""
    return f"""
[[claim]]
id = "{name}"
quote = "MAE is better"
kind = "{kind}"
metric = "{metric}"
margin = {margin}
reason = "made up"
a = {{ loss = "mae", reduction = "sum", beta = 1 }}
b = {{ loss = "mse", reduction = "sum", beta = 1 }}
{extra}
"""


PREDICTED = """
[[claim]]
id = "p"
quote = "p"
kind = "predicted"
metric = "rate"
prediction = "ppca-rate"
a = { loss = "mse", beta = 1 }
share = 0.25
of = "prediction"
reason = "x"
"""

# The largest eigenvalues of MNIST's training images, rounded, as a data set to resolve claims on.
EIGENVALUES = (5.22, 3.74, 3.25, 2.84, 2.57, 2.27, 1.72, 1.52, 1.46, 1.24, 1.11, 1.07, 0.9, 0.89, 0.83, 0.78, 0.7)


def references(**changes: Any) -> References:
    """Made-up references of a data set much like MNIST."""
    floor = {"ssim": 0.2, "ssim_inverted": 0.5, "legibility": 0.1, "kid": 30.0, "frechet": 200.0, "neg_elbo": 206.0}
    usual: dict[str, Any] = {
        "floor": floor,
        "floor_with_labels": {name: value * 0.9 for name, value in floor.items()} | {"ssim": 0.3},
        "ceiling": {"ssim": 1.0, "ssim_inverted": 1.0, "legibility": 0.99, "kid": 0.0, "frechet": 0.5},
        "test_images": 10_000,
        "classes": 10,
        "pixels": 784,
        "levels": 256,
        "light_ground": False,
        "ppca": {"eigenvalues": list(EIGENVALUES)},
        "histogram": {"bits_per_dim": 1.64},
    }
    return References(**(usual | changes))


def resolved(*sources: str) -> tuple[Claim, ...]:
    """The claims of bundled files as they are judged on such a data set."""
    return resolve(load_claims(*sources), references())
