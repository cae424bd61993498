"""Variational autoencoders as stacks: data, models, objectives, training and metrics. Needs torch and torchvision.

The public names are imported when they are first used, so that a module without torch can be imported without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae.arms import Arm
    from vae.datasets.load import ImageData, load
    from vae.errors import UserError
    from vae.losses import loss
    from vae.models import VAE, ConvVAE, Reconstructor
    from vae.training.fit import EpochRecord, fit
    from vae.training.stack import Stack

_HOMES = {
    "Arm": "vae.arms",
    "ConvVAE": "vae.models",
    "EpochRecord": "vae.training.fit",
    "ImageData": "vae.datasets.load",
    "Reconstructor": "vae.models",
    "Stack": "vae.training.stack",
    "UserError": "vae.errors",
    "VAE": "vae.models",
    "fit": "vae.training.fit",
    "load": "vae.datasets.load",
    "loss": "vae.losses",
}
__all__ = [
    "VAE",
    "Arm",
    "ConvVAE",
    "EpochRecord",
    "ImageData",
    "Reconstructor",
    "Stack",
    "UserError",
    "fit",
    "load",
    "loss",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
