"""Loss trained on × loss evaluated: as tables of numbers, at one beta and at equal rate.

At one beta the losses have different rates, so the arm with the highest rate looks best by every loss. At equal rate
the diagonal shows what it is meant to: each loss's own objective, won by construction. Cells and means are those of
arms at the study's base (`reports.page.base.at_base`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pandas as pd

from reports.judging.curves import common_rates, curves_by_seed, rates_at
from reports.numbers import decimals, listed, number
from reports.page.layout import Column, Entry, Part, Table, by_columns, intervals, seeds_of, shown_unit
from reports.page.tables import summary

OBJECTIVES: Final = ("bce", "mse", "mae")
OWN: Final = "own objective"
WON: Final = "won by construction"
SHARES: Final = (0.25, 0.5, 0.75)
COLUMNS: Final = ("trained", "evaluated", "own", "n", "mean", "half")


def at_beta(means: pd.DataFrame) -> pd.DataFrame:
    """At `sum` and beta 1, in long form. means: as `tables.arm_means`.

    Columns: trained, evaluated, own (bool: the diagonal), n, mean, half. Empty without such arms.
    """
    at = _nominal(means)
    rows = at[at["metric"].isin(OBJECTIVES)].rename(columns={"loss": "trained", "metric": "evaluated"})
    rows = rows.assign(own=rows["trained"] == rows["evaluated"])
    return rows[list(COLUMNS)].reset_index(drop=True)


def _nominal(means: pd.DataFrame) -> pd.DataFrame:
    return means[(means["reduction"] == "sum") & (means["beta"] == 1.0)]


def at_rates(cells: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, ...]]:
    """At equal rate: columns as of `at_beta`, and the rates, nats: a quarter, half and three quarters of the way along
    those that every `sum` curve of every loss reaches. Interpolated as for the claims (`reports.judging.curves`) and
    averaged over the rates within each seed.

    cells: done, one row each. Empty where fewer than two losses have curves, or they share no rate.
    """
    # The betas of arms added for claims may be too close to others.
    cells = cells[(cells["reduction"] == "sum") & (cells["origin"] == "grid")]
    measured = [metric for metric in OBJECTIVES if metric in cells.columns]
    curves = {
        (loss, m): curves_by_seed(part[["seed", "beta", "rate", m]].itertuples(index=False, name=None))
        for loss, part in cells.groupby("loss", sort=False)
        for m in measured
    }
    every = [curve for of_seed in curves.values() for curve in of_seed.values()]
    used = common_rates(every, rates_at(every, SHARES)) if every else ()
    if not used or len({loss for loss, _ in curves}) < 2:
        return pd.DataFrame(columns=list(COLUMNS)), ()
    rows = [
        {"trained": loss, "evaluated": metric, "own": loss == metric}
        | summary(pd.Series([float(curve.at(used).mean()) for curve in of_seed.values()]))
        for (loss, metric), of_seed in curves.items()
    ]
    return pd.DataFrame(rows)[list(COLUMNS)], used


def table_at_beta(means: pd.DataFrame, clause: str = "") -> Table:
    """Trained (rows) × evaluated (columns) at `sum` and beta 1, with the rates, which differ. The rows are in no order
    of merit: see `reports.claims.comparability`. clause: a sentence for the end of the caption."""
    rows = at_beta(means)
    at = _nominal(means)
    rates = at[at["metric"] == "rate"].rename(columns={"loss": "trained"})
    spent = [] if rates.empty else [(Column("rate", "nats", numeric=True), _entries(rates, _trained(rows)))]
    caption = f"At one β: sum, β = 1; mean ± 95 % interval, {seeds_of(rows)}.{clause}"
    return _table(rows, caption, OWN, "loss-by-loss", spent)


def table_at_rates(rows: pd.DataFrame, rates: Sequence[float], clause: str = "") -> Table:
    """Trained (rows) × evaluated (columns) at equal rate: the diagonal marked, and as won where it is the lowest."""
    at = listed(number(rate, 1) for rate in rates)
    caption = f"At equal rate: mean over {at} nats, then over seeds ± 95 % interval, {seeds_of(rows)}.{clause}"
    return _table(rows, caption, WON, "loss-by-loss-at-equal-rate")


def _table(rows: pd.DataFrame, caption: str, mark: str, name: str, more: Sequence[Part] = ()) -> Table:
    trained = _trained(rows)
    parts = [(Column("trained on"), [Entry(loss, mark=loss) for loss in trained]), *more]
    for evaluated, part in rows.groupby("evaluated", sort=False):
        column = Column(f"evaluated by {evaluated}", shown_unit(str(evaluated)), True)
        won = part.set_index("trained")["mean"].idxmin() == evaluated  # BCE and MSE have one best image: either may win
        marked = mark if won else OWN
        entries = zip(trained, _entries(part, trained))
        parts.append((column, [replace(e, mark=marked) if loss == evaluated else e for loss, e in entries]))
    return by_columns(caption, parts, name=name)


def _trained(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows["trained"]))


def _entries(rows: pd.DataFrame, trained: Sequence[str]) -> list[Entry]:
    at = rows.set_index("trained").reindex(list(trained))
    return intervals(at, decimals(at["half"], at["mean"]))
