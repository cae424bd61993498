"""The importance-weighted bound on ln p(x) of a trained model, and whether its draws were enough.

With z_k = mean + e^(logvar/2) eps_k drawn from the posterior q, and w_k = p(x | z_k) p(z_k) / q(z_k | x):

    L_K = ln (1/K) Σ_k w_k     one draw is the ELBO in expectation; non-decreasing in K; ln p(x) in the limit
    gap = L_2K − L_K           what another doubling of the draws gains: below .05 nats the bound has settled
    ESS = (Σ w)² / Σ w²        ln(ESS / K) is 0 where q is the true posterior, −ln K where one draw has all the weight

Burda, Grosse & Salakhutdinov (2016). Images are decoded in float32 as the model does, weights averaged in float64.
Noise is drawn image by image from the generator that is passed in. So the result does not depend on how many images
are decoded at once, and models given equal generators are compared on equal noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vae.errors import UserError
from vae.likelihoods import measured_bernoulli_nll
from vae.ranges import check_unit_range

Decode = Callable[[Tensor, Tensor | None], Tensor]  # z (B, L), labels (B, ...) or None -> logits (B, *image)
Nll = Callable[[Tensor, Tensor], Tensor]  # logits (*, D), x (*, D) -> −ln p(x | z), (*)

# Bytes of logits of the images that are drawn for together: an accelerator is fastest with large launches.
BUDGET_ON_CPU = 1 << 23
BUDGET_ELSEWHERE = 1 << 27
DECODED_ON_CPU = 1 << 19  # of them decoded at once: they and what is made of them stay in a core's own cache


@dataclass(frozen=True)
class Importance:
    """The importance-weighted bound of each image, all (images,) in float64 on the CPU.

    neg_iwae: −L_K in nats, K all the draws: an upper bound on −ln p(x).
    gap: L_K − L_K/2 in nats, >= 0, the two halves of the draws averaged; NaN where there is one draw.
    log_ess: ln(ESS / K), between −ln K and 0.
    """

    neg_iwae: Tensor
    gap: Tensor
    log_ess: Tensor


def iwae(
    decode: Decode,
    mean: Tensor,
    logvar: Tensor,
    x: Tensor,
    *,
    samples: int,
    generator: torch.Generator,
    labels: Tensor | None = None,
    nll: Nll = measured_bernoulli_nll,
    binarise: bool = True,
) -> Importance:
    """The importance-weighted bound L_K with K = `samples` draws per image.

    mean, logvar: (images, L), the log variance that is really sampled. x: (images, *image). samples: 1 or an even
    number, so that the gap can be computed from the two halves. labels: (images, ...) of a conditional model.
    nll: of :mod:`vae.likelihoods`. binarise: draw b ~ Bernoulli(x) once per image and score b, because to a Bernoulli
    grey values are probabilities, not observations; pass False with a density of grey values.
    Raises UserError, naming the argument.

    >>> half = torch.zeros(3, 2)
    >>> bound = iwae(lambda z, y: z.repeat(1, 4), half, half, torch.ones(3, 8), samples=4,
    ...     generator=torch.Generator().manual_seed(0))
    >>> bound.neg_iwae.shape, bool((bound.gap >= 0).all()), bool((bound.log_ess <= 0).all())
    (torch.Size([3]), True, True)
    """
    _check(mean, logvar, x, labels)
    if samples != 1 and (samples < 2 or samples % 2):
        raise UserError(f"samples={samples!r} must be 1 or an even number: the gap compares two halves")
    x = x.flatten(1)
    if binarise:
        check_unit_range("x", x)
        x = torch.bernoulli(x.to(generator.device), generator=generator).to(x.device, x.dtype)
    parts = []
    rows, at_once = _rows(x)
    step = max(1, rows // samples)
    with torch.no_grad():
        for start in range(0, len(x), step):
            here = slice(start, start + step)
            cost = partial(_cost, decode, nll, x[here], None if labels is None else labels[here])
            eps = _noise(mean[here], samples, generator)  # (K, images, L)
            log_weights = _log_weights(cost, mean[here], logvar[here], eps, max(1, at_once // len(x[here])))
            parts.append(_summary(log_weights.cpu()))
    return Importance(*(torch.cat(column) for column in zip(*parts)))


def budget_on(device: torch.device) -> int:
    """The bytes of decoded logits that suit a device."""
    return BUDGET_ON_CPU if device.type == "cpu" else BUDGET_ELSEWHERE


def _rows(x: Tensor) -> tuple[int, int]:
    """How many decoded images, in float32, fit the two budgets; x: (images, D)."""
    budget, size = budget_on(x.device), 4 * x.shape[-1]
    at_once = min(budget, DECODED_ON_CPU) if x.device.type == "cpu" else budget
    return max(1, budget // size), max(1, at_once // size)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """ln of the mean of e^w over the first axis: (K, *) -> (*). The bound L_K, from log-weights."""
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def log_ess(log_weights: Tensor) -> Tensor:
    """ln(ESS / K) of log-weights: (K, *) -> (*), between −ln K and 0. Kong (1992).

    >>> log_ess(torch.tensor([5.0, 5.0, -torch.inf, -torch.inf])).exp()
    tensor(0.5000)
    """
    total = 2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0)
    return total - math.log(len(log_weights))


def _summary(log_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(K, images) -> neg_iwae, gap and log_ess of each image."""
    bound = log_mean_exp(log_weights)  # (images)
    half = len(log_weights) // 2
    halves = log_mean_exp(log_weights[:half]) + log_mean_exp(log_weights[half:]) if half else bound * math.nan
    return -bound, bound - halves / 2, log_ess(log_weights)


