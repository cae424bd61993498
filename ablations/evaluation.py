"""One trained cell: its row of metrics and its pictures. Also the few numbers worth having after every epoch.

What all cells of a study share (the originals' sharpness, a classifier, features of real images) is computed once.
Every draw comes from a named stream of the cell's seed, so two arms of a seed are measured with the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ablations import generation, measures
from ablations.measures import SCORING, Metrics, Originals, Scales, Trained, image_bytes, parts
from ablations.sections import Evaluation
from vae import streams
from vae.datasets.load import ImageData
from vae.importance import budget_on
from vae.likelihoods import bernoulli_nll
from vae.losses import loss
from vae.metrics.latents import unit_rates
from vae.metrics.transfer import Transfer, transfer
from vae.objectives import POSTERIORS, Objective, rate
from vae.training.autograd import Engine
from vae.training.memory import SCORED_AT_ONCE
from vae.training.precision import exact_products
from vae.training.stack import Stack

SHOWN = 10  # test images whose reconstructions are kept: the first of each class, or the first ten
CALIBRATION = 1000  # images that fit a scale where the study holds none out
CALIBRATING = 9  # tensors of their size that live while it is fitted
LOGISTIC_IMAGES = 1000  # of the test set: the yardstick's standard error there is far below seed noise


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


@dataclass(frozen=True)
class Measurement:
    """metrics: catalogue name -> value. pictures: arrays for ``pictures.npz``."""

    metrics: Metrics
    pictures: dict[str, np.ndarray[Any, Any]]


@torch.no_grad()
def epoch_scores(stack: Stack, images: ImageData, count: int) -> dict[str, Tensor]:
    """Per arm, (arms,): test −ELBO (Bernoulli, sampled z), its BCE and its rate on the first ``count`` test images.

    NaN for an arm that has diverged: its weights are zeros, and what these would score is no result.
    """
    if not count:
        return {}
    x = images.test[:count].to(device=stack.device, dtype=stack.dtype)
    labels = images.test_labels[:count].to(stack.device) if stack.classes and images.test_labels is not None else None
    noise = _noise(images, stack.seed, "evaluation/epoch", (len(x), stack.latents)).to(x)
    true = stack.column([POSTERIORS[each.posterior].true_factor for each in stack.objectives])
    engine, gone = Engine(stack), list(stack.diverged)
    bce, rates = torch.zeros(2, stack.arms, device=stack.device, dtype=torch.float64)
    for start in range(0, len(x), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        with exact_products(stack.device):
            logits, mean, spread = engine.forward(x[part], noise[part], measures.some(labels, part))
        for arm, each in enumerate(stack.objectives):
            decoded = _bernoulli_logits(logits[arm], each)
            bce[arm] += bernoulli_nll(decoded, x[part].flatten(1)).sum()
        rates += rate(mean, true * spread).sum(-1)
    bce[gone], rates[gone] = torch.nan, torch.nan
    bce, rates = bce.cpu() / len(x), rates.cpu() / len(x)
    return {"neg_elbo": bce + rates, "bce": bce, "rate": rates}


def _bernoulli_logits(logits: Tensor, objective: Objective) -> Tensor:
    mean = loss(objective.loss).mean
    return logits if mean is torch.sigmoid else torch.logit(mean(logits), eps=1e-7)


def _noise(images: ImageData, seed: int, purpose: str, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=streams.generator(images.name, seed, purpose))


class Evaluator:
    """The rulers of one study, set up once.

    images: the study's. settings: how much is measured. conditional: whether models take labels. cache: where the
    classifier is kept between runs.
    """

    def __init__(
        self, images: ImageData, settings: Evaluation, *, conditional: bool, cache: Path, device: torch.device
    ) -> None:
        self.images, self.settings, self.device, self._cache = images, settings, device, cache
        self.test = images.test.to(device)
        labels = images.test_labels if conditional else None
        self.labels = None if labels is None else labels.to(device)
        self.classes = images.n_classes if conditional else 0

    @cached_property
    def originals(self) -> Originals:
        return Originals.of(self.test)

    @cached_property
    def judge(self) -> generation.Judge | None:
        """The classifier's eyes and what they see in real images; None for images without labels."""
        return generation.Judge.prepare(self.images, self.settings, cache=self._cache, device=self.device)

    @cached_property
    def shown(self) -> Tensor:
        """Indices of the test images that are kept as pictures: one of each class where there are classes."""
        labels = self.images.test_labels
        if labels is None or self.images.n_classes > SHOWN:
            return torch.arange(min(SHOWN, len(self.test)))
        firsts = [(labels == k).nonzero()[:1, 0] for k in range(self.images.n_classes)]
        return torch.cat(firsts)

    def prepare(self) -> None:
        """Set up what all cells share, so that the first one does not pay for it: on MNIST some twenty seconds."""
        with exact_products(self.device):
            _ = self.originals, self.judge, self.shown

    def measure(self, model: nn.Module, objective: Objective, seed: int) -> Measurement:
        """All metrics and pictures of one trained model."""
        with exact_products(self.device):
            return self._measure(model, objective, seed)

    def _measure(self, model: nn.Module, objective: Objective, seed: int) -> Measurement:
        # Rulers work in float32 or float64 of their own; the weights are measured as they were trained.
        trained = Trained(model.eval().requires_grad_(False).to(dtype=torch.float32), objective)
        mean, logvar = trained.encode(self.test, self.labels)
        at_mean = trained.images(mean, self.labels)
        moved = transfer(_planes(at_mean), _planes(self.test))
        samples, sampled_labels = self._samples(trained, mean.shape[-1], seed)
        metrics = {
            **self._sampled(trained, mean, logvar, seed),
            **measures.similarity_scores(at_mean, self.test),
            **measures.sharpness_scores(at_mean, self.originals, moved, self.settings.blur_images),
            **measures.latent_scores(mean, logvar),
        }
        if len(samples):
            metrics |= measures.sample_sharpness(samples)
        if self.judge is not None:
            metrics |= self.judge.scores(at_mean, samples, sampled_labels)
        return Measurement(metrics, self._pictures(at_mean, samples, moved, unit_rates(mean, logvar)))

    def _sampled(self, trained: Trained, mean: Tensor, logvar: Tensor, seed: int) -> Metrics:
        noise = _noise(self.images, seed, "evaluation/posterior", tuple(mean.shape)).to(mean)
        z, x = mean + torch.exp(logvar / 2) * noise, self.test.flatten(1)
        rates, scales = rate(mean, logvar), self._scales(trained, seed)

        def scored(part: slice) -> measures.Values:
            drawn = z[part], measures.some(self.labels, part)
            logits, own = trained.logits(*drawn).flatten(1), trained.own_logits(*drawn)
            own = None if own is None else own.flatten(1)
            return measures.image_scores(logits, x[part], rates[part], scales, LOGISTIC_IMAGES - part.start, own)

        scores = {"rate": measures.average(rates)} | measures.averages(map(scored, trained.parts(len(x))))
        scores["neg_elbo"] = scores["bce"] + scores["rate"]
        count = min(self.settings.iwae_images, len(x))
        if count:
            labels = None if self.labels is None else self.labels[:count]
            generator = streams.generator(self.images.name, seed, "evaluation/importance")
            scores |= measures.importance_bound(
                trained, self.test[:count], labels, self.settings.iwae_samples, generator
            )
        return scores

    def _scales(self, trained: Trained, seed: int) -> Scales:
        """Fitted at a sampled z on held-out images, or, where the study holds none out, on training images."""
        held = len(self.images.held_out) > 0
        x = (self.images.held_out if held else self.images.train)[:CALIBRATION].to(self.device)
        known = self.images.held_out_labels if held else self.images.train_labels
        labels = known[: len(x)].to(self.device) if self.classes and known is not None else None
        mean, logvar = trained.encode(x, labels)
        noise = _noise(self.images, seed, "evaluation/calibration", tuple(mean.shape)).to(mean)
        images = trained.images(mean + torch.exp(logvar / 2) * noise, labels)
        return Scales.fit(images.flatten(1), x.flatten(1))

    def _samples(self, trained: Trained, latents: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """Decoder means of prior draws; of a conditional model class by class in turn, with the classes asked for."""
        count = self.settings.generated
        z = _noise(self.images, seed, "evaluation/prior", (count, latents)).to(self.device)
        labels = torch.arange(count, device=self.device) % self.classes if self.classes else None
        return (trained.images(z, labels) if count else self.test[:0]), labels

    def _pictures(self, at_mean: Tensor, samples: Tensor, moved: Transfer, rates: Tensor) -> dict[str, Any]:
        shown = self.shown.to(self.device)
        rows = max(self.classes, SHOWN)
        return {
            "originals": _bytes(self.test[shown]),
            "reconstructions": _bytes(at_mean[shown]),
            "samples": _bytes(samples[: 2 * rows]),
            "transfer_frequency": moved.frequency.numpy(),
            "transfer_h": moved.h.numpy(),
            "transfer_gain": moved.gain.numpy(),
            "transfer_coherence": moved.coherence.numpy(),
            "unit_rate": rates.double().cpu().numpy(),
        }


def _planes(images: Tensor) -> Tensor:
    """(N, H, W): the planes of a colour image are measured as images of their own."""
    return images.flatten(0, -3)


def _bytes(images: Tensor) -> np.ndarray[Any, Any]:
    levels = (images.detach().cpu().clamp(0, 1) * 255).round()
    return levels.to(torch.uint8).numpy()
