"""What the training images of a data set have in common: grey levels, ground, and the spread of their pixels.

All functions take images (N, ...) in [0, 1], look at some of them at a time, and need no labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BYTES = 256  # grey levels of an image stored as bytes, and the most that are counted
_AT_ONCE = 1 << 22  # pixels that are looked at together
_WIDEST = 4096  # pixels up to which the covariance is that of pixels; of more, that of some images
_NEAR = 1e-4  # two levels nearer than this are one: far below a byte's step


def grey_levels(images: Tensor) -> int:
    """How many grey levels the images have, equally spaced from 0 to 1; 256 where they have more, or others.

    >>> grey_levels(torch.tensor([[0.0, 0.25], [0.5, 1.0]])), grey_levels(torch.tensor([[0.0, 0.25], [0.5, 0.75]]))
    (256, 256)
    >>> grey_levels(torch.arange(17.0) / 16)
    17
    """
    levels = images.new_empty(0)
    for part in _parts(images):
        steps = part * (BYTES - 1)
        if bool(((steps - steps.round()).abs() > _NEAR * BYTES).any()):
            distinct = _distinct(part)
        else:  # bytes: counting is far faster than sorting
            counts = torch.bincount(steps.round().long(), minlength=BYTES)
            distinct = (counts.nonzero()[:, 0] / (BYTES - 1)).to(part)
        levels = _distinct(torch.cat([levels, distinct]))
        if len(levels) > 2 * BYTES:  # the same level may come out with two last digits
            return BYTES
    apart = levels[levels.diff(prepend=levels.new_full((1,), -1)) > _NEAR]
    count = len(apart)
    if not 2 <= count <= BYTES:
        return BYTES
    even = torch.linspace(0, 1, count, dtype=apart.dtype, device=apart.device)
    return count if bool(((apart - even).abs() <= _NEAR).all()) else BYTES


def light_ground(images: Tensor) -> bool:
    """Whether the median pixel is above .5: then ink is what is darker than the ground.

    >>> light_ground(torch.tensor([[0.9, 1.0, 0.1]])), light_ground(torch.tensor([[0.9, 0.0, 0.1]]))
    (True, False)
    """
    return 2 * sum(int((part > 0.5).sum()) for part in _parts(images)) > images.numel()


def covariance_eigenvalues(images: Tensor, most: int = 256) -> list[float]:
    """The largest eigenvalues of the covariance of the pixels, decreasing, in float64: at most ``most``, all >= 0.

    Of images with more than 4,096 pixels, those of the first 4,096 images.

    >>> covariance_eigenvalues(torch.tensor([[0.0, 0.5], [1.0, 0.5]]))
    [0.25, 0.0]
    """
    rows = images.flatten(1)
    rows = rows if rows.shape[1] <= _WIDEST else rows[:_WIDEST]
    by_pixel = rows.shape[1] <= _WIDEST
    mean = rows.mean(0, dtype=torch.float64)
    if by_pixel:
        step = max(1, _AT_ONCE // rows.shape[1])
        centred = (part.double() - mean for part in torch.split(rows, step))
        product = sum((part.T @ part for part in centred), rows.new_zeros(rows.shape[1], rows.shape[1]).double())
    else:  # the products of images with each other have the same eigenvalues, but for zeros
        whole = rows.double() - mean
        product = whole @ whole.T
    values = torch.linalg.eigvalsh(product / len(rows)).flip(0)[:most]
    return [max(0.0, float(value)) for value in values]


def _distinct(values: Tensor) -> Tensor:
    """(n) -> the distinct values, increasing."""
    ordered = values.sort().values
    return ordered[ordered.diff(prepend=ordered.new_full((1,), -1)) > 0]


def _parts(images: Tensor) -> Iterator[Tensor]:
    """All pixels, flat, some at a time."""
    return iter(torch.split(images.detach().flatten(), _AT_ONCE))
