"""One digit, damaged in five ways, and what each metric reads: `python -m vae.metrics.picture OUT.png`.

Draws the figure of README.md from the MNIST test set under $ABLATE_DATA. A cell's tint shows how far its reading
is from the untouched digit's, as a share of the largest such distance in its row.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vae.metrics import sharpness, similarity
from vae.metrics.blur import blur_effect
from vae.metrics.transfer import transfer

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw as Pen

_DIGIT = 1  # of the test set: a 2, with thin and thick strokes, curves and a corner
_ENLARGED = 7  # screen pixels per pixel of the digit
_COLUMN, _ROW, _MARGIN, _LABELS = 228, 44, 28, 330
_PAPER, _INK, _FAINT, _TINT = (255, 255, 255), (24, 28, 36), (104, 110, 122), (236, 162, 92)


def damages(digit: Tensor) -> dict[str, Tensor]:
    """The digit (H, W), untouched first, and five damages to it; each (H, W) in [0, 1]."""
    noise = torch.randn(digit.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {
        "original": digit,
        "blurred, 1 px": _blurred(digit, sigma=1.0),
        "hazed, .1": digit.clamp_min(0.1),
        "shifted, 1 px": digit.roll(1, dims=-1),
        "noised, .1": (digit + 0.1 * noise).clamp(0.0, 1.0),
        "binarised": (digit > 0.5).to(digit.dtype),
    }


def readings(damaged: Tensor, original: Tensor) -> dict[str, float]:
    """What each metric reads on one damaged picture (H, W), against its original."""
    passed = transfer(damaged, original)
    quarter = int((passed.frequency - 0.25).abs().argmin())
    upright, inverted = similarity.ssim_both(damaged, original)
    acutance = sharpness.acutance(damaged)
    return {
        "SSIM": float(upright),
        "SSIM inverted": float(inverted),
        "PSNR, dB": float(similarity.psnr(damaged, original)),
        "acutance, 1/px": float(acutance),
        "acutance ratio": float(acutance / sharpness.acutance(original)),
        "equivalent blur, px": float(sharpness.sigma_eq(acutance)),
        "edge contrast": float(sharpness.edge_contrast(damaged, original)),
        "ink ratio": float(sharpness.ink_ratio(damaged, original)),
        "foreground recall": float(sharpness.foreground_recall(damaged, original)),
        "MTF50, cycles/px": passed.mtf50,
        "gain at .25 cycles/px": float(passed.gain[quarter]),
        "coherence at .25 cycles/px": float(passed.coherence[quarter]),
        "blur effect, 11 px": float(blur_effect(damaged)),
        "blur effect, 5 px": float(blur_effect(damaged, h_size=5)),
    }


def save(digit: Tensor, path: Path) -> None:
    """Draw the figure of one digit (H, W) in [0, 1] into a PNG file, whose metadata hold the readings as JSON."""
    from PIL.PngImagePlugin import PngInfo

    pictures = damages(digit.to(torch.float64))
    columns = {title: readings(picture, pictures["original"]) for title, picture in pictures.items()}
    metadata = PngInfo()
    metadata.add_text("readings", json.dumps(columns))
    _drawn(pictures, columns).quantize(64).save(path, optimize=True, pnginfo=metadata)


def _drawn(pictures: Mapping[str, Tensor], columns: Mapping[str, Mapping[str, float]]) -> Image:
    """The damages above, the readings below."""
    from PIL import Image, ImageDraw

    height, width = pictures["original"].shape
    names = list(columns["original"])
    top = _MARGIN + _ROW + _ENLARGED * height + _MARGIN // 2
    canvas = Image.new("RGB", (_LABELS + _COLUMN * len(columns) + _MARGIN, top + _ROW * len(names) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for column, (title, picture) in enumerate(pictures.items()):
        left = _LABELS + column * _COLUMN
        _write(pen, (left + _COLUMN // 2, _MARGIN + _ROW // 2), title, "mm", _INK)
        canvas.paste(_enlarged(picture), (left + (_COLUMN - _ENLARGED * width) // 2, _MARGIN + _ROW))
    for row, name in enumerate(names):
        _draw_row(pen, top + row * _ROW, name, [values[name] for values in columns.values()])
    return canvas


def _draw_row(pen: Pen, top: int, name: str, values: Sequence[float]) -> None:
    middle = top + _ROW // 2
    _write(pen, (_LABELS - 16, middle), name, "rm", _FAINT)
    for column, (value, tint) in enumerate(zip(values, _tints(values))):
        left = _LABELS + column * _COLUMN
        colour = tuple(round(paper + tint * (full - paper)) for paper, full in zip(_PAPER, _TINT))
        pen.rectangle((left + 3, top + 3, left + _COLUMN - 4, top + _ROW - 4), fill=colour)
        _write(pen, (left + _COLUMN // 2, middle), _number(value), "mm", _INK)


def _tints(values: Sequence[float]) -> list[float]:
    """Distance of each reading from the first, as a share of the largest; the best that is finite stands for inf."""
    finite = [value for value in values if math.isfinite(value)]
    start = values[0] if math.isfinite(values[0]) else max(finite, default=0.0)
    distances = [abs(value - start) if math.isfinite(value) else 0.0 for value in values]
    largest = max(distances)
    return [distance / largest if largest > 1e-9 else 0.0 for distance in distances]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "identical" if value > 0 else "none"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) < 0.9995 else f"{value:.2f}"


def _write(pen: Pen, at: tuple[int, int], text: str, anchor: str, colour: tuple[int, ...]) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size=22)
    pen.text(at, text, fill=colour, font=font, anchor=anchor)


def _enlarged(picture: Tensor) -> Image:
    from PIL import Image

    levels = (255.0 * picture).round().to(torch.uint8).numpy()
    size = (_ENLARGED * levels.shape[1], _ENLARGED * levels.shape[0])
    return Image.fromarray(levels).resize(size, Image.Resampling.NEAREST)


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur as two matrix products; what lies beyond the border is black."""
    down, across = (_gaussian(side, sigma) for side in picture.shape)
    return (down @ picture.to(torch.float64) @ across).clamp(0.0, 1.0)


def _gaussian(side: int, sigma: float) -> Tensor:
    position = torch.arange(side, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((position - position[:, None]) / sigma) ** 2)
    return weights / (sigma * math.sqrt(2.0 * math.pi))


def main(arguments: list[str]) -> None:
    """OUT.png: the file that is written."""
    from vae.datasets.load import load

    if len(arguments) != 1:
        raise SystemExit("Usage: python -m vae.metrics.picture OUT.png")
    save(load("mnist", download=False, test=_DIGIT + 1).test[_DIGIT], Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
