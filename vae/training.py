"""Training as a generator of epoch records. It never heard of a tracker: whoever iterates it listens.

Everything random comes from named streams, one per epoch, drawn on the CPU before the epoch starts; inside an
epoch nothing waits for a number. An arm whose numbers stop being finite is frozen and reported with its epoch
and step; the other arms compute what they would have computed without it, to the last bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vae import streams
from vae.data import ImageData
from vae.engine import Engine
from vae.errors import UserError, not_one_of
from vae.stack import Stack

LAST_BATCH = ("drop", "keep")
PRECISIONS = ("float32", "bfloat16", "float64")


@dataclass(frozen=True)
class Training:
    """How a stack is trained. Adam, as the notes use it; every reason for a default stands beside it.

    >>> Training(epochs=0)
    Traceback (most recent call last):
    vae.errors.UserError: epochs=0 must be a whole number, 1 or more
    """

    epochs: int = 10  # the notes' and the published anchor's
    batch_size: int = 128
    learning_rate: float = 1e-3
    last_batch: str = "drop"  # a smaller last batch changes what mean reductions weigh; "keep" for the anchor
    weight_decay: float = 0.0
    clip_norm: float | None = None  # of each arm's own gradient
    adam_eps: float = 1e-8  # torch's; scale it with a reduction and `mean` and `sum` take the same path
    precision: str = "float32"
    log_every: int = 10  # steps between logged loss values: gradients do not need them

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "log_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"{name}={value!r} must be a whole number, 1 or more")
        for name, allow_zero in (("learning_rate", False), ("adam_eps", False), ("weight_decay", True)):
            _check_number(name, getattr(self, name), allow_zero=allow_zero)
        if self.clip_norm is not None:
            _check_number("clip_norm", self.clip_norm, allow_zero=False)
        if self.last_batch not in LAST_BATCH:
            raise not_one_of("last_batch", self.last_batch, LAST_BATCH)
        if self.precision not in PRECISIONS:
            raise not_one_of("precision", self.precision, PRECISIONS)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and data; in bfloat16 only the products are rounded, the weights stay float32."""
        return torch.float64 if self.precision == "float64" else torch.float32


def _check_number(name: str, value: object, *, allow_zero: bool) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not allow_zero):  # type: ignore[operator]
        raise UserError(f"{name}={value!r} must be a finite number, {'0 or more' if allow_zero else 'above 0'}")


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of a stack was like. distortion and rate: (arms,), nats per image, each arm's own loss, means
    over the logged steps; diverged: arm -> (epoch, step), for the arms frozen in this epoch."""

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


def fit(stack: Stack, images: ImageData, training: Training | None = None) -> Iterator[EpochRecord]:
    """Train all arms of a stack, in place, yielding a record after every epoch.

    >>> import vae
    >>> data = vae.load("digits")
    >>> arms = [vae.Objective("bce"), vae.Objective("mae")]
    >>> stack = vae.Stack.create(lambda: vae.VAE((8, 8), 4, hidden=(16,)), arms, dataset="digits", seed=0)
    >>> [record.epoch for record in vae.fit(stack, data, vae.Training(epochs=2))]
    [1, 2]
    """
    training = training or Training()
    plan = batches(len(images.train), training.batch_size, training.last_batch)
    if not plan:
        raise UserError(
            f"batch_size={training.batch_size} is larger than the {len(images.train)} training images; "
            f"lower it, or set last_batch='keep'"
        )
    if stack.classes and images.train_labels is None:
        raise UserError(f"dataset={images.name!r} has no labels, which a conditional model needs")
    engine = Engine(stack)
    optimiser = torch.optim.Adam(
        list(engine.leaves.values()),
        lr=training.learning_rate,
        eps=training.adam_eps,
        weight_decay=training.weight_decay,
        fused=True,
    )
    pixels = images.train.to(device=stack.device, dtype=stack.dtype)
    labels = images.train_labels.to(stack.device) if stack.classes and images.train_labels is not None else None
    try:
        for epoch in range(1, training.epochs + 1):
            yield _epoch(engine, optimiser, pixels, labels, training, plan, epoch)
    finally:
        for leaf in engine.leaves.values():
            leaf.requires_grad_(False)


def _epoch(
    engine: Engine,
    optimiser: torch.optim.Adam,
    pixels: Tensor,
    labels: Tensor | None,
    training: Training,
    plan: list[tuple[int, int]],
    epoch: int,
) -> EpochRecord:
    stack, started = engine.stack, time.perf_counter()
    order = batch_order(stack, epoch, len(pixels)).to(stack.device)
    noise = epoch_noise(stack, epoch, len(pixels)).to(device=stack.device, dtype=stack.dtype)
    weights = {size: _weights(stack, size, pixels[0].numel()) for size in {end - start for start, end in plan}}
    distortions, rates = [], []
    for start, end in plan:
        chosen = order[start:end]
        recon, kl = weights[end - start]
        values = engine.step(
            pixels[chosen],
            noise[start:end],
            None if labels is None else labels[chosen],
            recon=recon,
            kl=kl,
        )
        if training.clip_norm is not None:
            _clip(engine, training.clip_norm)
        optimiser.step()
        rates.append(values.rate)
        if values.distortion is not None:
            distortions.append(values.distortion)
    every_rate = torch.stack(rates)
    newly = _diverged(stack, every_rate, epoch)
    stack.diverged.update(newly)
    for arm in newly:
        _freeze(stack, optimiser, arm)
    return EpochRecord(
        epoch,
        torch.stack(distortions).mean(0).cpu(),
        every_rate.mean(0).cpu(),
        newly,
        time.perf_counter() - started,
    )


def _weights(stack: Stack, batch: int, pixels: int) -> tuple[Tensor, Tensor]:
    """(recon, kl) of every arm for a batch of that size, (arms,) each; zero for a frozen arm."""
    pairs = [
        (0.0, 0.0) if arm in stack.diverged else each.factors(batch=batch, pixels=pixels, latents=stack.latents)
        for arm, each in enumerate(stack.objectives)
    ]
    recon, kl = torch.tensor(pairs, dtype=stack.dtype, device=stack.device).unbind(-1)
    return recon, kl


def _clip(engine: Engine, max_norm: float) -> None:
    """Scale each arm's own gradient to a norm of at most max_norm."""
    gradients = [leaf.grad for leaf in engine.leaves.values() if leaf.grad is not None]
    norms = torch.stack([g.flatten(1).square().sum(-1) for g in gradients]).sum(0).sqrt()
    scale = (max_norm / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))


def _diverged(stack: Stack, rates: Tensor, epoch: int) -> dict[int, tuple[int, int]]:
    """Arms whose rate was not finite at some step (steps, arms), or whose weights are not at the end."""
    wrong = ~torch.isfinite(rates)
    sound = torch.stack([torch.isfinite(p).flatten(1).all(-1) for p in stack.parameters.values()]).all(0)
    first = torch.where(wrong.any(0), wrong.int().argmax(0), len(rates) - 1)
    return {
        arm: (epoch, int(first[arm]) + 1)
        for arm in range(stack.arms)
        if arm not in stack.diverged and (bool(wrong[:, arm].any()) or not bool(sound[arm]))
    }


def _freeze(stack: Stack, optimiser: torch.optim.Adam, arm: int) -> None:
    """Set a diverged arm to zero: it stays in the stack, so that the others compute exactly as before."""
    for leaf in stack.parameters.values():
        leaf.data[arm] = 0
        for moment in ("exp_avg", "exp_avg_sq"):
            optimiser.state[leaf][moment][arm] = 0
