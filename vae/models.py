"""Model families: plain ``nn.Module``s of ONE model. Stacking, noise and losses live elsewhere.

A family is a class with ``image_shape``, ``latents`` and ``classes`` as its first arguments and

    encode(x (B, *image_shape), y) -> (mean (B, L), spread (B, L))
    decode(z (B, L), y)            -> logits (B, *image_shape)

``spread`` is read as a log variance or a log standard deviation by the objective (see ``objectives.POSTERIORS``).
``y`` is (B,) class numbers for a conditional model (``classes`` > 0) and None otherwise. To add a family: write
its class, add one line to ``FAMILIES``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.errors import UserError


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{name}={value!r} must be a whole number, 1 or more")
    return value


def with_labels(values: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """values (B, n) with the one-hot labels appended: (B, n + classes). Unchanged where classes is 0.

    >>> with_labels(torch.zeros(2, 1), torch.tensor([0, 1]), 2)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    if not classes:
        return values
    if y is None:
        raise UserError(f"a conditional model of {classes} classes needs labels y: (images,) whole numbers")
    return torch.cat([values, F.one_hot(y, classes).to(values.dtype)], dim=-1)


class VAE(nn.Module):
    """The notes' network with its defects mended: 784-400-20 by default, ReLU, logits out.

    hidden: widths of the encoder's layers, mirrored in the decoder.

    >>> model = VAE((8, 8), latents=2, hidden=(16,))
    >>> mean, spread = model.encode(torch.zeros(3, 8, 8))
    >>> model.decode(mean).shape
    torch.Size([3, 8, 8])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28),
        latents: int = 20,
        classes: int = 0,
        *,
        hidden: Sequence[int] = (400,),
    ) -> None:
        super().__init__()
        if not hidden:
            raise UserError("hidden=() must name at least one layer width, such as hidden=(400,)")
        self.image_shape = tuple(_positive("image_shape", side) for side in image_shape)
        self.latents = _positive("latents", latents)
        self.classes = classes
        widths = [_positive("hidden", width) for width in hidden]
        pixels = math.prod(self.image_shape)
        self.encoder = _layers([pixels + classes, *widths])
        self.mean = nn.Linear(widths[-1], latents)
        self.spread = nn.Linear(widths[-1], latents)
        self.decoder = _layers([latents + classes, *reversed(widths)])
        self.output = nn.Linear(widths[0], pixels)

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and spread of the posterior, each (B, latents)."""
        h = with_labels(x.flatten(1), y, self.classes)
        for layer in self.encoder:
            h = F.relu(layer(h))
        return self.mean(h), self.spread(h)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits of the image, (B, *image_shape)."""
        h = with_labels(z, y, self.classes)
        for layer in self.decoder:
            h = F.relu(layer(h))
        logits: Tensor = self.output(h)
        return logits.unflatten(-1, self.image_shape)


def _layers(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:]))


FAMILIES: Mapping[str, type[nn.Module]] = MappingProxyType({"mlp": VAE})
