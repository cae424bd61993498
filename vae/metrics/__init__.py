"""Rulers for images: what a reconstruction or a sample is worth, one number per picture, each with known answers.

Every function takes tensors (*, H, W) in [0, 1] of any floating type, on any device, and returns (*) in float64;
what it cannot measure it refuses by name and value, or, for a blank picture, answers with NaN. `CATALOGUE` says of
every metric of the suite its unit, direction, range, source, and what fools it; README.md shows it on a digit.

The transfer function pools all pictures: `vae.metrics.transfer`. Latents and samples: `vae.metrics.latents`,
`vae.metrics.generation`.
"""

from vae.metrics.blur import blur_effect
from vae.metrics.catalogue import CATALOGUE, Metric
from vae.metrics.sharpness import (
    acutance,
    acutance_ratio,
    edge_acutance,
    edge_contrast,
    foreground_recall,
    ink_ratio,
    n_blank,
    sigma_eq,
)
from vae.metrics.similarity import psnr, psnr_of_mean, ssim, ssim_both, ssim_inverted, ssim_window

__all__ = [
    "CATALOGUE",
    "Metric",
    "acutance",
    "acutance_ratio",
    "blur_effect",
    "edge_acutance",
    "edge_contrast",
    "foreground_recall",
    "ink_ratio",
    "n_blank",
    "psnr",
    "psnr_of_mean",
    "sigma_eq",
    "ssim",
    "ssim_both",
    "ssim_inverted",
    "ssim_window",
]
