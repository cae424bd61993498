"""Observation models: −log p(x | z) of an image in nats, from what a decoder puts out.

With D pixels, logits l and the decoder's mean image mu:

    Bernoulli             Σ softplus(l) − x l                    x in [0, 1]: cross entropy of grey values
    continuous Bernoulli  Σ softplus(l) − x l − ln C(l)          ln C(l) = ln |l| − ln tanh(|l| / 2)
    Gaussian              Σ (x − mu)² / (2 v) + (D / 2) ln 2πv   v = 1/2: squared error + (D / 2) ln π
    Laplace               Σ |x − mu| / b + D ln 2b               b = 1: absolute error + D ln 2
    discretised logistic  −Σ ln [F((k + ½)/(n − 1)) − F((k − ½)/(n − 1))], F logistic with mean mu and scale s
    grey-level table      −Σ ln P(k | mu)                P counted on other images
    histogram             −Σ ln P(k)                     P counted on other images, for each pixel; without a model

All functions take (*, D), one flat image in the last axis, broadcast the other axes, and return a cost (*): summed over
pixels, never averaged, in the dtype of their inputs (float32 at least). They raise UserError. Which mu belongs to some
logits depends on the loss that trained them: sigmoid(l), but :func:`continuous_bernoulli_mean` for that one.

Densities of different observation models are not comparable with each other. The last three are probabilities of the
n stored grey levels k, and compare models of all losses: their parameters are fitted to each decoder.

The two Bernoullis are also training losses, so they never branch on values, which ``vmap`` does not allow. A mean that
is NaN, of a diverged model, gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vae.errors import UserError
from vae.ranges import check_unit_range

LEVELS = 256  # grey levels of images stored as bytes: the sample space of the discretised logistic

# Taylor coefficients at 0 in l², of ln C(l) = ln(l / tanh(l / 2)) and of the mean (1/2 + l · this).
_LOG_C = (math.log(2), 1 / 12, -7 / 1440, 31 / 90720, -127 / 4838400, 73 / 34214400, -1414477 / 7846046208000)
_MEAN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)
_NEAR_ZERO = 0.3  # below it the series: exact to float64, while the closed forms lose digits as 1/l

LEAST_SCALE = 1e-4  # no fitted scale is smaller: far below one grey level
_SCALES = (LEAST_SCALE, 10.0)  # the fitted logistic scales stay between these; the largest is flat

# Of the discretised logistic; both chosen where images that were not fitted are likeliest, by 15 models of digits and
# MNIST. Shares of .001 to .01 differ by .02 bits per pixel at most, pulls of .3 to 3 by .002. No share costs .02 on
# digits and .05 on MNIST; no pull .003 on digits, whose scales are fitted to 137 images.
UNIFORM = 0.01  # share of all levels alike: else a single pixel that was always black costs thousands of nats
PULL = 1.0  # towards the scale of all pixels together: how much one pixel's ln(scale) is held, in images

_BINS, _REACH = 30, 8.0  # of the table: the decoder's logits from −8 to 8 in equal steps
SMOOTHING = 0.1  # images added to the count of each grey level, in tables and histograms
_AT_ONCE = 1 << 22  # pixels whose levels are counted together
_MOST_STEPS, _STEP = 40, 1e-3  # Newton's, in ln(1/scale): about 8 are made


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """Cross entropy of grey values in [0, 1], nats per image: −log p(x | z) where x is binary.

    On grey pixels it is the mean of −log p(b | z) over b ~ Bernoulli(x). Kingma & Welling (2014), appendix C.1.

    >>> bernoulli_nll(torch.zeros(3, 4), torch.ones(3, 4)) / math.log(2)
    tensor([4., 4., 4.])
    """
    logits, x = _aligned("logits", logits, x)
    return (_softplus(logits) - x * logits).sum(-1)


def measured_bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """:func:`bernoulli_nll` to the bit, faster, and without gradients. It branches on values: not for ``vmap``.

    >>> logits, x = 50 * torch.randn(3, 4), torch.rand(3, 4)
    >>> torch.equal(measured_bernoulli_nll(logits, x), bernoulli_nll(logits, x))
    True
    """
    logits, x = _aligned("logits", logits.detach(), x.detach())
    return measured_softplus(logits).sub_(x * logits).sum(-1)


def continuous_bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """−log density of the continuous Bernoulli on [0, 1], nats; may be negative. Loaiza-Ganem & Cunningham (2019).

    >>> continuous_bernoulli_nll(torch.zeros(2, 5), torch.rand(2, 5)).abs().max() < 1e-6  # uniform at l = 0
    tensor(True)
    """
    logits, x = _aligned("logits", logits, x)
    return (_softplus(logits) - x * logits - continuous_bernoulli_log_normaliser(logits)).sum(-1)


def both_bernoulli_nlls(logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`bernoulli_nll` and :func:`continuous_bernoulli_nll`, to the bit: for measuring, as the above.

    >>> bernoulli, continuous = both_bernoulli_nlls(torch.zeros(3, 4), torch.ones(3, 4))
    >>> torch.equal(continuous, continuous_bernoulli_nll(torch.zeros(3, 4), torch.ones(3, 4)))
    True
    """
    logits, x = _aligned("logits", logits.detach(), x.detach())
    costs = measured_softplus(logits).sub_(x * logits)
    return costs.sum(-1), costs.sub_(continuous_bernoulli_log_normaliser(logits)).sum(-1)


