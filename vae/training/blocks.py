"""A stack cut into blocks: arms that one core, or the whole of a GPU, trains through an epoch, with their optimiser.

How a stack is cut changes the speed and nothing else. On a GPU one block holds all arms. On a CPU each core has blocks
of its own: a large model by itself where its products have a routine for one (``vae.training.layers``), and otherwise
as many arms as their share of the cache holds. ablations/bench/bench.md has the widths that were tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Event

import torch
from torch import Tensor, nn

from vae.models import VAE
from vae.training.adam import Adam, Settings
from vae.training.autograd import Autograd, Gradients, Weighting
from vae.training.fused import Fused
from vae.training.layers import has_onednn
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
    """The images of one epoch in its order, which all blocks read.

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
    """One epoch of a block of k arms.

    distortion, rate: (k,) on the CPU, means over the logged steps and over all. diverged: arm -> (epoch, step).
    """

    distortion: Tensor
    rate: Tensor
    diverged: dict[int, tuple[int, int]]


class Block:
    """Some arms of a stack, on memory of their own until :meth:`store`."""

    def __init__(self, stack: Stack, arms: Sequence[int]) -> None:
        self.arms = tuple(arms)
        self._stack = stack.select(arms)
        self._gradients = gradients(self._stack)
        self._optimiser = Adam(self._gradients.leaves, [arm.training for arm in self._stack.arms])
        self._clip_norms = clip_norms(self._stack)
        self._frozen = self._mask()

    @property
    def trains(self) -> bool:
        """Whether any of its arms has not diverged."""
        return len(self._stack.diverged) < len(self.arms)

    @torch.no_grad()
    def epoch(self, batches: Batches, stopped: Event) -> Trace:
        """One pass over the batches; no step waits for a number of a GPU. Freezes arms that diverge."""
        weightings = {size: Weighting.of(self._stack, size) for size in {end - start for start, end in batches.plan}}
        log_every, values = self._stack.training.log_every, []
        for number, (x, noise, y) in enumerate(batches):
            if stopped.is_set():
                raise InterruptedError("the rest of the stack has stopped")
            logged = number % log_every == 0
            values.append(self._gradients.step(x, noise, y, weightings[len(x)], distortion=logged))
            self._update()
        self._gradients.release()
        distortions = torch.stack([step.distortion for step in values if step.distortion is not None])  # (logged, k)
        finite_checks = torch.stack([step.finite_check for step in values])  # (steps, k)
        finite_checks[::log_every] += distortions
        diverging = {arm: (batches.epoch, step) for arm, step in self._diverging(finite_checks).items()}
        for arm, when in diverging.items():
            self._freeze(arm, when)
        rate = torch.stack([step.rate for step in values]).mean(0)  # (k,)
        diverged = {self.arms[arm]: when for arm, when in diverging.items()}
        return Trace(distortions.mean(0).cpu(), rate.cpu(), diverged)

    def store(self, stack: Stack) -> None:
        """Copy the weights into the stack that this block was cut from."""
        for name, value in self._gradients.named.items():
            stack.parameters[name][list(self.arms)] = value.detach()

    def states(self) -> list[dict[str, Tensor]]:
        """What training each arm goes on from: views of its weights and of the optimiser's moments, named
        weights/NAME, first/NAME and second/NAME, and the steps made of each, steps/NAME."""
        optimiser = self._optimiser.state()
        counts = [
            steps.view(-1, *[1] * (leaf.ndim - 1)).expand(leaf.shape)  # as long as the leaf, for its views
            for steps, leaf in zip(optimiser.pop("steps"), self._gradients.leaves)
        ]
        kinds = {"weights": self._gradients.leaves, **optimiser}
        named = {f"{kind}/{name}": view for kind in kinds for name, view in self._gradients.views(kinds[kind]).items()}
        states = [{name: view[arm].detach() for name, view in named.items()} for arm in range(len(self.arms))]
        for name, view in self._gradients.views(counts).items():
            for state, steps in zip(states, view.reshape(len(view), -1)[:, 0]):
                state[f"steps/{name}"] = steps.clone()
        return states

    @torch.no_grad()
    def restore(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from the states of its arms. Raises KeyError or RuntimeError for those of another model."""
        here = self.states()
        for target, state in zip(here, states, strict=True):
            for name, value in target.items():
                if state[name].shape != value.shape:
                    raise RuntimeError(f"{name} is {tuple(state[name].shape)}, and the model's {tuple(value.shape)}")
                value.copy_(state[name])
        self._optimiser.count_from(self._steps(here))

    def _steps(self, states: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
        """The steps of each leaf, (arms,), from those of the weights that it holds."""
        positions = [torch.tensor(float(i)).expand(leaf.shape) for i, leaf in enumerate(self._gradients.leaves)]
        names = {int(view.flatten()[0]): name for name, view in self._gradients.views(positions).items()}
        return [torch.stack([state[f"steps/{names[i]}"] for state in states]) for i in range(len(positions))]

    def _update(self) -> None:
        leaves = self._gradients.leaves
        if self._frozen is not None:
            for gradient in (leaf.grad for leaf in leaves if leaf.grad is not None):
                gradient.masked_fill_(self._frozen.view(-1, *[1] * (gradient.ndim - 1)), 0)
        if self._clip_norms is not None:
            clip(leaves, self._clip_norms)
        self._optimiser.step()

    def _diverging(self, finite_checks: Tensor) -> dict[int, int]:
        """arm -> the step, from 1, at which it diverged: where its check (steps, k) is not finite, or else at the last
        step where its weights are not."""
        wrong = ~torch.isfinite(finite_checks)
        weights = torch.stack([torch.isfinite(leaf).flatten(1).all(-1) for leaf in self._gradients.leaves]).all(0)
        wrong[-1] |= ~weights
        first, diverged = wrong.int().argmax(0).tolist(), wrong.any(0).tolist()
        arms = [arm for arm in range(len(diverged)) if diverged[arm] and arm not in self._stack.diverged]
        return {arm: first[arm] + 1 for arm in arms}

    def _freeze(self, arm: int, when: tuple[int, int]) -> None:
        """Set an arm to zero: it stays in its place, so that the others compute exactly as before."""
        self._stack.diverged[arm] = when
        self._optimiser.freeze(arm)
        self._frozen = self._mask()

    def _mask(self) -> Tensor | None:
        """Which arms are frozen, (k,) on the device, made once for all steps: a list of indices would be sent to a GPU
        at every one. None where all still train."""
        frozen = [arm in self._stack.diverged for arm in range(len(self.arms))]
        return torch.tensor(frozen, device=self._stack.device) if any(frozen) else None


def gradients(stack: Stack) -> Gradients:
    """By hand for the ``VAE`` itself, by autograd for any other module, one derived from it included."""
    return Fused(stack) if type(stack.template) is VAE else Autograd(stack)


def clip_norms(stack: Stack) -> Tensor | None:
    """The largest norm of each arm's gradient, (arms,): infinity where an arm is not clipped. None where none is."""
    norms = [arm.training.clip_norm for arm in stack.arms]
    if norms.count(None) == len(norms):
        return None
    return stack.column([math.inf if norm is None else norm for norm in norms]).flatten()


def clip(leaves: Sequence[Tensor], max_norms: Tensor) -> None:
    """Scale each arm's own gradient, (arms, *shape), to a norm of at most its max_norm, (arms,), which may be infinity.

    >>> weight = torch.zeros(2, 1)
    >>> weight.grad = torch.tensor([[3.0], [0.5]])
    >>> clip([weight], torch.tensor([1.0, 1.0]))
    >>> weight.grad
    tensor([[1.0000],
            [0.5000]])
    """
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=-1) for gradient in gradients])
    scale = (max_norms / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)  # (arms,)
    scale.masked_fill_(max_norms.isinf(), 1)  # an arm that is not clipped may have a norm beyond the largest float32
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))


