"""Pictures as a table of losses and betas: the first images of each arm, to be enlarged below the originals.

The whole strips stand below it, one row per arm (`reports.page.pictures`); each entry here leads to its row there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from reports.numbers import number
from reports.page.pictures import Pixels, Strip

_ACROSS: Final = 24  # images in a row of the table, about
_MOST: Final = 4  # images of one arm


@dataclass(frozen=True)
class Pictured:
    """An arm's first images. place: of its row among the strips. note: its rate, nats per image; empty if not known."""

    strip: Strip
    place: int
    note: str


@dataclass(frozen=True)
class PictureRow:
    """One loss and reduction. arms: one for each beta of the table; None where there is no picture."""

    loss: str
    reduction: str
    arms: tuple[Pictured | None, ...]


@dataclass(frozen=True)
class PictureTable:
    """Rows over betas, in ascending order."""

    betas: tuple[float, ...]
    rows: tuple[PictureRow, ...]


def picture_table(cells: pd.DataFrame, strips: Sequence[Strip]) -> PictureTable | None:
    """The table of these strips; None where no loss has two betas. cells: done, of the grid, at the study's base."""
    places = {row.label: place for place, row in enumerate(strips) if row.loss}
    arms = cells[cells["arm"].isin(list(places))]
    if arms.empty or arms.groupby(["loss", "reduction"])["beta"].nunique().max() < 2:
        return None
    betas = tuple(sorted(float(beta) for beta in arms["beta"].unique()))
    images = max(1, min(_MOST, _ACROSS // len(betas)))
    rates: dict[str, float] = {}
    if "rate" in arms.columns:
        rates = {str(arm): float(rate) for arm, rate in arms.groupby("arm")["rate"].mean().items()}
    rows = []
    for (loss, reduction), part in arms.groupby(["loss", "reduction"], sort=False):
        labels = dict(zip(part["beta"].astype(float), part["arm"]))
        entries = [_pictured(labels.get(beta), strips, places, images, rates) for beta in betas]
        rows.append(PictureRow(str(loss), str(reduction), tuple(entries)))
    return PictureTable(betas, tuple(rows))


def _pictured(
    label: str | None, strips: Sequence[Strip], places: Mapping[str, int], images: int, rates: Mapping[str, float]
) -> Pictured | None:
    if label is None:
        return None
    whole = strips[places[label]]
    note = f"{number(rates[label], 1)} nats" if label in rates else ""
    first = Strip(whole.label, whole.loss, _first(whole.pixels, images), whole.note)
    return Pictured(first, places[label], note)


def _first(pixels: Pixels, images: int) -> Pixels:
    """The first images of a strip: columns up to the gap behind them, which is transparent.

    >>> import numpy as np; from reports.page.pictures import strip
    >>> _first(strip(np.zeros((5, 6, 4), dtype=np.uint8)), 2).shape
    (6, 9, 4)
    """
    opaque = pixels[0, :, 3] > 0
    ends = [x + 1 for x in range(len(opaque)) if opaque[x] and (x + 1 == len(opaque) or not opaque[x + 1])]
    return pixels[:, : ends[min(images, len(ends)) - 1]]