def continuous_bernoulli_log_normaliser(logits: Tensor) -> Tensor:
    """ln C(l), element by element: 1/C(l) = ∫ sigmoid(l)^x sigmoid(−l)^(1−x) dx over [0, 1]. (*) -> (*).

    Even in l; least at 0, where it is ln 2. Finite, with the right gradient, everywhere.
    """
    near = logits.abs() < _NEAR_ZERO
    safe = torch.where(near, 1.0, logits)  # so that neither the value nor the gradient holds 0/0
    return torch.where(near, _series(_LOG_C, logits), torch.log(safe / torch.tanh(safe / 2)))


def continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    """Mean of the continuous Bernoulli, 1 / (1 − e^−l) − 1 / l, element by element: (*) -> (*) in (0, 1).

    >>> continuous_bernoulli_mean(torch.tensor([-4.0, 0.0, 4.0]))
    tensor([0.2313, 0.5000, 0.7687])
    """
    near = logits.abs() < _NEAR_ZERO
    safe = torch.where(near, 1.0, logits)
    return torch.where(near, 0.5 + logits * _series(_MEAN, logits), -1 / torch.expm1(-safe) - 1 / safe)


def gaussian_nll(mean: Tensor, x: Tensor, variance: float | Tensor = 0.5) -> Tensor:
    """Σ (x − mean)² / (2 variance) + (D / 2) ln 2π variance, nats per image; negative at small variances.

    variance: a number above 0 or (*), shared by the pixels; see :func:`fit_gaussian`.

    >>> gaussian_nll(torch.zeros(784), torch.zeros(784))  # 392 ln π
    tensor(448.7341)
    """
    mean, x = _aligned("mean", mean, x)
    return gaussian_cost((x - mean).square().sum(-1), x.shape[-1], variance)


def gaussian_cost(squared: Tensor, pixels: int, variance: float | Tensor = 0.5) -> Tensor:
    """:func:`gaussian_nll` of images whose squared errors, summed over their pixels, are known: (*) -> (*)."""
    _check_positive("variance", variance)
    return squared / (2 * variance) + pixels / 2 * _log(2 * math.pi * variance)


