"""What a data set gives before anything is trained: floors and ceilings of metrics, spectrum, grey levels.

The floor of a metric is what a model without latents reads: every reconstruction and every sample is the mean training
image, or the median one, whichever is better by the metric; of models that are given the labels, that of the class. It
is measured by the code that measures cells. The ceiling is what the original images read as reconstructions, and random
training images as samples. A metric that has no such value is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ablations import grid, measures
from ablations.evaluation import LOGISTIC_IMAGES, Evaluator
from ablations.measures import Metrics, average
from ablations.sections import Evaluation
from reports.claims.references import References
from vae import likelihoods, streams
from vae.arms import Arm
from vae.cache import cache_folder, write_whole
from vae.datasets.facts import covariance_eigenvalues
from vae.datasets.load import ImageData
from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE
from vae.metrics.transfer import transfer

VERSION = 1  # of this file's code: raise it with any change of the numbers
SEED = 0  # of the noise that is drawn for models without latents, where it changes nothing
DRAWS = 2  # of the importance bound: with no latents every draw is the same


def references_of(images: ImageData, settings: Evaluation, *, cache: Path | None, device: torch.device) -> References:
    """The references of a study's images, read from the cache or computed and put there.

    settings: how much the study measures. cache: where classifiers are kept too; None computes them every time. A file
    that cannot be read is computed again.
    """
    path = None if cache is None else cache_folder(cache) / f"references-{_key(images, settings)}.json"
    if path is not None and (kept := _read(path)) is not None:
        return kept
    references = computed(images, settings, cache=cache, device=device)
    if path is not None:
        write_whole(path, references.to_json().encode())
    return references


def _read(path: Path) -> References | None:
    """The references of a file; None where there is none that can be read."""
    try:
        return References.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, UserError):
        return None


def computed(images: ImageData, settings: Evaluation, *, cache: Path | None, device: torch.device) -> References:
    """The references, computed: on two cores about 25 s for MNIST, and 1 s for digits."""
    few = {"kept_images": 0, "points": (), "iwae_samples": DRAWS}
    evaluator = Evaluator(images, settings.model_copy(update=few), cache=cache, device=device)
    evaluator.prepare()
    basis, labelled = evaluator.basis, images.train_labels is not None and images.n_classes > 0
    nats = likelihoods.histogram_nll(images.train.flatten(1), _scored(evaluator).cpu(), basis.levels)
    bits = average(likelihoods.bits_per_dim(nats, images.pixels))
    return References(
        floor=_floor(evaluator, conditional=False),
        floor_with_labels=_floor(evaluator, conditional=True) if labelled else {},
        ceiling=_Ceiling(evaluator).metrics(),
        test_images=len(images.test),
        classes=images.n_classes,
        pixels=images.pixels,
        levels=basis.levels,
        light_ground=basis.light_ground,
        ppca={"eigenvalues": covariance_eigenvalues(images.train)},
        histogram={"bits_per_dim": bits, "bits_per_dim_table": bits},
    )


def _scored(evaluator: Evaluator) -> Tensor:
    """The test images whose grey levels are scored, flat."""
    return evaluator.test[:LOGISTIC_IMAGES].flatten(1)


class Fixed(nn.Module):
    """A model without latents: it decodes every code to one picture, or to that of the class.

    pictures: logits, (1, *image_shape), or (classes, *image_shape) of a conditional model.
    """

    latents = 1

    def __init__(self, pictures: Tensor, *, conditional: bool) -> None:
        super().__init__()
        self.image_shape = tuple(pictures.shape[1:])
        self.classes = len(pictures) if conditional else 0
        self.pictures = nn.Parameter(pictures, requires_grad=False)

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The prior, (B, 1) twice."""
        nothing = x.new_zeros(len(x), self.latents)
        return nothing, nothing

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The picture of each code's class, (B, *image_shape)."""
        rows = y if y is not None and self.classes else torch.zeros(len(z), dtype=torch.int64, device=z.device)
        return self.pictures[rows]


def typical(images: ImageData, by: Callable[[Tensor], Tensor], *, conditional: bool) -> Fixed:
    """The model without latents whose pictures are the mean or the median training image, of each class or of all.

    by: images (n, *image_shape) -> one of them. A pixel that was always black is given the odds that it has by
    Laplace's rule, 1 in n + 2: else a single grey one would cost infinitely much.
    """
    groups = [images.train]
    if conditional and images.train_labels is not None:
        groups = [images.train[images.train_labels == k] for k in range(images.n_classes)]
    pictures = [by(group if len(group) else images.train) for group in groups]
    odds = [1 / (len(group) + 2) for group in groups]
    logits = torch.stack([torch.logit(picture.double(), eps) for picture, eps in zip(pictures, odds)])
    return Fixed(logits.float(), conditional=conditional)


