"""The pictures of a cell as PNG files, for whoever looks at its run in MLflow's UI."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

SCALE = 3  # screen pixels to one of the image
ACROSS = 10


def png_files(pictures: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, bytes]:
    """``reconstructions.png``, each original above its reconstruction, and ``samples.png``; only what there is.

    pictures: uint8 arrays (n, H, W) or (n, 3, H, W), as `Evaluator.measure` makes them.

    >>> sorted(png_files({"samples": np.zeros((12, 8, 8), np.uint8)}))
    ['samples.png']
    """
    files: dict[str, bytes] = {}
    if len(pictures.get("reconstructions", ())):
        pairs = np.concatenate([pictures["originals"][:ACROSS], pictures["reconstructions"][:ACROSS]])
        files["reconstructions.png"] = _png(pairs, len(pairs) // 2)
    if len(pictures.get("samples", ())):
        files["samples.png"] = _png(pictures["samples"], min(ACROSS, len(pictures["samples"])))
    return files


def _png(images: np.ndarray[Any, Any], across: int) -> bytes:
    whole = images[: len(images) // across * across]
    colour = whole if whole.ndim == 4 else whole[:, None]
    n, planes, height, width = colour.shape
    framed = np.full((n, planes, height + 1, width + 1), 128, np.uint8)
    framed[..., :height, :width] = colour
    rows = framed.reshape(n // across, across, planes, height + 1, width + 1)
    sheet = rows.transpose(0, 3, 1, 4, 2).reshape(n // across * (height + 1), across * (width + 1), planes)
    picture = Image.fromarray(sheet if planes == 3 else sheet[..., 0])
    buffer = io.BytesIO()
    picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
