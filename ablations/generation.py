"""Reconstructions and samples through the eyes of a classifier trained once on the study's own images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ablations.sections import Evaluation
from vae import streams
from vae.datasets.load import ImageData
from vae.metrics import generation as rulers
from vae.metrics.classifier import Classifier, trained_classifier

# Rulers of samples against as many real images, and the fewest that they can be asked about.
COMPARISONS = {
    "kid": (rulers.kid, 2),
    "frechet": (rulers.frechet, 2),
    "coverage": (rulers.coverage, rulers.NEIGHBOURS + 1),
}


@dataclass(frozen=True)
class Judge:
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
    def prepare(cls, images: ImageData, settings: Evaluation, *, cache: Path, device: torch.device) -> Judge | None:
        """Trained or read from the cache. None for images without labels, which nobody can be asked to read."""
        if images.train_labels is None or images.test_labels is None or images.n_classes < 2:
            return None
        classifier = trained_classifier(images.train, images.train_labels, digest=images.digest, cache=cache)
        reading = classifier.to(device).read(images.test.to(device))
        labels = images.test_labels.to(device)
        accuracy = rulers.legibility(reading.classes, labels)
        chosen = torch.randperm(len(labels), generator=streams.generator(images.name, 0, "evaluation/real"))
        real = reading.features[chosen[: settings.generated].to(device)]
        return cls(classifier, labels, real, accuracy)

    def scores(self, reconstructions: Tensor, samples: Tensor, asked: Tensor | None) -> dict[str, float]:
        """reconstructions: of all test images. samples: decoder means of prior draws; asked: the class of each, of a
        conditional model. NaN for a comparison that needs more images than there are."""
        read = self.classifier.read(reconstructions)
        found = {
            "legibility": rulers.legibility(read.classes, self.labels),
            "legibility_original": self.legibility_original,
        }
        if not len(samples):
            return found
        drawn = self.classifier.read(samples)
        same = min(len(drawn.features), len(self.real))
        fake, real = drawn.features[:same], self.real[:same]
        for name, (ruler, least) in COMPARISONS.items():
            found[name] = ruler(real, fake) if same >= least else math.nan
        found["class_entropy"] = rulers.class_entropy(drawn.classes, self.classifier.classes)
        if asked is not None:
            found["class_accuracy"] = rulers.legibility(drawn.classes, asked)
        return found
