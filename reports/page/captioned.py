"""A figure with its words: as it is planned, and as the page and the files have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reports.page.canvas import data_uri
from reports.page.drawing import Drawing, Picture
from reports.page.palette import themed

_FONTS: Final = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class PlannedFigure:
    """A figure that is yet to be drawn. section: the part of the page that shows it. alt: what it shows, in words."""

    name: str
    section: str
    caption: str
    alt: str
    drawing: Drawing


@dataclass(frozen=True)
class ReportFigure:
    """A figure as it is shown: fields as of `PlannedFigure`. svg: its file. width: CSS pixels at its own size."""

    name: str
    section: str
    caption: str
    alt: str
    svg: str
    width: int

    @property
    def source(self) -> str:
        """The figure as a data URI that follows the page's light or dark theme."""
        return data_uri("image/svg+xml", themed(self.svg).replace("'DejaVu Sans'", _FONTS).encode())


def shown(plans: Sequence[PlannedFigure], pictures: Sequence[Picture]) -> list[ReportFigure]:
    """The planned figures with their pictures."""
    return [
        ReportFigure(plan.name, plan.section, plan.caption, plan.alt, picture.content.decode(), picture.width)
        for plan, picture in zip(plans, pictures)
    ]
