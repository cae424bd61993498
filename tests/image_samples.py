"""Pictures for the tests of the metrics: MNIST's test images, and the damages whose readings are known."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from vae.datasets.load import load

NAN = math.nan


@lru_cache(maxsize=1)
def mnist_test(root: Path) -> Tensor:
    """All 10,000 test images, (10000, 28, 28) float64 in [0, 1]; shared, so not to be written to."""
    images: Tensor = load("mnist", root, train=1, download=False).test.double()
    return images


def uniform(*shape: int, seed: int = 0) -> Tensor:
    """Uniform noise in [0, 1], float64."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noised(x: Tensor, sd: float, seed: int = 0) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x + sd * noise).clamp(0, 1)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of each picture (*, H, W), reaching far; black beyond the border."""
    down, across = (_gaussian(side, sigma) for side in x.shape[-2:])
    return (down @ x.double() @ across).clamp(0, 1)


def _gaussian(side: int, sigma: float) -> Tensor:
    position = torch.arange(side, dtype=torch.float64)
    reach = math.ceil(8 * sigma)
    total = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2).sum()
    return torch.exp(-0.5 * ((position - position[:, None]) / sigma) ** 2) / total


def fourier_blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of exactly exp(−2π² sigma² f²), the picture being periodic."""
    down, across = (torch.fft.fftfreq(side, dtype=torch.float64) for side in x.shape[-2:])
    transfer = torch.exp(-2 * (math.pi * sigma) ** 2 * (down[:, None] ** 2 + across**2))
    real: Tensor = torch.fft.ifft2(torch.fft.fft2(x.double()) * transfer).real
    return real


def edges(sigma: float, *, height: int = 7, width: int = 48, phases: int = 40) -> Tensor:
    """Vertical edges of Gaussian spread sigma px, averaged over each pixel, (phases, height, width).

    The edge of picture i lies i / phases px right of the boundary between two pixels. The mean of the error
    function over a pixel is the difference of its integral at the pixel's ends.
    """
    ends = torch.arange(width + 1, dtype=torch.float64) - width // 2
    at = ends - torch.arange(phases, dtype=torch.float64)[:, None] / phases
    density = torch.exp(-0.5 * (at / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    integral: Tensor = at * torch.special.ndtr(at / sigma) + sigma**2 * density
    return integral.diff().clamp(0, 1)[:, None, :].expand(phases, height, width)
