"""Observation models: −log p(x | z) of an image in nats, from what a decoder puts out.

With D pixels, logits l and the decoder's mean image mu:

    Bernoulli             Σ softplus(l) − x l                    x in [0, 1]: cross entropy of grey values
    continuous Bernoulli  Σ softplus(l) − x l − ln C(l)          ln C(l) = ln |l| − ln tanh(|l| / 2)
    Gaussian              Σ (x − mu)² / (2 v) + (D / 2) ln 2πv   v = 1/2: squared error + (D / 2) ln π
    Laplace               Σ |x − mu| / b + D ln 2b               b = 1: absolute error + D ln 2
    discretised logistic  −Σ ln [F((k + ½)/255) − F((k − ½)/255)], F logistic with mean mu and scale s

All functions take (*, D), one flat image in the last axis, broadcast the other axes, and return a cost (*): summed over
pixels, never averaged, in the dtype of their inputs (float32 at least). They raise UserError. Which mu belongs to some
logits depends on the loss that trained them: sigmoid(l), but :func:`continuous_bernoulli_mean` for that one.

Densities of different observation models are not comparable with each other. The discretised logistic compares models
of all losses: it is a probability of the 256 stored grey levels, and its scale is fitted to each decoder.

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

LEVELS = 256  # grey levels of the stored images: the sample space of the discretised logistic

# Taylor coefficients at 0 in l², of ln C(l) = ln(l / tanh(l / 2)) and of the mean (1/2 + l · this).
_LOG_C = (math.log(2), 1 / 12, -7 / 1440, 31 / 90720, -127 / 4838400, 73 / 34214400, -1414477 / 7846046208000)
_MEAN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)
_NEAR_ZERO = 0.3  # below it the series: exact to float64, while the closed forms lose digits as 1/l

LEAST_SCALE = 1e-4  # no fitted scale is smaller: far below one grey level
_SCALES = (LEAST_SCALE, 10.0)  # the fitted logistic scale stays between these; the largest is flat


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """Cross entropy of grey values in [0, 1], nats per image: −log p(x | z) where x is binary.

    On grey pixels it is the mean of −log p(b | z) over b ~ Bernoulli(x). Kingma & Welling (2014), appendix C.1.

    >>> bernoulli_nll(torch.zeros(3, 4), torch.ones(3, 4)) / math.log(2)
    tensor([4., 4., 4.])
    """
    logits, x = _aligned("logits", logits, x)
    return (_softplus(logits) - x * logits).sum(-1)


def continuous_bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """−log density of the continuous Bernoulli on [0, 1], nats; may be negative. Loaiza-Ganem & Cunningham (2019).

    >>> continuous_bernoulli_nll(torch.zeros(2, 5), torch.rand(2, 5)).abs().max() < 1e-6  # uniform at l = 0
    tensor(True)
    """
    logits, x = _aligned("logits", logits, x)
    return (_softplus(logits) - x * logits - continuous_bernoulli_log_normaliser(logits)).sum(-1)


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
    _check_positive("variance", variance)
    return (x - mean).square().sum(-1) / (2 * variance) + x.shape[-1] / 2 * _log(2 * math.pi * variance)


def laplace_nll(mean: Tensor, x: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    """Σ |x − mean| / scale + D ln(2 scale), nats per image; negative at small scales.

    scale: a number above 0 or (*), shared by the pixels; see :func:`fit_laplace`.

    >>> laplace_nll(torch.zeros(784), torch.zeros(784))  # 784 ln 2
    tensor(543.4274)
    """
    mean, x = _aligned("mean", mean, x)
    _check_positive("scale", scale)
    return (x - mean).abs().sum(-1) / scale + x.shape[-1] * _log(2 * scale)


def logistic_nll(mean: Tensor, x: Tensor, scale: float | Tensor) -> Tensor:
    """−log probability of the stored grey levels under a logistic around the mean: nats per image, >= 0.

    Level k has the mass between (k ± ½) / 255, levels 0 and 255 the tails too, so that all 256 sum to 1. x is read as
    the nearest level. scale: a number above 0 or (*), in units of x, one per model (:func:`fit_logistic`).
    Salimans et al. (2017), section 2.1, with one component.

    >>> x = torch.linspace(0, 1, 256, dtype=torch.float64)[:, None]  # every level once
    >>> float(torch.exp(-logistic_nll(torch.full_like(x, 0.2), x, 0.05)).sum().sub(1).abs()) < 1e-12
    True
    """
    mean, x = _aligned("mean", mean, x)
    check_unit_range("x", x)
    _check_positive("scale", scale)
    s = torch.as_tensor(scale, dtype=mean.dtype, device=mean.device)[..., None]  # (*, 1)
    above, below, low, high = _bin_edges(mean, x)  # (*, D) each
    # log(sig(a) − sig(c)) = −softplus(−a) − softplus(c) + log(1 − e^(c−a)); a − c is the bin's width over s.
    width = torch.log(-torch.expm1(-1 / ((LEVELS - 1) * s)))
    cost = torch.where(high, 0.0, _softplus(-above / s)) + torch.where(low, 0.0, _softplus(below / s))
    return (cost - torch.where(low | high, 0.0, width)).sum(-1)


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


def fit_logistic(mean: Tensor, x: Tensor) -> Tensor:
    """The scale under which :func:`logistic_nll` of the images is least. Shapes as :func:`fit_gaussian`.

    Within [1e-4, 10]: a bound is the answer where the images are matched exactly. Some hundred images are enough. The
    cost is convex in 1/scale (Pratt 1981), so its minimum is where its slope is 0. It is computed by Newton's steps in
    ln(1/scale), and by bisection where such a step would leave the bracket.

    >>> x = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    >>> bool(fit_logistic(x.roll(1, 0), x) > fit_logistic(x + 0.01 * x.roll(1, 0), x))
    True
    """
    mean, x = _aligned("mean", mean, x, images=True)
    check_unit_range("x", x)
    edges = _bin_edges(mean, x)
    at = -torch.log((x - mean).abs().mean((-2, -1), dtype=torch.float64))  # (*)
    low, high = (torch.full_like(at, -math.log(scale)) for scale in reversed(_SCALES))
    at = at.clamp(low, high)
    for _ in range(60):  # about 6 do; bisection alone would reach 1e-8 in 31
        slope, curve = _slope_and_curve(at, edges)
        low, high = torch.where(slope < 0, at, low), torch.where(slope > 0, at, high)
        step = at - slope / curve
        inside = (curve > 0) & (step > low) & (step < high)
        before, at = at, torch.where(inside, step, (low + high) / 2)
        if not bool(((at - before).abs() > 1e-8).any()):
            break
    return torch.exp(-at)[..., None]


def bits_per_dim(nats: Tensor, pixels: int) -> Tensor:
    """Nats per image as bits per pixel: nats / (D ln 2). (*) -> (*).

    >>> bits_per_dim(torch.tensor(784 * math.log(256)), 784)
    tensor(8.)
    """
    return nats / (pixels * math.log(2))


def check_unit_range(name: str, x: Tensor) -> None:
    """Refuse values outside [0, 1], NaN included, in a UserError that names them.

    >>> check_unit_range("x", torch.tensor([0.0, 255.0]))
    Traceback (most recent call last):
    vae.errors.UserError: x reaches from 0 to 255; allowed is [0, 1]. Did you mean x / 255?
    """
    if not x.numel():
        return
    low, high = (float(end) for end in torch.aminmax(x))
    if not (low >= 0 and high <= 1):
        hint = f" Did you mean {name} / 255?" if 1 < high <= 255 and low >= 0 else ""
        raise UserError(f"{name} reaches from {low:g} to {high:g}; allowed is [0, 1].{hint}")


def _softplus(t: Tensor) -> Tensor:
    """ln(1 + e^t), exact to an ulp of max(1, |t|), with its gradient; here 5 times faster than log1p's."""
    return torch.where(t > 80, t, torch.log(1 + torch.exp(t.clamp_max(81))))  # e^81 is finite in float32


