"""The frame of cells as tables of numbers, in full precision.

`arm_means` gives every metric of every arm as a mean over seeds with its interval; all else here selects from it.
What a reader sees of these numbers is made in `reports.page.layout`, rounded as `reports.numbers` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from reports.judging.statistics import estimate
from tracking import schema
from vae.metrics.catalogue import CATALOGUE

ARM: Final = ("arm", "loss", "reduction", "beta", "beta_eff", "posterior", "origin")
MEANS: Final = (*ARM, "metric", "n", "mean", "sd", "half", "low", "high")
ALWAYS: Final = (
    *("rate", "bce", "mse", "mae", "neg_elbo", "ssim", "psnr", "acutance", "acutance_ratio", "sigma_eq", "n_blank"),
)
PLAIN: Final = "half-logvar"  # the posterior of the notes; the other kinds are arms of one claim only


def metrics_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of which the frame has at least one finite value: in the catalogue's order, then the others."""
    fields = {*schema.LEADING_COLUMNS, *schema.OTHER_COLUMNS}
    numeric = frame.select_dtypes("number")
    present = [str(name) for name in numeric.columns if name not in fields and numeric[name].notna().any()]
    return (*(name for name in CATALOGUE if name in present), *(name for name in present if name not in CATALOGUE))


def arm_means(frame: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean over seeds and 95 % t interval of each metric of each arm, one row per arm and metric.

    frame: one row per cell; failed cells and NaN values are left out, and n says how many remain. metrics: columns
    of the frame, all by default. Columns: `MEANS`; sd and the interval are NaN where n < 2. Arms keep the order in
    which the frame has them.
    """
    done = frame[frame["status"] == schema.STATUS_DONE]
    wanted = list(metrics_in(done) if metrics is None else metrics)
    if done.empty or not wanted:
        return pd.DataFrame(columns=list(MEANS))
    if "origin" not in done.columns:
        done = done.assign(origin="grid")
    arms = done.drop_duplicates("arm")[list(ARM)].to_dict("records")
    cells = {str(arm): part for arm, part in done.groupby("arm", sort=False)}
    rows = [arm | {"metric": m} | summary(cells[arm["arm"]][m]) for m in wanted for arm in arms]
    return pd.DataFrame(rows, columns=list(MEANS))


def summary(values: pd.Series) -> dict[str, float]:
    """n, mean, sd, half, low and high of one quantity over seeds; NaN values are left out and not counted.

    >>> summary(pd.Series([1.0, 2.0, 3.0, float("nan")]))["n"]
    3
    """
    known = values.to_numpy(float)
    known = known[np.isfinite(known)]
    if not known.size:
        return {"n": 0} | dict.fromkeys(("mean", "sd", "half", "low", "high"), np.nan)
    found = estimate(known)
    return {
        "n": found.n,
        "mean": found.mean,
        "sd": found.sd,
        "half": found.high - found.mean,
        "low": found.low,
        "high": found.high,
    }


def same_objective(means: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Arm -> the other arms whose objective is the same up to a global scale: equal loss, posterior and beta_eff.

    An arm without such twins is left out. beta_eff is compared to nine figures.
    """
    families: dict[tuple[str, str, str], list[str]] = {}
    for arm in means.drop_duplicates("arm").to_dict("records"):
        family = (str(arm["loss"]), str(arm["posterior"]), f"{arm['beta_eff']:.9g}")
        families.setdefault(family, []).append(str(arm["arm"]))
    return {
        arm: tuple(other for other in family if other != arm)
        for family in families.values()
        if len(family) > 1
        for arm in family
    }


def on_grid(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric whose arms belong to the study's own grid, plain posterior."""
    return means[(means["metric"] == metric) & (means["posterior"] == PLAIN) & (means["origin"] == "grid")]


def grid(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric per loss × reduction × beta in long form: the CSV file of that metric.

    Plain posterior, and only the arms that the study's grid asks for: those that claims added lie off it.
    """
    rows = on_grid(means, metric)
    columns = ["loss", "reduction", "beta", "beta_eff", "n", "mean", "half", "low", "high"]
    return rows[columns].sort_values(["loss", "reduction", "beta"]).reset_index(drop=True)


def results(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, columns in the order of `tracking.schema`: leading, metrics, others. Failed cells are rows.

    The metrics of `ALWAYS` have their columns whether or not any cell has them: where all failed, a program that reads
    the file finds them empty, not gone.
    """
    leading = [name for name in schema.LEADING_COLUMNS if name in frame.columns]
    other = [name for name in schema.OTHER_COLUMNS if name in frame.columns]
    found = [name for name in metrics_in(frame) if name not in {*leading, *other}]
    known = [name for name in CATALOGUE if name in found or name in ALWAYS]
    return frame.reindex(columns=[*leading, *known, *(name for name in found if name not in CATALOGUE), *other])


def runtime(frame: pd.DataFrame) -> pd.DataFrame:
    """Seconds of training and measuring per loss × reduction: columns loss, reduction, cells, mean, total."""
    if "seconds" not in frame.columns:
        return pd.DataFrame(columns=["loss", "reduction", "cells", "mean", "total"])
    timed = frame[frame["seconds"].notna()]
    groups = timed.groupby(["loss", "reduction"], sort=True)["seconds"]
    return groups.agg(cells="count", mean="mean", total="sum").reset_index()
