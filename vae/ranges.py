"""The range that all pixels have here: [0, 1], and as much beyond its ends as rounding may leave."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from vae.errors import UserError

ROUNDING: Final = 1e-6  # 1 + 1e-6 is 1: a mean or an interpolation in float32 may end a few steps of 1.2e-7 beyond


def check_unit_range(name: str, x: Tensor) -> None:
    """Refuse values outside [0, 1], NaN included, in a UserError that names them. Rounding is allowed for.

    >>> check_unit_range("x", torch.tensor([-1e-6, 1 + 1e-6]))
    >>> check_unit_range("x", torch.tensor([0.0, 255.0]))
    Traceback (most recent call last):
    vae.errors.UserError: x reaches from 0 to 255; allowed is [0, 1]. Did you mean x / 255?
    """
    if not x.numel():
        return
    # One-byte floats have no order in torch; all others are read as they are, without a copy.
    values = x.detach() if x.itemsize > 1 else x.detach().float()
    low, high = (float(end) for end in torch.aminmax(values))
    if math.isnan(low) or math.isnan(high):
        raise UserError(f"{name} holds NaN; every pixel must be in [0, 1].")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise UserError(f"{name} reaches from {low:.7g} to {high:.7g}; allowed is [0, 1]. {_hint(name, low, high)}")


def _hint(name: str, low: float, high: float) -> str:
    """What was probably meant."""
    if low >= 0 and 1.5 < high <= 255:
        return f"Did you mean {name} / 255?"
    if -1 <= low < -0.01 and high <= 1:
        return f"Did you mean ({name} + 1) / 2?"
    if max(-low, high) > 1.5 and math.isfinite(high - low):
        return f"Are these logits? Did you mean {name}.sigmoid()?"
    return f"Did you mean {name}.clamp(0, 1)?"