def _log_weights(cost: Callable[[Tensor], Tensor], mean: Tensor, logvar: Tensor, eps: Tensor, at_once: int) -> Tensor:
    """ln w of every draw, (K, images) in float64; eps: (K, images, L). at_once: draws decoded together."""
    z = mean + torch.exp(logvar / 2) * eps  # (K, images, L)
    costs = torch.cat([cost(draws) for draws in torch.split(z, at_once)])  # (K, images)
    # ln p(z) − ln q(z | x): the two constants cancel, and (z − mean)/std is eps.
    z, eps, logvar = z.double(), eps.double(), logvar.double()
    return 0.5 * (eps.square() - z.square() + logvar).sum(-1) - costs.double()


def _cost(decode: Decode, nll: Nll, x: Tensor, labels: Tensor | None, z: Tensor) -> Tensor:
    """−ln p(x | z) for z (k, images, L) -> (k, images)."""
    draws, images = z.shape[:2]
    if labels is not None:
        labels = labels.expand(draws, *labels.shape).flatten(0, 1)
    logits = decode(z.flatten(0, 1), labels)  # (k · images, *image)
    return nll(logits.reshape(draws, images, -1), x)


def _noise(mean: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """(K, images, L), drawn image by image: the numbers of one large draw would depend on the number of images."""
    shape = (samples, mean.shape[-1])
    draws = [torch.randn(shape, generator=generator, device=generator.device) for _ in range(len(mean))]
    return torch.stack(draws, dim=1).to(mean)


def _check(mean: Tensor, logvar: Tensor, x: Tensor, labels: Tensor | None) -> None:
    if mean.ndim != 2 or mean.shape != logvar.shape:
        raise UserError(f"mean is {tuple(mean.shape)} and logvar {tuple(logvar.shape)}; both must be (images, latents)")
    for name, value in (("x", x), ("labels", labels)):
        if value is not None and len(value) != len(mean):
            raise UserError(f"{name} has {len(value)} images and mean has {len(mean)}; they must be the same")
    if not len(x):
        raise UserError("x has no images")
    if not x.is_floating_point():
        raise UserError(f"x is {x.dtype}; it must be floating point. Did you mean x / 255?")
