"""Images of arms as strips: the same test images in every row, so that rows can be compared by eye.

Pixels are shown as they are, never smoothed or stretched in contrast.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from reports.page.canvas import data_uri, drawn
from reports.page.evidence import Pictures
from reports.page.palette import colour

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

IMAGES: Final = 10  # in a strip
ORIGINALS: Final = "originals"


@dataclass(frozen=True)
class Strip:
    """One row of images: `label` is its arm, or `ORIGINALS`; `loss` is empty for originals. pixels: as `strip`.

    note: small words below the label.
    """

    label: str
    loss: str
    pixels: Pixels
    note: str = ""

    @property
    def source(self) -> str:
        """The strip as a data URI, PNG at its own size."""
        sheet = io.BytesIO()
        Image.fromarray(self.pixels).save(sheet, format="png", optimize=True)
        return data_uri("image/png", sheet.getvalue())


def strip(images: np.ndarray[Any, Any]) -> Pixels:
    """The first `IMAGES` images side by side, (H, n·W + gaps, 4) uint8 RGBA, with transparent gaps.

    images: (n, H, W) grey or (n, 3, H, W) colour, uint8.

    >>> strip(np.zeros((3, 5, 4), dtype=np.uint8)).shape
    (5, 14, 4)
    """
    shown = np.asarray(images[:IMAGES], dtype=np.uint8)
    colours = np.moveaxis(shown, 1, -1) if shown.ndim == 4 else np.repeat(shown[..., None], 3, axis=-1)
    opaque = np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=-1)  # (n, H, W, 4)
    gap = max(1, opaque.shape[2] // 14)
    return np.hstack(list(np.pad(opaque, ((0, 0), (0, 0), (0, gap), (0, 0)))))[:, :-gap]


def strips(
    frame: pd.DataFrame, pictures: Mapping[str, Pictures], kind: str, notes: Mapping[str, str] = MappingProxyType({})
) -> tuple[Strip, ...]:
    """One strip per arm, of its first seed that has pictures; for reconstructions, under a strip of the originals.

    kind: "reconstructions" or "samples". Arms whose originals are not those of the first arm are left out of a grid
    of reconstructions: rows of different images cannot be compared. notes: label of an arm -> words below it.
    """
    cells = [(cell, pictures[cell["key"]]) for cell in first_cells(frame, pictures)]
    rows: list[Strip] = []
    if kind == "reconstructions" and cells:
        originals = cells[0][1][ORIGINALS]
        cells = [(cell, arrays) for cell, arrays in cells if np.array_equal(arrays[ORIGINALS], originals)]
        rows.append(Strip(ORIGINALS, "", strip(originals)))
    shown = [(cell, arrays[kind]) for cell, arrays in cells if len(arrays.get(kind, ()))]
    noted = [(cell, strip(images), notes.get(cell["arm"], "")) for cell, images in shown]
    return (*rows, *(Strip(cell["arm"], cell["loss"], pixels, note) for cell, pixels, note in noted))


def first_cells(frame: pd.DataFrame, pictures: Mapping[str, Pictures]) -> list[dict[str, Any]]:
    """Of each arm, the cell of the lowest seed that has pictures; arms in the order of the frame."""
    arms = list(dict.fromkeys(frame["arm"]))
    pictured = frame[frame["key"].isin(list(pictures))].sort_values("seed", kind="stable")
    first = {str(cell["arm"]): cell for cell in reversed(pictured.to_dict("records"))}
    return [first[arm] for arm in arms if arm in first]


@drawn
def picture_grid(rows: Sequence[Strip]) -> Figure:
    """The strips one above the other, each with its label."""
    height, width = rows[0].pixels.shape[:2]
    gap = max(1, height // 10)
    sheet = np.vstack([np.pad(row.pixels, ((0, gap), (0, width - row.pixels.shape[1]), (0, 0))) for row in rows])
    inches = 6.0
    figure = Figure(figsize=(inches + 2.0, inches * sheet.shape[0] / width + 0.2), layout="constrained")
    ax = figure.subplots()
    ax.imshow(sheet, interpolation="nearest")
    ax.set_yticks([at * (height + gap) + height / 2 for at in range(len(rows))], [_labelled(row) for row in rows])
    for tick, row in zip(ax.get_yticklabels(), rows):
        tick.set_color(colour(row.loss) if row.loss else colour("ink"))
    ax.set_xticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return figure


def _labelled(row: Strip) -> str:
    return f"{row.label}\n({row.note})" if row.note else row.label
