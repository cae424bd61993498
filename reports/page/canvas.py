"""Colours, fonts and axes shared by all figures: one style, set while a figure is drawn and at no other time.

Figures are `matplotlib.figure.Figure` objects without a window: pyplot and its global state are not used.
They are drawn in the light tones of `reports.page.palette` and keep their words as text.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.numbers import setting
from reports.page.palette import colour, mark

_STYLE: Final = {
    "figure.facecolor": colour("ground"),
    "savefig.facecolor": colour("ground"),
    "savefig.dpi": 150,
    "axes.facecolor": "none",
    "axes.edgecolor": colour("muted"),
    "axes.labelcolor": colour("ink"),
    "axes.titlecolor": colour("ink"),
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": colour("rule"),
    "grid.linewidth": 0.7,
    "text.color": colour("ink"),
    **{f"{axis}tick.{part}": colour("muted") for axis in "xy" for part in ("color", "labelcolor")},
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "ablate",
    "path.simplify_threshold": 0.2,
    "axes.unicode_minus": True,
}

_TAG: Final = re.compile(r"<[^>]*>")
_LONG: Final = re.compile(r"(\.\d\d)\d+")  # a coordinate with its hundredths

drawn: Final = mpl.rc_context(_STYLE)  # as a decorator: a function that draws in the report's style


def panels(
    count: int, *, width: float | None = None, height: float = 3.0, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """A row of `count` axes. width, height: inches of the whole figure; by default 5.4 wide for one panel, else 9."""
    figure = Figure(figsize=(width or (5.4 if count == 1 else 9.0), height), layout="constrained")
    axes = figure.subplots(1, count, sharey=sharey, squeeze=False)
    return figure, list(axes[0])


def ticked_log_axis(ax: Axes, values: Sequence[float], label: str) -> None:
    """A logarithmic axis with a tick at each value that was tried."""
    ax.set_xscale("log")
    ax.set_xticks(list(values), [setting(value) for value in values])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(label)


def legend(figure: Figure, losses: Sequence[str]) -> None:
    """One line of keys above the panels: each loss in its colour, marker and dash."""
    handles = [
        mpl.lines.Line2D([], [], color=colour(loss), marker=look.marker, linestyle=look.linestyle, label=loss.upper())
        for loss, look in zip(losses, map(mark, losses))
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), borderaxespad=0.2)


@drawn
def svg(figure: Figure) -> str:
    """The figure as SVG text without a date, so that equal figures give equal files.

    Coordinates are cut to a hundredth of a point.
    """
    file = io.StringIO()
    _lay_out(figure)
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # Inside tags only: the words between them, tick labels above all, are left as they are.
    return _TAG.sub(lambda tag: _LONG.sub(r"\1", tag[0]), file.getvalue())


@drawn
def png(figure: Figure) -> bytes:
    """The figure as PNG without a date."""
    file = io.BytesIO()
    _lay_out(figure)
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _lay_out(figure: Figure) -> None:
    """Place the axes, once. A figure that keeps its layout engine is drawn twice for each file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def data_uri(kind: str, content: bytes) -> str:
    """A file as a URI that holds its content. kind: its media type, such as "image/png"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
