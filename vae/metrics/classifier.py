"""The classifiers: small convolutional networks of a data set, trained once, shared by every cell.

It gives the class that a reconstruction or sample is read as (legibility), and its place in a space of features (KID,
Fréchet distance, coverage). No weights are downloaded: it is trained on the training split, from a fixed seed, on
images lightly blurred, dimmed and moved, so that it still reads a slightly blurred digit. It reads 99.1 % of MNIST's
test set and 99 % of scikit-learn's digits.

Its weights are cached as plain arrays in a file named by a hash of the data's digest and the recipe. Training uses one
thread, so that one kind of machine gives the same weights bit for bit. Another kind may differ in the last digits: two
cells had the same classifier where its `fingerprint` is the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.cache import cache_folder, write_whole
from vae.errors import UserError
from vae.metrics.images import check_images
from vae.streams import ambient, fingerprint, generator
from vae.training.threads import side_by_side

_READ_ON_CPU = 250  # images read in one pass: their activations stay in a core's cache
_READ_ELSEWHERE = 1000
_NORMALISED_BY = 1000  # images


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that determines the weights. On one core, training takes 26 s for MNIST."""

    seed: int = 0
    passes: int = 6  # over the images, or as many as reach `least_steps`
    least_steps: int = 1200
    batch: int = 128
    learning_rate: float = 3e-3  # the peak of one warm-up and decay
    weight_decay: float = 1e-2
    channels: int = 16  # of the first layer; the others have twice as many
    features: int = 64
    blur: float = 1.2  # largest sigma in px at a side of 28; half of the images are blurred
    dim: float = 0.5  # contrast is multiplied by 1 − dim to 1
    move: float = 0.06  # shifts up to this share of the side, turns up to 2.5 of it in radians, scales by 1 ± 1.7 of it
    version: int = 1  # of this file's code: raise it with any change that changes weights


class Reading(NamedTuple):
    """What the network makes of n images: penultimate features (n, 64) and class scores (n, classes).

    Features are 0 or more, and scaled so that their mean square is 1 over training images.
    """

    features: Tensor
    scores: Tensor

    @property
    def classes(self) -> Tensor:
        """The class read in each image, (n,) int64."""
        return self.scores.argmax(-1)


