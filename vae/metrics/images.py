"""What all metrics of images share: they check their arguments, and compute in float64, some images at a time.

Images are (*, H, W): the last two sizes are one picture, all others count pictures, so a colour set (N, 3, H, W)
is measured channel by channel. Results have one value per picture, shape (*), in float64 on the same device.
They carry no gradients: these are metrics, not losses.

Float64 is needed: variances here are differences of nearly equal sums, and in float32 the SSIM of a near-white image
is off by 1e-4. Images are measured in pieces, so that the working memory stays at some tens of megabytes whatever the
number of images. On a CPU a piece also fits in the cache, which makes it twice as fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae.errors import UserError

# Pixels per piece. A few pieces fit in a CPU's cache; an accelerator is fastest with few, large launches.
_PIECE_ON_CPU = 1 << 15
_PIECE_ELSEWHERE = 1 << 21


def check_images(*, least_side: int = 1, **images: object) -> None:
    """Refuse what is not a floating (*, H, W) tensor in [0, 1], and images that do not match each other.

    The keywords are the names under which the caller knows the images. Raises UserError, naming the argument,
    what it was, what is allowed and the likely intention.

    >>> check_images(x=torch.zeros(5, 8, 7), y=torch.ones(5, 8, 7))
    >>> check_images(x=torch.zeros(5, 8, 7, dtype=torch.uint8))
    Traceback (most recent call last):
        ...
    vae.errors.UserError: x is torch.uint8; images here are floating point in [0, 1]. Did you mean x / 255?
    """
    tensors = {name: _floating(name, value) for name, value in images.items()}
    first, *others = tensors
    for other in others:
        _check_match(first, tensors[first], other, tensors[other])
    for name, image in tensors.items():
        _check_sides(name, image, least_side)
        _check_range(name, image)


def check_threshold(threshold: float) -> None:
    """Refuse a gradient threshold outside [0, 1): it is a share of the image's density range."""
    if not 0.0 <= threshold < 1.0:
        hint = f" Did you mean {threshold / 100:g}?" if 1.0 < threshold < 100.0 else ""
        raise UserError(f"threshold={threshold!r} is not in [0, 1): it is a share of the density range.{hint}")


def per_image(measure: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """Apply `measure` to pieces of the images, in float64, and put the results together.

    images: all of one shape (*, H, W). `measure` takes as many tensors (n, H, W) and returns (n, ...).
    Returns (*, ...).

    >>> per_image(lambda x: x.sum(dim=(-2, -1)), torch.ones(5, 3, 8, 7, dtype=torch.float16)).shape
    torch.Size([5, 3])
    """
    results = torch.cat([measure(*piece) for piece in pieces(*images)])
    return results.reshape(images[0].shape[:-2] + results.shape[1:])


def pieces(*images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The images as float64 tensors (n, H, W), some at a time; one empty piece where there are none."""
    flat = [image.detach().reshape(-1, *image.shape[-2:]) for image in images]
    count, height, width = flat[0].shape
    step = max(1, _piece_size(flat[0].device) // (height * width))
    for start in range(0, max(count, 1), step):
        yield tuple(_double(image[start : start + step]) for image in flat)


def _piece_size(device: torch.device) -> int:
    return _PIECE_ON_CPU if device.type == "cpu" else _PIECE_ELSEWHERE


def _double(image: Tensor) -> Tensor:
    # Apple's device has no float64: such images are measured, and their results stay, on the CPU.
    return (image.cpu() if image.device.type == "mps" else image).to(torch.float64)


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
        raise UserError(
            f"{first} is {tuple(x.shape)} and {other} is {tuple(y.shape)}; they must have the same shape,"
            f" for nothing is broadcast.{_squeezed(first, x, other, y)}"
        )
    if x.device != y.device:
        raise UserError(f"{first} is on {x.device} and {other} on {y.device}; they must be on one device.")


def _squeezed(first: str, x: Tensor, other: str, y: Tensor) -> str:
    """A lone channel axis is the usual cause of a mismatch."""
    for name, long, short in ((first, x, y), (other, y, x)):
        if long.dim() > 2 and long.shape[-3] == 1 and long.squeeze(-3).shape == short.shape:
            return f" Did you mean {name}.squeeze(-3)?"
    return ""


def _check_sides(name: str, image: Tensor, least: int) -> None:
    if image.dim() < 2:
        side = math.isqrt(image.numel())
        square = image.dim() == 1 and side > 1 and side * side == image.numel()
        hint = f" Did you mean {name}.reshape({side}, {side})?" if square else ""
        raise UserError(f"{name} is {tuple(image.shape)}; it must end in (H, W).{hint}")
    if min(image.shape[-2:]) < least:
        height, width = image.shape[-2:]
        raise UserError(f"{name} has pictures of {height} x {width} px; each side must be at least {least} px.")


def _check_range(name: str, image: Tensor) -> None:
    if image.numel() == 0:
        return
    # One-byte floats have no ordering in torch; all others are looked at as they are, without a copy.
    values = image.detach() if image.itemsize > 1 else image.detach().float()
    low, high = (float(end) for end in torch.aminmax(values))
    if math.isnan(low) or math.isnan(high):
        raise UserError(f"{name} holds NaN; every pixel must be in [0, 1].")
    if low < 0.0 or high > 1.0:
        hint = _likely_intention(name, low, high)
        raise UserError(f"{name} reaches from {low:g} to {high:g}; allowed is [0, 1].{hint}")


def _likely_intention(name: str, low: float, high: float) -> str:
    if low >= 0.0 and 1.5 < high <= 255.0:
        return f" Did you mean {name} / 255?"
    if -1.0 <= low < -0.01 and high <= 1.0:
        return f" Did you mean ({name} + 1) / 2?"
    if max(-low, high) > 1.5 and math.isfinite(high - low):
        return f" Are these logits? Did you mean {name}.sigmoid()?"
    return f" Did you mean {name}.clamp(0, 1)?"
