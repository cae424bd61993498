"""Model families: plain ``nn.Module``s of ONE model. Stacking, noise and losses live elsewhere.

A family is a class with ``image_shape``, ``latents`` and ``classes`` as its first arguments and

    encode(x (B, *image_shape), y) -> (mean (B, L), spread (B, L))
    decode(z (B, L), y)            -> logits (B, *image_shape)

``spread`` is read as a log variance or a log standard deviation by the arm's posterior (see `vae.posteriors`). A family
with another kind of code, such as a discrete one, has its own posterior: it has the methods of
`vae.posteriors.OwnPosterior`, and ``encode`` then returns whatever tensors these read.
``y`` is (B,) class numbers for a conditional model (``classes`` > 0) and None otherwise. The names of the families and
their options stand in `vae.families`, which can be read without torch. A family that is an `Autoencoder` can also be
used as it is: ``model(x)``, ``model.reconstruct(x)``, ``model.sample(n)``. `Reconstructor` does the same for any other.

``VAE`` also has its gradients by hand (``vae.training.fused``); every other module trains through autograd, its arms
side by side under ``vmap``, or one by one on a CPU where its class says ``alone_on_cpu = True``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.checks import is_whole, whole_number
from vae.errors import UserError
from vae.posteriors import USUAL, posterior_of
from vae.ranges import check_unit_range
from vae.streams import generator
from vae.widths import CHANNELS, HIDDEN, Widths, checked_widths


def _sizes(image_shape: Sequence[int], latents: int, classes: int) -> tuple[tuple[int, ...], int, int]:
    """The first arguments of a family, checked."""
    sides = tuple(whole_number("image_shape", side, least=1) for side in image_shape)
    if not is_whole(classes, least=0):
        raise UserError(f"classes={classes!r} must be a whole number: 0 for a model without labels")
    return sides, whole_number("latents", latents, least=1), classes


def one_hot(y: Tensor | None, classes: int, dtype: torch.dtype) -> Tensor:
    """Labels (B,) as (B, classes) zeros and ones. Raises UserError where there are no labels."""
    if y is None:
        raise _no_labels(classes)
    # torch's own function looks at the labels, for which a GPU would have to wait.
    return (y.unsqueeze(-1) == torch.arange(classes, device=y.device)).to(dtype)


def _no_labels(classes: int) -> UserError:
    return UserError(f"a conditional model of {classes} classes needs labels y: (images,) whole numbers")


def with_labels(values: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """values (*, B, n) with the one-hot labels (B,) appended: (*, B, n + classes). Unchanged where classes is 0.

    >>> with_labels(torch.zeros(2, 1), torch.tensor([0, 1]), 2)
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """
    if not classes:
        return values
    labels = one_hot(y, classes, values.dtype).expand(*values.shape[:-1], classes)
    return torch.cat([values, labels], dim=-1)


class Autoencoder(nn.Module):
    """What a family's models can do as they are, from ``encode`` and ``decode``: reconstruct images, and draw new ones.

    As for all built-in losses but continuous-bernoulli, the mean image is the sigmoid of the logits. For an arm with
    another loss or posterior use `Reconstructor`, which `ablations.load_arm` returns.
    """

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstructions of x (B, *image_shape), in [0, 1], decoded from the posterior mean. With gradients."""
        reconstructions: Tensor = Reconstructor(self)(x, y)
        return reconstructions

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The same without gradients, of images that are checked; see `Reconstructor.reconstruct`."""
        return Reconstructor(self).reconstruct(x, y)

    def sample(self, count: int, y: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """New images, (count, *image_shape) in [0, 1]; see `Reconstructor.sample`."""
        return Reconstructor(self).sample(count, y, seed=seed)


class VAE(Autoencoder):
    """The notes' network without its defects: 784-400-20 by default, ReLU, logits out.

    hidden: widths of the encoder's layers, mirrored in the decoder.

    >>> model = VAE((8, 8), latents=2, hidden=(16,))
    >>> mean, spread = model.encode(torch.zeros(3, 8, 8))
    >>> model.decode(mean).shape
    torch.Size([3, 8, 8])
    >>> model(torch.zeros(3, 8, 8)).shape, model.sample(5).shape
    (torch.Size([3, 8, 8]), torch.Size([5, 8, 8]))
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28),
        latents: int = 20,
        classes: int = 0,
        *,
        hidden: Widths = HIDDEN,
    ) -> None:
        super().__init__()
        widths = checked_widths("hidden", hidden)
        self.image_shape, self.latents, self.classes = _sizes(image_shape, latents, classes)
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
        return logits.view(*logits.shape[:-1], *self.image_shape)


def _layers(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))