@dataclass(frozen=True)
class Classifier:
    """A trained network for images of one shape; see :func:`trained_classifier`."""

    network: nn.Module
    image_shape: tuple[int, ...]
    classes: int

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the weights."""
        return fingerprint(self.network.state_dict())

    def read(self, images: Tensor) -> Reading:
        """Features and class scores of images (n, *image_shape) in [0, 1]. Raises UserError for another shape."""
        check_images(images=images)
        if tuple(images.shape[1:]) != self.image_shape:
            raise UserError(f"images are {tuple(images.shape)}; this classifier reads (n, {str(self.image_shape)[1:]}")
        at = next(self.network.parameters())
        with torch.no_grad():
            at_once = _READ_ON_CPU if at.device.type == "cpu" else _READ_ELSEWHERE
            parts = [self.network(part.to(at)) for part in torch.split(images, at_once)]
        return Reading(*(torch.cat(column) for column in zip(*parts)))

    def to(self, device: str | torch.device) -> Classifier:
        """The same classifier on another device; the network is moved, not copied."""
        return Classifier(self.network.to(device), self.image_shape, self.classes)


def trained_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    digest: str,
    cache: str | Path | None = None,
    recipe: Recipe | None = None,
) -> Classifier:
    """The classifier of a dataset: read from the cache, or trained on the CPU and put there.

    images: (N, H, W) or (N, C, H, W) in [0, 1], the training split. labels: (N,) whole numbers from 0.
    digest: of the dataset's contents; it names the random streams and the cached file. cache: a folder, made
    where missing; None trains every time. recipe: the usual one if None. A cached file that cannot be read is replaced.
    Raises UserError.

    >>> images = torch.rand(40, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> dark = (images.mean((1, 2)) < images.mean()).long()
    >>> classifier = trained_classifier(images, dark, digest="noise", recipe=Recipe(least_steps=3))
    >>> classifier.read(images).features.shape
    torch.Size([40, 64])
    """
    return trained_classifiers(images, labels, digest=digest, cache=cache, recipes=[recipe or Recipe()])[0]


def trained_classifiers(
    images: Tensor, labels: Tensor, *, digest: str, cache: str | Path | None = None, recipes: Sequence[Recipe]
) -> list[Classifier]:
    """The classifiers of some recipes, in their order: as `trained_classifier`, those to be trained side by side."""
    classes = _check(images, labels)
    classifiers = [_untrained(images, classes, recipe, digest) for recipe in recipes]
    paths = [
        None if cache is None else cache_folder(cache) / f"classifier-{_key(one, recipe, digest)}.npz"
        for one, recipe in zip(classifiers, recipes)
    ]
    pixels, classes_of = images.detach().float().cpu(), labels.cpu()

    def train(one: Classifier, recipe: Recipe, path: Path | None, stopped: Event) -> None:
        _train(one.network, pixels, classes_of, recipe, digest, stopped)
        if path is not None and not stopped.is_set():
            _save(one.network, path)

    tasks = [
        partial(train, one, recipe, path)
        for one, recipe, path in zip(classifiers, recipes, paths)
        if path is None or not _restore(one.network, path)
    ]
    # On one thread sums are taken in one order. A second one would gain little, and lose much on a busy machine.
    side_by_side(tasks, most=1)
    return classifiers


def _untrained(images: Tensor, classes: int, recipe: Recipe, digest: str) -> Classifier:
    with ambient(digest, recipe.seed, "classifier/weights"):
        network = _Network(_with_channel(images).shape[1:], classes, recipe)
    return Classifier(network, tuple(images.shape[1:]), classes)


class _Network(nn.Module):
    """Convolutions that halve the picture to about 4 to 8 px, one hidden layer (the features), one output."""

    def __init__(self, shape: Sequence[int], classes: int, recipe: Recipe) -> None:
        super().__init__()
        channels, height, width = shape
        self.convolutions = nn.ModuleList()
        for stride in _strides(max(height, width)):
            out = 2 * recipe.channels if len(self.convolutions) else recipe.channels
            self.convolutions.append(nn.Conv2d(channels, out, 5, stride, 2))
            channels, height, width = out, math.ceil(height / stride), math.ceil(width / stride)
        self.hidden = nn.Linear(channels * height * width, recipe.features)
        self.output = nn.Linear(recipe.features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = _with_channel(images)  # (n, C, H, W)
        for layer in self.convolutions:
            h = F.relu(layer(h), inplace=True)
        features = F.relu(self.hidden(h.flatten(1)), inplace=True)  # (n, features)
        return features, self.output(features)  # and (n, classes)


def _strides(side: int) -> list[int]:
    strides = [2 if side >= 16 else 1, 2]
    while side / math.prod(strides) > 8:
        strides.append(2)
    return strides


def _with_channel(images: Tensor) -> Tensor:
    return images if images.ndim == 4 else images[:, None]


def _train(network: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, digest: str, stopped: Event) -> None:
    """stopped: set where the weights are not needed any more; training then ends early."""
    random = generator(digest, recipe.seed, "classifier/batches")
    steps = max(recipe.least_steps, recipe.passes * math.ceil(len(images) / recipe.batch))
    optimiser = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, steps)
    images = _with_channel(images)
    with torch.enable_grad():
        for _, rows in zip(range(steps), _batches(len(images), recipe.batch, random)):
            _, scores = network(_varied(images[rows], recipe, random))
            optimiser.zero_grad()
            torch.autograd.backward(F.cross_entropy(scores, labels[rows]))
            optimiser.step()
            schedule.step()
            if stopped.is_set():
                return
        _normalise(network, images[:_NORMALISED_BY])


@torch.no_grad()
def _normalise(network: nn.Module, images: Tensor) -> None:
    """Divide the features by their root mean square, and multiply the output layer's weights by it: scores stay.

    KID and the Fréchet distance grow with the features' scale, which training does not determine.
    """
    features, _ = network(images)
    scale = features.square().mean().sqrt().clamp_min(torch.finfo(features.dtype).tiny)
    hidden, output = network.get_submodule("hidden"), network.get_submodule("output")
    for parameter in hidden.parameters():
        parameter.div_(scale)
    output.get_parameter("weight").mul_(scale)


def _batches(images: int, size: int, random: torch.Generator) -> Iterator[Tensor]:
    """Whole batches of shuffled rows, (size), without end; a set smaller than a batch is one batch."""
    size = min(size, images)
    while True:
        order = torch.randperm(images, generator=random)
        yield from torch.split(order[: images - images % size], size)


def _varied(images: Tensor, recipe: Recipe, random: torch.Generator) -> Tensor:
    """A batch (n, C, H, W) as it is trained on: every image moved and dimmed, half of the images blurred."""
    images = _moved(images, recipe.move, random)
    half, side = len(images) // 2, min(images.shape[-2:])
    sigma = 0.05 + recipe.blur * side / 28 * float(torch.rand((), generator=random))
    images = torch.cat([_blurred(images[:half], sigma), images[half:]])
    return images * (1 - recipe.dim * torch.rand(len(images), 1, 1, 1, generator=random))


def _moved(images: Tensor, move: float, random: torch.Generator) -> Tensor:
    """Each image shifted, turned and scaled a little, by bilinear interpolation, zeros beyond the border."""
    right, down, turn, grow = move * (2 * torch.rand(4, len(images), generator=random) - 1)  # (n) each
    turn, scale = 2.5 * turn, 1 + 1.7 * grow
    cos, sin = scale * torch.cos(turn), scale * torch.sin(turn)
    rows = [torch.stack([cos, -sin, 2 * right], -1), torch.stack([sin, cos, 2 * down], -1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)  # (n, H, W, 2)
    return F.grid_sample(images, grid, align_corners=False)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of images (n, C, H, W), zeros beyond the border."""
    reach = math.ceil(3 * sigma)
    taps = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    taps = (taps / taps.sum()).to(images)
    flat = images.reshape(-1, 1, *images.shape[-2:])  # (n C, 1, H, W)
    flat = F.conv2d(flat, taps.view(1, 1, 1, -1), padding=(0, reach))
    return F.conv2d(flat, taps.view(1, 1, -1, 1), padding=(reach, 0)).reshape(images.shape)


def _key(classifier: Classifier, recipe: Recipe, digest: str) -> str:
    content = {"data": digest, "shape": classifier.image_shape, "classes": classifier.classes, **asdict(recipe)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _restore(network: nn.Module, path: Path) -> bool:
    """Load the cached weights; False where there are none, or none that fit."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile):
        return False
    return True


def _save(network: nn.Module, path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, **{name: value.numpy() for name, value in network.state_dict().items()})
    write_whole(path, content.getvalue())


def _check(images: Tensor, labels: Tensor) -> int:
    """The number of classes of a labelled set that can be trained on."""
    check_images(images=images)
    if images.ndim not in (3, 4):
        raise UserError(f"images are {tuple(images.shape)}; they must be (N, H, W) or (N, channels, H, W)")
    if labels.dtype != torch.int64:
        raise UserError(f"labels are {labels.dtype}; they must be torch.int64. Did you mean labels.long()?")
    if labels.shape != images.shape[:1]:
        raise UserError(f"labels are {tuple(labels.shape)}; they must be ({len(images)},), one per image")
    if not len(labels) or int(labels.min()) < 0 or int(labels.max()) < 1:
        raise UserError("labels must hold at least two classes, numbered from 0")
    return int(labels.max()) + 1
