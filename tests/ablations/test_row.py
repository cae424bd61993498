"""A cell's whole row, recomputed by hand: plain numpy, scikit-image and scipy where a metric has such a twin, and the
metric itself, whose own tests are elsewhere, where the question is what it was given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, xlogy
from skimage.measure import blur_effect
from skimage.metrics import structural_similarity
from torch import Tensor, nn

import vae
from ablations.evaluation import Evaluator, epoch_scores
from ablations.sections import Evaluation
from tests.study_samples import digits
from vae import streams
from vae.building import build
from vae.importance import iwae
from vae.metrics import generation, sharpness
from vae.metrics.classifier import Classifier
from vae.metrics.transfer import transfer
from vae.training.stack import Stack

SETTINGS = Evaluation(
    per_epoch_images=50, iwae_images=9, iwae_samples=6, generated=60, blur_images=20, classifiers=2, point_images=25
)
SEED = 3
TIMES = {"half-logvar": 1, "full-logvar": 2, "log-std": 2}  # the encoder's second output, as ln of the variance drawn
ARMS = [
    vae.Arm("bce", beta=0.2),
    vae.Arm("mae", beta=0.2, posterior="full-logvar"),
    vae.Arm("bce", beta=0.2, posterior="log-std"),
    vae.Arm("continuous-bernoulli", beta=0.2),
]
Array = np.ndarray


@dataclass
class Hand:
    """One trained model on the test images, by hand, in float64 from the network's outputs on."""

    model: nn.Module
    arm: vae.Arm
    images: vae.ImageData
    evaluator: Evaluator

    def noise(self, purpose: str, *shape: int) -> Tensor:
        return torch.randn(shape, generator=streams.generator(self.images.name, SEED, f"evaluation/{purpose}"))

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, spread = self.model.encode(x, y)
        return mean, TIMES[self.arm.posterior] * spread

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor | None) -> Array:
        return self.model.decode(z, y).double().numpy()

    def picture(self, own: Array) -> Array:
        if self.arm.loss != "continuous-bernoulli":
            return expit(own)
        return np.where(abs(own) < 1e-3, 0.5 + own / 12, 1 / -np.expm1(-own) - 1 / own)

    def drawn(self, x: Tensor, y: Tensor | None, purpose: str) -> Array:
        mean, logvar = self.encode(x, y)
        return self.decode(mean + torch.exp(logvar / 2) * self.noise(purpose, *mean.shape), y)

    @cached_property
    def order(self) -> Tensor:
        """The rows of the test set in the order in which the first few are taken."""
        stream = streams.generator(self.images.name, 0, "evaluation/order")
        return torch.randperm(len(self.images.test), generator=stream)

    @property
    def y(self) -> Tensor | None:
        return self.images.test_labels if self.model.classes else None

    @cached_property
    def at_mean(self) -> Array:
        mean, _ = self.encode(self.images.test, self.y)
        return self.picture(self.decode(mean, self.y))

    @cached_property
    def samples(self) -> Array:
        z = self.noise("prior", SETTINGS.generated, self.model.latents)
        classes = torch.arange(len(z)) % 10 if self.model.classes else None
        return self.picture(self.decode(z, classes))

    @cached_property
    def rates(self) -> Array:
        mean, logvar = (part.double().numpy() for part in self.encode(self.images.test, self.y))
        return (mean**2 + np.exp(logvar) - 1 - logvar).sum(-1) / 2

    def likelihood(self) -> dict[str, float]:
        x, own = self.images.test.double().numpy(), self.drawn(self.images.test, self.y, "posterior")
        mu, pixels = self.picture(own), x[0].size
        held, known = self.images.held_out, self.images.held_out_labels if self.model.classes else None
        held_own = self.drawn(held, known, "calibration")
        fitted, held = self.picture(held_own), held.double().numpy()
        variance, scale = np.mean((fitted - held) ** 2), np.mean(abs(fitted - held))
        bce, mse, mae = (
            v.sum((1, 2)).mean() for v in (-xlogy(x, mu) - xlogy(1 - x, 1 - mu), (mu - x) ** 2, abs(mu - x))
        )
        log_c = np.log(abs(own)) - np.log(np.tanh(abs(own) / 2))
        nats = grey_levels(mu, x, pixel_scales(fitted, held)) + self.rates
        as_logits = [np.log(p / (1 - p)) for p in (self.picture(held_own), mu)]
        by_table = table(as_logits[0], held, as_logits[1], x) + self.rates
        return {
            "rate": self.rates.mean(),
            "bce": bce,
            "mse": mse,
            "mae": mae,
            "neg_elbo": bce + self.rates.mean(),
            "nll_continuous_bernoulli": (np.logaddexp(0, own) - x * own - log_c).sum((1, 2)).mean(),
            "nll_gaussian": mse + pixels / 2 * math.log(math.pi),
            "nll_gaussian_calibrated": mse / (2 * variance) + pixels / 2 * math.log(2 * math.pi * variance),
            "nll_laplace": mae + pixels * math.log(2),
            "nll_laplace_calibrated": mae / scale + pixels * math.log(2 * scale),
            "bits_per_dim": nats.mean() / (pixels * math.log(2)),
            "bits_per_dim_table": by_table.mean() / (pixels * math.log(2)),
        }

    def importance(self) -> dict[str, float]:
        first = self.order[: SETTINGS.iwae_images]
        x, labels = self.images.test[first], None if self.y is None else self.y[first]

        def logits(z: Tensor, y: Tensor | None) -> Tensor:
            return torch.logit(torch.from_numpy(self.picture(self.decode(z, y))).float(), eps=1e-7)

        measured = iwae(
            logits,
            *self.encode(x, labels),
            x.flatten(1),
            samples=SETTINGS.iwae_samples,
            generator=streams.generator(self.images.name, SEED, "evaluation/importance"),
            labels=labels,
        )
        named = {"neg_iwae": measured.neg_iwae, "iwae_gap": measured.gap, "iwae_log_ess": measured.log_ess}
        error = float(measured.neg_iwae.std()) / SETTINGS.iwae_images**0.5
        return {name: float(values.mean()) for name, values in named.items()} | {"iwae_error": error}

    def sharp(self) -> dict[str, float]:
        x, mu = self.images.test.double().numpy(), self.at_mean
        own, original = acutances(mu), acutances(x)
        first = mu[self.order[: SETTINGS.blur_images]]
        return {
            "acutance": np.nanmean(own),
            "acutance_ratio": np.nanmean(own / original),
            "sigma_eq": float(np.nanmean(sharpness.sigma_eq(torch.from_numpy(own), threshold=0.05))),
            "n_blank": np.isnan(own).sum(),
            "edge_contrast": np.mean(slopes(mu).sum((1, 2)) / slopes(x).sum((1, 2))),
            "ink_ratio": np.mean(mu.sum((1, 2)) / x.sum((1, 2))),
            "foreground_recall": np.mean(((mu > 0.5) & (x > 0.5)).sum((1, 2)) / (x > 0.5).sum((1, 2))),
            "mtf50": transfer(torch.from_numpy(mu), torch.from_numpy(x)).mtf50,
            "blur_effect_11": np.mean([np.mean(blur_effect(i, h_size=11, reduce_func=None)) for i in first]),
            "blur_effect_5": np.mean([np.mean(blur_effect(i, h_size=5, reduce_func=None)) for i in first]),
            "sample_acutance": np.nanmean(acutances(self.samples)),
            "sample_sigma_eq": float(np.nanmean(sharpness.sigma_eq(torch.from_numpy(acutances(self.samples))))),
            "sample_n_blank": np.isnan(acutances(self.samples)).sum(),
        }

    def alike(self) -> dict[str, float]:
        x, mu = self.images.test.double().numpy(), self.at_mean
        squared = ((mu - x) ** 2).mean((1, 2))
        options = {"win_size": 7, "use_sample_covariance": False, "data_range": 1.0}
        return {
            "ssim": np.mean([structural_similarity(a, b, **options) for a, b in zip(mu, x)]),
            "ssim_inverted": np.mean([structural_similarity(1 - a, 1 - b, **options) for a, b in zip(mu, x)]),
            "psnr": np.mean(-10 * np.log10(squared)),
            "psnr_of_mean": -10 * np.log10(squared.mean()),
        }

    def latent(self) -> dict[str, float]:
        mean, logvar = (part.double().numpy() for part in self.encode(self.images.test, self.y))
        active = mean.var(0) > 0.01
        spread = mean.var(0) + np.exp(logvar).mean(0)
        return {
            "active_units": active.sum(),
            "aggregate_variance": spread[active].mean(),
            "collapsed": float(self.rates.mean() < 0.1),
        }

    def read(self) -> dict[str, float]:
        rows = [self.read_by(reader) for reader in self.evaluator.basis.classifiers]
        return {name: np.mean([row[name] for row in rows]) for name in rows[0]}

    def read_by(self, reader: Classifier) -> dict[str, float]:
        labels = self.images.test_labels
        recon, drawn, real = (
            reader.read(torch.as_tensor(i).float()) for i in (self.at_mean, self.samples, self.images.test)
        )
        features = real.features[self.order[: SETTINGS.generated]]
        shares = np.bincount(drawn.classes.numpy(), minlength=10) / len(drawn.classes)
        classes = torch.arange(len(drawn.classes)) % 10
        by_class = {"class_accuracy": float((drawn.classes == classes).double().mean())} if self.model.classes else {}
        return by_class | {
            "legibility": float((recon.classes == labels).double().mean()),
            "legibility_original": float((real.classes == labels).double().mean()),
            "kid": generation.kid(features, drawn.features),
            "frechet": generation.frechet(features, drawn.features),
            "coverage": generation.coverage(features, drawn.features),
            "class_entropy": -xlogy(shares, shares).sum(),
        }

    def row(self) -> dict[str, float]:
        parts = (self.likelihood, self.importance, self.sharp, self.alike, self.latent, self.read)
        return {name: float(value) for part in parts for name, value in part().items()}