def mean_image(images: Tensor) -> Tensor:
    """(n, *image_shape) -> (*image_shape), in float64."""
    return images.mean(0, dtype=torch.float64)


def median_image(images: Tensor) -> Tensor:
    """(n, *image_shape) -> (*image_shape): of each pixel by itself, some at a time."""
    pixels = images.flatten(1)
    parts = [pixels[:, start : start + 64].median(0).values for start in range(0, pixels.shape[1], 64)]
    return torch.cat(parts).reshape(images.shape[1:])


def _floor(evaluator: Evaluator, *, conditional: bool) -> Metrics:
    arm = Arm("bce", conditional=conditional)
    mean, median = (
        evaluator.measure(
            typical(evaluator.images, by, conditional=conditional).to(evaluator.device), arm, SEED
        ).metrics
        for by in (mean_image, median_image)
    )
    return _finite({name: better(name, value, median[name]) for name, value in mean.items()})


def better(metric: str, mean: float, median: float) -> float:
    """The better of two values of a metric, by its direction; where it has none, the first. NaN is no value.

    >>> better("ssim", 0.2, 0.3), better("bce", 200.0, 300.0), better("ink_ratio", 1.2, 0.3), better("rate", 1.0, 0.0)
    (0.3, 200.0, 1.2, 1.0)
    """
    known = [value for value in (mean, median) if not math.isnan(value)]
    direction = CATALOGUE[metric].direction
    if len(known) < 2 or direction == "none":
        return known[0] if known else math.nan
    worse_by = {"higher": lambda value: -value, "lower": lambda value: value, "closer to 1": lambda v: abs(v - 1)}
    return min(known, key=worse_by[direction])


@dataclass(frozen=True)
class _Ceiling:
    """The original images as reconstructions, and random training images as samples."""

    evaluator: Evaluator

    def metrics(self) -> Metrics:
        test, evaluator = self.evaluator.test, self.evaluator
        edges, basis, settings = evaluator.edges, evaluator.basis, evaluator.settings
        values = {
            **measures.similarity_scores(test, test),
            **measures.sharpness_scores(test, test, edges, settings.blur_images, basis.light_ground),
        }
        pooled = measures.pooled_scores(
            test, test, values["acutance"], transfer(test.flatten(0, -3), test.flatten(0, -3))
        )
        if evaluator.classifiers is not None:
            by_image, by_classifier = evaluator.classifiers.scores(test, self._samples, self._classes)
            values |= by_image | by_classifier
        sharp = measures.sample_sharpness(self._samples) if len(self._samples) else {}
        averages = {name: average(of_images) for name, of_images in values.items()}
        return _finite(self._distortions() | averages | pooled | sharp)

    def _distortions(self) -> Metrics:
        """Of a decoder whose mean is the original image: what no decoder goes below."""
        x = self.evaluator.test.flatten(1)
        costs: dict[str, Callable[[Tensor], Tensor]] = {
            "bce": lambda x: (torch.special.entr(x) + torch.special.entr(1 - x)).sum(-1),
            "nll_gaussian": lambda x: likelihoods.gaussian_nll(x, x),
            "nll_laplace": lambda x: likelihoods.laplace_nll(x, x),
        }
        parts = torch.split(x, measures.CHUNK)
        totals = {name: average(torch.cat([cost(part) for part in parts])) for name, cost in costs.items()}
        return {"mse": 0.0, "mae": 0.0, **totals}

    @cached_property
    def _rows(self) -> Tensor:
        images, count = self.evaluator.images, self.evaluator.settings.generated
        order = torch.randperm(len(images.train), generator=streams.generator(images.name, 0, "references/samples"))
        return order[:count]

    @property
    def _samples(self) -> Tensor:
        return self.evaluator.images.train[self._rows].to(self.evaluator.device)

    @property
    def _classes(self) -> Tensor | None:
        labels = self.evaluator.images.train_labels
        return None if labels is None else labels[self._rows].to(self.evaluator.device)


def _finite(values: Mapping[str, float]) -> Metrics:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _key(images: ImageData, settings: Evaluation) -> str:
    """Hash of all that the references are computed from."""
    return grid.hashed({**grid.measures(settings, data_digest=images.digest), "name": images.name, "version": VERSION})
