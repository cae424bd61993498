"""The frame of cells as tables of numbers, in full precision.

`arm_means` gives every metric of every arm as a mean over seeds with its interval; all else here selects from it.
What a reader sees of these numbers is made in `reports.page.layout`, rounded as `reports.numbers` says.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from reports.judging.cells import Cells
from reports.judging.statistics import estimate
from reports.page.base import further_factors
from tracking import schema
from vae.arms import Arm, same_objective
from vae.factors import factors
from vae.metrics.catalogue import CATALOGUE

ARM: Final = ("arm", "loss", "reduction", "beta", "beta_eff", "posterior", "origin")
SUMMARY: Final = ("n", "mean", "sd", "half", "low", "high")
MEANS: Final = (*ARM, "metric", *SUMMARY)


def metrics_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of which the frame has at least one finite value: in the catalogue's order, then the others."""
    others = {*schema.LEADING_COLUMNS, *schema.OTHER_COLUMNS, *factors()}
    numeric = frame.select_dtypes("number")
    present = [str(name) for name in numeric.columns if name not in others and numeric[name].notna().any()]
    return (*(name for name in CATALOGUE if name in present), *(name for name in present if name not in CATALOGUE))


def arm_means(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds and 95 % t interval of each metric of each arm, one row per arm and metric.

    frame: one row per cell; failed cells and NaN values are left out, and n says how many remain. Columns: `MEANS`,
    with those of further factors behind `ARM`; sd and the interval are NaN where n < 2. Arms keep the frame's order.
    """
    done = frame[frame["status"] == schema.STATUS_DONE]
    fields = [*ARM, *(factor.name for factor in further_factors(frame))]
    arms = done.drop_duplicates("arm")[fields].to_dict("records")
    cells = {str(arm): part for arm, part in done.groupby("arm", sort=False)}
    rows = [arm | {"metric": m} | summary(cells[arm["arm"]][m]) for m in metrics_in(done) for arm in arms]
    return pd.DataFrame(rows, columns=[*fields, "metric", *SUMMARY])


def summary(values: pd.Series) -> dict[str, float]:
    """n, mean, sd, half, low and high of one quantity over seeds; NaN values are left out and not counted.

    >>> summary(pd.Series([1.0, 2.0, 3.0, float("nan")]))["n"]
    3
    """
    known = values.to_numpy(float)
    known = known[np.isfinite(known)]
    if not known.size:
        return {"n": 0} | dict.fromkeys(SUMMARY[1:], np.nan)
    over = estimate(known)
    return dict(zip(SUMMARY, (over.n, over.mean, over.sd, over.high - over.mean, over.low, over.high)))


def shared_objectives(done: pd.DataFrame, base: Arm) -> list[list[str]]:
    """The labels of the arms in each group that `vae.arms.same_objective` makes, for the logged beta_eff.

    done: the cells that are done, one row each.
    """
    cells = Cells(done, base=base)
    weights = {arm: cells.beta_eff(arm) for arm in cells.rows}
    groups = same_objective({arm: weight for arm, weight in weights.items() if weight is not None})
    return [[cells.label(arm) for arm in group] for group in groups]


def on_grid(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of one metric whose arms are of the study's own grid: those added for claims are left out."""
    return means[(means["metric"] == metric) & (means["origin"] == "grid")]


def grid(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric per loss × reduction × beta in long form: the CSV file of that metric. means: of arms at the base."""
    rows = on_grid(means, metric)
    columns = ["loss", "reduction", "beta", "beta_eff", "n", "mean", "half", "low", "high"]
    return rows[columns].sort_values(["loss", "reduction", "beta"]).reset_index(drop=True)


def results(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell. Columns: leading ones of `tracking.schema`, further factors, metrics, other ones of the schema.

    Failed cells are rows. The metrics that the catalogue marks `always` have their columns whether or not any cell has
    them: where all failed, a program that reads the file finds them empty instead of missing.
    """
    leading = [name for name in schema.LEADING_COLUMNS if name in frame.columns]
    leading += [factor.name for factor in further_factors(frame)]
    other = [name for name in schema.OTHER_COLUMNS if name in frame.columns]
    present = metrics_in(frame)
    known = [name for name, metric in CATALOGUE.items() if name in present or metric.always]
    return frame.reindex(columns=[*leading, *known, *(name for name in present if name not in CATALOGUE), *other])
