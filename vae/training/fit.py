"""Training as a generator of epoch records. It imports no tracker: the caller records what it yields.

Everything random comes from named streams, one per epoch, drawn on the CPU before the epoch starts. An arm whose
numbers stop being finite is frozen and reported; the other arms compute what they would have computed without it, to
the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vae import streams
from vae.datasets.load import ImageData
from vae.errors import UserError
from vae.training.blocks import Batches, Block, Layout
from vae.training.precision import tensor_cores
from vae.training.stack import Stack
from vae.training.threads import side_by_side


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a stack.

    distortion, rate: (arms,) on the CPU, nats per image, each arm's own loss and KL, before each step's update; means
    over the logged steps and over all steps. NaN for an arm that has diverged, in this epoch or before.
    diverged: arm -> (epoch, step), for the arms frozen in this epoch; both count from 1. The step is the first at
    which the arm's rate, a gradient or a logged distortion was not finite, or the next one: where only the gradient of
    a weight overflows, that weight shows it.
    """

    epoch: int
    distortion: Tensor
    rate: Tensor
    diverged: dict[int, tuple[int, int]]
    seconds: float


def batches(count: int, batch_size: int, last_batch: str) -> list[tuple[int, int]]:
    """Where the batches of an epoch begin and end.

    >>> batches(10, 4, "drop"), batches(10, 4, "keep")
    ([(0, 4), (4, 8)], [(0, 4), (4, 8), (8, 10)])
    """
    whole = [(start, start + batch_size) for start in range(0, count - batch_size + 1, batch_size)]
    rest = count % batch_size
    return [*whole, (count - rest, count)] if rest and last_batch == "keep" else whole


def batch_order(stack: Stack, epoch: int, count: int) -> Tensor:
    """The order of the training images in an epoch: the same for every arm of the seed. (count,) indices."""
    return torch.randperm(count, generator=streams.generator(stack.dataset, stack.seed, f"order/{epoch}"))


def epoch_noise(stack: Stack, epoch: int, count: int) -> Tensor:
    """Standard normal noise of an epoch, (count, latents) float32: the same for every arm of the seed."""
    source = streams.generator(stack.dataset, stack.seed, f"noise/{epoch}")
    return torch.randn(count, stack.latents, generator=source)


@dataclass(frozen=True)
class Resumed:
    """Where training goes on: after that epoch, from these states of the arms (`Block.states`), cut as before.

    layout: None to cut the arms anew, which changes the last bits. diverged: as `Stack` has it.
    """

    epoch: int
    states: Sequence[Mapping[str, Tensor]]
    diverged: Mapping[int, tuple[int, int]]
    layout: Layout | None = None


def fit(stack: Stack, images: ImageData) -> Iterator[EpochRecord]:
    """Train all arms of a stack, in place, as their training factors say, yielding a record after every epoch.

    Whenever a record is yielded, and when the iteration ends early, the stack's weights are those of the last finished
    epoch.

    >>> import vae
    >>> data = vae.load("digits")
    >>> arms = [vae.Arm("bce", epochs=2), vae.Arm("mae", epochs=2)]
    >>> stack = vae.Stack.create(lambda: vae.VAE((8, 8), 4, hidden=(16,)), arms, dataset="digits", seed=0)
    >>> [record.epoch for record in vae.fit(stack, data)]
    [1, 2]
    """
    yield from Fitting(stack, images).epochs()


class Fitting:
    """The training of one stack, in place, which can be left after any epoch and resumed in another process.

    Resumed with the same layout, it gives the numbers of a training that was never left, to the last bit.
    """

    def __init__(
        self, stack: Stack, images: ImageData, resumed: Resumed | None = None, *, seconds: float | None = None
    ) -> None:
        """seconds: that training may take from now on; None for as long as it takes. Raises UserError for images that
        do not fit, KeyError or RuntimeError for states of another model."""
        training = stack.training
        self._plan = batches(len(images.train), training.batch_size, training.last_batch)
        _check(stack, images, self._plan)
        self._stack, self._images = stack, images
        self._first = 1 if resumed is None else resumed.epoch + 1
        if resumed is not None:
            stack.diverged.update(resumed.diverged)
        self.layout = (resumed and resumed.layout) or Layout.of(stack)
        self._blocks = [Block(stack, arms) for arms in self.layout.blocks]
        self._until = None if seconds is None else time.monotonic() + seconds
        for block in self._blocks if resumed is not None else ():
            block.restore([resumed.states[arm] for arm in block.arms])  # type: ignore[union-attr]
            block.store(stack)

    def states(self) -> list[Mapping[str, Tensor]]:
        """What each arm goes on from: views, which the next epoch changes; see `Block.states`."""
        pairs = ((arm, state) for block in self._blocks for arm, state in zip(block.arms, block.states()))
        states = dict(pairs)
        return [states[arm] for arm in range(len(self._stack))]

    def epochs(self) -> Iterator[EpochRecord]:
        """Train epoch by epoch; see `fit`. Raises TookTooLong."""
        stack, images = self._stack, self._images
        pixels = images.train.to(device=stack.device, dtype=stack.dtype)
        labels = images.train_labels.to(stack.device) if stack.classes and images.train_labels is not None else None
        shuffled = torch.empty_like(pixels)  # once for all arms: blocks read it in order, and a second copy is cheap
        for epoch in range(self._first, stack.training.epochs + 1):
            started = time.perf_counter()
            order = batch_order(stack, epoch, len(pixels)).to(stack.device)
            noise = epoch_noise(stack, epoch, len(pixels)).to(device=stack.device, dtype=stack.dtype)
            torch.index_select(pixels, 0, order, out=shuffled)
            data = Batches(epoch, shuffled, noise, None if labels is None else labels[order], self._plan)
            yield self._epoch(data, started)

    def _epoch(self, data: Batches, started: float) -> EpochRecord:
        stack, training = self._stack, [block for block in self._blocks if block.trains]
        with tensor_cores(stack.device):
            tasks = [partial(block.epoch, data) for block in training]
            # As many threads as at the start, though blocks whose arms have all diverged train no more.
            traces = side_by_side(tasks, most=self.layout.threads, until=self._until)
        distortion, rate = torch.full((2, len(stack)), torch.nan, dtype=stack.dtype)  # (arms,) each
        diverged_now: dict[int, tuple[int, int]] = {}
        for block, trace in zip(training, traces):
            distortion[list(block.arms)], rate[list(block.arms)] = trace.distortion, trace.rate
            diverged_now |= trace.diverged
            block.store(stack)
        stack.diverged.update(diverged_now)
        diverged = list(stack.diverged)
        distortion[diverged] = rate[diverged] = torch.nan
        return EpochRecord(data.epoch, distortion, rate, diverged_now, time.perf_counter() - started)


def _check(stack: Stack, images: ImageData, plan: Sequence[tuple[int, int]]) -> None:
    if not plan:
        raise UserError(
            f"batch_size={stack.training.batch_size} is larger than the {len(images.train)} training images; "
            f"lower it, or set last_batch='keep'"
        )
    if tuple(images.train.shape[1:]) != stack.image_shape:
        raise UserError(
            f"images of shape {tuple(images.train.shape[1:])} do not fit a model of image_shape={stack.image_shape}"
        )
    if stack.classes and images.train_labels is None:
        raise UserError(f"dataset={images.name!r} has no labels, which a conditional model needs")