class ConvVAE(Autoencoder):
    """Strided convolutions: each layer halves the sides, and the decoder mirrors the encoder. Grey or colour.

    channels: of the encoder's layers, mirrored in the decoder. Sides have at least 2 ** len(channels) pixels: the
    decoder's layers pad to the sides of the encoder's. The label of a conditional model is added as planes of 0 and 1
    to the image, and as zeros and ones to z.

    >>> model = ConvVAE((3, 32, 32), latents=2, channels=(4, 8))
    >>> mean, spread = model.encode(torch.zeros(5, 3, 32, 32))
    >>> mean.shape, model.decode(mean).shape
    (torch.Size([5, 2]), torch.Size([5, 3, 32, 32]))
    """

    alone_on_cpu = True  # vmap makes grouped convolutions, slower here: see "families" in ablations/bench/bench.md

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28),
        latents: int = 20,
        classes: int = 0,
        *,
        channels: Widths = CHANNELS,
    ) -> None:
        super().__init__()
        depths = checked_widths("channels", channels)
        self.image_shape, self.latents, self.classes = _sizes(image_shape, latents, classes)
        colours = 1 if len(self.image_shape) == 2 else self.image_shape[0]
        sides = _halved(self.image_shape[-2:], len(depths))
        self.smallest = (depths[-1], *sides[-1])
        features = math.prod(self.smallest)
        inward = [colours + classes, *depths]
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(inward))
        self.mean = nn.Linear(features, latents)
        self.spread = nn.Linear(features, latents)
        self.expand = nn.Linear(latents + classes, features)
        outward = [*reversed(depths), colours]
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1, output_padding=(height % 2, width % 2))
            for (a, b), (height, width) in zip(pairwise(outward), reversed(sides[:-1]))
        )

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and spread of the posterior, each (B, latents)."""
        h = x.unsqueeze(1) if len(self.image_shape) == 2 else x
        if self.classes:
            planes = one_hot(y, self.classes, h.dtype)[:, :, None, None]
            h = torch.cat([h, planes.expand(-1, -1, *h.shape[-2:])], dim=1)
        for layer in self.encoder:
            h = F.relu(layer(h))
        h = h.flatten(1)
        return self.mean(h), self.spread(h)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits of the image, (B, *image_shape)."""
        h = F.relu(self.expand(with_labels(z, y, self.classes))).view(-1, *self.smallest)
        *inner, last = self.decoder
        for layer in inner:
            h = F.relu(layer(h))
        logits: Tensor = last(h)
        return logits.squeeze(1) if len(self.image_shape) == 2 else logits


def _halved(sides: Sequence[int], times: int) -> list[tuple[int, int]]:
    """The sides of the image and after each halving, rounded down."""
    if min(sides) < 2**times:
        raise UserError(
            f"channels: {times} layers halve the sides {times} times, too often for {sides[0]}×{sides[1]} pixels; "
            f"name at most {int(math.log2(min(sides)))}"
        )
    return [(sides[0] >> i, sides[1] >> i) for i in range(times + 1)]


class Reconstructor(nn.Module):
    """A trained model as a function of images: x (B, *image_shape) -> their reconstructions in [0, 1].

    Decoded from the posterior mean. What a model registry needs: one input, one output. model: of any family. mean:
    logits -> mean image, of the loss that it was trained with (`Loss.mean`). posterior: of its arm. y: labels (B,), of
    a conditional model alone.

    >>> trained = Reconstructor(VAE((8, 8), 2, hidden=(4,)))
    >>> trained(torch.zeros(3, 8, 8)).shape, trained.sample(5).shape
    (torch.Size([3, 8, 8]), torch.Size([5, 8, 8]))
    """

    def __init__(
        self, model: nn.Module, mean: Callable[[Tensor], Tensor] = torch.sigmoid, posterior: str = USUAL
    ) -> None:
        super().__init__()
        self.model, self.mean, self.posterior = model, mean, posterior

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        outputs = self.model.encode(x, y) if self._classes else self.model.encode(x)  # type: ignore[operator]
        return self._decoded(posterior_of(self.model, self.posterior).centre(outputs), y)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstructions of images, (B, *image_shape) in [0, 1] as they are, without gradients.

        Raises UserError for images of another shape or range, and for labels that are missing or not asked for.
        """
        if tuple(x.shape[1:]) != self._image_shape:
            sides = ", ".join(map(str, self._image_shape))
            raise UserError(f"x is {tuple(x.shape)}; this model takes images ({sides}) in a batch: (n, {sides})")
        check_unit_range("x", x)
        self._check_labels(y, len(x))
        like = next(self.parameters())
        return self(x.to(like), None if y is None else y.to(like.device))  # type: ignore[no-any-return]

    @torch.no_grad()
    def sample(self, count: int, y: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """New images, (count, *image_shape) in [0, 1]: the mean images of codes that are drawn from the prior.

        seed: the same gives the same images. y: the class of each, (count,), of a conditional model; if left out, the
        classes in turn. Raises UserError for what is none of these.
        """
        whole_number("count", count, least=1)
        self._check_labels(y, count, wanted=False)
        like = next(self.parameters())
        drawn = generator("samples", whole_number("seed", seed, least=0), "prior")
        noise = torch.randn(count, int(self.model.latents), generator=drawn).to(like)  # type: ignore[arg-type]
        if y is None and self._classes:
            y = torch.arange(count) % self._classes
        labels = None if y is None else y.to(like.device)
        return self._decoded(posterior_of(self.model, self.posterior).prior(noise), labels)

    def _decoded(self, z: Tensor, y: Tensor | None) -> Tensor:
        logits = self.model.decode(z, y) if self._classes else self.model.decode(z)  # type: ignore[operator]
        return self.mean(logits)

    @property
    def _classes(self) -> int:
        """Of a conditional model; 0 of any other."""
        return int(getattr(self.model, "classes", 0))

    @property
    def _image_shape(self) -> tuple[int, ...]:
        return tuple(self.model.image_shape)  # type: ignore[arg-type]

    def _check_labels(self, y: Tensor | None, count: int, *, wanted: bool = True) -> None:
        """Refuse labels that the model does not take, or does not know. wanted: whether they may not be left out."""
        if y is None:
            if wanted and self._classes:
                raise UserError(
                    f"a conditional model of {self._classes} classes needs labels y: (images,) whole numbers"
                )
            return
        if not self._classes:
            raise UserError("y is given, and this model takes no labels: leave y out")
        if tuple(y.shape) != (count,):
            raise UserError(f"y is {tuple(y.shape)}; it must be one label for each of the {count} images: ({count},)")
        if count and not (int(y.min()) >= 0 and int(y.max()) < self._classes):
            raise UserError(
                f"y reaches from {int(y.min())} to {int(y.max())}; allowed are the classes 0 to {self._classes - 1}"
            )
