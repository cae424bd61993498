"""Loss trained on × loss evaluated: as tables of numbers, at one beta and at equal rate.

At one beta the losses spend different rates, so the arm that spends most looks best by every loss. At equal rate the
diagonal is what it is said to be: each loss's own objective, won by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from reports.judging.curves import Curve, common_rates
from reports.numbers import decimals, listed, setting
from reports.page.layout import Column, Entry, Table, by_columns, interval, seeds_of, shown_unit
from reports.page.tables import PLAIN, summary
from tracking import schema

OBJECTIVES: Final = ("bce", "mse", "mae")
OWN: Final = "own objective"
WON: Final = "won by construction"
COLUMNS: Final = ("trained", "evaluated", "own", "n", "mean", "half")


def at_beta(means: pd.DataFrame, reduction: str = "sum", beta: float = 1.0) -> pd.DataFrame:
    """At one reduction and beta, in long form. means: as `tables.arm_means`.

    Columns: trained, evaluated, own (bool: the diagonal), n, mean, half. Empty without such arms.
    """
    at = means[(means["reduction"] == reduction) & (means["beta"] == beta) & (means["posterior"] == PLAIN)]
    rows = at[at["metric"].isin(OBJECTIVES)].rename(columns={"loss": "trained", "metric": "evaluated"})
    rows = rows.assign(own=rows["trained"] == rows["evaluated"])
    return rows[list(COLUMNS)].reset_index(drop=True)


@dataclass(frozen=True)
class Matched:
    """The same at equal rate: averaged over `rates`, nats, inside a seed."""

    rows: pd.DataFrame
    rates: tuple[float, ...] = ()


def at_rates(frame: pd.DataFrame, rates: Sequence[float], reduction: str = "sum") -> Matched:
    """At the rates that every curve of every loss reaches, interpolated as for the claims (`reports.judging.curves`).

    frame: one row per cell. Empty where fewer than two losses have curves, or they share none of the rates.
    """
    done = frame[(frame["status"] == schema.STATUS_DONE) & (frame["reduction"] == reduction) & (frame["beta"] > 0)]
    cells = done[(done["posterior"] == PLAIN) & (done["origin"] == "grid")]  # twins lie too near to their neighbours
    measured = [metric for metric in OBJECTIVES if metric in cells.columns]
    curves = {(loss, m): _curves(part, m) for loss, part in cells.groupby("loss", sort=False) for m in measured}
    every = [curve for of_seed in curves.values() for curve in of_seed.values()]
    used = common_rates(every, rates) if every else ()
    if not used or len({loss for loss, _ in curves}) < 2:
        return Matched(pd.DataFrame(columns=list(COLUMNS)))
    rows = []
    for (loss, metric), of_seed in curves.items():
        found = summary(pd.Series([float(curve.at(used).mean()) for curve in of_seed.values()]))
        rows.append({"trained": loss, "evaluated": metric, "own": loss == metric} | found)
    return Matched(pd.DataFrame(rows)[list(COLUMNS)], used)


def table_at_beta(means: pd.DataFrame, reduction: str = "sum", beta: float = 1.0) -> Table:
    """Trained (rows) × evaluated (columns) at one beta, with the rates, which differ. No row is ordered before another
    by these numbers: see `reports.claims.comparability`."""
    rows = at_beta(means, reduction, beta)
    rate = means[(means["metric"] == "rate") & (means["reduction"] == reduction) & (means["beta"] == beta)]
    rates = rate[rate["posterior"] == PLAIN].rename(columns={"loss": "trained"})
    spent = [] if rates.empty else [(Column("rate", "nats", numeric=True), _entries(rates, _trained(rows)))]
    caption = f"At one β: {reduction}, β = {setting(beta)}; mean ± 95 % interval, {seeds_of(rows)}."
    return _table(rows, caption, OWN, "loss-by-loss", spent)


def table_at_rates(matched: Matched) -> Table:
    """Trained (rows) × evaluated (columns) at equal rate: the diagonal marked, and as won where it is."""
    at = listed(setting(rate) for rate in matched.rates)
    caption = f"At equal rate: mean over {at} nats, then over seeds ± 95 % interval, {seeds_of(matched.rows)}."
    return _table(matched.rows, caption, WON, "loss-by-loss-at-equal-rate")


def _table(
    rows: pd.DataFrame, caption: str, mark: str, name: str, beside: Sequence[tuple[Column, Sequence[Entry]]] = ()
) -> Table:
    trained = _trained(rows)
    parts = [(Column("trained on"), [Entry(loss, mark=loss) for loss in trained]), *beside]
    for evaluated, part in rows.groupby("evaluated", sort=False):
        column = Column(f"evaluated by {evaluated}", shown_unit(str(evaluated)), True)
        won = part.set_index("trained")["mean"].idxmin() == evaluated  # BCE and MSE share their best image: either may
        parts.append((column, _entries(part, trained, own=str(evaluated), mark=mark if won else OWN)))
    return by_columns(caption, parts, name=name)


def _trained(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows["trained"]))


def _entries(rows: pd.DataFrame, trained: Sequence[str], *, own: str = "", mark: str = "") -> list[Entry]:
    at = rows.set_index("trained").reindex(list(trained))
    places = decimals(at["half"], at["mean"])
    values = zip(trained, at["mean"], at["half"])
    return [interval(mean, half, places, mark if loss == own else "") for loss, mean, half in values]


def _curves(cells: pd.DataFrame, metric: str) -> Mapping[int, Curve]:
    """seed -> the metric against the rate; a seed with one beta has none."""
    found = {}
    for seed, part in cells.groupby("seed", sort=True):
        points = part[["beta", "rate", metric]].dropna().drop_duplicates("beta")
        if len(points) > 1:
            found[int(str(seed))] = Curve.through(points.itertuples(index=False, name=None))
    return found
