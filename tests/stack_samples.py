"""Stacks of small models on made-up images, and what it means that arms agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tests.own_losses import POISON
from vae import VAE, Arm, EpochRecord, ImageData, Stack, fit
from vae.factors import Value
from vae.losses import LOSSES
from vae.models import ConvVAE
from vae.objectives import REDUCTIONS
from vae.posteriors import POSTERIORS

COUNT, LATENTS, CLASSES = 70, 3, 4
SHAPE = (6, 5)


class Derived(VAE):
    """The same network as a module of a user's own: trained through autograd and vmap."""


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "by hand": lambda: VAE(SHAPE, LATENTS, hidden=(9, 7)),
    "by autograd": lambda: Derived(SHAPE, LATENTS, hidden=(9, 7)),
    "conditional": lambda: VAE(SHAPE, LATENTS, CLASSES, hidden=(9,)),
    "convolutional": lambda: ConvVAE(SHAPE, LATENTS, CLASSES, channels=(3, 4)),
}
SETTINGS = {
    "epochs": 2,
    "batch_size": 16,
    "last_batch": "keep",
    "learning_rate": 1e-2,
    "precision": "float64",
    "latents": LATENTS,
}

# Of every factor, values that an arm may have beside the base's; a new factor needs an entry.
VALUES: Mapping[str, tuple[Value, ...]] = {
    "loss": (*(name for name in LOSSES if name != "bce"), "tests.own_losses:cubic"),
    "reduction": tuple(name for name in REDUCTIONS if name != "sum"),
    "beta": (0, 0.3, 4),
    "posterior": tuple(name for name in POSTERIORS if name != "half-logvar"),
    "model.family": ("conv",),
    "model.latents": (2, 5),
    "model.conditional": (True,),
    "model.hidden": ((7, 5), (4,)),
    "model.channels": ((3,), (5, 4)),
    "training.epochs": (1, 3),
    "training.batch_size": (9, 25),
    "training.learning_rate": (1e-1, 3e-4),
    "training.last_batch": ("keep",),
    "training.weight_decay": (0.1, 3),
    "training.clip_norm": (0.5, 2),
    "training.adam_eps": (1e-3, 1e-12),
    "training.precision": ("bfloat16", "float32"),
    "training.log_every": (3,),
}


def images(seed: int = 0, poison: int | None = None) -> ImageData:
    """COUNT made-up images; `poison` marks a pixel of one of them."""
    source = torch.Generator().manual_seed(seed)
    train = torch.rand(COUNT, *SHAPE, generator=source).double()
    if poison is not None:
        train[poison, 2, 3] = POISON
    labels = torch.randint(CLASSES, (COUNT,), generator=source)
    return ImageData("made-up", train, train[:9], labels, labels[:9], train[:0], digest="")


def arms_with(arms: Sequence[Arm], **settings: Any) -> list[Arm]:
    """The arms with a small training schedule in float64, and with these settings."""
    return [arm.replace(**(SETTINGS | settings)) for arm in arms]


def new_stack(build: Callable[[], nn.Module], arms: Sequence[Arm], seed: int = 5) -> Stack:
    return Stack.create(build, arms, dataset="made-up", seed=seed)


def train(
    build: Callable[[], nn.Module], arms: Sequence[Arm], data: ImageData | None = None
) -> tuple[Stack, list[EpochRecord]]:
    """A stack of these arms after all epochs, and its records."""
    stack = new_stack(build, arms)
    return stack, list(fit(stack, data or images()))


def drifted(stack: Stack, size: float) -> Stack:
    """The stack with its arms moved away from their common start, in place."""
    source = torch.Generator().manual_seed(0)
    for value in stack.parameters.values():
        value += size * torch.randn(value.shape, generator=source, dtype=value.dtype)
    return stack


def weights(stack: Stack, arm: int) -> Tensor:
    """All weights of one arm, one after the other."""
    return torch.cat([value.flatten() for value in stack.state(arm).values()])


def assert_arms_agree(
    one: Stack, arms: Sequence[int], other: Stack, others: Sequence[int], tolerance: float = 1e-9
) -> None:
    for name in one.parameters:
        actual, expected = one.parameters[name][list(arms)], other.parameters[name][list(others)]
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, msg=name)


def identical(one: Stack, arms: Sequence[int], other: Stack, others: Sequence[int]) -> bool:
    return all(torch.equal(one.parameters[n][list(arms)], other.parameters[n][list(others)]) for n in one.parameters)
