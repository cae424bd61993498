"""A made-up study, shaped like the real ones, for the tests of the report.

Rates follow the prototype figures of three losses on MNIST; the other metrics are smooth functions of the rate; noise
has a part that a seed shares over its arms, as paired training has. Pictures are scikit-learn's digits, blurred.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, zoom
from sklearn.datasets import load_digits

from reports.claims.references import References
from reports.page.build import ReportPaths, build
from reports.page.evidence import Environment, Evidence
from tests import verdict_samples
from tracking.schema import POINT
from vae.arms import Arm
from vae.factors import Value

BASE = Arm(epochs=10)
PIXELS = 784
LOSSES = ("bce", "mse", "mae")
BETAS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
RATES = {
    "bce": (54.9, 41.5, 33.4, 24.7, 15.7, 8.8),
    "mse": (38.4, 27.8, 19.0, 11.7, 5.8, 2.2),
    "mae": (44.0, 33.6, 24.0, 14.2, 7.1, 2.9),
}
# How near the metric comes to its limit with the rate: limit, drop, nats over which the drop fades.
SSIM = {"bce": (0.93, 0.72, 14.5), "mse": (0.93, 0.72, 13.4), "mae": (0.92, 0.74, 12.9)}
ACUTANCE = {"bce": (0.86, 0.56, 21.0), "mse": (0.86, 0.58, 19.0), "mae": (1.0, 0.3, 8.0)}
EVALUATED = {"bce": (62.0, 150.0, 12.0), "mse": (11.0, 42.0, 12.0), "mae": (19.0, 84.0, 12.0)}


def rate_of(loss: str, beta_eff: float) -> float:
    """Rate in nats per image: the prototype's figures, joined in log beta, fading beyond the last."""
    last = RATES[loss][-1]
    if beta_eff > BETAS[-1]:
        return float(last * (BETAS[-1] / beta_eff) ** 1.6)
    return float(np.interp(np.log(beta_eff), np.log(BETAS), RATES[loss]))


def _approach(limit: float, drop: float, scale: float, rate: float) -> float:
    return float(limit - drop * np.exp(-rate / scale))


def metrics_of(loss: str, beta_eff: float, seed_noise: Any, own_noise: Any) -> dict[str, float]:
    """One cell's metrics; seed_noise and own_noise: standard normal draws, (6,)."""
    shake = 0.6 * seed_noise + 0.4 * own_noise
    rate = rate_of(loss, beta_eff) * float(1 + 0.008 * shake[0])
    ratio = _approach(*ACUTANCE[loss], rate) + 0.004 * float(shake[1])
    off = {"bce": 0.0, "mse": 1.5, "mae": 9.0}[loss]
    bce = EVALUATED["bce"][0] + EVALUATED["bce"][1] * float(np.exp(-rate / 12)) + off + 0.2 * float(shake[2])
    return {
        "rate": rate,
        "bce": bce,
        "mse": 11 + 42 * float(np.exp(-rate / 12)) + (0 if loss == "mse" else 1.1) + 0.04 * float(shake[3]),
        "mae": 19 + 84 * float(np.exp(-rate / 12)) + (0 if loss == "mae" else 3.2) + 0.06 * float(shake[4]),
        "neg_elbo": bce + rate,
        "ssim": _approach(*SSIM[loss], rate) + 0.002 * float(shake[5]),
        "psnr": 10 + 0.21 * rate,
        "acutance": 0.671 * ratio,
        "acutance_ratio": ratio,
        "sigma_eq": max(0.0, 1.4 * (1 - ratio)),
        "n_blank": 0.0,
        "ink_ratio": {"bce": 0.985, "mse": 0.97, "mae": 0.93}[loss] + 0.004 * float(shake[2]),
        "bits_per_dim": 2.2 + 0.5 * float(np.exp(-rate / 12)) + 0.002 * float(shake[4]),
        "legibility": _approach(0.973 if loss == "mae" else 0.985, 0.6, 6.0, rate) + 0.001 * float(shake[3]),
    }


