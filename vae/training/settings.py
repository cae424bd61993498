"""How a stack is trained: one frozen, checked value, with a reason beside each default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae.checks import finite_number, whole_number
from vae.errors import not_one_of

if TYPE_CHECKING:
    import torch

LAST_BATCH = ("drop", "keep")
PRECISIONS = ("float32", "bfloat16", "float64")


@dataclass(frozen=True)
class Training:
    """How an arm is trained. Adam, as the notes use it; the reason for each default stands beside it.

    Every field is a factor, in which arms may differ (`vae.factors`).

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
            whole_number(name, getattr(self, name), least=1)
        finite_number("learning_rate", self.learning_rate, above=0)
        finite_number("adam_eps", self.adam_eps, above=0)
        finite_number("weight_decay", self.weight_decay, least=0)
        if self.clip_norm is not None:
            finite_number("clip_norm", self.clip_norm, above=0)
        for name, allowed in (("last_batch", LAST_BATCH), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise not_one_of(name, getattr(self, name), allowed)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and data; in bfloat16 only the products are rounded, the weights stay float32."""
        import torch

        return torch.float64 if self.precision == "float64" else torch.float32
