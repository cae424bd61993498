"""How alike two images are: SSIM in both polarities, and peak signal-to-noise ratio in both means.

SSIM (Wang, Bovik, Sheikh & Simoncelli, 2004) compares local means, variances and covariance, here under 11
Gaussian taps of sigma 1.5 px, with the population covariance, K = (.01, .03), **valid windows only**, in
float64: what scikit-image computes with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
Libraries that pad the border answer another question: a haze of .05 on MNIST scores .80 here and .47 there.

On black backgrounds SSIM is mostly about haze, for near 0 the term of the means falls steeply: on MNIST
max(x, .02) costs .13, a blur of sigma 1 px .21. `ssim_inverted`, the SSIM of 1 − x and 1 − y, has the same
contrast and structure and only other means, so a claim that holds in one polarity alone is a claim about haze.
Both come from one pass (`ssim_both`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vae.metrics.images import check_images, per_image

_GAUSSIAN_TAPS, _GAUSSIAN_SIGMA = 11, 1.5
_UNIFORM_TAPS = 7
_K_MEAN, _K_CONTRAST = 0.01, 0.03


def ssim(x: Tensor, y: Tensor, *, peak: float = 1.0) -> Tensor:
    """Structural similarity, at most 1 (identical). Wang et al. (2004), equations 12 and 13. Symmetric.

    x, y: (*, H, W) in [0, peak], sides of at least 7 px. Returns (*), float64: the mean over valid windows.
    The window is `ssim_window`'s: never compare across image sizes. Raises UserError on anything else.

    >>> x = torch.rand(5, 13, 12)
    >>> ssim(x, x)
    tensor([1., 1., 1., 1., 1.], dtype=torch.float64)
    >>> ssim(torch.zeros(12, 12), torch.ones(12, 12)).item() < 1e-3
    True
    """
    return _measure(partial(_ssim_upright, peak=peak), x, y, peak)


def ssim_inverted(x: Tensor, y: Tensor, *, peak: float = 1.0) -> Tensor:
    """SSIM of `peak - x` and `peak - y`: ink on paper instead of light on black. Shapes and errors as `ssim`.

    >>> x, y = torch.rand(5, 13, 12), torch.rand(5, 13, 12)
    >>> torch.allclose(ssim_inverted(x, y), ssim(1 - x, 1 - y))
    True
    """
    return ssim_both(x, y, peak=peak)[1]


def ssim_both(x: Tensor, y: Tensor, *, peak: float = 1.0) -> tuple[Tensor, Tensor]:
    """(`ssim`, `ssim_inverted`) for little more than the price of one. Shapes and errors as `ssim`.

    >>> upright, inverted = ssim_both(torch.rand(5, 13, 12), torch.rand(5, 13, 12))
    >>> upright.shape == inverted.shape == (5,)
    True
    """
    upright, inverted = _measure(partial(_ssim_both, peak=peak), x, y, peak).unbind(dim=-1)
    return upright, inverted


def ssim_window(height: int, width: int) -> str:
    """The window that `ssim` uses on pictures of this size, to be logged beside its values.

    >>> ssim_window(28, 28), ssim_window(8, 8)
    ('gaussian-11', 'uniform-7')
    """
    return "gaussian-11" if min(height, width) >= _GAUSSIAN_TAPS else "uniform-7"


def psnr(x: Tensor, y: Tensor, *, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each picture, 10 log10(peak² / MSE), in dB; +inf where x equals y.

    x, y: (*, H, W) in [0, peak]. Returns (*), float64. The mean of these over images is at least `psnr_of_mean`
    (the logarithm is convex there), so say which one is quoted. For one figure per colour picture, lay its
    channels out as one: `x.flatten(-3, -2)`. Raises UserError.

    >>> psnr(torch.zeros(2, 4, 5), torch.full((2, 4, 5), 0.5))
    tensor([6.0206, 6.0206], dtype=torch.float64)
    """
    return _decibels(_mean_squared_error(x, y, peak), peak)


