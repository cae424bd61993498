"""Which arms became worse on held-out images before training ended, by how much and since when."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from reports.numbers import counted, listed, number
from vae.posteriors import POSTERIORS

# The least rise that is told, as a share of the least value: less may be how single epochs differ. A share, because
# objectives of 25 nats and of 100 do not differ by the same from epoch to epoch.
LEAST_RISE: Final = 0.01
_IN_WORDS: Final = f"{100 * LEAST_RISE:g} %"
_MOST_NAMED: Final = 5  # arms in one sentence


def overfitting(history: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Which arms end with a held-out objective above its least value, in a few sentences; empty without a history.

    history: columns key, epoch, metric, value. cells: done, one row each. The objective of a BCE arm is its test BCE +
    beta_eff · its test rate. That of other losses is not recorded; their −ELBO is no objective of theirs.
    """
    curves = _held_out(history, cells)
    own, other = (_risen(curves[curves["own"] == flag]) for flag in (True, False))
    sentences = []
    if own is not None:
        sentences.append(
            f"The held-out objective rose again before training ended: {own}."
            if own
            else f"No held-out objective that was recorded ended more than {_IN_WORDS} above its least value."
        )
    if other:
        sentences.append(
            f"The test −ELBO rose again: {other}. It is not what these arms minimise, so they need not be overfitting."
        )
    if own or other:
        sentences.append(
            f"Means over seeds. A rise below {_IN_WORDS} of the least value is not listed: single epochs may differ by "
            "as much."
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
    """The arms whose curve ends above its least value, by how much and since when, those that rose most first; None
    without a curve."""
    if curves.empty or curves["epoch"].nunique() < 2:
        return None
    rises = []
    for arm, curve in curves.sort_values("epoch").groupby("arm", sort=False):
        values, epochs = curve["value"].to_numpy(float), curve["epoch"].to_numpy()
        least = int(values.argmin())
        rise = float(values[-1] - values[least])
        if rise > LEAST_RISE * abs(values[least]):
            rises.append((rise, f"{arm} by {number(rise, 2)} nats after epoch {epochs[least]}"))
    named = [words for _, words in sorted(rises, key=lambda pair: -pair[0])]
    more = len(named) - _MOST_NAMED
    return listed([*named[:_MOST_NAMED], *([counted(more, "more arm")] if more > 0 else [])]) if named else ""
