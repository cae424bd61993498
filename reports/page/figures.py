"""The frame as figures. Each function takes tables of numbers and returns a matplotlib `Figure`; the caller saves it.

Every mean is drawn with its own interval from `reports.page.tables` (seaborn's bootstraps are switched off), every axis
has its unit, and every loss its one colour, marker and dash. Cells and means are those of arms at the study's base
(`reports.page.base.at_base`) wherever a function does not say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from reports.judging.curves import curves_by_seed
from reports.numbers import setting
from reports.page.canvas import drawn, legend, panels, ticked_log_axis
from reports.page.layout import described, titled
from reports.page.palette import colour, mark
from reports.page.tables import SUMMARY, on_grid, summary
from vae.factors import Factor

CURVE_POINTS: Final = 41  # of a curve against the rate


def losses_in(rows: pd.DataFrame) -> list[str]:
    """The losses of these rows, in the order of first appearance."""
    return list(dict.fromkeys(rows["loss"]))


def curves(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    """One line per loss through the means, over a band of their intervals. rows: of one metric, columns as `MEANS`."""
    rows = rows.sort_values(x)
    losses = losses_in(rows)
    sns.lineplot(
        rows,
        x=x,
        y="mean",
        hue="loss",
        style="loss",
        hue_order=losses,
        style_order=losses,
        palette={loss: colour(loss) for loss in losses},
        markers={loss: mark(loss).marker for loss in losses},
        dashes={loss: mark(loss).dash for loss in losses},
        estimator=None,
        errorbar=None,
        markeredgecolor=colour("paper"),
        markeredgewidth=0.6,
        legend=False,
        ax=ax,
    )
    for loss, part in rows.groupby("loss", sort=False):
        ax.fill_between(part[x], part["low"], part["high"], color=colour(str(loss)), alpha=0.16, linewidth=0)


@drawn
def metric_against_beta(means: pd.DataFrame, metric: str) -> Figure:
    """One metric against beta by loss, one panel per reduction: the arms of the study's own grid."""
    rows = on_grid(means, metric)
    reductions = list(dict.fromkeys(rows["reduction"]))
    figure, axes = panels(len(reductions))
    for ax, reduction in zip(axes, reductions):
        part = rows[rows["reduction"] == reduction]
        curves(ax, part, "beta")
        ticked_log_axis(ax, sorted(part["beta"].unique()), "β")
        ax.set_title(f"reduction: {reduction}")
        _reference(ax, metric)
        ax.set_ylabel(titled(metric) if ax is axes[0] else "")
    legend(figure, losses_in(rows))
    return figure


def _titles(ax: Axes, metric: str, x: str) -> None:
    """What a panel of one metric is called, on its own and along its axes. x: the label of the x axis."""
    ax.set_title(described(metric).label)
    ax.set_ylabel(titled(metric))
    ax.set_xlabel(x)
    _reference(ax, metric)


def _reference(ax: Axes, metric: str) -> None:
    """A thin line at the ideal, where the ideal is a value inside the scale."""
    if described(metric).direction == "closer to 1":
        ax.axhline(1.0, color=colour("muted"), linewidth=0.9, linestyle=(0, (2, 2)))


@drawn
def metric_against_effective_beta(means: pd.DataFrame, metric: str) -> Figure:
    """One metric against beta_eff: all reductions on one axis, filled marks for `sum` and hollow ones for the others.

    Where a reduction only changes the weight of the KL term, hollow marks lie on the line through the filled ones.
    """
    rows = means[means["metric"] == metric]
    figure, (ax,) = panels(1, width=7.2, height=3.3)
    curves(ax, rows[rows["reduction"] == "sum"], "beta_eff")
    for (loss, _), part in rows[rows["reduction"] != "sum"].groupby(["loss", "reduction"], sort=False):
        ax.errorbar(
            part["beta_eff"],
            part["mean"],
            yerr=part["half"].fillna(0.0),
            fmt=mark(str(loss)).marker,
            color=colour(str(loss)),
            markerfacecolor=colour("ground"),
            markeredgewidth=1.3,
            elinewidth=0.9,
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: setting(value)))  # 100 and not 10²
    ax.set_xlabel("effective β: weight of the KL when both terms are summed")
    ax.set_ylabel(titled(metric))
    _reference(ax, metric)
    legend(figure, losses_in(rows))
    return figure


