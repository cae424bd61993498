"""Whether effects still change with training, as the page says and draws it.

What was measured at points of training stands in the verdicts (`reports.judging.convergence`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import fill, shorten
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.claims.kinds import KINDS
from reports.judging.sentences import movement, of_training
from reports.judging.verdict import Verdict
from reports.numbers import listed, sentence_case, setting
from reports.page.canvas import drawn
from reports.page.claim_sections import ClaimSection
from reports.page.claim_tables import names
from reports.page.effects import axis_of
from reports.page.layout import described
from reports.page.palette import colour

UNKNOWN: Final = (
    "Convergence is not known: no arm was measured at points of training. A longer training may change any verdict."
)
_MOST_NAMED: Final = 4  # comparisons in one sentence
_PANELS: Final = 4  # in a row
_PANEL: Final = (2.3, 1.75)  # inches
_STATES: Final[Mapping[bool | None, str]] = {True: "settled", False: "still moving", None: "not followed in every seed"}


def followed(section: ClaimSection) -> tuple[Verdict, ...]:
    """The comparisons of a claim that were measured at two points of training or more, those of one metric together."""
    singles = [single for single in section.measured if len(single.by_epochs) > 1]
    metrics = [single.metric for single in singles]
    return tuple(sorted(singles, key=lambda single: metrics.index(single.metric)))


def is_known(sections: Sequence[ClaimSection]) -> bool:
    """Whether any comparison was followed over training."""
    return any(single.settled is not None for section in sections for single in section.comparisons)


def settling(section: ClaimSection) -> list[str]:
    """Whether the comparisons of a claim have settled: of one its sentence; of several, which have, which have not, and
    which of these moved most."""
    singles = [single for single in section.comparisons if single.counted]
    known = [(name, one) for name, one in zip(names(singles), singles) if of_training(one)]
    if len(known) < 2:
        return [of_training(one) for _, one in known]
    settled = [name for name, one in known if one.settled]
    moving = sorted((pair for pair in known if not pair[1].settled), key=lambda pair: -_in_margins(pair[1]))
    sentences = []
    if settled:
        sentences.append(
            f"Settled: {_which(settled, len(known))}. Since the point before the last, neither the difference nor an "
            "arm moved by more than the margin."
        )
    if moving:
        (most, one), *others = moving
        which = _which([name for name, _ in moving], len(known))
        how = f"“{most}” moved most, counted in margins: {movement(one)}" if others else sentence_case(movement(one))
        sentences.append(f"Still moving: {which}. {how}.")
    return sentences


def _in_margins(one: Verdict) -> float:
    """How far a comparison moved, in margins."""
    return max(abs(one.moved or 0.0), abs(one.arms_moved or 0.0)) / (one.margin or 1.0)


def _which(labels: Sequence[str], every: int) -> str:
    if len(labels) == every:
        return f"all {every} comparisons"
    if len(labels) > _MOST_NAMED:
        return f"{len(labels)} of {every} comparisons"
    return listed(f"“{label}”" for label in labels)


@drawn
def course_figure(singles: Sequence[Verdict], titles: Sequence[str]) -> Figure:
    """The effect of each comparison against epochs with its interval, over the region in which the claim would hold.

    singles: at least one, each measured at two points or more. Panels with the same axis share its scale.
    """
    columns = min(len(singles), _PANELS)
    rows = math.ceil(len(singles) / columns)
    figure = Figure(figsize=(columns * _PANEL[0], rows * _PANEL[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    limits = [(axis, _limits(list(group))) for axis, group in groupby(singles, key=axis_of)]
    for place, (ax, single, title) in enumerate(zip(axes, singles, titles)):
        _draw_course(ax, single, dict(limits)[axis_of(single)])
        if place % columns == 0 or axis_of(single) != axis_of(singles[place - 1]):
            label = KINDS[single.kind].axis(described(single.metric).label, single.unit, single.reference)
            ax.set_ylabel(fill(label, 24), fontsize=7.5)
        ax.set_title(f"{_titled(title)}\n{_STATES[single.settled]}", fontsize=8, fontweight="normal")
    for ax in axes[len(singles) :]:
        ax.set_visible(False)
    return figure


def _titled(name: str) -> str:
    return fill(shorten(name, 56, placeholder=" …"), 30)


def _draw_course(ax: Axes, single: Verdict, limits: tuple[float, float]) -> None:
    points = [point for point in single.by_epochs if point.effect is not None]
    in_epochs = all(point.epochs for point in points)
    x = [float(point.epochs or 0) if in_epochs else 100 * point.share for point in points]
    effects = np.array([point.effect for point in points], dtype=float)
    low, high = (np.array([getattr(p, end) for p in points], dtype=float) for end in ("ci_low", "ci_high"))
    if single.region is not None:
        ends = [end if end is not None else limit for end, limit in zip(single.region, limits)]
        ax.axhspan(*ends, color=colour("region"), linewidth=0, zorder=0)
    ax.axhline(0, color=colour("muted"), linewidth=0.9)
    ax.vlines(x, low, high, color=colour("accent"), linewidth=1.6)
    ax.plot(x, effects, color=colour("accent"), marker="o", markersize=4, linewidth=1.1)
    ax.set(ylim=limits, xlim=(0, max(x) * 1.06))
    ax.grid(False)
    ax.set_xticks(x, [setting(round(at)) for at in x])
    ax.locator_params(axis="y", nbins=4)
    ax.tick_params(labelsize=7.5)
    ax.set_xlabel("epochs" if in_epochs else "% of training", fontsize=8)


def _limits(group: Sequence[Verdict]) -> tuple[float, float]:
    """What must be visible on one scale: zero, the margins, and every interval."""
    visible = [0.0, *(end for single in group for end in single.region or () if end is not None)]
    for point in (point for single in group for point in single.by_epochs):
        visible += [value for value in (point.effect, point.ci_low, point.ci_high) if value is not None]
    low, high = min(visible), max(visible)
    edge = 0.08 * (high - low or 1.0)
    return low - edge, high + edge
