"""Tables as they are read: each entry is a text with the value that it is sorted by.

A `Table` is made once and shown three ways: on the page, in Markdown and in LaTeX (`reports.page.markup`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import pandas as pd

from reports.numbers import PURE, decimals, duration, plus_minus, setting
from reports.page.tables import on_grid
from vae.metrics.catalogue import CATALOGUE, Metric

NO_NOTES: Final[Mapping[str, str]] = MappingProxyType({})


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
    """One entry: its text, the value it is sorted by (the text where None), and a `mark` that makes it stand out.

    note: small words below the text. share: from 0 to 1, drawn as a thin line below the text.
    """

    text: str
    value: float | str | None = None
    mark: str = ""
    note: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of entries under columns; the first column names the row. name: of the files that hold the table.

    fixed: how many rows, the first ones, stay on top however the others are sorted or filtered.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    name: str = ""
    fixed: int = 0


Part = tuple[Column, Sequence[Entry]]


def by_columns(caption: str, parts: Sequence[Part], name: str, fixed: int = 0) -> Table:
    """A table from its columns, each with its entries in the order of the rows."""
    return Table(caption, tuple(c for c, _ in parts), tuple(zip(*(entries for _, entries in parts))), name, fixed)


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


def intervals(rows: pd.DataFrame, places: int) -> list[Entry]:
    """Means with the half-widths of their intervals, which sort by the mean. rows: columns mean and half."""
    return [Entry(plus_minus(mean, half, places), float(mean)) for mean, half in zip(rows["mean"], rows["half"])]


def grid_table(means: pd.DataFrame, metric: str, clause: str = "", notes: Mapping[str, str] = NO_NOTES) -> Table:
    """One metric per loss × reduction (rows) × beta (columns), mean ± 95 % interval. means: of arms at the base.

    clause: a sentence for the end of the caption, as `base.caption_clause`. notes: arm -> what stands below its number.
    """
    rows = on_grid(means, metric).sort_values(["loss", "reduction", "beta"])
    places = decimals(rows["half"], rows["mean"])
    betas = sorted(rows["beta"].unique())
    lines = []
    for (loss, reduction), part in rows.groupby(["loss", "reduction"], sort=True):
        at = part.set_index("beta").reindex(betas)
        values = [replace(entry, note=notes.get(arm, "")) for entry, arm in zip(intervals(at, places), at["arm"])]
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
