"""Tables as they are read: each entry is a text with the value that it is sorted by.

A `Table` is made once and shown three ways: on the page, in Markdown and in LaTeX (`reports.page.markup`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from reports.claims.comparability import refusal
from reports.numbers import MISSING, PURE, decimals, duration, plus_minus, setting
from reports.page.base import further_factors, value_of
from reports.page.tables import grid
from vae.factors import Factor
from vae.metrics.catalogue import CATALOGUE, Metric

SETTINGS: Final = "settings"
ORIGIN: Final = "grid: an arm of the study’s grid; claims: added for claims"
BETA_EFF: Final = "weight of the KL term when both terms are summed"


@dataclass(frozen=True)
class Column:
    """A column of a `Table`. unit stands under the title; refusal: why rows may not be sorted by it, if so.

    group: words, separated by spaces, by which a reader shows and hides columns; empty for a column that always stays.
    """

    title: str
    unit: str = ""
    numeric: bool = False
    refusal: str = ""
    group: str = ""
    about: str = ""


@dataclass(frozen=True)
class Entry:
    """One entry: its text, the value it is sorted by (the text where None), and a `mark` that makes it stand out."""

    text: str
    value: float | str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of entries under columns; the first column names the row. name: of the files that hold the table."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    name: str = ""


Part = tuple[Column, Sequence[Entry]]


def by_columns(caption: str, parts: Sequence[Part], name: str) -> Table:
    """A table from its columns, each with its entries in the order of the rows."""
    return Table(caption, tuple(c for c, _ in parts), tuple(zip(*(entries for _, entries in parts))), name)


def described(metric: str) -> Metric:
    """The catalogue's entry of a metric; of one that the catalogue does not know, an entry with only its name."""
    unknown = Metric(metric, metric, "", "reconstructions", "", "none", -math.inf, math.inf, source="", fools="")
    return CATALOGUE.get(metric, unknown)


def titled(metric: str) -> str:
    """A metric's label with its unit, as an axis or a caption names it."""
    label, unit = described(metric).label, shown_unit(metric)
    return f"{label} ({unit})" if unit else label


def shown_unit(metric: str) -> str:
    """A metric's unit; empty for a pure number."""
    unit = described(metric).unit
    return "" if unit in PURE else unit


def arm_table(means: pd.DataFrame, metrics: Iterable[str], shared: Iterable[Sequence[str]] = ()) -> Table:
    """All arms: setting, beta_eff, n, and each metric as mean ± 95 % interval over seeds.

    A metric that may not rank the arms (`reports.claims.comparability`) carries the refusal in its column. shared:
    the groups of arms that have one objective, as `tables.shared_objectives`.
    """
    arms = means.drop_duplicates("arm")
    names = arms["arm"].tolist()
    losses = set(arms["loss"])
    seeds = means.groupby("arm")["n"].max()
    parts = [
        (Column("arm"), [Entry(a["arm"], mark=a["loss"]) for a in arms.to_dict("records")]),
        (Column("β_eff", numeric=True, about=BETA_EFF), [Entry(setting(b), b) for b in arms["beta_eff"]]),
        (Column("n", numeric=True, about="seeds"), [Entry(str(seeds[a]), float(seeds[a])) for a in names]),
        *(_metric_column(means, metric, names, losses) for metric in metrics),
        *_setting_columns(arms, shared),
    ]
    return by_columns("Every arm: mean ± 95 % interval over seeds.", parts, name="arms")


def _setting_columns(arms: pd.DataFrame, shared: Iterable[Sequence[str]]) -> list[Part]:
    """Every setting of the arms, one per column, and the arms that share their objective."""
    twins = {arm: ", ".join(other for other in group if other != arm) for group in shared for arm in group}
    about = "equal loss and β_eff: the same objective up to a global scale"
    return [
        (Column("loss", group=SETTINGS), [Entry(loss) for loss in arms["loss"]]),
        (Column("reduction", group=SETTINGS), [Entry(reduction) for reduction in arms["reduction"]]),
        (Column("β", numeric=True, group=SETTINGS), [Entry(setting(b), b) for b in arms["beta"]]),
        (Column("posterior", group=SETTINGS), [Entry(posterior) for posterior in arms["posterior"]]),
        *(_factor_column(factor, arms) for factor in further_factors(arms)),
        (Column("origin", group=SETTINGS, about=ORIGIN), [Entry(origin) for origin in arms["origin"]]),
        (Column("same objective as", group=SETTINGS, about=about), [Entry(twins.get(a, MISSING)) for a in arms["arm"]]),
    ]


def _factor_column(factor: Factor, arms: pd.DataFrame) -> Part:
    values = [value_of(entry) for entry in arms[factor.name]]
    numbers = [float(v) if isinstance(v, int | float) and not isinstance(v, bool) else None for v in values]
    entries = [Entry(factor.text(value) or MISSING, number) for value, number in zip(values, numbers)]
    return Column(factor.title, numeric=None not in numbers, group=SETTINGS), entries


