"""A figure with its words, as the page and the files have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from matplotlib.figure import Figure

from reports.page.canvas import data_uri, rendered
from reports.page.palette import themed

_FONTS: Final = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its words. section: the part of the page that shows it. alt: what the figure shows, in words."""

    name: str
    section: str
    caption: str
    alt: str
    figure: Figure

    @cached_property
    def files(self) -> tuple[str, bytes]:
        """The figure as SVG and as PNG."""
        return rendered(self.figure)

    @property
    def source(self) -> str:
        """The figure as a data URI that follows the page's light or dark theme."""
        return data_uri("image/svg+xml", themed(self.files[0]).replace("'DejaVu Sans'", _FONTS).encode())

    @property
    def width(self) -> int:
        """CSS pixels of the figure at its own size."""
        return round(self.figure.get_figwidth() * 96)
