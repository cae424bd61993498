"""What all metrics of images share: they check their arguments, and compute in float64, some images at a time.

Images are (*, H, W) in [0, 1] (`vae.ranges`): the last two sizes are one picture, all others count pictures, so a
colour set (N, 3, H, W) is measured channel by channel. Results carry no gradients: these are metrics, not losses.

Float64 is needed: variances here are differences of nearly equal sums, and in float32 the SSIM of a near-white image
is off by 1e-4. Images are measured in pieces, so that the working memory stays at some tens of megabytes. On a CPU a
piece also fits in the cache, which makes it twice as fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae.errors import UserError
from vae.ranges import check_unit_range

# Pixels per piece. A few pieces fit in a CPU's cache; an accelerator is fastest with few, large launches.
_PIECE_ON_CPU = 1 << 15
_PIECE_ELSEWHERE = 1 << 21


def check_images(*, least_side: int = 1, **images: object) -> None:
    """Refuse what is not a floating (*, H, W) tensor in [0, 1], and images that do not match each other, by name.

    >>> check_images(x=torch.zeros(5, 8, 7, dtype=torch.uint8))
    Traceback (most recent call last):
    vae.errors.UserError: x is torch.uint8; images here are floating point in [0, 1]. Did you mean x / 255?
    """
    tensors = {name: _floating(name, value) for name, value in images.items()}
    first, *others = tensors.items()
    for other in others:
        _check_match(*first, *other)
    for name, image in tensors.items():
        _check_sides(name, image, least_side)
        check_unit_range(name, image)


def check_threshold(threshold: float) -> None:
    """Refuse a gradient threshold outside [0, 1): it is a share of the image's density range."""
    if not 0.0 <= threshold < 1.0:
        hint = f" Did you mean {threshold / 100:g}?" if 1.0 < threshold < 100.0 else ""
        raise UserError(f"threshold={threshold!r} is not in [0, 1): it is a share of the density range.{hint}")


def per_image(measure: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """`measure` of pieces of the images, in float64, put together again: (*, ...).

    images: all of one shape (*, H, W). `measure` takes as many tensors (n, H, W) and returns (n, ...).

    >>> per_image(lambda x: x.sum(dim=(-2, -1)), torch.ones(5, 3, 8, 7, dtype=torch.float16)).shape
    torch.Size([5, 3])
    """
    results = torch.cat([measure(*piece) for piece in pieces(*images)])
    return results.reshape(images[0].shape[:-2] + results.shape[1:])


def pieces(*images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The images as float64 tensors (n, H, W), some at a time; one empty piece where there are none."""
    flat = [image.detach().reshape(-1, *image.shape[-2:]) for image in images]
    count, height, width = flat[0].shape
    piece = _PIECE_ON_CPU if images[0].device.type == "cpu" else _PIECE_ELSEWHERE
    step = max(1, piece // (height * width))
    for start in range(0, max(count, 1), step):
        yield tuple(image[start : start + step].to(measuring_device(image)).double() for image in flat)


def measuring_device(image: Tensor) -> torch.device:
    """Where an image is measured: on its own device, or on the CPU where that has no float64, such as Apple's."""
    return torch.device("cpu") if image.device.type == "mps" else image.device


def _floating(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise UserError(
            f"{name} is a {type(value).__name__}; it must be a torch tensor (*, H, W)."
            f" Did you mean torch.as_tensor({name})?"
        )
    if not value.is_floating_point():
        hint = f" Did you mean {name} / 255?" if value.dtype == torch.uint8 else ""
        raise UserError(f"{name} is {value.dtype}; images here are floating point in [0, 1].{hint}")
    return value


def _check_match(first: str, x: Tensor, other: str, y: Tensor) -> None:
    if x.shape != y.shape:
        # A lone channel axis is the usual cause of a mismatch.
        lone = [
            name
            for name, long, short in ((first, x, y), (other, y, x))
            if long.dim() > 2 and long.shape[-3] == 1 and long.squeeze(-3).shape == short.shape
        ]
        hint = f" Did you mean {lone[0]}.squeeze(-3)?" if lone else ""
        raise UserError(
            f"{first} is {tuple(x.shape)} and {other} is {tuple(y.shape)}; they must have the same shape,"
            f" for nothing is broadcast.{hint}"
        )
    if x.device != y.device:
        raise UserError(f"{first} is on {x.device} and {other} on {y.device}; they must be on one device.")


def _check_sides(name: str, image: Tensor, least: int) -> None:
    if image.dim() < 2:
        side = math.isqrt(image.numel())
        square = image.dim() == 1 and side > 1 and side * side == image.numel()
        hint = f" Did you mean {name}.reshape({side}, {side})?" if square else ""
        raise UserError(f"{name} is {tuple(image.shape)}; it must end in (H, W).{hint}")
    if min(image.shape[-2:]) < least:
        height, width = image.shape[-2:]
        raise UserError(f"{name} has pictures of {height} x {width} px; each side must be at least {least} px.")
