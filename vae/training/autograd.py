"""Forward passes of a stack, and the gradients of every arm's objective through autograd.

Works for any module with ``encode`` and ``decode``. The arms go side by side through ``vmap``, or one after the other
where that measures faster (convolutions on a CPU, see ``alone_on_cpu`` in ``vae.models``). Their losses are summed, so
arms do not influence each other. What is written here is the reference that the gradients by hand
(``vae.training.fused``) must equal.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from vae.losses import Loss, loss
from vae.objectives import objective, rate
from vae.training.stack import Stack

Outputs = tuple[Tensor, Tensor, Tensor]  # logits, mean, spread


@dataclass(frozen=True)
class Weighting:
    """What multiplies the summed distortion and the summed rate of each arm: (arms,) each.

    plain: every recon is 1, so that no time need be spent on multiplying by it.
    """

    recon: Tensor
    kl: Tensor
    plain: bool = False

    @classmethod
    def of(cls, stack: Stack, batch: int) -> Weighting:
        """For a batch of that many images."""
        pixels = int(torch.Size(stack.image_shape).numel())
        pairs = [each.factors(batch=batch, pixels=pixels, latents=stack.latents) for each in stack.objectives]
        recon, kl = torch.tensor(pairs, dtype=stack.dtype, device=stack.device).unbind(-1)
        return cls(recon, kl, all(pair[0] == 1 for pair in pairs))


@dataclass(frozen=True)
class StepValues:
    """What one step saw of each arm, (arms,) each.

    distortion (None when not asked for) and rate: means over the batch, nats per image. pulse: a number that is not
    finite as soon as the arm's rate or the gradient of anything but a matrix is not, which is the step in which any
    gradient is not or the next one; it has no other meaning.
    """

    distortion: Tensor | None
    rate: Tensor
    pulse: Tensor


class Gradients(Protocol):
    """What trains a block of arms: the stack's own weights, copied, and their gradients.

    leaves: the tensors an optimiser steps, (arms, *shape) each, their ``grad`` set by every step.
    named: the stack's names -> views of the leaves.
    """

    leaves: list[Tensor]
    named: dict[str, Tensor]

    def step(
        self, x: Tensor, noise: Tensor, y: Tensor | None, weighting: Weighting, *, distortion: bool = True
    ) -> StepValues:
        """Sets the gradients of recon · Σ distortion + kl · Σ rate; values of the distortion only when asked for."""
        ...

    def forget(self) -> None:
        """Give back all memory but the weights'; the next step takes it anew."""
        ...


class _Pass(nn.Module):
    """encode, sample, decode as one call, so that a functional call can reach all of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, noise: Tensor, std_factor: Tensor, y: Tensor | None) -> Outputs:
        mean, spread = self.model.encode(x, y)  # type: ignore[operator]
        z = mean + torch.exp(std_factor * spread) * noise
        return self.model.decode(z, y).flatten(1), mean, spread  # type: ignore[operator]


def loss_runs(stack: Stack) -> list[tuple[Loss, slice]]:
    """Neighbouring arms of one loss, as slices of the arms: [(loss, slice)].

    >>> from vae import VAE, Objective
    >>> arms = [Objective("bce"), Objective("mae"), Objective("mae", beta=2)]
    >>> stack = Stack.create(lambda: VAE((8, 8), 2, hidden=(4,)), arms, dataset="digits", seed=0)
    >>> [(each.name, arms) for each, arms in loss_runs(stack)]
    [('bce', slice(0, 1, None)), ('mae', slice(1, 3, None))]
    """
    runs = [
        (name, [arm for arm, _ in run])
        for name, run in groupby(enumerate(stack.objectives), key=lambda pair: pair[1].loss)
    ]
    return [(loss(name), slice(arms[0], arms[-1] + 1)) for name, arms in runs]


class Engine:
    """Forward passes of a stack: of its weights as they are, which nothing here changes.

    precision: "bfloat16" rounds the products, and nothing else, through autocast.
    """

    def __init__(self, stack: Stack, precision: str = "float32") -> None:
        self.stack = stack
        self._pass = _Pass(stack.template)
        self._runs = loss_runs(stack)
        self._std, self._kl = stack.spread_factors()
        self._low = precision == "bfloat16"
        alone = stack.device.type == "cpu" and bool(getattr(stack.template, "alone_on_cpu", False))
        self._side_by_side = not alone and stack.arms > 1

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Outputs:
        """x (images, *image_shape), noise (images, L) -> logits (arms, images, D), mean, spread (arms, images, L)."""

        def one(parameters: dict[str, Tensor], std_factor: Tensor) -> Outputs:
            named = {f"model.{name}": value for name, value in parameters.items()}
            found: Outputs = functional_call(self._pass, named, (x, noise, std_factor, y))
            return found

        with self._products():
            if self._side_by_side:
                logits, mean, spread = vmap(one)(self.stack.parameters, self._std)
            else:
                each = [one(dict(self.stack.state(arm)), self._std[arm]) for arm in range(self.stack.arms)]
                logits, mean, spread = (torch.stack(part) for part in zip(*each))
        return logits.to(x.dtype), mean.to(x.dtype), spread.to(x.dtype)

    def terms(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distortion under each arm's own loss, and rate as the arm's KL reads it: (arms, images), nats."""
        logits, mean, spread = self.forward(x, noise, y)
        targets = x.flatten(1)
        distortion = torch.cat([each.distortion(logits[arms], targets) for each, arms in self._runs])
        return distortion, rate(mean, self._kl * spread)

    def _products(self) -> AbstractContextManager[object]:
        if not self._low:
            return nullcontext()
        # The cache would hold casts of weights across steps.
        return torch.autocast(self.stack.device.type, dtype=torch.bfloat16, cache_enabled=False)


class Autograd:
    """Gradients of a stack of any modules, by autograd."""

    def __init__(self, stack: Stack, precision: str = "float32") -> None:
        self.named = stack.parameters
        self.leaves = [value.requires_grad_(True) for value in stack.parameters.values()]
        self._engine = Engine(stack, precision)

    def step(
        self, x: Tensor, noise: Tensor, y: Tensor | None, weighting: Weighting, *, distortion: bool = True
    ) -> StepValues:
        for leaf in self.leaves:
            leaf.grad = None
        with torch.enable_grad():
            distortions, rates = self._engine.terms(x, noise, y)
            total = objective(distortions, rates, recon=weighting.recon, kl=weighting.kl).sum()
            torch.autograd.backward(total)
        found = rates.detach().mean(-1)
        sums = [leaf.grad.flatten(1).sum(-1) for leaf in self.leaves if leaf.grad is not None]
        return StepValues(distortions.detach().mean(-1) if distortion else None, found, found + sum(sums))

    def forget(self) -> None:
        for leaf in self.leaves:
            leaf.grad = None
