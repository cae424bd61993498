"""Verdicts as pictures: each paired difference with its interval, against the region in which the claim would hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import shorten
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.numbers import setting
from reports.page.canvas import drawn
from reports.page.layout import described, titled
from reports.page.palette import colour, mark, sign

Record = Mapping[str, Any]

MARKERS: Final = {"supported": "o", "refuted": "X", "inconclusive": "D", "insufficient data": "s"}
_LONGEST: Final = 56  # characters of a comparison's name
_ROW: Final = 0.46  # inches a comparison takes
_AXIS: Final = 0.52  # inches an axis with its label takes
_LANE: Final = 0.24  # half the height of a lane, in rows


@drawn
def effect(rows: Sequence[Record], names: Sequence[str], *, width: float = 4.0) -> Figure:
    """Each comparison on its line: a stroke per seed, the mean with its 95 % interval, the claim's region shaded.

    rows: at least one verdict with an effect and an interval; names: what each is called. Verdicts are named where
    they differ. Neighbours of one metric and region share an axis. width: inches.
    """
    alike = len({row["verdict"] for row in rows}) == 1  # then the card has said the word
    named = [
        {**row, "name": shorten(name, _LONGEST, placeholder=" …") + ("" if alike else f": {row['verdict']}")}
        for row, name in zip(rows, names)
    ]
    groups = [list(part) for _, part in groupby(named, key=_axis_key)]
    heights = [_ROW * len(group) + _AXIS for group in groups]
    figure = Figure(figsize=(width, sum(heights)), layout=ConstrainedLayoutEngine(h_pad=0.03, hspace=0.0))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, group in zip(axes, groups):
        _draw_group(ax, group)
    return figure


def _axis_key(row: Record) -> tuple[Any, ...]:
    return (row["metric"], row["reference"], tuple(row["region"] or ()))


def _draw_group(ax: Axes, group: Sequence[Record]) -> None:
    low, high = _limits(group)
    for place, row in enumerate(group):
        _draw_lane(ax, -float(place), row["region"], low, high)
        _draw_row(ax, -float(place), row, low)
    ax.set_xlim(low, high)
    ax.set_ylim(-len(group) + 0.6, 0.75)
    ax.set_yticks([])
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel(_label(group[0]))


def _draw_lane(ax: Axes, y: float, region: Sequence[float | None] | None, low: float, high: float) -> None:
    """The strip in which one comparison is drawn: the claim's region shaded, its ends dashed, zero a line."""
    lane = (y - _LANE, y + _LANE)
    if region is not None:
        left, right = (low if region[0] is None else region[0]), (high if region[1] is None else region[1])
        ax.fill_between([left, right], *lane, color=colour("region"), linewidth=0, zorder=0)
        ends = [end for end in region if end is not None and end != 0]
        ax.vlines(ends, *lane, color=colour("supported"), linewidth=0.8, linestyle=(0, (3, 2)))
    ax.vlines([0], *lane, color=colour("muted"), linewidth=0.9)


def _draw_row(ax: Axes, y: float, row: Record, left: float) -> None:
    tone = colour(sign(row["verdict"])[0])
    seeds = list(row["per_seed"].values())
    ax.plot(seeds, np.full(len(seeds), y), "|", color=tone, alpha=0.5, markersize=8, markeredgewidth=0.9)
    ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=tone, linewidth=2.6, solid_capstyle="round")
    ax.plot(
        [row["effect"]],
        [y],
        color=tone,
        marker=MARKERS.get(row["verdict"], "s"),
        markersize=7,
        markeredgecolor=colour("paper"),
        markeredgewidth=0.8,
    )
    name = ax.text(left, y + 0.44, row["name"], fontsize=9, va="center", color=colour("ink"))
    name.set_in_layout(False)


def _limits(group: Sequence[Record]) -> tuple[float, float]:
    """From the least to the greatest thing that must be seen: zero, the region's ends, intervals and seeds."""
    seen = [0.0]
    for row in group:
        seen += [end for end in row["region"] or () if end is not None]
        seen += [row["ci_low"], row["ci_high"], *row["per_seed"].values()]
    low, high = min(seen), max(seen)
    room = 0.08 * (high - low or 1.0)
    return low - room, high + room


def _label(row: Record) -> str:
    name = described(row["metric"]).label if row["metric"] else "effect"
    unit = f" ({row['unit']})" if row["unit"] not in ("", "1") else ""
    if row["kind"] == "trend":
        return f"slope of {name} on ln β{unit}"
    if row["reference"] is not None:
        return f"{name} − {setting(row['reference'])}{unit}" if row["reference"] else f"{name}{unit}"
    return f"difference in {name}{unit}"


@drawn
def differences_plot(rows: pd.DataFrame, metric: str) -> Figure:
    """One metric's differences between two studies, an arm a line: the mean with its 95 % interval, beside zero.

    rows: columns arm, loss, mean, low, high, as `compare.compare` gives them.
    """
    figure = Figure(figsize=(6.4, 0.24 * len(rows) + 0.9), layout="constrained")
    ax = figure.subplots()
    for y, row in enumerate(rows.to_dict("records")):
        tone = colour(row["loss"])
        ax.plot([row["low"], row["high"]], [-y, -y], color=tone, linewidth=2.0, solid_capstyle="round")
        ax.plot([row["mean"]], [-y], color=tone, marker=mark(row["loss"]).marker, markersize=5.5)
    ax.axvline(0, color=colour("muted"), linewidth=0.9)
    ax.set_yticks([-y for y in range(len(rows))], rows["arm"].tolist())
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.grid(False)
    ax.set_xlabel(f"difference in {titled(metric)}")
    return figure