METRICS = tuple(metrics_of("bce", 1.0, np.zeros(6), np.zeros(6)))


def cells(
    losses: Sequence[str] = LOSSES,
    reductions: Sequence[str] = ("sum", "mean"),
    betas: Sequence[float] = BETAS,
    seeds: int = 8,
    claimed: Sequence[Arm] = (),
    further: Mapping[str, Sequence[Value]] | None = None,
) -> pd.DataFrame:
    """The frame of a made-up study, one row per cell, all of them done.

    claimed: arms that claims added. further: factors beyond loss, reduction and beta that the grid varies, by name.
    """
    rng = np.random.default_rng(7)
    shared = rng.standard_normal((seeds, 6))
    further = further or {}
    grid = [
        Arm.of({"loss": loss, "reduction": reduction, "beta": beta, **dict(zip(further, values))})
        for values in product(*further.values())
        for loss in losses
        for reduction in reductions
        for beta in betas
    ]
    return pd.DataFrame(
        [
            _cell(arm, further, "grid" if arm in grid else "claims", seed, shared[seed], rng)
            for arm in (*grid, *claimed)
            for seed in range(seeds)
        ]
    )


def _cell(arm: Arm, further: Iterable[str], origin: str, seed: int, shared: Any, rng: Any) -> dict[str, Any]:
    beta_eff = arm.effective_beta(PIXELS)
    # Fewer latents act as a larger beta, labels as a smaller one.
    weight = beta_eff * (20 / arm["model.latents"]) ** 0.5 * (0.8 if arm["model.conditional"] else 1.0)
    name = arm.label(BASE)
    return {
        "loss": arm.loss,
        "reduction": arm.reduction,
        "beta": arm.beta,
        "beta_eff": beta_eff,
        "seed": seed,
        "status": "done",
        **{factor: arm[factor] for factor in further},
        **metrics_of(arm.loss, weight, shared, rng.standard_normal(6)),
        "posterior": arm.posterior,
        "arm": name,
        "origin": origin,
        "key": f"{name}-s{seed}",
        "reason": "",
        "seconds": 24.0 + float(rng.normal()),
        "init_hash": f"i{seed}-{arm['model.latents']}-{arm['model.conditional']}",
        "order_hash": f"o{seed}",
        "noise_hash": f"n{seed}-{arm['model.latents']}",
    }


def few_metrics(frame: pd.DataFrame, kept: Sequence[str] = ("rate", "ssim")) -> pd.DataFrame:
    """The frame with these metrics only: most of the time of a report is that of its figures."""
    return frame.drop(columns=[metric for metric in METRICS if metric not in kept])


def fail(frame: pd.DataFrame, key: str, reason: str) -> pd.DataFrame:
    """The frame with one cell failed: its metrics NaN, its reason recorded."""
    frame = frame.copy()
    row = frame["key"] == key
    frame.loc[row, [metric for metric in METRICS if metric in frame]] = np.nan
    frame.loc[row, "status"] = "failed"
    frame.loc[row, "reason"] = reason
    return frame


def references(**changes: Any) -> References:
    """What the images of the made-up study give: all at `bits_per_dim` are worse than a histogram of each pixel."""
    floor = {"ssim": 0.19, "mse": 53.0, "mae": 102.0, "bce": 206.0, "neg_elbo": 206.0, "psnr": 10.05}
    sharpness = {"acutance": 0.2, "acutance_ratio": 0.3, "sigma_eq": 1.9, "legibility": 0.36, "bits_per_dim": 2.9}
    fields: dict[str, Any] = {
        "floor": floor | sharpness,
        "floor_with_labels": {name: 0.9 * value for name, value in floor.items()} | {"ssim": 0.3, "legibility": 0.99},
        "ceiling": {"ssim": 1.0, "mse": 0.0, "mae": 0.0, "bce": 62.0, "acutance_ratio": 1.0, "legibility": 0.985},
        "test_images": 10_000,
        "classes": 10,
        "pixels": PIXELS,
        "levels": 256,
        "light_ground": False,
        "ppca": {"eigenvalues": [5.2, 3.7, 3.3]},
        "histogram": {"bits_per_dim": 1.64},
    }
    return References(**(fields | changes))


