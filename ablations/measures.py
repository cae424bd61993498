"""The rulers applied to one trained model: plain tensors in, catalogue names and numbers out.

Reconstructions are measured at z = posterior mean, likelihoods at a sampled z, prior samples at the decoder's mean.
Means are over the images on which a ruler exists; where some have none (blank images), their count stands beside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae import likelihoods
from vae.importance import iwae
from vae.losses import loss
from vae.metrics import latents, sharpness, similarity
from vae.metrics.blur import blur_effect
from vae.metrics.transfer import Transfer
from vae.objectives import POSTERIORS, Objective, rate

Metrics = dict[str, float]
CHUNK = 2000  # images a decoder sees at once: bounds the memory of wide hidden layers


@dataclass(frozen=True)
class Trained:
    """A trained model with what its objective says of how to read it."""

    model: nn.Module
    objective: Objective

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Posterior mean and the log variance that is really sampled, (N, L) each."""
        factor = POSTERIORS[self.objective.posterior].true_factor
        parts = [self.model.encode(*part) for part in _parts(x, y)]  # type: ignore[operator]
        return torch.cat([mean for mean, _ in parts]), factor * torch.cat([spread for _, spread in parts])

    @torch.no_grad()
    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits of the decoder's mean image, (N, *image_shape): its own logits wherever the mean is a sigmoid."""
        own = torch.cat([self.model.decode(*part) for part in _parts(z, y)])  # type: ignore[operator]
        mean = loss(self.objective.loss).mean
        return own if mean is torch.sigmoid else torch.logit(mean(own), eps=1e-7)

    def images(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoder's mean image, (N, *image_shape) in [0, 1]."""
        return torch.sigmoid(self.logits(z, y))


def _parts(values: Tensor, y: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
    starts = range(0, len(values), CHUNK)
    return [(values[at : at + CHUNK], None if y is None else y[at : at + CHUNK]) for at in starts]


def average(values: Tensor) -> float:
    """The mean of what is there; NaN where nothing is.

    >>> average(torch.tensor([1.0, math.nan, 3.0]))
    2.0
    """
    there = values[~values.isnan()]
    return float(there.double().mean()) if there.numel() else math.nan


def by_image(ruler: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """A ruler's value for each image, the mean of its planes for a colour one: (N,).

    >>> by_image(lambda x: x.mean((-2, -1)), torch.ones(4, 3, 5, 6)).shape
    torch.Size([4])
    """
    values = ruler(*images)
    return values if values.ndim < 2 else values.nanmean(-1)


def reconstruction_errors(logits: Tensor, x: Tensor, rates: Tensor) -> Metrics:
    """Rate, the three distortions and −ELBO at a sampled z. logits, x: (N, D); rates: (N,)."""
    images = torch.sigmoid(logits)
    bce = average(likelihoods.bernoulli_nll(logits, x))
    return {
        "rate": average(rates),
        "bce": bce,
        "mse": average((images - x).square().sum(-1)),
        "mae": average((images - x).abs().sum(-1)),
        "neg_elbo": bce + average(rates),
    }


@dataclass(frozen=True)
class Scales:
    """One scale per observation model, fitted to the decoder's mean images of the calibration images."""

    variance: Tensor
    laplace: Tensor
    logistic: Tensor

    @classmethod
    def fit(cls, images: Tensor, x: Tensor) -> Scales:
        """images, x: (N, D), neither of them scored later."""
        return cls(
            likelihoods.fit_gaussian(images, x), likelihoods.fit_laplace(images, x), likelihoods.fit_logistic(images, x)
        )


def likelihood_scores(logits: Tensor, x: Tensor, rates: Tensor, scales: Scales, logistic_images: int) -> Metrics:
    """−log p(x|z) of the test images under each observation model, and bits per dim of the common yardstick.

    The discretised logistic is scored on the first ``logistic_images`` only, with their own rates.
    """
    images = torch.sigmoid(logits)
    first = slice(logistic_images)
    nats = likelihoods.logistic_nll(images[first].double(), x[first].double(), scales.logistic)
    return {
        "nll_continuous_bernoulli": average(likelihoods.continuous_bernoulli_nll(logits, x)),
        "nll_gaussian": average(likelihoods.gaussian_nll(images, x)),
        "nll_gaussian_calibrated": average(likelihoods.gaussian_nll(images, x, scales.variance.float())),
        "nll_laplace": average(likelihoods.laplace_nll(images, x)),
        "nll_laplace_calibrated": average(likelihoods.laplace_nll(images, x, scales.laplace.float())),
        "bits_per_dim": float(likelihoods.bits_per_dim(nats + rates[first], x.shape[-1]).mean()),
    }


def importance_bound(
    trained: Trained, x: Tensor, y: Tensor | None, samples: int, generator: torch.Generator
) -> Metrics:
    """−IWAE in nats per image on the images given, with its gate (the gain of the last doubling) and ln(ESS/K)."""
    mean, logvar = trained.encode(x, y)
    found = iwae(
        lambda z, labels: trained.logits(z, labels),
        mean,
        logvar,
        x.flatten(1),
        samples=samples,
        generator=generator,
        labels=y,
    )
    return {
        "neg_iwae": average(found.neg_iwae),
        "iwae_gap": average(found.gap),
        "iwae_log_ess": average(found.log_ess),
    }


@dataclass(frozen=True)
class Originals:
    """The test images and what is measured of them once: their acutance."""

    images: Tensor
    acutance: Tensor

    @classmethod
    def of(cls, images: Tensor) -> Originals:
        return cls(images, by_image(sharpness.acutance, images))


def sharpness_scores(images: Tensor, originals: Originals, transfer: Transfer, blur_images: int) -> Metrics:
    """Sharpness of reconstructions; ``blur_effect`` on the first ``blur_images`` only."""
    own = by_image(sharpness.acutance, images)
    return {
        "acutance": average(own),
        "acutance_ratio": average(own / originals.acutance),
        "sigma_eq": average(sharpness.sigma_eq(own)),
        "n_blank": float(sharpness.n_blank(own)),
        "edge_contrast": average(by_image(sharpness.edge_contrast, images, originals.images)),
        "ink_ratio": average(by_image(sharpness.ink_ratio, images, originals.images)),
        "foreground_recall": average(by_image(sharpness.foreground_recall, images, originals.images)),
        "mtf50": transfer.mtf50,
        "blur_effect_11": average(by_image(blur_effect, images[:blur_images])),
        "blur_effect_5": average(by_image(lambda x: blur_effect(x, h_size=5), images[:blur_images])),
    }


def similarity_scores(images: Tensor, originals: Tensor) -> Metrics:
    """SSIM of both polarities and both means of PSNR."""
    upright, inverted = similarity.ssim_both(images, originals)
    return {
        "ssim": float(upright.mean()),
        "ssim_inverted": float(inverted.mean()),
        "psnr": average(by_image(similarity.psnr, images, originals)),
        "psnr_of_mean": float(similarity.psnr_of_mean(images, originals)),
    }


def latent_scores(mean: Tensor, logvar: Tensor) -> Metrics:
    """How the latents are used. mean, logvar: (N, L)."""
    return {
        "active_units": float(latents.active_units(mean)),
        "aggregate_variance": float(latents.aggregate_variance_of_active(mean, logvar)),
        "collapsed": float(latents.collapsed(rate(mean, logvar).mean())),
    }


def sample_sharpness(samples: Tensor) -> Metrics:
    """Sharpness of prior samples at the decoder's mean."""
    own = by_image(sharpness.acutance, samples)
    return {
        "sample_acutance": average(own),
        "sample_sigma_eq": average(sharpness.sigma_eq(own)),
        "sample_n_blank": float(sharpness.n_blank(own)),
    }
