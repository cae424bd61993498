"""One format of pixels between the files of a data set and the tensors of `ImageData`.

Pixels are uint8 levels 0 to 255, or float32 in [0, 1] where values lie between the levels; grey is (N, H, W),
colour (N, 3, H, W). Levels stay levels until the last step, so that the digest of a data set depends on what its
pictures show and not on how they were stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae.datasets.request import MAX_SIDE, MIN_SIDE
from vae.errors import UserError

# A triangle filter widened to the reduction: antialiased, and without the ringing of the sharper filters, whose
# overshoot beside a stroke would be measured as acutance.
FILTER = Image.Resampling.BILINEAR

_CHUNK = 1024  # images converted at a time, so that wide integers never exist for the whole set


class Source(NamedTuple):
    """A data set before limits apply: how many images each split has, and how to read the first n.

    read(n_train, n_test) gives the pixels of the first n images of both splits, in the format of this module.
    Labels are (N,) int64 for the whole split, or None.
    """

    n_train: int
    n_test: int
    read: Callable[[int, int], tuple[Tensor, Tensor]]
    train_labels: Tensor | None
    test_labels: Tensor | None
    classes: tuple[str, ...]


def in_memory(
    train: Tensor,
    test: Tensor,
    train_labels: Tensor | None,
    test_labels: Tensor | None,
    classes: tuple[str, ...],
) -> Source:
    """The source of pixels that are already in memory."""
    return Source(len(train), len(test), lambda n, m: (train[:n], test[:m]), train_labels, test_labels, classes)


def snap(values: Tensor) -> Tensor:
    """Floats (*) in [0, 1] to uint8 levels where they are 8-bit pictures stored as floats, else to float32.

    A tenth of a level is what rounding to half precision and back can cost.

    >>> snap(torch.tensor([0.0, 51 / 255, 1.0])), snap(torch.tensor([0.0, 0.5, 1.0]))
    (tensor([  0,  51, 255], dtype=torch.uint8), tensor([0.0000, 0.5000, 1.0000]))
    """
    values = values.to(torch.float32)
    levels = (values * 255).round()
    if bool(((values * 255 - levels).abs() <= 0.1).all()):
        return levels.to(torch.uint8)
    return values


def unit(pixels: Tensor) -> Tensor:
    """Pixels as float32 in [0, 1], contiguous."""
    if pixels.dtype == torch.uint8:
        return pixels.contiguous().to(torch.float32).div_(255)
    return pixels.contiguous()


def recolour(pixels: Tensor, colour: bool) -> Tensor:
    """Grey (N, H, W) or colour (N, 3, H, W) pixels in colour, or in grey.

    Colour becomes grey by ITU-R 601-2 luma, .299 R + .587 G + .114 B; levels in Pillow's own integer arithmetic, so
    that a folder and an array of the same pictures agree. Grey becomes three equal channels.

    >>> recolour(torch.tensor([0, 0, 200], dtype=torch.uint8).reshape(1, 3, 1, 1), colour=False)
    tensor([[[23]]], dtype=torch.uint8)
    """
    is_colour = pixels.ndim == 4
    if colour and not is_colour:
        return pixels[:, None].expand(-1, 3, -1, -1)
    if is_colour and not colour:
        return torch.cat([_luma(pixels[i : i + _CHUNK]) for i in range(0, len(pixels), _CHUNK)])
    return pixels


def _luma(pixels: Tensor) -> Tensor:
    if pixels.dtype == torch.uint8:
        red, green, blue = pixels.to(torch.int32).unbind(1)
        return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)
    red, green, blue = pixels.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).clamp(0, 1)


def resize(pixels: Tensor, size: int | None) -> Tensor:
    """The whole of each picture on size × size pixels, antialiased; unchanged where it has them, or size is None.

    Sides are scaled independently. Done by Pillow plane by plane: its integer arithmetic gives the same levels on every
    machine.
    """
    if size is None or pixels.shape[-2:] == (size, size):
        return pixels
    planes = pixels.reshape(-1, *pixels.shape[-2:]).numpy()
    out = np.empty((len(planes), size, size), dtype=planes.dtype)
    for i, plane in enumerate(planes):
        out[i] = np.asarray(Image.fromarray(plane).resize((size, size), FILTER))
    if out.dtype != np.uint8:
        np.clip(out, 0, 1, out=out)  # a mean of ones can round to just above one
    return torch.from_numpy(out).reshape(*pixels.shape[:-2], size, size)


def check_sides(what: str, height: int, width: int) -> None:
    """Raises UserError for a side below 7 or above 1024 pixels: such pictures cannot be measured, or would not fit.

    >>> check_sides("train", 28, 6)
    Traceback (most recent call last):
    vae.errors.UserError: train: pictures of 6×28 pixels (width×height) are too small, ... at least 7.
    """
    if min(height, width) < MIN_SIDE:
        raise UserError(
            f"{what}: pictures of {width}×{height} pixels (width×height) are too small, each side must be at "
            f"least {MIN_SIDE}."
        )
    if max(height, width) > MAX_SIDE:
        raise UserError(
            f"{what}: pictures of {width}×{height} pixels (width×height) are too large, each side may be at most "
            f"{MAX_SIDE}: give a `size` to have them resized."
        )


def digest(parts: Mapping[str, Tensor | None]) -> str:
    """sha256 of named tensors, their shapes and contents: 16 hex characters. A None is left out.

    >>> digest({"train": torch.zeros(2, 3, dtype=torch.uint8)})
    'd20b6a4f0cfdf004'
    """
    sha = hashlib.sha256()
    for name, tensor in parts.items():
        if tensor is None:
            continue
        array = tensor.contiguous().numpy()
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        sha.update(f"{name} {array.dtype.name} {array.shape};".encode())
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()[:16]
