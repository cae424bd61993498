"""Metrics of images: what a reconstruction or a sample is worth, one number per image, each with known answers.

Every function takes tensors (*, H, W) in [0, 1] of any floating type, on any device, and returns (*) in float64. What
it cannot measure it refuses by name and value; an image without any edge reads NaN. `CATALOGUE` says of every metric of
the suite its unit, direction, range, source, and what fools it; README.md shows it on a digit.

The transfer function pools all images: `vae.metrics.transfer`. Latents and samples: `vae.metrics.latents`,
`vae.metrics.generation`.

Names are imported when they are first used, so that `vae.metrics.catalogue` can be read without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_NAMES = {
    "blur": ("blur_effect",),
    "catalogue": ("CATALOGUE", "Metric"),
    "sharpness": (
        *("acutance", "acutance_ratio", "edge_acutance", "edge_contrast"),
        *("foreground_recall", "ink_ratio", "n_blank", "sigma_eq"),
    ),
    "similarity": ("psnr", "psnr_of_mean", "ssim", "ssim_both", "ssim_inverted", "ssim_window"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker that sees this function accepts any name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
