"""From an arm to its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vae import families
from vae.arms import Arm
from vae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


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


def rebuilt(arm: Arm, image_shape: Sequence[int], classes: int, state: Mapping[str, Tensor]) -> nn.Module:
    """The model of an arm with weights that were kept, by name. The ambient random stream stays as it was.

    Raises RuntimeError for the weights of another model, and what `build` raises.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        model = build(arm, image_shape, classes)
    names = {name for name, _ in model.named_parameters()}  # weights that are tied are named once
    if names != state.keys():
        raise RuntimeError(f"the weights kept are {sorted(state)}, and the model has {sorted(names)}")
    model.to(arm.training.dtype).load_state_dict(dict(state), strict=False)
    return model