def _series(coefficients: Sequence[float], at: Tensor) -> Tensor:
    """Σ_i c_i at^(2 i), element by element."""
    square, total = at * at, torch.full_like(at, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * square + coefficient
    return total


def _bin_edges(mean: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(*, D) each: from the mean to the upper and the lower edge of each pixel's bin; which bins are first, last."""
    level = torch.round(x * (LEVELS - 1))
    half = 0.5 / (LEVELS - 1)
    residual = level / (LEVELS - 1) - mean
    return residual + half, residual - half, level == 0, level == LEVELS - 1


def _slope_and_curve(at: Tensor, edges: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """First and second derivative of the summed logistic cost in ln(1/scale). at: (*). Returns (*), (*)."""
    above, below, low, high = edges
    theta = torch.exp(at)[..., None, None].to(above.dtype)  # (*, 1, 1)
    # In place wherever possible: each of these tensors is as large as all images of a calibration together.
    over = (-theta * above).sigmoid_().masked_fill_(high, 0.0)  # mass above the bin
    under = (theta * below).sigmoid_().masked_fill_(low, 0.0)  # mass below it
    width = torch.exp(at).div(LEVELS - 1)  # of a bin, in scales
    inner = (~(low | high)).sum((-2, -1))

    def total(values: Tensor) -> Tensor:
        return values.sum((-2, -1), dtype=torch.float64)

    first = torch.exp(at) * total((below * under).sub_(above * over)) - inner * width / torch.expm1(width)
    spread = above.square().mul_(over).mul_(1 - over)
    spread = total(spread.add_(below.square().mul_(under).mul_(1 - under)))
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
