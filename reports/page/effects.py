"""Verdicts as figures: each paired difference with its interval, and the region in which the claim would hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from textwrap import shorten
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.claims.kinds import KINDS
from reports.judging.verdict import DEPENDS, INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, Verdict
from reports.page.canvas import drawn
from reports.page.layout import described, titled
from reports.page.palette import VERDICT_SIGNS, colour, mark

MARKERS: Final = {SUPPORTED: "o", REFUTED: "X", DEPENDS: "P", INCONCLUSIVE: "D", INSUFFICIENT: "s"}
_LONGEST: Final = 58  # characters of a comparison's name, with its verdict where it stands there
_ROW: Final = 0.46  # inches a comparison takes
_AXIS: Final = 0.52  # inches an axis with its label takes
_BAND: Final = 0.24  # half the height of the band behind a comparison, in rows

_Comparison = tuple[str, Verdict]  # a comparison to draw: its name, with its verdict where the verdicts differ


@drawn
def effect(verdicts: Sequence[Verdict], names: Sequence[str]) -> Figure:
    """Each comparison on its line: a stroke per seed, the mean with its 95 % intervals, the claim's region shaded.

    The thin line is the interval that decides, over seeds, images and classifiers; the thick one that over seeds alone.

    verdicts: at least one, each with an effect and an interval; names: what each is called.
    """
    alike = len({verdict.verdict for verdict in verdicts}) == 1  # then the card has already the word
    words = ["" if alike else f": {verdict.verdict}" for verdict in verdicts]
    titles = [shorten(name, _LONGEST - len(word), placeholder=" …") + word for name, word in zip(names, words)]
    rows = list(zip(titles, verdicts))
    groups = [list(group) for _, group in groupby(rows, key=lambda row: axis_of(row[1]))]
    heights = [_ROW * len(group) + _AXIS for group in groups]
    figure = Figure(figsize=(4.0, sum(heights)), layout=ConstrainedLayoutEngine(h_pad=0.03, hspace=0.0))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, group in zip(axes, groups):
        _draw_group(ax, group)
    return figure


def axis_of(verdict: Verdict) -> tuple[object, ...]:
    """Neighbours with equal values share an axis."""
    return verdict.metric, verdict.reference, verdict.region


def _draw_group(ax: Axes, group: Sequence[_Comparison]) -> None:
    low, high = _limits(group)
    for place, (title, verdict) in enumerate(group):
        _draw_band(ax, -float(place), verdict, low, high)
        _draw_mean(ax, -float(place), verdict)
        ax.text(low, -place + 0.44, title, fontsize=9, va="center", color=colour("ink")).set_in_layout(False)
    ax.set_xlim(low, high)
    ax.set_ylim(-len(group) + 0.6, 0.75)
    ax.set_yticks([])
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=6)
    _, first = group[0]
    ax.set_xlabel(KINDS[first.kind].axis(described(first.metric).label, first.unit, first.reference))


def _draw_band(ax: Axes, y: float, verdict: Verdict, low: float, high: float) -> None:
    """The band behind one comparison: the claim's region shaded, its ends dashed, zero a line."""
    band = (y - _BAND, y + _BAND)
    if verdict.region is not None:
        left, right = verdict.region
        inside = [low if left is None else left, high if right is None else right]
        ax.fill_between(inside, *band, color=colour("region"), linewidth=0, zorder=0)
        ends = [end for end in verdict.region if end]
        ax.vlines(ends, *band, color=colour(SUPPORTED), linewidth=0.8, linestyle=(0, (3, 2)))
    ax.vlines([0], *band, color=colour("muted"), linewidth=0.9)


def _draw_mean(ax: Axes, y: float, verdict: Verdict) -> None:
    """A stroke per seed, the mean and both intervals of one comparison; the thick one alone where they are the same."""
    tone = colour(VERDICT_SIGNS[verdict.verdict][0])
    seeds = list(verdict.per_seed.values())
    wide = [verdict.ci_low, verdict.ci_high]
    narrow = wide if verdict.narrow_low is None else [verdict.narrow_low, verdict.narrow_high]
    ax.plot(seeds, np.full(len(seeds), y), "|", color=tone, alpha=0.5, markersize=8, markeredgewidth=0.9)
    for ends, width in ((wide, 1.0), (narrow, 3.2)):
        ax.plot(np.array(ends, dtype=float), [y, y], color=tone, linewidth=width, solid_capstyle="butt")
    (dot,) = ax.plot(
        np.array([verdict.effect], dtype=float), [y], color=tone, marker=MARKERS[verdict.verdict], markersize=7
    )
    dot.set(markeredgecolor=colour("paper"), markeredgewidth=0.8)


def _limits(group: Sequence[_Comparison]) -> tuple[float, float]:
    """From the least to the greatest number that must be visible, zero included, with a margin at both ends."""
    visible = [0.0]
    for _, verdict in group:
        ends = (*(verdict.region or ()), verdict.ci_low, verdict.ci_high)
        visible += [*(end for end in ends if end is not None), *verdict.per_seed.values()]
    low, high = min(visible), max(visible)
    margin = 0.08 * (high - low or 1.0)
    return low - margin, high + margin


@drawn
def differences_plot(rows: pd.DataFrame, metric: str) -> Figure:
    """One metric's differences between two studies, one arm per line: mean, 95 % interval, and a line at zero.

    rows: columns arm, loss, mean, low, high, as `joined.Joined.differences` gives them.
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