def laplace_nll(mean: Tensor, x: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    """Σ |x − mean| / scale + D ln(2 scale), nats per image; negative at small scales.

    scale: a number above 0 or (*), shared by the pixels; see :func:`fit_laplace`.

    >>> laplace_nll(torch.zeros(784), torch.zeros(784))  # 784 ln 2
    tensor(543.4274)
    """
    mean, x = _aligned("mean", mean, x)
    return laplace_cost((x - mean).abs().sum(-1), x.shape[-1], scale)


def laplace_cost(absolute: Tensor, pixels: int, scale: float | Tensor = 1.0) -> Tensor:
    """:func:`laplace_nll` of images whose absolute errors, summed over their pixels, are known: (*) -> (*)."""
    _check_positive("scale", scale)
    return absolute / scale + pixels * _log(2 * scale)


def logistic_nll(mean: Tensor, x: Tensor, scale: float | Tensor, levels: int = LEVELS) -> Tensor:
    """−log probability of the stored grey levels under a logistic around the mean: nats per image, >= 0.

    Level k of n has the mass between (k ± ½) / (n − 1), the first and the last the tails too. A share `UNIFORM` of the
    probability is the same for all levels, so that all n sum to 1. x is read as the nearest level. scale: above 0, in
    units of x: a number, or one per pixel that broadcasts with (*, D) (:func:`fit_logistic`). levels: n, 2 or more.
    Salimans et al. (2017), section 2.1, with one component.

    >>> x = torch.linspace(0, 1, 17, dtype=torch.float64)[:, None]  # every level once
    >>> float(torch.exp(-logistic_nll(torch.full_like(x, 0.2), x, 0.05, levels=17)).sum().sub(1).abs()) < 1e-12
    True
    """
    mean, x = _aligned("mean", mean, x)
    check_unit_range("x", x)
    _check_positive("scale", scale)
    s = torch.as_tensor(scale, dtype=mean.dtype, device=mean.device)
    above, below, low, high = _bin_edges(mean, x, levels)  # (*, D) each
    # log(sig(a) − sig(c)) = −softplus(−a) − softplus(c) + log(1 − e^(c−a)); a − c is the bin's width over s.
    width = torch.log(-torch.expm1(-1 / ((levels - 1) * s)))
    cost = torch.where(high, 0.0, _softplus(-above / s)) + torch.where(low, 0.0, _softplus(below / s))
    cost = cost - torch.where(low | high, 0.0, width)
    alike = torch.as_tensor(math.log(UNIFORM / levels), dtype=mean.dtype, device=mean.device)
    return -torch.logaddexp(math.log1p(-UNIFORM) - cost, alike).sum(-1)


def table_nll(logits: Tensor, x: Tensor, table: Tensor) -> Tensor:
    """−log probability of the stored grey levels, given the decoder's mean alone: nats per image, >= 0.

    logits: of the mean, (*, D). x: (*, D), read as the nearest level. table: of :func:`fit_table`, (bins, levels).
    Where the logistic allows one hump around the mean, the table allows any shape, such as the two humps of a pixel
    that is black or white and of mean grey.
    """
    logits, x = _aligned("logits", logits, x)
    check_unit_range("x", x)
    return -table[_bin_of(logits), _level_of(x, table.shape[-1])].sum(-1)


def fit_table(logits: Tensor, x: Tensor, levels: int = LEVELS) -> Tensor:
    """Log probabilities of each grey level where the decoder's mean is in each of 30 bins: (30, levels) in float64.

    logits: of the mean, (images, D); bins are of equal width in them. x: (images, D), apart from what is scored. Counts
    are of all pixels together, `SMOOTHING` added to each.

    >>> fit_table(torch.zeros(3, 4), torch.ones(3, 4), levels=2).exp()[15]  # all pixels of mean ½ are white
    tensor([0.0082, 0.9918], dtype=torch.float64)
    """
    logits, x = _aligned("logits", logits, x)
    check_unit_range("x", x)
    cells = (_bin_of(logits) * levels + _level_of(x, levels)).flatten()
    counts = torch.bincount(cells, minlength=_BINS * levels).reshape(_BINS, levels).double() + SMOOTHING
    return torch.log(counts / counts.sum(-1, keepdim=True))


def histogram_nll(train: Tensor, x: Tensor, levels: int = LEVELS) -> Tensor:
    """−log probability of the stored grey levels under a histogram of each pixel: nats per image, without any model.

    train: (N, D), the images that are counted, `SMOOTHING` added to each level. x: (n, D). Returns (n,) in float64.

    >>> histogram_nll(torch.ones(3, 4), torch.ones(1, 4), levels=2)
    tensor([0.1270], dtype=torch.float64)
    """
    check_unit_range("train", train)
    check_unit_range("x", x)
    pixels = train.shape[-1]
    first = torch.arange(pixels, device=train.device) * levels  # of each pixel's own counts
    counts = torch.zeros(pixels * levels, dtype=torch.float64, device=train.device)
    for part in torch.split(train, max(1, _AT_ONCE // pixels)):
        counts += torch.bincount((_level_of(part, levels) + first).flatten(), minlength=pixels * levels)
    table = counts.reshape(pixels, levels) + SMOOTHING
    table = torch.log(table / table.sum(-1, keepdim=True)).flatten()
    parts = torch.split(x, max(1, _AT_ONCE // pixels))
    return torch.cat([-table[_level_of(part, levels) + first].sum(-1) for part in parts])


def fit_gaussian(mean: Tensor, x: Tensor) -> Tensor:
    """The variance under which the images are likeliest: their mean squared error, one number for all pixels.

    mean: (*, images, D). x: (*, images, D), kept apart from what is scored. Returns (*, 1) in float64, which broadcasts
    over the images; at least `LEAST_SCALE` squared. Rybkin et al. (2021).

    >>> fit_gaussian(torch.zeros(3, 4), torch.full((3, 4), 0.5))
    tensor([0.2500], dtype=torch.float64)
    """
    mean, x = _aligned("mean", mean, x, images=True)
    return (x - mean).square().mean((-2, -1), dtype=torch.float64)[..., None].clamp_min(LEAST_SCALE**2)


def fit_laplace(mean: Tensor, x: Tensor) -> Tensor:
    """The scale under which the images are likeliest: their mean absolute error. Shapes as :func:`fit_gaussian`; at
    least `LEAST_SCALE`."""
    mean, x = _aligned("mean", mean, x, images=True)
    return (x - mean).abs().mean((-2, -1), dtype=torch.float64)[..., None].clamp_min(LEAST_SCALE)


def fit_logistic(mean: Tensor, x: Tensor, levels: int = LEVELS) -> Tensor:
    """The scale of each pixel under which :func:`logistic_nll` of the images, and the pull together, are least.

    mean, x: (*, images, D), apart from what is scored. Returns (*, 1, D) in float64, which broadcasts over the images,
    within [1e-4, 10]. Minimises, pixel by pixel, the summed cost + PULL/2 (ln scale − ln scale of all pixels)², where
    the latter is the mean absolute error: a pixel that never changes in a few hundred images may change in others.

    In ln(1/scale) the logistic's cost has a known slope and curve, and the uniform share only weighs the images (those
    that it explains weigh nothing): Newton's steps, with the weights of each step, at most 1 long.

    >>> x = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    >>> bool((fit_logistic(x.roll(1, 0), x) > fit_logistic(x + 0.01 * x.roll(1, 0), x)).all())
    True
    """
    mean, x = _aligned("mean", mean, x, images=True)
    check_unit_range("x", x)
    edges, errors = _bin_edges(mean, x, levels), (x - mean).abs()
    low, high = (-math.log(scale) for scale in reversed(_SCALES))
    shared = (-errors.mean((-2, -1), keepdim=True, dtype=torch.float64).log()).clamp(low, high)  # (*, 1, 1)
    at = (-errors.mean(-2, keepdim=True, dtype=torch.float64).log()).clamp(low, high)  # (*, 1, D)
    for _ in range(_MOST_STEPS):
        slope, curve = _slope_and_curve(at, edges, levels)
        slope, curve = slope + PULL * (at - shared), curve.clamp_min(0.0) + PULL
        step = (-slope / curve).clamp(-1.0, 1.0)
        before, at = at, (at + step).clamp(low, high)
        if not bool(((at - before).abs() > _STEP).any()):
            break
    return torch.exp(-at)


def bits_per_dim(nats: Tensor, pixels: int) -> Tensor:
    """Nats per image as bits per pixel: nats / (D ln 2). (*) -> (*).

    >>> bits_per_dim(torch.tensor(784 * math.log(256)), 784)
    tensor(8.)
    """
    return nats / (pixels * math.log(2))


def _softplus(t: Tensor) -> Tensor:
    """ln(1 + e^t), exact to an ulp of max(1, |t|), with its gradient; here 5 times faster than log1p's."""
    return torch.where(t > 80, t, torch.log(1 + torch.exp(t.clamp_max(81))))  # e^81 is finite in float32


def measured_softplus(t: Tensor) -> Tensor:
    """``_softplus`` to the bit, without gradients: what only few values need is left out where no value needs it."""
    result = torch.exp(t).add_(1).log_()
    return result if not t.numel() or bool(t.amax() <= 80) else torch.where(t > 80, t, result)


def _series(coefficients: Sequence[float], at: Tensor) -> Tensor:
    """Σ_i c_i at^(2 i), element by element."""
    square, total = at * at, torch.full_like(at, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * square + coefficient
    return total


def _level_of(x: Tensor, levels: int) -> Tensor:
    """The nearest grey level, int64 from 0."""
    return torch.round(x * (levels - 1)).long()


def _bin_of(logits: Tensor) -> Tensor:
    """The row of the table, int64 from 0; logits beyond its reach are in its first and last."""
    return ((logits + _REACH) * (_BINS / (2 * _REACH))).clamp(0, _BINS - 1).long()


def _bin_edges(mean: Tensor, x: Tensor, levels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(*, D) each: from the mean to the upper and the lower edge of each pixel's bin; which bins are first, last."""
    level = torch.round(x * (levels - 1))
    half = 0.5 / (levels - 1)
    residual = level / (levels - 1) - mean
    return residual + half, residual - half, level == 0, level == levels - 1


def _slope_and_curve(at: Tensor, edges: tuple[Tensor, Tensor, Tensor, Tensor], levels: int) -> tuple[Tensor, Tensor]:
    """First and second derivative of each pixel's logistic cost in ln(1/scale), summed over the images by their weight.

    An image weighs what share of its probability is the logistic's. at: (*, 1, D). Returns (*, 1, D) each.
    """
    above, below, low, high = edges  # (*, images, D) each
    theta = torch.exp(at).to(above.dtype)
    # In place wherever possible: each of these tensors is as large as all images of a calibration together.
    over = (-theta * above).sigmoid_().masked_fill_(high, 0.0)  # mass above the bin
    under = (theta * below).sigmoid_().masked_fill_(low, 0.0)  # mass below it
    weight = (1 - over).sub_(under).clamp_min_(0.0)  # mass of the bin
    weight.div_(weight + UNIFORM / (1 - UNIFORM) / levels)
    width = torch.exp(at).div(levels - 1)  # of a bin, in scales
    inner = weight.masked_fill(low | high, 0.0).sum(-2, keepdim=True, dtype=torch.float64)

    def total(values: Tensor) -> Tensor:
        return values.mul_(weight).sum(-2, keepdim=True, dtype=torch.float64)

    first = torch.exp(at) * total((below * under).sub_(above * over)) - inner * width / torch.expm1(width)
    spread = above.square().mul_(over).mul_(1 - over)
    spread = total(spread.add_(below.square().mul_(under).mul_(1 - under)))
    # At scales far below one level sinh overflows to infinity, and the quotient is 0, as it should be.
    second = torch.exp(2 * at) * spread + inner * (width / (2 * torch.sinh(width / 2))).square()
    return first, first + second


def _log(value: float | Tensor) -> float | Tensor:
    return torch.log(value) if isinstance(value, Tensor) else math.log(value)


def _aligned(name: str, prediction: Tensor, x: Tensor, *, images: bool = False) -> tuple[Tensor, Tensor]:
    """Both in one float dtype and one shape. Raises UserError unless they are a pair of (*, D)."""
    wanted = "(*, images, D)" if images else "(*, D)"
    for label, value in ((name, prediction), ("x", x)):
        if not value.is_floating_point():
            raise UserError(f"{label} is {value.dtype}: it must be floating point. Did you mean {label} / 255?")
        if value.ndim < 1 + images:
            raise UserError(f"{label} has shape {tuple(value.shape)}: it must be {wanted}, one flat image per row")
    shapes = f"{name} of shape {tuple(prediction.shape)} and x of shape {tuple(x.shape)}"
    if prediction.shape[-1] != x.shape[-1]:
        hint = f" Did you mean {name}.flatten(-2)?" if prediction.shape[-2:].numel() == x.shape[-1] else ""
        raise UserError(f"{shapes} differ in their last axis, the pixels of one flat image.{hint}")
    try:
        shape = np.broadcast_shapes(prediction.shape, x.shape)
    except ValueError as error:
        raise UserError(f"{shapes} do not broadcast") from error
    dtype = torch.promote_types(torch.promote_types(prediction.dtype, x.dtype), torch.float32)
    return prediction.to(dtype).expand(shape), x.to(dtype).expand(shape)


def _check_positive(name: str, value: float | Tensor) -> None:
    least = float(value.detach().min()) if isinstance(value, Tensor) else value
    if least <= 0:
        raise UserError(f"{name}={least:g} must be above 0; a fitted 0 means that the images are matched exactly")
