"""A folder of line drawings: a white ground with a few thin dark strokes, in sub-folders by the number of strokes.

Most pixels are white in every picture, so a model that has learnt little draws nothing at all. `python -m
tests.line_drawings FOLDER` makes one to try a study on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ENLARGED = 4  # drawn at so many times the size and reduced, so that strokes have soft edges


def drawing(strokes: int, side: int, random: np.random.Generator) -> Image.Image:
    """One grey picture with that many strokes, each about a pixel wide."""
    large = Image.new("L", (side * ENLARGED,) * 2, 255)
    pen = ImageDraw.Draw(large)
    for _ in range(strokes):
        ends = random.uniform(0.1, 0.9, size=4) * side * ENLARGED
        pen.line([float(end) for end in ends], fill=20, width=ENLARGED)
    return large.resize((side, side), Image.Resampling.BOX)


def make(folder: Path, *, count: int = 600, side: int = 24, seed: int = 0) -> Path:
    """Write that many pictures as PNG files; returns the folder."""
    random = np.random.default_rng(seed)
    for i in range(count):
        strokes = 1 + i % 3
        place = folder / f"{strokes}-strokes"
        place.mkdir(parents=True, exist_ok=True)
        drawing(strokes, side, random).save(place / f"{i:05}.png")
    return folder


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
