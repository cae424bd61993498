"""From an arm to its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vae import families
from vae.arms import Arm
from vae.errors import UserError

if TYPE_CHECKING:
    from torch import nn


def build(arm: Arm, image_shape: Sequence[int], classes: int) -> nn.Module:
    """One fresh model of an arm, for images of that shape; classes count only where the arm is conditional.

    Raises UserError for settings that the family refuses, and for a conditional arm on images without labels.

    >>> import torch
    >>> build(Arm(latents=2, hidden=(5,)), (8, 8), classes=10).decode(torch.zeros(3, 2)).shape
    torch.Size([3, 8, 8])
    """
    if arm["model.conditional"] and not classes:
        raise UserError("conditional=true needs a dataset with labels, and this one has none")
    given = {name.removeprefix("model."): value for name, value in arm.model}
    family = families.FAMILIES[str(given.pop("family"))]
    conditional = given.pop("conditional")
    model: nn.Module = family(image_shape, given.pop("latents"), classes if conditional else 0, **given)
    return model
