"""The objective of an arm, in one unit system: nats per image, batch mean of [distortion + beta_eff · rate].

A *reduction* is the habit by which code turns two tensors of terms into one number. Each is a pair of factors
(s_R, s_K) on the all-summed terms, so that

    loss = s_R ΣR + beta s_K ΣK      and      beta_eff = beta s_K / s_R.

The overall scale s_R only matters to an optimiser through its epsilon; beta_eff is what a model learns under.
The "0.5 mul" variants of the posterior are a value too: the encoder's second output s becomes
std = exp(a s), and the KL term reads b s as the log variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from vae.errors import UserError, not_one_of
from vae.losses import loss

Factors = tuple[float, float]

REDUCTIONS: Mapping[str, Callable[[int, int, int], Factors]] = MappingProxyType(
    {
        "sum": lambda batch, pixels, latents: (1.0, 1.0),
        "batch-mean": lambda batch, pixels, latents: (1 / batch, 1 / batch),
        "mean": lambda batch, pixels, latents: (1 / (batch * pixels), 1 / (batch * latents)),
        "mean-recon": lambda batch, pixels, latents: (1 / (batch * pixels), 1.0),
        "mean-recon-batch": lambda batch, pixels, latents: (1 / (batch * pixels), 1 / batch),
    }
)


@dataclass(frozen=True)
class Posterior:
    """std = exp(std_factor · s); the KL term reads kl_factor · s as ln(std²). They agree when kl = 2 std."""

    std_factor: float
    kl_factor: float

    @property
    def true_factor(self) -> float:
        """Times s: the log variance that is really sampled."""
        return 2 * self.std_factor


POSTERIORS: Mapping[str, Posterior] = MappingProxyType(
    {
        "half-logvar": Posterior(0.5, 1.0),  # the paper: s is a log variance, the 0.5 takes the root
        "full-logvar": Posterior(1.0, 1.0),  # the slip: the 0.5 forgotten, KL still reads s as a log variance
        "log-std": Posterior(1.0, 2.0),  # consistent without the 0.5: s is a log standard deviation
    }
)


def rate(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, e^logvar) || N(0, 1)) in nats per image: a cost, >= 0. Kingma & Welling (2014), appendix B.

    mean, logvar: (*, latents). Returns (*): summed over latents, never over images.

    >>> import torch
    >>> rate(torch.zeros(3, 5, 2), torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5])
    """
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)


def effective_beta(reduction: str, beta: float, *, batch: int, pixels: int, latents: int) -> float:
    """The weight of KL when both terms are summed: what "beta = 1" means under each reduction.

    >>> effective_beta("mean", 1, batch=128, pixels=784, latents=20)
    39.2
    >>> effective_beta("mean-recon", 1, batch=128, pixels=784, latents=20)
    100352.0
    """
    # Written as ratios of integers, so that a sum twin of a mean arm carries exactly the same number.
    ratios = {
        "sum": (1, 1),
        "batch-mean": (1, 1),
        "mean": (pixels, latents),
        "mean-recon": (batch * pixels, 1),
        "mean-recon-batch": (pixels, 1),
    }
    if reduction not in ratios:
        raise not_one_of("reduction", reduction, REDUCTIONS)
    numerator, denominator = ratios[reduction]
    return float(beta) * numerator / denominator


@dataclass(frozen=True)
class Objective:
    """What one arm minimises: a loss, a reduction, a weight, and how the posterior's spread is read.

    >>> Objective("mae", beta=2).label
    'mae-sum-b2'
    >>> Objective("bce", beta=-1)
    Traceback (most recent call last):
    vae.errors.UserError: beta=-1 must be a finite number, 0 or more
    """

    loss: str = "bce"
    reduction: str = "sum"
    beta: float = 1.0
    posterior: str = "half-logvar"

    def __post_init__(self) -> None:
        loss(self.loss)
        if self.reduction not in REDUCTIONS:
            raise not_one_of("reduction", self.reduction, REDUCTIONS)
        if self.posterior not in POSTERIORS:
            raise not_one_of("posterior", self.posterior, POSTERIORS)
        number = isinstance(self.beta, int | float) and not isinstance(self.beta, bool)
        if not number or not math.isfinite(self.beta) or self.beta < 0:
            raise UserError(f"beta={self.beta!r} must be a finite number, 0 or more")

    @property
    def label(self) -> str:
        """A short name for people: loss, reduction, beta, and the posterior where it is not the usual one."""
        tail = "" if self.posterior == "half-logvar" else f"-{self.posterior}"
        return f"{self.loss}-{self.reduction}-b{self.beta:g}{tail}"

    def effective_beta(self, *, batch: int, pixels: int, latents: int) -> float:
        """See :func:`effective_beta`."""
        return effective_beta(self.reduction, self.beta, batch=batch, pixels=pixels, latents=latents)

    def factors(self, *, batch: int, pixels: int, latents: int) -> Factors:
        """(weight of ΣR, weight of ΣK) in this arm's loss for a batch of that many images."""
        recon, kl = REDUCTIONS[self.reduction](batch, pixels, latents)
        return recon, self.beta * kl


def objective(distortion: Tensor, rates: Tensor, *, recon: Tensor, kl: Tensor) -> Tensor:
    """Training loss of each arm: recon · Σ distortion + kl · Σ rate over the images of the batch.

    distortion, rates: (arms, images), nats per image. recon, kl: (arms,), from :meth:`Objective.factors`.
    Returns (arms,). Sum it, never average it, before ``backward()``: then no arm feels another.

    >>> import torch
    >>> ones = torch.ones(2, 3)
    >>> objective(ones, ones, recon=torch.tensor([1.0, 0.5]), kl=torch.tensor([0.0, 1.0]))
    tensor([3.0000, 4.5000])
    """
    return recon * distortion.sum(-1) + kl * rates.sum(-1)
