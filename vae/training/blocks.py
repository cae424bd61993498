"""A stack cut into blocks: arms that one core, or the whole of a GPU, trains through an epoch, with their optimiser.

How a stack is cut changes the speed and nothing else. On a GPU one block holds all arms. On a CPU each core has blocks
of its own: a large model by itself where its products have a routine for one (``vae.training.layers``), and otherwise
as many arms as their share of the cache holds, weights, gradients and Adam's two moments, which every step reads and
writes. Wide blocks spread the cost of calling torch over their arms. ablations/bench.md has the widths that were tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Event

import torch
from torch import Tensor, nn

from vae.models import VAE
from vae.training.adam import Adam
from vae.training.autograd import Autograd, Gradients, Weighting
from vae.training.fused import Fused
from vae.training.layers import has_onednn
from vae.training.settings import Training
from vae.training.stack import Stack
from vae.training.threads import cache_bytes

# Weights of one model from which its products are shared among threads when there is nothing else to do.
SHARED_FROM = 200_000
# Weights from which one arm a block is faster than several, where one arm has the faster routine.
ALONE_FROM = 150_000
NARROWEST = 3  # arms of a block that no cache would hold
TENSORS_PER_WEIGHT = 4  # the weight, its gradient, and Adam's two moments


@dataclass(frozen=True)
class Batches:
    """The images of one epoch in its order: read by all blocks, changed by none.

    pixels: (N, *image_shape). noise: (N, latents). labels: (N,) or None. plan: where the batches begin and end.
    """

    epoch: int
    pixels: Tensor
    noise: Tensor
    labels: Tensor | None
    plan: Sequence[tuple[int, int]]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """(images, noise, labels) of each batch: views."""
        for start, end in self.plan:
            labels = None if self.labels is None else self.labels[start:end]
            yield self.pixels[start:end], self.noise[start:end], labels


@dataclass(frozen=True)
class Trace:
    """What an epoch was like for a block of k arms.

    distortion, rate: (k,) on the CPU, means over the logged steps and over all. diverged: arm -> (epoch, step).
    """

    distortion: Tensor
    rate: Tensor
    diverged: dict[int, tuple[int, int]]


class Block:
    """Some arms of a stack, on memory of their own until :meth:`store`."""

    def __init__(self, stack: Stack, arms: Sequence[int], training: Training) -> None:
        self.arms = tuple(arms)
        self._stack, self._training = stack.select(arms), training
        self._gradients = gradients(self._stack, training.precision)
        self._optimiser = Adam(self._gradients.leaves, training)
        self._frozen = self._mask()

    @property
    def alive(self) -> bool:
        """Whether any arm of it still trains."""
        return len(self._stack.diverged) < len(self.arms)

    @torch.no_grad()
    def epoch(self, batches: Batches, stopped: Event) -> Trace:
        """One pass over the batches; no step waits for a number, so a GPU runs ahead. Freezes arms that diverge."""
        weightings = {size: Weighting.of(self._stack, size) for size in {end - start for start, end in batches.plan}}
        every, values = self._training.log_every, []
        for number, (x, noise, y) in enumerate(batches):
            if stopped.is_set():
                raise InterruptedError("the rest of the stack has stopped")
            logged = number % every == 0
            values.append(self._gradients.step(x, noise, y, weightings[len(x)], distortion=logged))
            self._update()
        self._gradients.forget()
        distortions = torch.stack([each.distortion for each in values if each.distortion is not None])
        pulses = torch.stack([each.pulse for each in values])
        pulses[::every] += distortions
        newly = {self.arms[here]: (batches.epoch, step) for here, step in self._lost(pulses).items()}
        for arm, when in newly.items():
            self._freeze(self.arms.index(arm), when)
        rate = torch.stack([each.rate for each in values]).mean(0)
        return Trace(distortions.mean(0).cpu(), rate.cpu(), newly)

    def store(self, stack: Stack) -> None:
        """Copy the weights into the stack that this block was cut from."""
        for name, value in self._gradients.named.items():
            stack.parameters[name][list(self.arms)] = value.detach()

    def _update(self) -> None:
        leaves = self._gradients.leaves
        if self._frozen is not None:
            for gradient in (leaf.grad for leaf in leaves if leaf.grad is not None):
                gradient.masked_fill_(self._frozen.view(-1, *[1] * (gradient.ndim - 1)), 0)
        if self._training.clip_norm is not None:
            clip(leaves, self._training.clip_norm)
        self._optimiser.step()

    def _lost(self, pulses: Tensor) -> dict[int, int]:
        """The step, from 1, at which an arm still thought sound ceased to be: where its pulse (steps, k) is not
        finite, or else at the last step if that is where its weights went."""
        wrong = ~torch.isfinite(pulses)
        weights = torch.stack([torch.isfinite(leaf).flatten(1).all(-1) for leaf in self._gradients.leaves]).all(0)
        wrong[-1] |= ~weights
        first, ever = wrong.int().argmax(0).tolist(), wrong.any(0).tolist()
        return {here: first[here] + 1 for here in range(len(ever)) if ever[here] and here not in self._stack.diverged}

    def _freeze(self, here: int, when: tuple[int, int]) -> None:
        """Set an arm to zero: it stays in its place, so that the others compute exactly as before."""
        self._stack.diverged[here] = when
        self._optimiser.forget(here)
        self._frozen = self._mask()

    def _mask(self) -> Tensor | None:
        """Which arms are frozen, (k,) on the device, made once for all steps: a list of indices would be sent to a GPU
        at every one. None where all still train."""
        gone = self._stack.diverged
        if not gone:
            return None
        return torch.tensor([here in gone for here in range(len(self.arms))], device=self._stack.device)


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


def cut(stack: Stack, precision: str = "float32") -> list[list[int]]:
    """The arms of each block. Arms of one loss are kept together, since each loss of a block costs calls of its own.

    >>> from vae import Objective
    >>> arms = [Objective("bce"), Objective("mae"), Objective("bce", beta=2)]
    >>> stack = Stack.create(lambda: VAE((8, 8), 2, hidden=(4,)), arms, dataset="digits", seed=0)
    >>> sorted(sum(cut(stack), []))
    [0, 1, 2]
    """
    losses = [each.loss for each in stack.objectives]
    arms = sorted(range(stack.arms), key=lambda arm: losses.index(losses[arm]))
    count = -(-len(arms) // width(stack, precision))
    if stack.device.type == "cpu":  # as many for one core as for the next
        count = min(len(arms), count + -count % torch.get_num_threads())
    edges = [len(arms) * i // count for i in range(count + 1)]
    return [arms[start:end] for start, end in pairwise(edges)]


def width(stack: Stack, precision: str = "float32") -> int:
    """How many arms a block holds at most."""
    if stack.device.type != "cpu":
        return stack.arms
    return width_of(stack.template, stack.arms, precision if stack.dtype == torch.float32 else "float64")


def width_of(template: nn.Module, arms: int, precision: str) -> int:
    """The width of a block on a CPU: at least one arm, and at most a thread's share of the arms."""
    if getattr(template, "alone_on_cpu", False):
        return 1
    weights, threads = weights_of(template), torch.get_num_threads()
    one_by_one = type(template) is VAE and precision == "float32" and has_onednn(torch.device("cpu"))
    if one_by_one and weights >= ALONE_FROM:
        return 1
    arm = TENSORS_PER_WEIGHT * weights * (8 if precision == "float64" else 4)
    in_cache = cache_bytes() // threads // arm
    return max(1, min(max(NARROWEST, in_cache), -(-arms // threads)))


def threads_of(template: nn.Module) -> int | None:
    """Threads worth giving to one product, where there are fewer blocks than cores: one for a small model, whose
    products are over before a second core has heard of them; None for as many as there are."""
    return 1 if weights_of(template) < SHARED_FROM else None


def weights_of(template: nn.Module) -> int:
    """How many numbers one arm learns."""
    return sum(value.numel() for value in template.parameters())
