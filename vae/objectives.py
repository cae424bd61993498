"""The objective of an arm, in one unit system: nats per image, batch mean of [distortion + beta_eff · rate].

A *reduction* is the way in which code turns two tensors of terms into one number. Each is a pair of factors
(s_R, s_K) on the all-summed terms, so that

    loss = s_R ΣR + beta s_K ΣK      and      beta_eff = beta s_K / s_R.

The overall scale s_R only matters to an optimiser through its epsilon; beta_eff is the weight under which a model
learns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

from vae.errors import not_one_of

if TYPE_CHECKING:
    from torch import Tensor

# name -> what ΣR and ΣK are divided by, from the sizes (batch, pixels, latents)
REDUCTIONS: Mapping[str, Callable[[int, int, int], tuple[int, int]]] = MappingProxyType(
    {
        "sum": lambda batch, pixels, latents: (1, 1),
        "batch-mean": lambda batch, pixels, latents: (batch, batch),
        "mean": lambda batch, pixels, latents: (batch * pixels, batch * latents),
        "mean-recon": lambda batch, pixels, latents: (batch * pixels, 1),
        "mean-recon-batch": lambda batch, pixels, latents: (batch * pixels, batch),
    }
)


def effective_beta(reduction: str, beta: float, *, batch: int, pixels: int, latents: int) -> float:
    """The weight of KL when both terms are summed: what "beta = 1" means under each reduction.

    >>> effective_beta("mean", 1, batch=128, pixels=784, latents=20)
    39.2
    >>> effective_beta("mean-recon", 1, batch=128, pixels=784, latents=20)
    100352.0
    """
    if reduction not in REDUCTIONS:
        raise not_one_of("reduction", reduction, REDUCTIONS)
    # A ratio of whole numbers, so that a sum twin of a mean arm carries exactly the same number.
    ratio = Fraction(*REDUCTIONS[reduction](batch, pixels, latents))
    return float(beta) * ratio.numerator / ratio.denominator


def term_weights(reduction: str, beta: float, *, batch: int, pixels: int, latents: int) -> tuple[float, float]:
    """(weight of ΣR, weight of ΣK) in an arm's loss for a batch of that many images.

    >>> term_weights("batch-mean", 3, batch=4, pixels=64, latents=2)
    (0.25, 0.75)
    """
    distortion, divergence = REDUCTIONS[reduction](batch, pixels, latents)
    return 1 / distortion, beta * (1 / divergence)


def objective(distortion: Tensor, rates: Tensor, *, recon: Tensor, kl: Tensor) -> Tensor:
    """Training loss of each arm: recon · Σ distortion + kl · Σ rate over the images of the batch.

    distortion, rates: (arms, images), nats per image. recon, kl: (arms,), from `term_weights`.
    Returns (arms,). Sum it, never average it, before ``backward()``: then arms do not influence each other.

    >>> import torch
    >>> ones = torch.ones(2, 3)
    >>> objective(ones, ones, recon=torch.tensor([1.0, 0.5]), kl=torch.tensor([0.0, 1.0]))
    tensor([3.0000, 4.5000])
    """
    return recon * distortion.sum(-1) + kl * rates.sum(-1)
