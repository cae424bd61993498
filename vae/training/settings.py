"""How a stack is trained: one frozen, checked value, with a reason beside each default."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from vae.errors import UserError, not_one_of

LAST_BATCH = ("drop", "keep")
PRECISIONS = ("float32", "bfloat16", "float64")


@dataclass(frozen=True)
class Training:
    """How a stack is trained. Adam, as the notes use it; every reason for a default stands beside it.

    >>> Training(epochs=0)
    Traceback (most recent call last):
    vae.errors.UserError: epochs=0 must be a whole number, 1 or more
    """

    epochs: int = 10  # the notes' and the published anchor's
    batch_size: int = 128
    learning_rate: float = 1e-3
    last_batch: str = "drop"  # a smaller last batch changes what mean reductions weigh; "keep" for the anchor
    weight_decay: float = 0.0  # Adam's coupled L2, not AdamW's: added to each arm's gradient, after clipping
    clip_norm: float | None = None  # of each arm's own gradient
    adam_eps: float = 1e-8  # torch's; scale it with a reduction and `mean` and `sum` take the same path
    precision: str = "float32"
    log_every: int = 10  # steps between logged loss values: gradients do not need them

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "log_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"{name}={value!r} must be a whole number, 1 or more")
        for name, allow_zero in (("learning_rate", False), ("adam_eps", False), ("weight_decay", True)):
            _check_number(name, getattr(self, name), allow_zero=allow_zero)
        if self.clip_norm is not None:
            _check_number("clip_norm", self.clip_norm, allow_zero=False)
        if self.last_batch not in LAST_BATCH:
            raise not_one_of("last_batch", self.last_batch, LAST_BATCH)
        if self.precision not in PRECISIONS:
            raise not_one_of("precision", self.precision, PRECISIONS)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and data; in bfloat16 only the products are rounded, the weights stay float32."""
        return torch.float64 if self.precision == "float64" else torch.float32


def _check_number(name: str, value: object, *, allow_zero: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not allow_zero):  # type: ignore[operator]
        raise UserError(f"{name}={value!r} must be a finite number, {'0 or more' if allow_zero else 'above 0'}")
