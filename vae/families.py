"""Model families by name, with their options. Imports no torch, so that a study is checked at once.

A family is a function that builds one model. Its first arguments are ``image_shape``, ``latents`` and ``classes``; its
keyword-only arguments, with their types and defaults, are what a study file may set in ``[model]``. A type may carry a
check, ``Annotated[type, check]``, where check(name, value) raises `vae.errors.UserError`. The class that it
builds (`vae.models` says what it must have) is imported when a model is built. To add a family: write its class, write
its function, add one line to ``FAMILIES``. A class that takes these arguments may stand in ``FAMILIES`` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from vae.widths import CHANNELS, HIDDEN, Widths


def mlp(image_shape: Sequence[int], latents: int, classes: int = 0, *, hidden: Widths = HIDDEN) -> Any:
    """Fully connected layers: a `vae.models.VAE`.

    >>> mlp((8, 8), 2, hidden=(16,)).mean
    Linear(in_features=16, out_features=2, bias=True)
    """
    from vae.models import VAE

    return VAE(image_shape, latents, classes, hidden=hidden)


def conv(image_shape: Sequence[int], latents: int, classes: int = 0, *, channels: Widths = CHANNELS) -> Any:
    """Strided convolutions: a `vae.models.ConvVAE`."""
    from vae.models import ConvVAE

    return ConvVAE(image_shape, latents, classes, channels=channels)


# name -> what builds a model of the family, an `nn.Module`
FAMILIES: Mapping[str, Callable[..., Any]] = MappingProxyType({"mlp": mlp, "conv": conv})
