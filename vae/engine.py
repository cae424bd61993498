"""One training step of a stack: the gradients of every arm's objective, left in a dictionary of stacked tensors.

Two ways behind one interface: ``vmap`` over the arms, or one arm after the other where that measures faster
(convolutions on a CPU). Both sum the arms' losses, so no arm feels another.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from vae.losses import Loss, loss
from vae.objectives import objective, rate
from vae.stack import Stack


@dataclass(frozen=True)
class StepValues:
    """Means over the batch of each arm's own distortion (None when not asked for) and its rate: (arms,), nats."""

    distortion: Tensor | None
    rate: Tensor


class _Pass(nn.Module):
    """encode, sample, decode as one call, so that a functional call can reach all of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, noise: Tensor, std_factor: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        mean, spread = self.model.encode(x, y)
        z = mean + torch.exp(std_factor * spread) * noise
        return self.model.decode(z, y).flatten(1), mean, spread


def group_by_loss(stack: Stack) -> list[tuple[Loss, list[int]]]:
    """The arms of each loss: [(loss, arm numbers)], in order of first appearance."""
    groups: dict[str, list[int]] = defaultdict(list)
    for arm, each in enumerate(stack.objectives):
        groups[each.loss].append(arm)
    return [(loss(name), arms) for name, arms in groups.items()]


class Engine:
    """Forward passes and gradients of a stack.

    gradients: name -> (arms, *shape), overwritten by every step.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.leaves = {name: value.requires_grad_(True) for name, value in stack.parameters.items()}
        self._pass = _Pass(stack.template)
        self._groups = [(each, torch.tensor(arms, device=stack.device)) for each, arms in group_by_loss(stack)]
        self._std, self._kl = stack.spread_factors()

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (images, *image_shape), noise (images, L) -> logits (arms, images, D), mean and spread (arms, images, L)."""

        def one(parameters: dict[str, Tensor], std_factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            named = {f"model.{name}": value for name, value in parameters.items()}
            outputs: tuple[Tensor, Tensor, Tensor] = functional_call(self._pass, named, (x, noise, std_factor, y))
            return outputs

        outputs: tuple[Tensor, Tensor, Tensor] = vmap(one)(self.leaves, self._std)
        return outputs

    def terms(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distortion under each arm's own loss, and rate as the arm's KL reads it: (arms, images), nats."""
        logits, mean, spread = self.forward(x, noise, y)
        targets = x.flatten(1)
        distortion = logits.new_empty(logits.shape[:2])
        for each, arms in self._groups:
            distortion = distortion.index_copy(0, arms, each.distortion(logits[arms], targets))
        return distortion, rate(mean, self._kl * spread)

    def step(self, x: Tensor, noise: Tensor, y: Tensor | None, *, recon: Tensor, kl: Tensor) -> StepValues:
        """Gradients of recon · Σ distortion + kl · Σ rate, into each leaf's ``grad``."""
        for leaf in self.leaves.values():
            leaf.grad = None
        distortion, rates = self.terms(x, noise, y)
        objective(distortion, rates, recon=recon, kl=kl).sum().backward()
        return StepValues(distortion.detach().mean(-1), rates.detach().mean(-1))