def psnr_of_mean(x: Tensor, y: Tensor, *, peak: float = 1.0) -> Tensor:
    """PSNR of the mean squared error over all pictures, in dB. Shapes and errors as `psnr`; returns ().

    >>> x = torch.zeros(2, 4, 5)
    >>> y = torch.stack([torch.full((4, 5), 0.5), torch.full((4, 5), 0.1)])
    >>> psnr_of_mean(x, y).item() < psnr(x, y).mean().item()
    True
    """
    return _decibels(_mean_squared_error(x, y, peak).mean(), peak)


def _mean_squared_error(x: Tensor, y: Tensor, peak: float) -> Tensor:
    check_images(x=x, y=y, peak=peak)
    return per_image(lambda a, b: (a - b).square().mean(dim=(-2, -1)), x, y)


def _decibels(error: Tensor, peak: float) -> Tensor:
    return 10.0 * torch.log10(peak**2 / error)


def _measure(measure: Callable[..., Tensor], x: Tensor, y: Tensor, peak: float) -> Tensor:
    check_images(x=x, y=y, least_side=_UNIFORM_TAPS, peak=peak)
    height, width = x.shape[-2:]
    taps = _taps(ssim_window(height, width))
    down, across = (_windows(taps, side, x.device) for side in (height, width))
    return per_image(partial(measure, down=down, across=across.T), x, y)


def _ssim_upright(x: Tensor, y: Tensor, *, down: Tensor, across: Tensor, peak: float) -> Tensor:
    mean_x, mean_y, structure = _statistics(x, y, down, across, peak)
    return _over_windows(_luminance(mean_x, mean_y, peak) * structure)


def _ssim_both(x: Tensor, y: Tensor, *, down: Tensor, across: Tensor, peak: float) -> Tensor:
    mean_x, mean_y, structure = _statistics(x, y, down, across, peak)
    upright = _luminance(mean_x, mean_y, peak) * structure
    inverted = _luminance(peak - mean_x, peak - mean_y, peak) * structure
    return torch.stack([_over_windows(upright), _over_windows(inverted)], dim=-1)


def _statistics(x: Tensor, y: Tensor, down: Tensor, across: Tensor, peak: float) -> tuple[Tensor, Tensor, Tensor]:
    """Local means of x and y, and the contrast-and-structure term, (h, n, w) each, one entry per valid window.

    A separable window is two matrix products, down (h, H) and across (W, w): in float64 much faster than a
    convolution up to some 200 px a side, and nothing is padded. With the pictures between the sides, each is one
    large product. Of the variances only the sum is needed, so four products are filtered, not five.
    """
    x, y = x.transpose(0, 1), y.transpose(0, 1)
    products = torch.stack([x, y, x * x + y * y, x * y])
    filtered = (down @ products.flatten(start_dim=2)).reshape(4, len(down), *products.shape[2:]) @ across
    mean_x, mean_y, squares, product = filtered.unbind()
    constant = (_K_CONTRAST * peak) ** 2
    covariance = product - mean_x * mean_y
    variances = squares - (mean_x * mean_x + mean_y * mean_y)
    return mean_x, mean_y, (2.0 * covariance + constant) / (variances + constant)


def _luminance(mean_x: Tensor, mean_y: Tensor, peak: float) -> Tensor:
    constant = (_K_MEAN * peak) ** 2
    return (2.0 * mean_x * mean_y + constant) / (mean_x * mean_x + mean_y * mean_y + constant)


def _over_windows(values: Tensor) -> Tensor:
    return values.mean(dim=(0, 2))


def _taps(window: str) -> Tensor:
    if window == "uniform-7":
        return torch.full((_UNIFORM_TAPS,), 1.0 / _UNIFORM_TAPS, dtype=torch.float64)
    offset = torch.arange(_GAUSSIAN_TAPS, dtype=torch.float64) - _GAUSSIAN_TAPS // 2
    weights = torch.exp(-0.5 * (offset / _GAUSSIAN_SIGMA) ** 2)
    return weights / weights.sum()


def _windows(taps: Tensor, side: int, device: torch.device) -> Tensor:
    """(side − taps + 1, side): row i holds the taps of the window that starts at pixel i."""
    count = len(taps)
    rows = torch.zeros(side - count + 1, side, dtype=torch.float64)
    for start, row in enumerate(rows):
        row[start : start + count] = taps
    return rows.to("cpu" if device.type == "mps" else device)
