"""A stack cut into blocks: arms that one core, or the whole of a GPU, trains through an epoch, with their optimiser.

How a stack is cut changes the speed and nothing else. On a GPU one block holds all arms. On a CPU a block is as wide
as its share of the cache allows: weights, gradients and Adam's two moments are read and written at every step, and
from main memory they would cost as much as the products (ablations/bench.md has the widths that were tried).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import torch
from torch import Tensor

from vae.cores import cache_bytes
from vae.engine import Autograd, Gradients, Weighting
from vae.fused import Fused
from vae.models import VAE
from vae.settings import Training
from vae.stack import Stack

TENSORS_PER_WEIGHT = 4  # the weight, its gradient, and Adam's two moments


@dataclass(frozen=True)
class Batches:
    """The images of one epoch: read by all blocks, changed by none.

    pixels: (N, *image_shape), labels: (N,) or None, both in the data set's order. order: (N,) indices, the order of
    the epoch. noise: (N, latents), already in that order. plan: where the batches begin and end.
    """

    pixels: Tensor
    labels: Tensor | None
    order: Tensor
    noise: Tensor
    plan: Sequence[tuple[int, int]]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """(images, noise, labels) of each batch."""
        for start, end in self.plan:
            chosen = self.order[start:end]
            labels = None if self.labels is None else self.labels[chosen]
            yield self.pixels.index_select(0, chosen), self.noise[start:end], labels


@dataclass(frozen=True)
class Trace:
    """What an epoch was like for a block of k arms. rates, pulses: (steps, k); distortions: (logged steps, k)."""

    distortions: Tensor
    rates: Tensor
    pulses: Tensor


class Block:
    """Some arms of a stack, on memory of their own until :meth:`store`."""

    def __init__(self, stack: Stack, arms: Sequence[int], training: Training) -> None:
        self.arms = tuple(arms)
        self._stack, self._training = stack.select(arms), training
        self._gradients = gradients(self._stack, training.precision)
        self._optimiser = torch.optim.Adam(
            self._gradients.leaves,
            lr=training.learning_rate,
            eps=training.adam_eps,
            weight_decay=training.weight_decay,
            fused=True,
        )

    @torch.no_grad()
    def epoch(self, batches: Batches, stopped: Event) -> Trace:
        """One pass over the batches. Waits for no number, so a GPU runs ahead; returns early once ``stopped``."""
        sizes = {end - start for start, end in batches.plan}
        weightings = {size: Weighting.of(self._stack, size) for size in sizes}
        every, distortions, rates, pulses = self._training.log_every, [], [], []
        for number, (x, noise, y) in enumerate(batches):
            if stopped.is_set():
                break
            values = self._gradients.step(x, noise, y, weightings[len(x)], distortion=number % every == 0)
            if self._training.clip_norm is not None:
                clip(self._gradients.leaves, self._training.clip_norm)
            self._optimiser.step()
            rates.append(values.rate)
            pulses.append(values.pulse)
            if values.distortion is not None:
                distortions.append(values.distortion)
        self._gradients.forget()
        return Trace(torch.stack(distortions), torch.stack(rates), torch.stack(pulses))

    def store(self, stack: Stack) -> None:
        """Copy the weights into the stack that this block was cut from."""
        for name, value in self._gradients.named.items():
            stack.parameters[name][list(self.arms)] = value.detach()

    @torch.no_grad()
    def freeze(self, arm: int, when: tuple[int, int]) -> None:
        """Set a diverged arm to zero: it stays in its place, so that the others compute exactly as before."""
        here = self.arms.index(arm)
        self._stack.diverged[here] = when
        for leaf in self._gradients.leaves:
            leaf[here] = 0
            for moment in ("exp_avg", "exp_avg_sq"):
                self._optimiser.state[leaf][moment][here] = 0

    @property
    def alive(self) -> bool:
        """Whether any arm of it still trains."""
        return len(self._stack.diverged) < len(self.arms)


def gradients(stack: Stack, precision: str = "float32") -> Gradients:
    """By hand for the ``VAE`` itself, by autograd for any other module, one derived from it included."""
    return Fused(stack, precision) if type(stack.template) is VAE else Autograd(stack, precision)


def clip(leaves: Sequence[Tensor], max_norm: float) -> None:
    """Scale each arm's own gradient to a norm of at most max_norm. Each ``grad`` is (arms, *shape).

    >>> weight = torch.zeros(2, 1)
    >>> weight.grad = torch.tensor([[3.0], [0.5]])
    >>> clip([weight], 1)
    >>> weight.grad
    tensor([[1.0000],
            [0.5000]])
    """
    found = [leaf.grad for leaf in leaves if leaf.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=-1) for gradient in found])
    scale = (max_norm / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
    for gradient in found:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))


def cut(stack: Stack) -> list[list[int]]:
    """The arms of each block. Arms of one loss are kept together, since each loss of a block costs calls of its own.

    >>> from vae import Objective
    >>> arms = [Objective("bce"), Objective("mae"), Objective("bce", beta=2)]
    >>> stack = Stack.create(lambda: VAE((8, 8), 2, hidden=(4,)), arms, dataset="digits", seed=0)
    >>> sorted(sum(cut(stack), []))
    [0, 1, 2]
    """
    losses = [each.loss for each in stack.objectives]
    arms = sorted(range(stack.arms), key=lambda arm: losses.index(losses[arm]))
    count = -(-len(arms) // width(stack))
    edges = [len(arms) * i // count for i in range(count + 1)]
    return [arms[start:end] for start, end in zip(edges[:-1], edges[1:])]


def width(stack: Stack) -> int:
    """How many arms a block holds at most."""
    if stack.device.type != "cpu":
        return stack.arms
    if getattr(stack.template, "alone_on_cpu", False):
        return 1
    threads = torch.get_num_threads()
    arm = TENSORS_PER_WEIGHT * sum(value[0].nbytes for value in stack.parameters.values())
    return max(1, min(cache_bytes() // threads // arm, -(-stack.arms // threads)))