@dataclass(frozen=True)
class Layout:
    """How a stack is cut. Its arms are computed again to the last bit only by blocks of the same arms and threads.

    blocks: the arms of each. threads: that one product may have. lone: the stack has one arm.
    """

    blocks: tuple[tuple[int, ...], ...]
    threads: int
    lone: bool

    @classmethod
    def of(cls, stack: Stack) -> Layout:
        """As is fastest here."""
        blocks = tuple(map(tuple, cut(stack)))
        threads = torch.get_num_threads()
        share = threads // max(1, min(threads, len(blocks)))
        return cls(blocks, min(share, threads_of(stack.template) or share), len(stack) == 1)

    def part(self, arms: Sequence[int]) -> Layout:
        """The blocks that hold these arms, in whole, numbered anew in their order."""
        blocks = [block for block in self.blocks if not set(block).isdisjoint(arms)]
        numbers = {arm: number for number, arm in enumerate(sorted(arm for block in blocks for arm in block))}
        return replace(self, blocks=tuple(tuple(numbers[arm] for arm in block) for block in blocks))


def cut(stack: Stack) -> list[list[int]]:
    """The arms of each block. Arms of one loss, and of one setting of the optimiser, are kept together, since each of
    these costs a block calls of its own."""
    kinds = [(arm.loss, Settings.of(arm.training)) for arm in stack.arms]
    losses = [loss for loss, _ in kinds]
    arms = sorted(range(len(stack)), key=lambda arm: (losses.index(losses[arm]), kinds.index(kinds[arm])))
    count = -(-len(arms) // width(stack))
    if stack.device.type == "cpu":  # every core gets as many blocks
        count = min(len(arms), count + -count % torch.get_num_threads())
    edges = [len(arms) * i // count for i in range(count + 1)]
    return [arms[start:end] for start, end in pairwise(edges)]


def width(stack: Stack) -> int:
    """How many arms a block holds at most."""
    return width_of(stack.template, len(stack), stack.training.precision) if stack.device.type == "cpu" else len(stack)


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
    """Threads of one product, where there are fewer blocks than cores: one for a small model, whose products take less
    time than a second core takes to start; None for as many as there are."""
    return 1 if weights_of(template) < SHARED_FROM else None


def weights_of(template: nn.Module) -> int:
    """How many weights one arm has."""
    return sum(value.numel() for value in template.parameters())