POINTS = (0.25, 0.5, 1.0)


def points(frame: pd.DataFrame, epochs: int = 10) -> pd.DataFrame:
    """What cells were at points of training: differences of acutance shrink until the end, the others soon settle."""
    rows = []
    for row in frame[frame["status"] == "done"].to_dict("records"):
        for share in POINTS:
            for metric in (name for name in METRICS if name in frame):
                slow = 0.05 if metric == "acutance_ratio" and row["loss"] == "mae" else 0.0005
                value = row[metric] * (1 + slow * (1 / share - 1))
                rows.append(
                    {"key": row["key"], "epoch": math.ceil(share * epochs), "metric": POINT + metric, "value": value}
                )
    return pd.DataFrame(rows)


IMAGES = 60


def per_image(frame: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Values of SSIM by image and of legibility by classifier and image, whose means are the cells' own."""
    rng = np.random.default_rng(11)
    hard = {loss: 0.02 * rng.standard_normal(IMAGES) for loss in LOSSES}  # what an image costs the arms of a loss
    reader = {loss: 0.002 * rng.standard_normal((2, 1)) for loss in LOSSES}
    kept = {}
    for row in frame[frame["status"] == "done"].to_dict("records"):
        own = hard[row["loss"]] + 0.01 * rng.standard_normal(IMAGES)
        by_reader = reader[row["loss"]] + 0.01 * rng.standard_normal((2, IMAGES))
        behind = {"ssim": own - own.mean(), "legibility": by_reader - by_reader.mean()}
        kept[row["key"]] = {
            **{name: row[name] + values for name, values in behind.items() if name in row},
            **{f"{name}.images": np.array(IMAGES) for name in behind},
        }
    return kept


def history(frame: pd.DataFrame, epochs: int = 10) -> pd.DataFrame:
    """Training curves that settle at the cells' own values; the strongest of them overfit."""
    parts = []
    for row in frame[frame["status"] == "done"].to_dict("records"):
        for epoch in range(1, epochs + 1):
            fade = 1 + 0.35 / epoch**1.2
            rise = 0.4 * max(0, epoch - 7) if row["beta_eff"] < 0.2 else 0.0
            values = {
                "train_loss": (row["bce"] + row["beta_eff"] * row["rate"]) * fade,
                "test_neg_elbo": row["neg_elbo"] * fade + rise,
                "test_bce": row["bce"] * fade + rise,
                "test_rate": row["rate"] / fade,
                "train_rate": row["rate"] / fade,
            }
            parts += [{"key": row["key"], "epoch": epoch, "metric": m, "value": v} for m, v in values.items()]
    return pd.DataFrame(parts, columns=["key", "epoch", "metric", "value"])


def pictures(frame: pd.DataFrame, images: int = 10) -> dict[str, dict[str, np.ndarray]]:
    """Pictures of each arm's first seed: digits of 28 × 28, softer where the rate is lower."""
    digits = np.stack([zoom(d / 16, 3.5, order=3).clip(0, 1) for d in load_digits().images[: 2 * images]])
    originals, others = digits[:images], digits[images:]
    first = frame[(frame["seed"] == 0) & (frame["status"] == "done")].to_dict("records")
    return {
        row["key"]: _pictures_of(originals, others, 0.3 + 2.2 * np.exp(-row["rate"] / 15), row["loss"] == "mae")
        for row in first
    }


def _pictures_of(originals: Any, others: Any, spread: float, hard: bool) -> dict[str, np.ndarray]:
    frequency = np.arange(15) / 28
    h = np.exp(-2 * (np.pi * spread * frequency) ** 2)
    return {
        "originals": _bytes(originals),
        "reconstructions": _bytes(_soften(originals, spread, hard)),
        "samples": _bytes(_soften((others + np.roll(others, 3, axis=0)) / 2, spread, hard)),
        "transfer_frequency": frequency,
        "transfer_h": h,
        "transfer_gain": np.sqrt(h) if hard else h,
        "transfer_coherence": h**0.5,
        "unit_rate": np.linspace(3, 0, 20),
    }


def _soften(images: Any, spread: float, hard: bool) -> Any:
    soft = np.stack([gaussian_filter(image, spread) for image in images])
    return 1 / (1 + np.exp(-14 * (soft - 0.45))) if hard else soft


def _bytes(images: Any) -> np.ndarray:
    return np.asarray((images.clip(0, 1) * 255).round(), dtype=np.uint8)


def environment() -> Environment:
    return Environment(
        dataset="mnist",
        data_digest="7f3c09aa51d2e6b4",
        commit="1781036",
        device="cpu, 2 threads",
        python="3.11.2",
        started="2026-01-31T09:00:00",
        wall_seconds=3460.0,
        versions={"torch": "2.14.1", "mlflow": "3.17.0", "numpy": "2.4.6"},
        settings={"model": "784-400-20", "optimiser": "Adam 1e-3", "batch size": "128", "epochs": "10"},
    )


def study(seeds: int = 8, betas: Sequence[float] = BETAS, **changes: Any) -> Evidence:
    """A whole made-up study with one failed and one missing cell; changes: fields of `Evidence`."""
    everything = cells(betas=betas, seeds=seeds)
    planned = everything[["key", "arm", "seed"]]
    frame = fail(everything, "mae-sum-b4-s1", "Loss became NaN in epoch 3; a smaller learning rate may help.")
    frame = frame[frame["key"] != "mse-mean-b2-s2"].reset_index(drop=True)
    fields: dict[str, Any] = {
        "study": "mnist",
        "title": "Three losses on MNIST",
        "description": "A VAE of 784-400-20 trained with three losses, two reductions and six betas.",
        "frame": frame,
        "history": history(frame),
        "pictures": pictures(frame),
        "environment": environment(),
        "planned": planned,
        "base": BASE,
    }
    return Evidence(**(fields | changes))


@cache
def whole_study() -> Evidence:
    """A study with every section: pictures, history, verdicts of each outcome, a failed and a missing cell."""
    notes, study_file = ("The claims were changed after the run.",), "[grid]\nloss = ['bce']"
    evidence = study(
        seeds=5,
        betas=(0.1, 1.0, 2.0, 4.0),
        notes=notes,
        study_file=study_file,
        references=references(),
        claims_hash="0f1e2d3c",
        registered="Registered before the run: https://osf.io/abcde, 2026-01-12.",
    )
    at_points = points(evidence.frame)
    verdicts = verdict_samples.verdicts(
        evidence.frame,
        base=evidence.base,
        references=evidence.references,
        per_image=per_image(evidence.frame),
        history=at_points,
    )
    return replace(evidence, verdicts=verdicts, history=pd.concat([evidence.history, at_points]))


@cache
def whole_report(folder: Path) -> ReportPaths:
    """The report of `whole_study`, built once for all tests of a process. folder: the one that these tests share."""
    return build(whole_study(), folder / "whole-report")


FURTHER: Mapping[str, Sequence[Value]] = {"model.latents": (2, 10, 20), "model.conditional": (False, True)}


def further_study(seeds: int = 3, betas: Sequence[float] = (0.5, 1.0, 4.0), **changes: Any) -> Evidence:
    """A made-up study over latents × conditional × beta × loss."""
    frame = cells(("bce", "mae"), ("sum",), betas, seeds, further=FURTHER)
    fields: dict[str, Any] = {
        "study": "latents",
        "title": "Latents and labels",
        "frame": few_metrics(frame, ("rate", "ssim", "acutance_ratio", "bce", "mae")),
        "history": history(frame),
        "pictures": pictures(frame[frame["model.latents"] == BASE["model.latents"]]),
        "planned": frame[["key", "arm", "seed"]],
        "environment": environment(),
    }
    return Evidence(**(fields | changes))
