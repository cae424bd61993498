"""Reconstructions and samples as a classifier reads them, which is trained once on the study's own images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ablations.sections import Evaluation
from vae import streams
from vae.datasets.load import ImageData
from vae.metrics import generation
from vae.metrics.classifier import Classifier, trained_classifier

# Metrics of samples against as many real images, and the fewest that they can be computed from.
COMPARISONS = {
    "kid": (generation.kid, 2),
    "frechet": (generation.frechet, 2),
    "coverage": (generation.coverage, generation.NEIGHBOURS + 1),
}


@dataclass(frozen=True)
class ClassifierMetrics:
    """The classifier and what it sees in real images, shared by all cells of a study.

    real: features of as many test images as samples are drawn, (N, 64): two sets of one size, for the Fréchet
    distance depends on it; drawn once at random, for the first of a set are not like all (MNIST's were written by
    others than its last). legibility_original: its accuracy on the test images themselves.
    """

    classifier: Classifier
    labels: Tensor
    real: Tensor
    legibility_original: float

    @classmethod
    def prepare(
        cls, images: ImageData, settings: Evaluation, *, cache: Path, device: torch.device
    ) -> ClassifierMetrics | None:
        """Trained or read from the cache. None for images without labels, which no classifier can be trained on."""
        if images.train_labels is None or images.test_labels is None or images.n_classes < 2:
            return None
        classifier = trained_classifier(images.train, images.train_labels, digest=images.digest, cache=cache)
        reading = classifier.to(device).read(images.test.to(device))
        labels = images.test_labels.to(device)
        accuracy = generation.legibility(reading.classes, labels)
        chosen = torch.randperm(len(labels), generator=streams.generator(images.name, 0, "evaluation/real"))
        real = reading.features[chosen[: settings.generated].to(device)]
        return cls(classifier, labels, real, accuracy)

    def scores(self, reconstructions: Tensor, samples: Tensor, classes: Tensor | None) -> dict[str, float]:
        """reconstructions: of all test images. samples: decoder means of prior draws; classes: of each sample, for a
        conditional model. NaN for a comparison that needs more images than there are."""
        read = self.classifier.read(reconstructions)
        metrics = {
            "legibility": generation.legibility(read.classes, self.labels),
            "legibility_original": self.legibility_original,
        }
        if not len(samples):
            return metrics
        drawn = self.classifier.read(samples)
        same = min(len(drawn.features), len(self.real))
        fake, real = drawn.features[:same], self.real[:same]
        for name, (metric, least) in COMPARISONS.items():
            metrics[name] = metric(real, fake) if same >= least else math.nan
        metrics["class_entropy"] = generation.class_entropy(drawn.classes, self.classifier.classes)
        if classes is not None:
            metrics["class_accuracy"] = generation.legibility(drawn.classes, classes)
        return metrics
