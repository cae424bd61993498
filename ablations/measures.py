"""The metrics applied to one trained model: plain tensors in, catalogue names and numbers out.

Reconstructions are measured at z = posterior mean, likelihoods at a sampled z, prior samples at the decoder's mean.
Most functions give the values of all images, (images,) for each metric; the metric is their mean (:func:`average`),
over the images on which it exists: where some have none (blank images), their count stands beside.

What takes memory by the image is done for some images at a time (:func:`parts`), and the values of all images are
averaged together at the end: the memory is bounded, and no number depends on where the cuts are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from vae import likelihoods
from vae.arms import Arm
from vae.importance import iwae
from vae.losses import loss, sigmoid
from vae.metrics import latents, sharpness, similarity
from vae.metrics.blur import blur_effect
from vae.metrics.sharpness import Edges
from vae.metrics.transfer import Transfer
from vae.posteriors import Gaussian, Outputs, OwnPosterior, posterior_of, rate
from vae.training.memory import widest_bytes
from vae.training.threads import give_back_freed_memory

Metrics = dict[str, float]
Values = dict[str, Tensor]  # name -> one value per image, (N,); (K, N) where K classifiers read the images
CHUNK = 2000  # images that a model sees at once, where memory does not ask for fewer
AT_ONCE = 64 * 2**20  # bytes of the largest tensor that they make
EVEN = 64  # fewer images are a multiple of it: products and vector units round the rows of a ragged block differently
CACHED = 2**19  # bytes of the tensors that are scored together on a CPU
SCORING = 8  # tensors of the pictures' size that live while these are scored
LOGISTIC = 10  # and of their size in float64, for the discretised logistic


@dataclass(frozen=True)
class TrainedModel:
    """A trained model and its arm, which says what the outputs of encoder and decoder mean. image_bytes: see
    :func:`image_bytes`."""

    model: nn.Module
    arm: Arm
    image_bytes: int

    @cached_property
    def posterior(self) -> Gaussian | OwnPosterior:
        return posterior_of(self.model, self.arm.posterior)

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor | None) -> Outputs:
        """What the encoder puts out, (N, ...) each."""
        outputs = [self.model.encode(x[part], some(y, part)) for part in self.parts(len(x))]  # type: ignore[operator]
        return tuple(torch.cat(tensors) for tensors in zip(*outputs))

    @torch.no_grad()
    def decoded(self, z: Tensor, y: Tensor | None, then: Callable[[Tensor], Tensor] = lambda own: own) -> Tensor:
        """The decoder's output, (N, *image_shape), and what ``then`` makes of it."""
        every = self.parts(len(z))
        if len(every) == 1:  # without a copy
            return then(self.model.decode(z, y)).to(z.dtype)  # type: ignore[operator]
        decoded = z.new_empty(len(z), *self.model.image_shape)  # type: ignore[misc]
        for part in every:
            decoded[part] = then(self.model.decode(z[part], some(y, part)))  # type: ignore[operator]
        return decoded

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits of the decoder's mean image, (N, *image_shape): its own output wherever the mean is a sigmoid."""
        return self.decoded(z, y, lambda own: mean_logits(own, self.arm))

    def images(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoder's mean image, (N, *image_shape) in [0, 1]."""
        return self.decoded(z, y, lambda own: torch.sigmoid(mean_logits(own, self.arm)))

    def parts(self, count: int) -> list[slice]:
        """That many images, some at a time."""
        return parts(count, self.image_bytes)


def mean_logits(logits: Tensor, arm: Arm) -> Tensor:
    """Logits of the decoder's mean image: with some losses the mean is not the sigmoid of the output."""
    mean = loss(arm.loss).mean
    return logits if mean is sigmoid else torch.logit(mean(logits), eps=1e-7)


def image_bytes(model: nn.Module) -> int:
    """What one image takes where a model or the scoring of its pictures is widest, in float32."""
    pixels = torch.Size(model.image_shape).numel()  # type: ignore[arg-type]
    return max(widest_bytes(model, torch.float32), SCORING * 4 * pixels)


def parts(count: int, size: int) -> list[slice]:
    """``count`` images of ``size`` bytes each, as slices of :data:`AT_ONCE` bytes at most, but for very large images.

    >>> parts(4100, 8_000)
    [slice(0, 2000, None), slice(2000, 4000, None), slice(4000, 4100, None)]
    >>> parts(300, 700_000)
    [slice(0, 64, None), slice(64, 128, None), slice(128, 192, None), slice(192, 300, None)]
    """
    step, slices = max(1, AT_ONCE // size // EVEN) * EVEN, []
    for start in range(0, count, CHUNK):
        end = min(start + CHUNK, count)
        edges = [start, *range(start + step, end - EVEN + 1, step), end]  # a small rest joins the part before
        slices += [slice(*pair) for pair in pairwise(edges)]
    return slices


def some(values: Tensor | None, part: slice) -> Tensor | None:
    """Labels of a part, where there are labels."""
    return None if values is None else values[part]


def average(values: Tensor) -> float:
    """The mean of the values that are not NaN; NaN where all are.

    >>> average(torch.tensor([1.0, math.nan, 3.0]))
    2.0
    """
    numbers = values[~values.isnan()]
    return float(numbers.double().mean()) if numbers.numel() else math.nan


def standard_error(values: Tensor) -> float:
    """Of the mean over images, (N,); NaN for one image."""
    return float(values.double().std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


def by_image(metric: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """A metric's value for each image, the mean of its planes for a colour one: (N,).

    >>> by_image(lambda x: x.mean((-2, -1)), torch.ones(4, 3, 5, 6)).shape
    torch.Size([4])
    """
    return _of_planes(metric(*images))


def _of_planes(values: Tensor) -> Tensor:
    """(N,) as it is; (N, planes) -> (N,)."""
    return values if values.ndim < 2 else values.nanmean(-1)


def joined(values: Iterable[Values]) -> Values:
    """The values of all parts together, in their order."""
    rows: list[Values] = []
    for row in values:
        if rows:
            give_back_freed_memory()  # of the part before
        rows.append(row)
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


@dataclass(frozen=True)
class Scales:
    """What observation models are fitted to: the decoder's mean images of the calibration images.

    variance, laplace: one for all pixels. logistic: (1, D). table: (bins, levels). levels: grey levels of the data set.
    """

    variance: Tensor
    laplace: Tensor
    logistic: Tensor
    table: Tensor
    levels: int

    @classmethod
    def fit(cls, logits: Tensor, x: Tensor, levels: int) -> Scales:
        """logits: of the mean. Both (N, D), none of them scored later."""
        images = torch.sigmoid(logits)
        return cls(
            likelihoods.fit_gaussian(images, x),
            likelihoods.fit_laplace(images, x),
            likelihoods.fit_logistic(images, x, levels),
            likelihoods.fit_table(logits, x, levels),
            levels,
        )


def image_scores(own: Tensor, arm: Arm, x: Tensor, rates: Tensor, scales: Scales, grey_images: int) -> Values:
    """Of each image at a sampled z: the three distortions, −log p(x|z) under each observation model, and bits per dim.

    own: the decoder's output, (n, D). x: (n, D). rates: (n,). grey_images: only so many images, the first, are scored
    by probabilities of their grey levels.
    """
    rows = [
        _scores(own[part], arm, x[part], rates[part], scales, grey_images - part.start)
        for part in _in_cache(len(x), x.shape[-1], x.device)
    ]
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def _in_cache(count: int, pixels: int, device: torch.device) -> list[slice]:
    """Images as slices of which a few tensors fit in the cache of a CPU's core; elsewhere all together."""
    step = max(1, CACHED // (4 * pixels) // EVEN) * EVEN if device.type == "cpu" else max(1, count)
    return [slice(start, start + step) for start in range(0, max(1, count), step)]


def _scores(own: Tensor, arm: Arm, x: Tensor, rates: Tensor, scales: Scales, grey_images: int) -> Values:
    logits, pixels = mean_logits(own, arm), x.shape[-1]
    images, first, bits = torch.sigmoid(logits), slice(max(0, grey_images)), partial(_bits, rates, pixels)
    bernoulli, continuous = likelihoods.both_bernoulli_nlls(own, x)
    errors = images - x
    squared, absolute = errors.square().sum(-1), errors.abs_().sum(-1)
    return {
        "bce": bernoulli if logits is own else likelihoods.measured_bernoulli_nll(logits, x),
        "mse": squared,
        "mae": absolute,
        "nll_continuous_bernoulli": continuous,
        "nll_gaussian": likelihoods.gaussian_cost(squared, pixels),
        "nll_gaussian_calibrated": likelihoods.gaussian_cost(squared, pixels, scales.variance.float()),
        "nll_laplace": likelihoods.laplace_cost(absolute, pixels),
        "nll_laplace_calibrated": likelihoods.laplace_cost(absolute, pixels, scales.laplace.float()),
        "bits_per_dim": bits(_logistic_nll(images[first], x[first], scales)),
        "bits_per_dim_table": bits(likelihoods.table_nll(logits[first], x[first], scales.table)),
    }


def _bits(rates: Tensor, pixels: int, nats: Tensor) -> Tensor:
    """Bits per pixel of the first images, the rate of each included."""
    return likelihoods.bits_per_dim(nats + rates[: len(nats)], pixels)


def _logistic_nll(images: Tensor, x: Tensor, scales: Scales) -> Tensor:
    """−log probability of the stored grey levels under the discretised logistic, (n,) in float64."""
    nats = [
        likelihoods.logistic_nll(images[part].double(), x[part].double(), scales.logistic[0], scales.levels)
        for part in parts(len(x), LOGISTIC * 8 * x.shape[-1])
    ]
    return torch.cat([x.new_empty(0, dtype=torch.float64), *nats])


def importance_bound(
    trained: TrainedModel,
    moments: tuple[Tensor, Tensor],
    x: Tensor,
    y: Tensor | None,
    samples: int,
    generator: torch.Generator,
) -> Values:
    """−IWAE in nats of each image given, with its gate (the gain of the last doubling) and ln(ESS/K).

    moments: posterior mean and log variance of these images, (N, L) each.
    """
    bound = iwae(trained.logits, *moments, x.flatten(1), samples=samples, generator=generator, labels=y)
    return {"neg_iwae": bound.neg_iwae, "iwae_gap": bound.gap, "iwae_log_ess": bound.log_ess}


def sharpness_scores(
    images: Tensor, originals: Tensor, originals_edges: Edges, blur_images: int, light_ground: bool
) -> Values:
    """Sharpness of reconstructions; ``blur_effect`` on the first ``blur_images`` only.

    originals_edges: of each plane of each original. light_ground: ink is what is darker than the ground.
    """
    edges, first = sharpness.edges(images), images[:blur_images]
    own = _of_planes(edges.acutance)
    values = {
        "acutance": own,
        "acutance_ratio": own / _of_planes(originals_edges.acutance),
        "sigma_eq": sharpness.sigma_eq(own),
        "edge_contrast": _of_planes(edges.contrast(originals_edges)),
        "ink_ratio": by_image(partial(sharpness.ink_ratio, light_ground=light_ground), images, originals),
        "foreground_recall": by_image(
            partial(sharpness.foreground_recall, light_ground=light_ground), images, originals
        ),
    }
    if len(first):
        values |= {f"blur_effect_{size}": by_image(partial(blur_effect, h_size=size), first) for size in (11, 5)}
    return values


def similarity_scores(images: Tensor, originals: Tensor) -> Values:
    """SSIM of both polarities, and PSNR."""
    upright, inverted = map(_of_planes, similarity.ssim_both(images, originals))
    return {"ssim": upright, "ssim_inverted": inverted, "psnr": by_image(similarity.psnr, images, originals)}


def pooled_scores(images: Tensor, originals: Tensor, acutance: Tensor, moved: Transfer) -> Metrics:
    """What is no mean over images. acutance: of each image. moved: the transfer function against the originals."""
    return {
        "psnr_of_mean": float(similarity.psnr_of_mean(images, originals)),
        "n_blank": float(sharpness.n_blank(acutance)),
        "mtf50": moved.mtf50,
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
