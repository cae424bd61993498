"""How alike two images are: SSIM in both polarities, and peak signal-to-noise ratio in both means.

SSIM (Wang, Bovik, Sheikh & Simoncelli, 2004) compares local means, variances and covariance, here under 11
Gaussian taps of sigma 1.5 px, with the population covariance, K = (.01, .03), **valid windows only**, in
float64: what scikit-image computes with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
Libraries that pad the border give other numbers: a haze of .05 on MNIST scores .80 here and .47 there.

On black backgrounds SSIM mostly measures haze, because near 0 the term of the means falls steeply: on MNIST
max(x, .02) costs .13, a blur of sigma 1 px .21. SSIM inverted, of 1 − x and 1 − y, has the same contrast and
structure, and other means. A claim that holds in one polarity alone is therefore a claim about haze.
"""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import Tensor

from vae.metrics.images import check_images, measuring_device, per_image

_GAUSSIAN_TAPS, _GAUSSIAN_SIGMA = 11, 1.5
_UNIFORM_TAPS = 7
_K_MEAN, _K_CONTRAST = 0.01, 0.03


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity, at most 1 (identical). Wang et al. (2004), equations 12 and 13. Symmetric.

    x, y: (*, H, W) in [0, 1], sides of at least 7 px. Returns (*), float64: the mean over valid windows.
    The window is `ssim_window`'s: never compare across image sizes. Raises UserError.

    >>> x = torch.rand(5, 13, 12)
    >>> ssim(x, x)
    tensor([1., 1., 1., 1., 1.], dtype=torch.float64)
    """
    return ssim_both(x, y)[0]


def ssim_both(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(`ssim`, that of `1 - x` and `1 - y`) in little more than the time of one. Shapes and errors as `ssim`.

    >>> x, y = torch.rand(5, 13, 12), torch.rand(5, 13, 12)
    >>> torch.allclose(ssim_both(x, y)[1], ssim(1 - x, 1 - y))
    True
    """
    check_images(x=x, y=y, least_side=_UNIFORM_TAPS)
    height, width = x.shape[-2:]
    window = ssim_window(height, width)
    down, across = (_windows(window, side, measuring_device(x)) for side in (height, width))
    upright, inverted = per_image(partial(_ssim_both, down=down, across=across.T), x, y).unbind(dim=-1)  # (*) each
    return upright, inverted


def ssim_window(height: int, width: int) -> str:
    """The window that `ssim` uses on pictures of this size, to be logged beside its values.

    >>> ssim_window(28, 28), ssim_window(8, 8)
    ('gaussian-11', 'uniform-7')
    """
    return "gaussian-11" if min(height, width) >= _GAUSSIAN_TAPS else "uniform-7"


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, 10 log10(1 / MSE), in dB; +inf where x equals y.

    x, y: (*, H, W) in [0, 1]. Returns (*), float64. Raises UserError. The mean over images is at least
    `psnr_of_mean`, because −log is convex: say which one is quoted. For one number per colour picture, put its
    channels below each other: `x.flatten(-3, -2)`.

    >>> psnr(torch.zeros(2, 4, 5), torch.full((2, 4, 5), 0.5))
    tensor([6.0206, 6.0206], dtype=torch.float64)
    """
    return _decibels(_mean_squared_error(x, y))


def psnr_of_mean(x: Tensor, y: Tensor) -> Tensor:
    """PSNR of the mean squared error over all pictures, in dB. Shapes and errors as `psnr`; returns ()."""
    return _decibels(_mean_squared_error(x, y).mean())


def _mean_squared_error(x: Tensor, y: Tensor) -> Tensor:
    check_images(x=x, y=y)
    return per_image(lambda a, b: (a - b).square().mean(dim=(-2, -1)), x, y)


def _decibels(error: Tensor) -> Tensor:
    return 10.0 * torch.log10(1.0 / error)


def _ssim_both(x: Tensor, y: Tensor, *, down: Tensor, across: Tensor) -> Tensor:
    mean_x, mean_y, structure = _statistics(x, y, down, across)  # (h, n, w) each
    upright = _luminance(mean_x, mean_y) * structure
    inverted = _luminance(1.0 - mean_x, 1.0 - mean_y) * structure
    return torch.stack([values.mean(dim=(0, 2)) for values in (upright, inverted)], dim=-1)  # (n, 2)


def _statistics(x: Tensor, y: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Local means of x and y, and the term of contrast and structure, (h, n, w) each: one entry per valid window.

    x, y: (n, H, W). A separable window is two matrix products, down (h, H) and across (W, w): in float64 they are much
    faster than a convolution up to some 200 px a side. With the pictures on the middle axis, each is one large product.
    Only the sum of the two variances is needed, so four products are filtered, not five.
    """
    x, y = x.transpose(0, 1), y.transpose(0, 1)  # (H, n, W)
    products = torch.stack([x, y, x * x + y * y, x * y])  # (4, H, n, W)
    filtered = (down @ products.flatten(start_dim=2)).reshape(4, len(down), *products.shape[2:]) @ across
    mean_x, mean_y, squares, product = filtered.unbind()  # (h, n, w) each
    constant = _K_CONTRAST**2
    covariance = product - mean_x * mean_y
    variances = squares - (mean_x * mean_x + mean_y * mean_y)
    return mean_x, mean_y, (2.0 * covariance + constant) / (variances + constant)


def _luminance(mean_x: Tensor, mean_y: Tensor) -> Tensor:
    constant = _K_MEAN**2
    return (2.0 * mean_x * mean_y + constant) / (mean_x * mean_x + mean_y * mean_y + constant)


def _taps(window: str) -> Tensor:
    if window == "uniform-7":
        return torch.full((_UNIFORM_TAPS,), 1.0 / _UNIFORM_TAPS, dtype=torch.float64)
    offset = torch.arange(_GAUSSIAN_TAPS, dtype=torch.float64) - _GAUSSIAN_TAPS // 2
    weights = torch.exp(-0.5 * (offset / _GAUSSIAN_SIGMA) ** 2)
    return weights / weights.sum()


@cache
def _windows(window: str, side: int, device: torch.device) -> Tensor:
    """(side − taps + 1, side): row i holds the taps of the window that starts at pixel i."""
    taps = _taps(window)
    count = len(taps)
    rows = torch.zeros(side - count + 1, side, dtype=torch.float64)
    for start, row in enumerate(rows):
        row[start : start + count] = taps
    return rows.to(device)
