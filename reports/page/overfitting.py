"""Which arms overfit: those whose held-out objective rose again before training ended."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from reports.numbers import listed, number
from vae.posteriors import POSTERIORS

OVERFIT: Final = 0.5  # nats by which a held-out objective must have risen
_MOST_NAMED: Final = 5  # arms in one sentence


def overfitting(history: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Which arms end with a held-out objective above its least value, in a sentence or two; empty without a history.

    history: columns key, epoch, metric, value. cells: done, one row each. The objective of a BCE arm is its test BCE +
    beta_eff · its test rate. That of other losses is not recorded; their −ELBO is no objective of theirs.
    """
    curves = _held_out(history, cells)
    own, other = (_risen(curves[curves["own"] == flag]) for flag in (True, False))
    sentences = []
    if own is not None:
        sentences.append(
            f"The held-out objective of {own} ended more than {OVERFIT:g} nats above its least value (mean over "
            "seeds): overfitting."
            if own
            else f"No held-out objective that was recorded ended more than {OVERFIT:g} nats above its least value "
            "(mean over seeds): none of these arms shows overfitting."
        )
    if other:
        sentences.append(
            f"The test −ELBO of {other} ended more than {OVERFIT:g} nats above its least value; it is not what these "
            "arms minimise, so this need not be overfitting."
        )
    return " ".join(sentences)


def _held_out(history: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Columns arm, own (whether value is the arm's own objective), epoch, value: mean over seeds."""
    wanted = ["test_neg_elbo", "test_bce", "test_rate"]
    rows = history[history["metric"].isin(wanted)]
    table = rows.pivot_table(index=["key", "epoch"], columns="metric", values="value").reindex(columns=wanted)
    joined = table.reset_index().merge(cells[["key", "arm", "loss", "beta_eff", "posterior"]], on="key")
    consistent = joined["posterior"].map({name: one.consistent for name, one in POSTERIORS.items()}).fillna(False)
    own = (joined["loss"] == "bce") & consistent.astype(bool)
    parts = joined["test_bce"] + joined["beta_eff"] * joined["test_rate"]
    at_one = np.isclose(joined["beta_eff"], 1.0)
    objective = parts.where(parts.notna(), joined["test_neg_elbo"].where(at_one))
    own &= objective.notna()
    value = objective.where(own, joined["test_neg_elbo"])
    means = joined.assign(own=own, value=value).groupby(["arm", "own", "epoch"], sort=False)["value"].mean()
    return means.dropna().reset_index()


def _risen(curves: pd.DataFrame) -> str | None:
    """The arms whose curve ends above its least value, those that rose most first; None without a curve."""
    if curves.empty or curves["epoch"].nunique() < 2:
        return None
    by_arm = curves.sort_values("epoch").groupby("arm", sort=False)["value"]
    rise = (by_arm.last() - by_arm.min()).sort_values(ascending=False, kind="stable")
    above = rise[rise > OVERFIT]
    named = [f"{arm} (by {number(float(by), 2)})" for arm, by in above.head(_MOST_NAMED).items()]
    more = len(above) - len(named)
    return listed([*named, *([f"{more} more"] if more else [])]) if named else ""
