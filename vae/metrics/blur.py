"""The blur effect of Crete, Dolmiere, Ladret & Nicolas (2007): how little an image changes when blurred again.

Along each axis the image is blurred by a box of `h_size` px; B = 1 − Σ max(0, S − S') / Σ S, where S and S' are
the absolute Sobel derivatives before and after. It is scikit-image's `blur_effect` (0.25.1 or later, where a
constant image does not fail) with `reduce_func=None` and the **mean of the axes**: the default, their maximum, is
1 for any picture of one straight step, whatever its blur.
"""

from __future__ import annotations

import math
from functools import cache, partial

import torch
from torch import Tensor

from vae.errors import UserError
from vae.metrics.images import check_images, measuring_device, per_image

_FLOOR = 2.0**-52  # scikit-image's: derivatives below it are rounding, and an axis of nothing else reads 1
_LEAST_RANGE = 1e-3  # as for acutance: a picture of a smaller range is blank


def blur_effect(x: Tensor, *, h_size: int = 11) -> Tensor:
    """Blur effect, from 0 (sharp) to 1 (blurred): lower is sharper.

    x: (*, H, W) grey, in [0, 1], sides of at least 4 px. h_size: odd, 3 or more, the re-blurring box in px; 11 is
    the usual one, 5 suits small pictures better. Values compare only at one h_size. Returns (*), float64; NaN
    where the picture is blank (max − min < 1e-3). Raises UserError.

    >>> blur_effect(torch.eye(12)).item() < blur_effect(torch.linspace(0, 1, 12).expand(12, 12)).item()
    True
    """
    check_images(x=x, least_side=4)
    if h_size < 3 or h_size % 2 == 0:
        raise UserError(f"h_size={h_size!r} is not an odd number of pixels from 3 up. Did you mean 5 or 11?")
    down, across = (_operators(side, h_size, measuring_device(x)) for side in x.shape[-2:])
    return per_image(partial(_mean_of_axes, down=down, across=across), x)


def _mean_of_axes(x: Tensor, down: tuple[Tensor, Tensor], across: tuple[Tensor, Tensor]) -> Tensor:
    """(n, H, W) -> (n). down, across: of the height and of the width, see `_operators`."""
    (derive_down, smooth_down), (derive_across, smooth_across) = down, across
    vertical = _effect(derive_down @ (x @ smooth_across.T))  # of (n, 2h, w)
    horizontal = _effect(derive_across @ (smooth_down @ x).mT)  # of (n, 2w, h)
    span = x.amax(dim=(-2, -1)) - x.amin(dim=(-2, -1))
    return (0.5 * (vertical + horizontal)).masked_fill(span < _LEAST_RANGE, math.nan)


def _effect(derivatives: Tensor) -> Tensor:
    """(n, 2h, w), the derivatives before blurring again and below them those after it -> (n)."""
    before, after = derivatives.abs().clamp_min(_FLOOR).chunk(2, dim=-2)
    lost = (before - after).clamp_min(0.0).sum(dim=(-2, -1))
    return 1.0 - lost / before.sum(dim=(-2, -1))


@cache
def _operators(side: int, h_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """As matrices: Sobel's derivative, plain and below it after the box, (2h, side), and its smoothing, (h, side).

    Only pixels 2 to side − 2 count, h of them, so that Sobel's derivative needs no pixel beyond the border; the box
    does, and there the image is mirrored.
    """
    inner = range(2, side - 1)
    derive, smooth = (torch.zeros(len(inner), side, dtype=torch.float64) for _ in range(2))
    for row, pixel in enumerate(inner):
        derive[row, pixel - 1 : pixel + 2] = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        smooth[row, pixel - 1 : pixel + 2] = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    derivatives = torch.cat([derive, derive @ _box(side, h_size)])
    return derivatives.to(device), smooth.to(device)


def _box(side: int, h_size: int) -> Tensor:
    """(side, side): the mean over `h_size` pixels, the image mirrored at its border (c b a | a b c | c b a)."""
    rows = torch.zeros(side, side, dtype=torch.float64)
    for pixel in range(side):
        for offset in range(-(h_size // 2), h_size // 2 + 1):
            source = (pixel + offset) % (2 * side)
            rows[pixel, min(source, 2 * side - 1 - source)] += 1.0 / h_size
    return rows
