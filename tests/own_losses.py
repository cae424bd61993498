"""Losses as a user would write them, ``tests.own_losses:name`` in tests: sound ones, and one for each mistake."""

from __future__ import annotations

import torch
from torch import Tensor

POISON = 0.123  # a pixel value that no data set here holds


def cubic(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction - target).abs() ** 3


def charbonnier(reconstruction: Tensor, target: Tensor) -> Tensor:
    return torch.sqrt((reconstruction - target) ** 2 + 1e-6) - 1e-3


def benign(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction - target) ** 2


def poisoned(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Like ``benign``, but not a number where a target pixel is POISON: the step at which an arm dies is then known."""
    marked = target == torch.tensor(POISON, dtype=target.dtype)
    return benign(reconstruction, target) * torch.where(marked, torch.nan, 1.0)


def averaged(reconstruction: Tensor, target: Tensor) -> Tensor:
    return ((reconstruction - target) ** 2).mean(-1)


def whole_numbers(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction > target).long()


def rewarding(reconstruction: Tensor, target: Tensor) -> Tensor:
    return -((reconstruction - target) ** 2)


def offset(reconstruction: Tensor, target: Tensor) -> Tensor:
    return 1 + (reconstruction - target) ** 2


def stepwise(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Looks like the absolute error, but its gradient is that of another function."""
    exact = (reconstruction - target).abs()
    return exact.detach() + 2 * (exact - exact.detach())


def detached(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction.detach() - target) ** 2


def cross_entropy(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The textbook formula, less its value at equality: fine inside, not a number at the ends."""
    return target * torch.log(target / reconstruction) + (1 - target) * torch.log((1 - target) / (1 - reconstruction))


def shared_scale(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Divides by the largest error of all arms, so that arms influence each other."""
    squared = (reconstruction - target) ** 2
    return squared / (1e-12 + squared.max())


def binarising(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Changes the targets, which all arms share."""
    return (reconstruction - target.mul_(1.0).round_()) ** 2


def noisy(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction - target) ** 2 * (1 + 1e-9 * torch.rand_like(reconstruction))


def impatient(reconstruction: Tensor, target: Tensor) -> Tensor:
    raise RuntimeError("not today")


def negative_near(reconstruction: Tensor, target: Tensor) -> Tensor:
    error = (reconstruction - target).abs()
    return error**2 - 0.02 * error


def one_sided(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Too much ink costs nothing."""
    return (target - reconstruction).clamp_min(0)


def flat_outside(reconstruction: Tensor, target: Tensor) -> Tensor:
    return (reconstruction.clamp(0.3, 0.7) - target.clamp(0.3, 0.7)) ** 2


def rooted(reconstruction: Tensor, target: Tensor) -> Tensor:
    """In float32 the constant under the root is lost, and the slope at equality is 0 / 0."""
    return torch.sqrt((reconstruction - target) ** 2 + 1e-60) - 1e-30


def relative(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Divides by the mean error of the batch, so that images influence each other."""
    squared = (reconstruction - target) ** 2
    return squared / (1e-12 + squared.mean((-2, -1), keepdim=True))


not_a_function = 3
