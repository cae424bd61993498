"""What a reconstruction passes of its original at each spatial frequency: transfer, gain and coherence.

With X and Y the Fourier transforms of original and reconstruction, and sums over all pictures and over the ring
of frequencies k = rint(S |f|), S the longer side in px:

    H = Re Σ X*Y / Σ |X|²      transfer: what arrives, in place; a Gaussian blur has H = exp(−2π² sigma² f²)
    G = √(Σ |Y|² / Σ |X|²)     gain: how much power there is, right or wrong
    γ² = |Σ X*Y|² / (Σ |X|² Σ |Y|²)    coherence: the share of it that belongs to the original

The frequency of a ring is the mean |f| in it; with k / S, wide blurs would be off by 3 %. Read H with the other two.
Blur: H = G < 1, γ = 1. A shift of one pixel: H(.25) = .47 and G = 1; nothing is blurred, but γ is as small as H.
Noise: G > H.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from vae.metrics.images import check_images, pieces

NYQUIST = 0.5  # cycles per pixel: the highest frequency that a row of pixels holds
_ROUNDING = 1e-24  # a ring with less than this share of the power holds only rounding errors of the transform


@dataclass(frozen=True)
class Transfer:
    """H, G and γ² on rings of spatial frequency, (rings,) each, float64, on the CPU.

    A ring in which the originals have no power reads NaN; γ² also where the reconstructions have none.
    """

    frequency: Tensor  # cycles per pixel, the mean |f| of each ring: from 0 to about .5
    h: Tensor
    gain: Tensor
    coherence: Tensor  # γ², in [0, 1]

    @property
    def mtf50(self) -> float:
        """The first frequency, in cycles per pixel, at which H falls below a half: higher is sharper.

        Linear between rings; NaN if no ring could be measured; .5 (Nyquist), a lower bound, if H never falls that
        far. A Gaussian blur of sigma px has .18739 / sigma.
        """
        known = ~self.h.isnan()
        frequency, h = self.frequency[known], self.h[known]
        if len(h) == 0:
            return math.nan
        below = (h < 0.5).nonzero()
        if len(below) == 0:
            return NYQUIST
        first = int(below[0])
        if first == 0:
            return float(frequency[0])
        (f0, f1), (h0, h1) = frequency[first - 1 : first + 1].tolist(), h[first - 1 : first + 1].tolist()
        return float(min(f0 + (f1 - f0) * (h0 - 0.5) / (h0 - h1), NYQUIST))


def transfer(reconstruction: Tensor, original: Tensor) -> Transfer:
    """Transfer function of reconstructions against their originals, pooled over all pictures.

    reconstruction, original: (*, H, W) in [0, 1], sides of at least 2 px. Sums are taken before ratios, so a picture
    counts by its power, and a blank one changes nothing. Raises UserError.

    >>> original = torch.rand(5, 12, 9)
    >>> transfer(0.8 * original, original).h
    tensor([0.8000, 0.8000, 0.8000, 0.8000, 0.8000, 0.8000, 0.8000], dtype=torch.float64)
    """
    check_images(reconstruction=reconstruction, original=original, least_side=2)
    height, width = original.shape[-2:]
    spectra = torch.zeros(3, height, width // 2 + 1, dtype=torch.float64)  # |X|², |Y|² and Re X*Y
    for y, x in pieces(reconstruction, original):
        if len(x):  # an empty transform is an error to some FFT libraries
            spectra += _spectra(x, y).cpu()
    rings, weights, frequencies = _half_plane(height, width)
    planes = torch.stack([*(weights * spectra), weights, weights * frequencies])
    sums = planes.new_zeros(len(planes), int(rings.max()) + 1)
    sums.index_add_(1, rings.flatten(), planes.flatten(start_dim=1))  # (5, rings)
    return _ratios(sums[:, : max(height, width) // 2 + 1])


def _spectra(x: Tensor, y: Tensor) -> Tensor:
    """Sums over the pictures of |X|², |Y|² and Re X*Y, (3, H, W // 2 + 1)."""
    fx, fy = torch.fft.rfft2(x), torch.fft.rfft2(y)  # (n, H, W // 2 + 1)
    cross = fx.real * fy.real + fx.imag * fy.imag
    return torch.stack([power.sum(dim=0) for power in (fx.abs().square(), fy.abs().square(), cross)])


@cache
def _half_plane(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ring, weight and |f| of each frequency in the half plane that `rfft2` gives, (H, W // 2 + 1) each.

    The other half is its conjugate mirror image, so a column counts twice unless it is its own mirror image, and
    imaginary parts of X*Y cancel.
    """
    down = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    across = torch.fft.rfftfreq(width, dtype=torch.float64)
    frequencies = torch.hypot(down, across)
    own_mirror = (across == 0.0) | (across == NYQUIST)
    weights = torch.where(own_mirror, 1.0, 2.0).double().expand_as(frequencies)
    return (max(height, width) * frequencies).round().long(), weights, frequencies


def _ratios(sums: Tensor) -> Transfer:
    """(5, rings): power of the originals and of the reconstructions, cross power, weights, weighted |f|."""
    original, reconstruction, cross, count, frequency = sums
    original = original.where(original > _ROUNDING * original.sum(), math.nan)
    power = reconstruction.where(reconstruction > _ROUNDING * reconstruction.sum(), math.nan)
    return Transfer(
        frequency=frequency / count,
        h=cross / original,
        gain=(reconstruction / original).sqrt(),
        coherence=cross.square() / (original * power),
    )
