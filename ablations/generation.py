"""Reconstructions and samples as some classifiers read them, which are trained once on the study's own images.

Several, that differ in their seed alone: another classifier reads other images wrongly, and has other features. Every
metric here is the mean over them, and the value of each is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ablations.measures import Values
from vae.datasets.load import ImageData
from vae.metrics import generation
from vae.metrics.classifier import Classifier, Reading, Recipe, trained_classifiers

NOT_COMPARED = generation.Comparison(math.nan, math.nan, math.nan)


def classifiers_of(
    images: ImageData, count: int, *, cache: Path | None, device: torch.device
) -> tuple[Classifier, ...]:
    """The classifiers of a data set, of seeds 0 to ``count`` − 1: trained, or read from the cache.

    None for images without labels, which no classifier can be trained on.
    """
    if images.train_labels is None or images.test_labels is None or images.n_classes < 2:
        return ()
    recipes = [Recipe(seed=seed) for seed in range(count)]
    trained = trained_classifiers(images.train, images.train_labels, digest=images.digest, cache=cache, recipes=recipes)
    return tuple(one.to(device) for one in trained)


class Read(NamedTuple):
    """by_image: (K, N) for K classifiers and N images. by_classifier: (K,), of all samples together."""

    by_image: Values
    by_classifier: Values


@dataclass(frozen=True)
class ClassifierMetrics:
    """K classifiers and what they see in real images, shared by all cells of a study.

    real: for each, the features of the first test images, as many as samples are drawn, (n, 64): two sets of one size,
    for the Fréchet distance depends on it; None where fewer than two are compared. originals: which test images each
    reads rightly, (K, N).
    """

    classifiers: tuple[Classifier, ...]
    labels: Tensor
    real: tuple[generation.RealFeatures | None, ...]
    originals: Tensor

    @classmethod
    def prepare(
        cls, classifiers: Sequence[Classifier], test: Tensor, labels: Tensor, generated: int
    ) -> ClassifierMetrics:
        """test: (N, *image_shape), in random order. labels: (N,). generated: how many samples will be drawn."""
        readings = [one.read(test) for one in classifiers]
        real = tuple(_real(reading.features[:generated]) for reading in readings)
        return cls(tuple(classifiers), labels, real, _right(readings, labels))

    def scores(self, reconstructions: Tensor, samples: Tensor, classes: Tensor | None) -> Read:
        """reconstructions: of all test images. samples: decoder means of prior draws; classes: of each sample, for a
        conditional model. NaN for a comparison that needs more images than there are."""
        readings = [one.read(reconstructions) for one in self.classifiers]
        by_image = {"legibility": _right(readings, self.labels), "legibility_original": self.originals}
        if not len(samples):
            return Read(by_image, {})
        rows = [
            _sampled(real, one.read(samples), one.classes, classes) for one, real in zip(self.classifiers, self.real)
        ]
        return Read(by_image, {name: self.originals.new_tensor([row[name] for row in rows]) for name in rows[0]})


def _right(readings: Sequence[Reading], labels: Tensor) -> Tensor:
    """1 where a classifier reads an image as its label, else 0: (K, N) in float64."""
    return torch.stack([reading.classes == labels for reading in readings]).double()


def _real(features: Tensor) -> generation.RealFeatures | None:
    return generation.RealFeatures.of(features) if len(features) > 1 else None


def _sampled(
    real: generation.RealFeatures | None, drawn: Reading, known: int, asked: Tensor | None
) -> dict[str, float]:
    """What one classifier says of samples. known: classes that it tells apart. asked: the class asked for."""
    compared = NOT_COMPARED if real is None else real.compare(drawn.features[: len(real.features)])
    metrics = dict(compared._asdict())
    metrics["class_entropy"] = generation.class_entropy(drawn.classes, known)
    if asked is not None:
        metrics["class_accuracy"] = generation.legibility(drawn.classes, asked)
    return metrics