def grey_levels(mu: Array, x: Array, scale: Array | float) -> Array:
    """−ln P of the stored grey level of each image, by differences of the logistic's distribution function; a hundredth
    of the probability is the same for all 17 levels."""
    level, step = np.rint(16 * x), 1 / 16
    above = np.where(level == 16, 1.0, expit((level * step + step / 2 - mu) / scale))
    below = np.where(level == 0, 0.0, expit((level * step - step / 2 - mu) / scale))
    return -np.log(0.99 * (above - below) + 0.01 / 17).sum((1, 2))


TRIED, STEP = np.linspace(math.log(1e-4), math.log(10), 60, retstep=True)


def pixel_scales(mu: Array, x: Array) -> Array:
    """The scale of each pixel: least cost, and half the squared distance of its logarithm from the common one's."""
    common = math.log(abs(mu - x).mean())
    scales = np.empty(x.shape[1:])
    for at in np.ndindex(scales.shape):
        m, t = mu[:, at[0], at[1]][:, None, None], x[:, at[0], at[1]][:, None, None]

        def cost(log_scale: float, m: Array = m, t: Array = t) -> float:
            return grey_levels(m, t, math.exp(log_scale)).sum() + (log_scale - common) ** 2 / 2

        best = min(TRIED, key=cost)
        ends = {"bounds": (max(best - STEP, TRIED[0]), best + STEP), "method": "bounded"}
        scales[at] = math.exp(minimize_scalar(cost, options={"xatol": 1e-9}, **ends).x)
    return scales