def rate_curves(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric against the rate with a band over seeds, by loss: columns loss, rate, n, mean, sd, half, low, high.

    cells: done, of any reduction. Each seed's `sum` arms make a curve over beta (`reports.judging.curves`), which is
    read at common rates inside the support that all seeds of a loss share, and summarised over seeds there.
    """
    of_sum = cells[cells["reduction"] == "sum"]
    rows: list[dict[str, Any]] = []
    for loss, part in of_sum.groupby("loss", sort=False):
        points_of = part[["seed", "beta", "rate", metric]].itertuples(index=False, name=None)
        lines = curves_by_seed(points_of).values()
        low = max((min(curve.rate) for curve in lines), default=0.0)
        high = min((max(curve.rate) for curve in lines), default=0.0)
        if low >= high:
            continue
        rates = np.linspace(low, high, CURVE_POINTS)
        values = np.stack([curve.at(rates.tolist()) for curve in lines])  # (seeds, points)
        reached = np.isfinite(values).all(axis=0)
        rows += [
            {"loss": loss, "rate": rate} | summary(pd.Series(column))
            for rate, column in zip(rates[reached], values.T[reached])
        ]
    return pd.DataFrame(rows, columns=["loss", "rate", *SUMMARY])


@drawn
def against_rate(
    cells: pd.DataFrame, means: pd.DataFrame, metrics: Sequence[str], rates: Sequence[float] = ()
) -> Figure:
    """Metrics against the rate, one panel each: line and band over seeds per loss, marks at arms, a dotted line at
    each of `rates`, nats per image."""
    figure, axes = panels(len(metrics), sharey=False, height=3.2)
    for ax, metric in zip(axes, metrics):
        _rate_panel(ax, rate_curves(cells, metric), means, metric)
        for rate in rates:
            ax.axvline(rate, color=colour("muted"), linewidth=0.7, linestyle=(0, (1, 2)), zorder=0.5)
        _titles(ax, metric, "rate (nats per image)")
    legend(figure, losses_in(means))
    return figure


def _rate_panel(ax: Axes, lines: pd.DataFrame, means: pd.DataFrame, metric: str) -> None:
    for loss, part in lines.groupby("loss", sort=False):
        tone, dash = colour(str(loss)), mark(str(loss)).linestyle
        ax.plot(part["rate"], part["mean"], color=tone, linestyle=dash, linewidth=1.6)
        ax.fill_between(part["rate"], part["low"], part["high"], color=tone, alpha=0.18, linewidth=0)
    of_sum = means[means["reduction"] == "sum"]
    at = of_sum[of_sum["metric"] == "rate"].set_index("arm")["mean"]
    marks = of_sum[of_sum["metric"] == metric]
    for loss, part in marks.groupby("loss", sort=False):
        ax.plot(
            at.reindex(part["arm"]).to_numpy(),
            part["mean"],
            linestyle="none",
            marker=mark(str(loss)).marker,
            color=colour(str(loss)),
            markeredgecolor=colour("paper"),
            markeredgewidth=0.6,
        )


@drawn
def against_factor(means: pd.DataFrame, metrics: Sequence[str], factor: Factor) -> Figure:
    """Metrics against a numeric factor, one panel each and one line per loss. means: of arms at the base but for it."""
    figure, axes = panels(len(metrics), sharey=False)
    for ax, metric in zip(axes, metrics):
        rows = means[means["metric"] == metric].astype({factor.name: float})
        values = sorted(rows[factor.name].unique())
        curves(ax, rows, factor.name)
        if values[0] > 0:
            ticked_log_axis(ax, values, factor.title)
        _titles(ax, metric, factor.title)
    legend(figure, losses_in(means))
    return figure


@drawn
def transfer(functions: Mapping[str, Mapping[str, Any]], losses: Mapping[str, str]) -> Figure:
    """Transfer function H, gain G and squared coherence γ² against frequency, one line per arm.

    functions: arm -> arrays `transfer_frequency` (cycles per pixel), `transfer_h`, `transfer_gain`,
    `transfer_coherence`. losses: arm -> loss. The line at H = .5 is where mtf50 is read.
    """
    figure, axes = panels(3, sharey=True, height=3.1)
    names = ("transfer_h", "transfer_gain", "transfer_coherence")
    for ax, name, title in zip(axes, names, ("transfer function H", "gain G", "coherence γ²")):
        for arm, arrays in functions.items():
            tone, dash = colour(losses[arm]), mark(losses[arm]).linestyle
            ax.plot(arrays["transfer_frequency"], arrays[name], color=tone, linestyle=dash, label=arm)
        ax.set_title(title)
        ax.set_xlim(0, 0.5)  # Nyquist's frequency
        ax.set_xlabel("frequency (cycles per pixel)")
    axes[0].axhline(0.5, color=colour("muted"), linewidth=0.9, linestyle=(0, (2, 2)))
    axes[0].annotate("mtf50", (0.49, 0.515), ha="right", fontsize=8, color=colour("muted"))
    axes[0].set_ylabel("pure number")
    handles, _ = axes[-1].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 4), borderaxespad=0.2)
    return figure


@drawn
def training(curve: pd.DataFrame, label: str) -> Figure:
    """A quantity by epoch, mean over seeds with its interval: one panel per loss, one line per beta, darker = larger.

    curve: columns loss, beta, epoch, mean, low, high, of one reduction.
    """
    losses = losses_in(curve)
    figure, axes = panels(len(losses), sharey=False, height=2.9)
    for ax, loss in zip(axes, losses):
        part = curve[curve["loss"] == loss]
        betas = sorted(part["beta"].unique())
        for beta, strength in zip(betas, np.linspace(0.45, 1.0, len(betas))):
            line = part[part["beta"] == beta].sort_values("epoch")
            ax.plot(line["epoch"], line["mean"], color=colour(loss), alpha=strength, linewidth=1.5)
            ax.fill_between(line["epoch"], line["low"], line["high"], color=colour(loss), alpha=0.1, linewidth=0)
        _name_ends(ax, part)
        ax.set_title(loss.upper())
        ax.set_xlabel("epoch")
    axes[0].set_ylabel(label)
    return figure


def _name_ends(ax: Axes, part: pd.DataFrame) -> None:
    """The beta of each line at its end; the labels are moved apart where lines end close together."""
    ends = part[part["epoch"] == part["epoch"].max()].sort_values("mean")
    low, high = ax.get_ylim()
    at = -np.inf
    for end in ends.to_dict("records"):
        at = max(end["mean"], at + 0.065 * (high - low))
        ax.annotate(
            setting(end["beta"]), (end["epoch"], at), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=7.5, color=colour("muted"), annotation_clip=False,
        )  # fmt: skip