def narrowed(table: Table) -> Table:
    """The table with the columns that always stay and those of the headline metrics."""
    kept = [i for i, column in enumerate(table.columns) if not column.group or "headline" in column.group.split()]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return Table(table.caption, tuple(table.columns[i] for i in kept), rows, table.name)


def _metric_column(means: pd.DataFrame, metric: str, arms: Sequence[str], losses: set[str]) -> Part:
    rows = means[means["metric"] == metric].set_index("arm").reindex(list(arms))
    entry = described(metric)
    group = f"headline {entry.where}" if entry.headline else entry.where
    column = Column(entry.label, shown_unit(metric), True, refusal(metric, losses), group, entry.about)
    return column, intervals(rows, decimals(rows["half"], rows["mean"]))


def intervals(rows: pd.DataFrame, places: int) -> list[Entry]:
    """Means with the half-widths of their intervals, which sort by the mean. rows: columns mean and half."""
    return [Entry(plus_minus(mean, half, places), float(mean)) for mean, half in zip(rows["mean"], rows["half"])]


def grid_table(means: pd.DataFrame, metric: str, clause: str = "") -> Table:
    """One metric per loss × reduction (rows) × beta (columns), mean ± 95 % interval. means: of arms at the base.

    clause: a sentence for the end of the caption, as `base.caption_clause`.
    """
    rows = grid(means, metric)
    places = decimals(rows["half"], rows["mean"])
    betas = sorted(rows["beta"].unique())
    lines = []
    for (loss, reduction), part in rows.groupby(["loss", "reduction"], sort=True):
        values = intervals(part.set_index("beta").reindex(betas), places)
        lines.append((Entry(str(loss), mark=str(loss)), Entry(str(reduction)), *values))
    caption = f"{titled(metric)} by loss, reduction and β: mean ± 95 % interval, {seeds_of(rows)}.{clause}"
    columns = (Column("loss"), Column("reduction"), *(Column(f"β = {setting(b)}", numeric=True) for b in betas))
    return Table(caption, columns, tuple(lines), metric)


def seeds_of(rows: pd.DataFrame) -> str:
    """How many seeds a table's means rest on: "n = 8 seeds", or the range where they differ."""
    if rows.empty:
        return "no seeds"
    low, high = int(rows["n"].min()), int(rows["n"].max())
    return f"n = {high} seeds" if low == high else f"n = {low} to {high} seeds"


def runtime_table(frame: pd.DataFrame) -> Table:
    """Time of training and measuring per loss × reduction."""
    timed = frame.reindex(columns=["loss", "reduction", "seconds"]).dropna()
    groups = timed.groupby(["loss", "reduction"], sort=True)["seconds"]
    rows = groups.agg(cells="count", mean="mean", total="sum").reset_index().to_dict("records")
    parts = [
        (Column("loss"), [Entry(r["loss"], mark=r["loss"]) for r in rows]),
        (Column("reduction"), [Entry(r["reduction"]) for r in rows]),
        (Column("cells", numeric=True), [Entry(str(r["cells"]), r["cells"]) for r in rows]),
        (Column("per cell", numeric=True), [Entry(duration(r["mean"]), r["mean"]) for r in rows]),
        (Column("in all", numeric=True), [Entry(duration(r["total"]), r["total"]) for r in rows]),
    ]
    return by_columns("Time of the cells. Cells that train as one stack share its time.", parts, "runtime")


def failed_table(failed: pd.DataFrame) -> Table:
    """Failed cells, each with its reason."""
    rows = failed.to_dict("records")
    parts = [
        (Column("arm"), [Entry(r["arm"], mark=r["loss"]) for r in rows]),
        (Column("seed", numeric=True), [Entry(str(r["seed"]), r["seed"]) for r in rows]),
        (Column("reason"), [Entry(_reason(r.get("reason"))) for r in rows]),
    ]
    return by_columns("Failed cells.", parts, "failed")


def _reason(reason: object) -> str:
    return reason if isinstance(reason, str) and reason else "no reason was recorded"


def catalogue_table(metrics: Iterable[str]) -> Table:
    """What each metric measures, its unit, direction, range, source, and what fools it."""
    entries = [described(metric) for metric in metrics]
    parts = [
        (Column("metric"), [Entry(m.label) for m in entries]),
        (Column("what it says"), [Entry(m.about) for m in entries]),
        (Column("what fools it"), [Entry(m.fools) for m in entries]),
        (Column("better"), [Entry("neither" if m.direction == "none" else m.direction) for m in entries]),
        (Column("unit"), [Entry(shown_unit(m.name) or "pure number") for m in entries]),
        (Column("range"), [Entry(f"{setting(m.low)} to {setting(m.high)}") for m in entries]),
        (Column("source"), [Entry(m.source) for m in entries]),
        (Column("column"), [Entry(m.name) for m in entries]),
    ]
    return by_columns("What each number means, and what fools it.", parts, "metrics")