def table(fitted: Array, known: Array, logits: Array, x: Array) -> Array:
    """−ln of the share that a grey level has among the pixels of other images whose logits are in the same bin."""
    place = [np.clip(np.floor((logit + 8) * 30 / 16), 0, 29).astype(int) for logit in (fitted, logits)]
    level = [np.rint(16 * values).astype(int) for values in (known, x)]
    counts = np.full((30, 17), 0.1)
    np.add.at(counts, (place[0], level[0]), 1)
    return -np.log(counts / counts.sum(1, keepdims=True))[place[1], level[1]].sum((1, 2))


def slopes(images: Array) -> Array:
    across, down = np.zeros_like(images), np.zeros_like(images)
    across[:, :, :-1], down[:, :-1] = np.diff(images, axis=2), np.diff(images, axis=1)
    return np.hypot(across, down)


def acutances(images: Array) -> Array:
    g, height = slopes(images), np.ptp(images, axis=(1, 2))[:, None, None]
    kept = np.where(g > 0.05 * height, g, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        measured = (kept**2).sum((1, 2)) / (height[:, 0, 0] * kept.sum((1, 2)))
    return np.where(height[:, 0, 0] < 1e-3, np.nan, measured)


@pytest.fixture(scope="module")
def images() -> vae.ImageData:
    return digits()


def trained(images: vae.ImageData, arms: list[vae.Arm]) -> Stack:
    settings = {"latents": 4, "hidden": (24,), "epochs": 20, "batch_size": 32, "learning_rate": 3e-3}
    arms = [arm.replace(**settings) for arm in arms]
    template = partial(build, arms[0], images.image_shape, images.n_classes)
    stack = Stack.create(template, arms, dataset=images.name, seed=SEED)
    for _ in vae.fit(stack, images):
        pass
    return stack


def compare(stack: Stack, arm: int, images: vae.ImageData, cache: Path) -> None:
    evaluator = Evaluator(images, SETTINGS, cache=cache, device=torch.device("cpu"))
    hand = Hand(stack.module(arm).eval().requires_grad_(False), stack.arms[arm], images, evaluator)
    measured, expected = evaluator.measure(stack.module(arm), stack.arms[arm], SEED).metrics, hand.row()
    assert measured.keys() == expected.keys()
    assert hand.rates.mean() > 1  # a collapsed model would hide most slips
    wrong = {n: (measured[n], e) for n, e in expected.items() if measured[n] != pytest.approx(e, rel=2e-5, abs=2e-6)}
    assert not wrong


@pytest.mark.parametrize("arm", range(len(ARMS)), ids=[arm.label() for arm in ARMS])
def test_a_row_is_what_it_is_by_hand(arm: int, images: vae.ImageData, cache: Path) -> None:
    stack = trained(images, ARMS)
    compare(stack, arm, images, cache)
    x, noise = images.test[:50], Hand(stack.module(arm), ARMS[arm], images, None).noise("epoch", 50, 4)
    hand = Hand(stack.module(arm).requires_grad_(False), ARMS[arm], images, None)
    mean, logvar = hand.encode(x, None)
    mu, x = hand.picture(hand.decode(mean + torch.exp(logvar / 2) * noise, None)), x.double().numpy()
    bce = (-xlogy(x, mu) - xlogy(1 - x, 1 - mu)).sum((1, 2)).mean()
    scores = {name: float(values[arm]) for name, values in epoch_scores(stack, images, 50).items()}
    kl = float(((mean**2 + logvar.exp() - 1 - logvar) / 2).sum(-1).mean())
    assert scores == pytest.approx({"neg_elbo": bce + kl, "bce": bce, "rate": kl}, rel=2e-5)


def test_a_conditional_models_row_is_what_it_is_by_hand(images: vae.ImageData, cache: Path) -> None:
    compare(trained(images, [vae.Arm("mse", beta=0.1, conditional=True)]), 0, images, cache)
