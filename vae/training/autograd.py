"""Forward passes of a stack, and the gradients of every arm's objective through autograd.

Works for any module with ``encode`` and ``decode``. The arms go side by side through ``vmap``, or one after the other
where that is faster (convolutions on a CPU, see ``alone_on_cpu`` in ``vae.models``). Their losses are summed, so arms
do not influence each other. The gradients by hand (``vae.training.fused``) must equal these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from vae.losses import Loss, loss
from vae.objectives import objective, term_weights
from vae.posteriors import Gaussian, OwnPosterior
from vae.training.stack import Stack

Key = TypeVar("Key")


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
        sizes = {"batch": batch, "pixels": pixels, "latents": stack.latents}
        pairs = [term_weights(arm.reduction, arm.beta, **sizes) for arm in stack.arms]
        recon, kl = torch.tensor(pairs, dtype=stack.dtype, device=stack.device).unbind(-1)
        return cls(recon, kl, all(pair[0] == 1 for pair in pairs))


@dataclass(frozen=True)
class StepValues:
    """The values of one step, (arms,) each.

    distortion (None where not requested) and rate: means over the batch, nats per image. finite_check: not finite where
    the arm's rate or the gradient of anything but a matrix is not; it has no other meaning.
    """

    distortion: Tensor | None
    rate: Tensor
    finite_check: Tensor


class Gradients(Protocol):
    """What trains a block of arms: the stack's own weights, copied, and their gradients.

    leaves: the tensors an optimiser steps, (arms, *shape) each, their ``grad`` set by every step.
    named: the stack's names -> views of the leaves.
    """

    leaves: list[Tensor]
    named: dict[str, Tensor]

    def views(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """The stack's names -> views of tensors that have the shapes of the leaves, such as an optimiser's moments."""
        ...

    def step(
        self, x: Tensor, noise: Tensor, y: Tensor | None, weighting: Weighting, *, distortion: bool = True
    ) -> StepValues:
        """Sets the gradients of recon · Σ distortion + kl · Σ rate; values of the distortion only where requested."""
        ...

    def release(self) -> None:
        """Free all memory but the weights'; the next step allocates it again."""
        ...


class _Pass(nn.Module):
    """encode, sample, decode and the code's cost as one call, so that a functional call can reach all of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._has_posterior = isinstance(model, OwnPosterior)

    def forward(
        self, x: Tensor, noise: Tensor, y: Tensor | None, gaussian: Gaussian, true_rate: bool
    ) -> tuple[Tensor, Tensor]:
        posterior = cast(OwnPosterior, self.model) if self._has_posterior else gaussian
        outputs = self.model.encode(x, y)  # type: ignore[operator]
        logits = self.model.decode(posterior.sample(outputs, noise), y)  # type: ignore[operator]
        # Under autocast an encoder puts out bfloat16; the cost of the code is not to be rounded.
        exact = tuple(output.to(x.dtype) if output.is_floating_point() else output for output in outputs)
        rates = posterior.rate(exact) if true_rate else posterior.divergence(exact)
        return logits.flatten(1), rates  # (images, D), (images,)


def loss_runs(stack: Stack) -> list[tuple[Loss, slice]]:
    """Neighbouring arms of one loss, as slices of the arms."""
    return [(loss(name), arms) for name, arms in runs(arm.loss for arm in stack.arms)]


def runs(values: Iterable[Key]) -> list[tuple[Key, slice]]:
    """Neighbouring arms of equal value, as slices of the arms.

    >>> runs(["bce", "mae", "mae"])
    [('bce', slice(0, 1, None)), ('mae', slice(1, 3, None))]
    """
    groups = [(value, [arm for arm, _ in group]) for value, group in groupby(enumerate(values), lambda pair: pair[1])]
    return [(value, slice(arms[0], arms[-1] + 1)) for value, arms in groups]


class Engine:
    """Forward passes of a stack: of its weights as they are, which nothing here changes.

    rounded: round the products, and nothing else, to bfloat16, through autocast.
    """

    def __init__(self, stack: Stack, *, rounded: bool = False) -> None:
        self.stack, self._rounded = stack, rounded
        self._pass = _Pass(stack.template)
        self._runs = loss_runs(stack)
        self._std, self._kl = stack.spread_factors()  # (arms, 1, 1) each
        one_by_one = stack.device.type == "cpu" and bool(getattr(stack.template, "alone_on_cpu", False))
        self._vectorised = not one_by_one and len(stack) > 1

    def forward(
        self, x: Tensor, noise: Tensor, y: Tensor | None = None, *, true_rate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """x (images, *image_shape), noise (images, L) -> logits (arms, images, D), rates (arms, images) in nats.

        true_rate: the rate that is really spent, rather than the one that the arm's objective counts.
        """

        def one(parameters: dict[str, Tensor], std: Tensor, kl: Tensor) -> tuple[Tensor, Tensor]:
            named = {f"model.{name}": value for name, value in parameters.items()}
            terms: tuple[Tensor, Tensor] = functional_call(
                self._pass, named, (x, noise, y, Gaussian(std, kl), true_rate)
            )
            return terms

        with self._products():
            if self._vectorised:
                logits, rates = vmap(one)(self.stack.parameters, self._std, self._kl)
            else:
                passes = [
                    one(dict(self.stack.state(arm)), self._std[arm], self._kl[arm]) for arm in range(len(self.stack))
                ]
                logits, rates = (torch.stack(part) for part in zip(*passes))
        return logits.to(x.dtype), rates

    def terms(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distortion under each arm's own loss, and rate as the arm's objective counts it: (arms, images), nats."""
        logits, rates = self.forward(x, noise, y)  # (arms, images, D), (arms, images)
        targets = x.flatten(1)  # (images, D)
        return torch.cat([loss.distortion(logits[arms], targets) for loss, arms in self._runs]), rates

    def _products(self) -> AbstractContextManager[object]:
        if not self._rounded:
            return nullcontext()
        # The cache would hold casts of weights across steps.
        return torch.autocast(self.stack.device.type, dtype=torch.bfloat16, cache_enabled=False)


class Autograd:
    """Gradients of a stack of any modules, by autograd."""

    def __init__(self, stack: Stack) -> None:
        self.named = stack.parameters
        self.leaves = [value.requires_grad_(True) for value in stack.parameters.values()]
        self._engine = Engine(stack, rounded=stack.training.precision == "bfloat16")

    def views(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        return dict(zip(self.named, tensors))

    def step(
        self, x: Tensor, noise: Tensor, y: Tensor | None, weighting: Weighting, *, distortion: bool = True
    ) -> StepValues:
        for leaf in self.leaves:
            leaf.grad = None
        with torch.enable_grad():
            distortions, rates = self._engine.terms(x, noise, y)
            total = objective(distortions, rates, recon=weighting.recon, kl=weighting.kl).sum()
            torch.autograd.backward(total)
        mean_rates = rates.detach().mean(-1)  # (arms,)
        sums = [leaf.grad.flatten(1).sum(-1) for leaf in self.leaves if leaf.grad is not None]
        return StepValues(distortions.detach().mean(-1) if distortion else None, mean_rates, mean_rates + sum(sums))

    def release(self) -> None:
        for leaf in self.leaves:
            leaf.grad = None
