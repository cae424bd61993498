"""One trained cell: its row of metrics, the values behind them, and its pictures. Also what is measured in training.

What all cells of a study share (the originals' sharpness, classifiers, features of real images) is computed once.
Every draw comes from a named stream of the cell's seed, so two arms of a seed are measured with the same noise. The
test images stand in one random order of the data set, the same for every cell: what is measured on the first of them is
measured on random ones. At a point of training it is the same code, on the first of them (:attr:`Evaluator.at_points`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ablations import measures
from ablations.generation import ClassifierMetrics, classifiers_of
from ablations.measures import SCORING, Metrics, Scales, TrainedModel, Values, average, image_bytes, parts
from ablations.sections import Evaluation
from tracking.schema import POINT
from vae import streams
from vae.arms import Arm
from vae.datasets.facts import grey_levels, light_ground
from vae.datasets.load import ImageData
from vae.importance import budget_on
from vae.likelihoods import bernoulli_nll
from vae.metrics import sharpness
from vae.metrics.classifier import Classifier
from vae.metrics.latents import unit_rates
from vae.metrics.transfer import Transfer, transfer
from vae.posteriors import Gaussian, Outputs
from vae.training.autograd import Engine
from vae.training.memory import SCORED_AT_ONCE
from vae.training.precision import exact_products
from vae.training.stack import Stack

ORDER = "evaluation/order"  # the stream of the random order of the test images
SHOWN = 10  # test images whose reconstructions are kept: the first of each class, or the first ten
CALIBRATION = 1000  # images that fit a scale where the study holds none out
CALIBRATING = 12  # tensors of their size that live while they are fitted
LOGISTIC_IMAGES = (
    1000  # of the test set, for bits per dim: its standard error on them is far below the spread over seeds
)
_NOT_AT_POINTS = frozenset({"neg_iwae", "iwae_gap", "iwae_log_ess", "iwae_error"})  # too slow to be repeated
Arrays = dict[str, np.ndarray[Any, Any]]


def measuring_bytes(template: nn.Module, images: ImageData, settings: Evaluation, device: torch.device) -> int:
    """Bytes that measuring one trained cell adds at its peak. template: one model, built for these images.

    Reconstructions of all test images and the prior samples; beside them the part that is being decoded or scored, the
    calibration images, or the decoded draws of the importance bound, whichever is largest.
    """
    picture = images.pixels * 4
    copied = device.type != "cpu"
    whole = len(images.test) * (2 if copied else 1) + settings.generated
    part = max((part.stop - part.start for part in parts(len(images.test), image_bytes(template))), default=0)
    calibration = min(CALIBRATION, len(images.held_out) or len(images.train))
    passing = max(
        2 * part * image_bytes(template),
        calibration * picture * CALIBRATING,
        SCORING * budget_on(device) if settings.iwae_images else 0,
    )
    return whole * picture + passing


def point_bytes(template: nn.Module, images: ImageData, settings: Evaluation, device: torch.device) -> int:
    """The same at a point of training, which is beside all that training holds; 0 where there are no points."""
    if not settings.points:
        return 0
    part = replace(images, test=images.test[: settings.point_images])
    return measuring_bytes(template, part, _of_points(settings, len(images.test)), device)


def _of_points(settings: Evaluation, test_images: int) -> Evaluation:
    count = settings.point_images
    generated = settings.generated if test_images <= count else min(settings.generated, count)
    fewer = {"iwae_images": 0, "kept_images": 0, "generated": generated}
    return settings.model_copy(update=fewer)


@dataclass(frozen=True)
class Measurement:
    """metrics: catalogue name -> value. pictures: arrays for ``pictures.npz``. per_image: for ``per_image.npz``, the
    values of the first images (float32): (m,) by metric, (K, m) of K classifiers, and (K,) of what each says of all
    samples; with ``<metric>.images``, how many images the metric is the mean over."""

    metrics: Metrics
    pictures: Arrays
    per_image: Arrays = field(default_factory=dict)


@torch.no_grad()
def epoch_scores(stack: Stack, images: ImageData, count: int) -> dict[str, Tensor]:
    """Per arm, (arms,): test −ELBO (Bernoulli, sampled z), its BCE and its rate on the first ``count`` test images.

    NaN for an arm that has diverged: its weights are zeros, and what these would score is no result.
    """
    if not count:
        return {}
    x = images.test[:count].to(device=stack.device, dtype=stack.dtype)
    labels = images.test_labels[:count].to(stack.device) if stack.classes and images.test_labels is not None else None
    noise = _noise(images, stack.seed, "epoch", (len(x), stack.latents)).to(x)  # (count, L)
    engine, diverged = Engine(stack), list(stack.diverged)
    bce, rates = torch.zeros(2, len(stack), device=stack.device, dtype=torch.float64)  # (arms,) each
    for start in range(0, len(x), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        with exact_products(stack.device):
            logits, part_rates = engine.forward(x[part], noise[part], measures.some(labels, part), true_rate=True)
        for index, arm in enumerate(stack.arms):
            bce[index] += bernoulli_nll(measures.mean_logits(logits[index], arm), x[part].flatten(1)).sum()
        rates += part_rates.sum(-1)
    bce[diverged], rates[diverged] = torch.nan, torch.nan
    bce, rates = bce.cpu() / len(x), rates.cpu() / len(x)
    return {"neg_elbo": bce + rates, "bce": bce, "rate": rates}


def _noise(images: ImageData, seed: int, purpose: str, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=streams.generator(images.name, seed, f"evaluation/{purpose}"))


@dataclass(frozen=True)
class Basis:
    """What the study's images give for all measuring. classifiers: none where there are no labels. levels: grey levels.
    light_ground: ink is what is darker than the ground; decided by the training images, for all arms."""

    classifiers: tuple[Classifier, ...]
    levels: int
    light_ground: bool

    @classmethod
    def of(cls, images: ImageData, settings: Evaluation, *, cache: Path | None, device: torch.device) -> Basis:
        classifiers = classifiers_of(images, settings.classifiers, cache=cache, device=device)
        return cls(classifiers, grey_levels(images.train), light_ground(images.train))


class Evaluator:
    """The metrics of one study, set up once.

    images: the study's. settings: how much is measured. cache: where classifiers are kept between runs.
    whole: where only the first test images are measured, the evaluator of all of them; no pictures are kept.
    """

    def __init__(
        self,
        images: ImageData,
        settings: Evaluation,
        *,
        cache: Path | None,
        device: torch.device,
        whole: Evaluator | None = None,
    ) -> None:
        self.images, self.settings, self.device, self._cache, self.whole = images, settings, device, cache, whole
        self._sizes: dict[object, int] = {} if whole is None else whole._sizes
        # order: the rows of images.test that are measured, (N,)
        if whole is None:
            self.order = torch.randperm(len(images.test), generator=streams.generator(images.name, 0, ORDER))
            self.test = images.test[self.order].to(device)
        else:
            self.order, self.test = (of_all[: settings.point_images] for of_all in (whole.order, whole.test))
        labels = images.test_labels
        self.labels = None if labels is None else labels[self.order].to(device)  # (N,)

    @cached_property
    def at_points(self) -> Evaluator:
        """The evaluator of the points of training: the first images, without the importance bound and pictures."""
        settings = _of_points(self.settings, len(self.images.test))
        return Evaluator(self.images, settings, cache=self._cache, device=self.device, whole=self)

    @cached_property
    def basis(self) -> Basis:
        if self.whole is not None:
            return self.whole.basis
        return Basis.of(self.images, self.settings, cache=self._cache, device=self.device)

    @cached_property
    def edges(self) -> sharpness.Edges:
        """Of each plane of each test image."""
        if self.whole is not None:
            return self.whole.edges[: len(self.test)]
        return sharpness.edges(self.test)

    @cached_property
    def classifiers(self) -> ClassifierMetrics | None:
        """What classifiers read in real images; None for images without labels."""
        if not self.basis.classifiers or self.labels is None:
            return None
        return ClassifierMetrics.prepare(self.basis.classifiers, self.test, self.labels, self.settings.generated)

    @cached_property
    def shown(self) -> Tensor:
        """Indices of the test images that are kept as pictures: one of each class where there are classes."""
        labels, classes = self.images.test_labels, self.images.n_classes
        if labels is None or classes > SHOWN:
            return torch.arange(min(SHOWN, len(self.test)))
        return torch.cat([(labels == k).nonzero()[:1, 0] for k in range(classes)])

    def prepare(self) -> None:
        """Set up what all cells share, so that it is not counted as time of the first: on MNIST some twenty seconds."""
        with exact_products(self.device):
            _ = self.edges, self.classifiers, self.shown
        if self.whole is None and self.settings.points:
            self.at_points.prepare()

    def measure(self, model: nn.Module, arm: Arm, seed: int) -> Measurement:
        """All metrics and pictures of one trained model of an arm."""
        # Metrics work in float32 or float64 of their own; the weights are measured as they were trained.
        model = model.eval().requires_grad_(False).to(dtype=torch.float32)
        trained = TrainedModel(model, arm, self._image_bytes(model, arm))
        with exact_products(self.device):
            return _OneCell(self, trained, seed).measured()

    def _image_bytes(self, model: nn.Module, arm: Arm) -> int:
        """Found out once for all models of one kind: it takes a pass through a copy of the model."""
        kind = type(model), arm.model
        if kind not in self._sizes:
            self._sizes[kind] = image_bytes(model)
        return self._sizes[kind]

    @property
    def ends_as_measured(self) -> bool:
        """Whether the last point of training is the final measurement: where all test images are measured at points."""
        return bool(self.settings.points) and len(self.images.test) <= self.settings.point_images

    def end_point(self, metrics: Metrics) -> Metrics:
        """The final metrics as the last point of training has them."""
        return {POINT + name: value for name, value in metrics.items() if name not in _NOT_AT_POINTS}

    def point(self, model: nn.Module, arm: Arm, seed: int) -> Metrics:
        """The metrics of a model in the middle of its training, named as its history has them: point/<metric>."""
        measured = self.at_points.measure(model, arm, seed)
        return {POINT + name: value for name, value in measured.metrics.items()}


class _OneCell:
    """The measuring of one cell: what its metrics share."""

    def __init__(self, evaluator: Evaluator, trained: TrainedModel, seed: int) -> None:
        self.evaluator, self.trained, self.seed = evaluator, trained, seed
        self.images, self.settings, self.device = evaluator.images, evaluator.settings, evaluator.device
        self.test, self.posterior, self.basis = evaluator.test, trained.posterior, evaluator.basis
        self.classes = self.images.n_classes if trained.arm["model.conditional"] else 0
        self.labels = evaluator.labels if self.classes else None

    def measured(self) -> Measurement:
        outputs = self.trained.encode(self.test, self.labels)
        codes = self.posterior.centre(outputs)  # (N, L)
        at_mean = self.trained.images(codes, self.labels)  # (N, *image_shape)
        moved = transfer(at_mean.flatten(0, -3), self.test.flatten(0, -3))  # each plane of a colour image by itself
        samples, classes = self._samples(codes.shape[-1])
        moments = self.posterior.moments(outputs) if isinstance(self.posterior, Gaussian) else None
        values = {
            **self._likelihoods(outputs, codes.shape[-1]),
            **self._importance(),
            **measures.similarity_scores(at_mean, self.test),
            **self._sharpness(at_mean),
        }
        by_classifier: Values = {}
        if self.evaluator.classifiers is not None:
            by_image, by_classifier = self.evaluator.classifiers.scores(at_mean, samples, classes)
            values |= by_image
        metrics = {name: average(of_images) for name, of_images in (values | by_classifier).items()}
        metrics |= measures.pooled_scores(at_mean, self.test, values["acutance"], moved)
        metrics |= measures.latent_scores(*moments) if moments is not None else {}
        metrics |= measures.sample_sharpness(samples) if len(samples) else {}
        if "neg_iwae" in values:
            metrics["iwae_error"] = measures.standard_error(values["neg_iwae"])
        pictures = {} if self.evaluator.whole else self._pictures(at_mean, samples, moved, moments)
        return Measurement(metrics, pictures, _kept(values, by_classifier, self.settings.kept_images))

    def _likelihoods(self, outputs: Outputs, latents: int) -> Values:
        # Noise goes with the image, so that its values are the same wherever it stands, and however many are measured.
        noise = self._noise("posterior", (len(self.images.test), latents))[self.evaluator.order.to(self.device)]
        z = self.posterior.sample(outputs, noise)  # (N, L)
        x = self.test.flatten(1)  # (N, D)
        rates, scales = self.posterior.rate(outputs), self._scales()

        def scored(part: slice) -> Values:
            own = self.trained.decoded(z[part], measures.some(self.labels, part)).flatten(1)
            grey_images = LOGISTIC_IMAGES - part.start
            return measures.image_scores(own, self.trained.arm, x[part], rates[part], scales, grey_images)

        values = {"rate": rates} | measures.joined(map(scored, self.trained.parts(len(x))))
        return values | {"neg_elbo": values["bce"].double() + rates.double()}

    def _importance(self) -> Values:
        """The importance-weighted bound, which needs the density of the posterior."""
        count = min(self.settings.iwae_images, len(self.test))
        if not count or not isinstance(self.posterior, Gaussian):
            return {}
        x, labels = self.test[:count], measures.some(self.labels, slice(count))
        moments = self.posterior.moments(self.trained.encode(x, labels))
        generator = streams.generator(self.images.name, self.seed, "evaluation/importance")
        return measures.importance_bound(self.trained, moments, x, labels, self.settings.iwae_samples, generator)

    def _sharpness(self, at_mean: Tensor) -> Values:
        own, blur_images = self.evaluator.edges, self.settings.blur_images
        return measures.sharpness_scores(at_mean, self.test, own, blur_images, self.basis.light_ground)

    def _scales(self) -> Scales:
        """Fitted at a sampled z on held-out images, or, where the study holds none out, on training images."""
        held = len(self.images.held_out) > 0
        x = (self.images.held_out if held else self.images.train)[:CALIBRATION].to(self.device)
        known = self.images.held_out_labels if held else self.images.train_labels
        labels = known[: len(x)].to(self.device) if self.classes and known is not None else None
        outputs = self.trained.encode(x, labels)
        noise = self._noise("calibration", self.posterior.centre(outputs).shape)
        logits = self.trained.logits(self.posterior.sample(outputs, noise), labels)
        return Scales.fit(logits.flatten(1), x.flatten(1), self.basis.levels)

    def _noise(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        return _noise(self.images, self.seed, purpose, shape).to(self.device)

    def _samples(self, latents: int) -> tuple[Tensor, Tensor | None]:
        """Decoder means of prior draws; of a conditional model class by class in turn, with the class of each."""
        count = self.settings.generated
        z = self.posterior.prior(self._noise("prior", (count, latents)))
        labels = torch.arange(count, device=self.device) % self.classes if self.classes else None
        return (self.trained.images(z, labels) if count else self.test[:0]), labels

    def _pictures(
        self, at_mean: Tensor, samples: Tensor, moved: Transfer, moments: tuple[Tensor, Tensor] | None
    ) -> Arrays:
        shown = torch.argsort(self.evaluator.order)[self.evaluator.shown].to(self.device)  # where these images stand
        rows = max(self.classes, SHOWN)
        pictures = {
            "originals": _bytes(self.test[shown]),
            "reconstructions": _bytes(at_mean[shown]),
            "samples": _bytes(samples[: 2 * rows]),
            **{f"transfer_{name}": getattr(moved, name).numpy() for name in ("frequency", "h", "gain", "coherence")},
        }
        if moments is not None:
            pictures["unit_rate"] = unit_rates(*moments).double().cpu().numpy()
        return pictures


def _kept(values: Values, by_classifier: Values, count: int) -> Arrays:
    """The values of the first images, and of the classifiers, as float32; and how many images there are in all."""
    if not count:
        return {}
    arrays: Arrays = {name: _float32(of_each) for name, of_each in by_classifier.items()}
    for name, of_images in values.items():
        arrays[name] = _float32(of_images[..., :count])
        arrays[f"{name}.images"] = np.asarray(of_images.shape[-1])
    return arrays


def _float32(values: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = values.detach().float().cpu().numpy()
    return array


def _bytes(images: Tensor) -> np.ndarray[Any, Any]:
    levels = (images.detach().cpu().clamp(0, 1) * 255).round()
    return levels.to(torch.uint8).numpy()
