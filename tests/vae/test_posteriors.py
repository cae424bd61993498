"""Posteriors: the Gaussian's laws, its gradients by hand, and models that bring a posterior of their own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import vae
from ablations.evaluation import Evaluator, epoch_scores
from ablations.sections import Evaluation
from tests.stack_samples import assert_arms_agree, drifted
from vae import VAE, Arm, ImageData, Stack, UserError
from vae.models import Reconstructor
from vae.posteriors import POSTERIORS, USUAL, Gaussian, OwnPosterior, posterior_of, rate
from vae.training.autograd import Autograd, Weighting
from vae.training.blocks import gradients
from vae.training.memory import stack_bytes
from vae.training.settings import Training

IMAGES, LATENTS = 5, 4
every_posterior = pytest.mark.parametrize("name", POSTERIORS)


def draws(*shape: int) -> tuple[Tensor, ...]:
    """Mean, spread and noise in float64."""
    source = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, *shape, generator=source, dtype=torch.float64))


def kl(mean: Tensor, std: Tensor) -> Tensor:
    """By torch, summed over latents."""
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return torch.distributions.kl_divergence(torch.distributions.Normal(mean, std), prior).sum(-1)


# The Gaussian


def test_rate_is_the_divergence_that_torch_computes() -> None:
    mean, logvar, _ = draws(2, IMAGES, LATENTS)
    torch.testing.assert_close(rate(mean, logvar), kl(mean, (logvar / 2).exp()), rtol=1e-12, atol=1e-12)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_rate_is_never_negative_and_zero_only_at_the_prior(mean: float, logvar: float) -> None:
    nats = float(rate(torch.tensor([mean], dtype=torch.float64), torch.tensor([logvar], dtype=torch.float64)))
    assert nats >= -1e-15
    assert nats > 0 or (abs(mean) < 1e-7 and abs(logvar) < 1e-7)


@every_posterior
def test_a_sample_has_the_moments_and_its_rate_is_their_divergence(name: str) -> None:
    posterior, (mean, spread, noise) = Gaussian.of(name), draws(IMAGES, LATENTS)
    centre, logvar = posterior.moments((mean, spread))
    std = (logvar / 2).exp()
    torch.testing.assert_close(posterior.sample((mean, spread), noise), centre + std * noise, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(posterior.rate((mean, spread)), kl(centre, std), rtol=1e-12, atol=1e-12)
    assert torch.equal(posterior.centre((mean, spread)), posterior.sample((mean, spread), torch.zeros_like(noise)))
    assert torch.equal(posterior.prior(noise), noise)


@every_posterior
def test_the_objective_counts_what_is_sampled_but_for_the_slip(name: str) -> None:
    outputs, reading = draws(IMAGES, LATENTS)[:2], POSTERIORS[name]
    posterior = Gaussian.of(name)
    agrees = torch.allclose(posterior.divergence(outputs), posterior.rate(outputs), rtol=1e-12)
    assert agrees == (reading.kl_factor == 2 * reading.std_factor) == (name != "full-logvar")


def test_the_factors_are_those_of_the_habits_they_name() -> None:
    factors = {name: (reading.std_factor, reading.kl_factor) for name, reading in POSTERIORS.items()}
    assert factors == {"half-logvar": (0.5, 1.0), "full-logvar": (1.0, 1.0), "log-std": (1.0, 2.0)}
    assert Arm().posterior == USUAL


# Gradients by hand


@pytest.mark.parametrize("names", [tuple(POSTERIORS), ("log-std",)], ids=str)
def test_a_draw_is_the_posterior_with_its_gradients(names: tuple[str, ...]) -> None:
    """One posterior per arm, as tensors of factors; the gradient of Σ to_z · z + weight · Σ divergence."""
    arms = len(names)
    readings = [POSTERIORS[name] for name in names]
    std = torch.tensor([reading.std_factor for reading in readings], dtype=torch.float64).view(arms, 1, 1)
    kl_factor = torch.tensor([reading.kl_factor for reading in readings], dtype=torch.float64).view(arms, 1, 1)
    posterior = Gaussian(std, kl_factor)
    mean, spread, to_z = draws(arms, IMAGES, LATENTS)
    noise, weight = draws(IMAGES, LATENTS)[2], torch.arange(arms, dtype=torch.float64).view(arms, 1, 1) + 0.3
    leaf = torch.cat([mean, spread], dim=-1).requires_grad_(True)
    outputs = leaf[..., :LATENTS], leaf[..., LATENTS:]
    z, divergence = posterior.sample(outputs, noise), posterior.divergence(outputs)
    ((to_z * z).sum() + (weight[..., 0] * divergence).sum()).backward()

    draw = posterior.draw(leaf.detach().clone(), noise)
    torch.testing.assert_close(draw.z, z.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(draw.mean_divergence(), divergence.detach().mean(-1), rtol=1e-12, atol=1e-12)
    to_heads = draw.backward(to_z.clone(), weight, out=torch.empty_like(leaf))
    torch.testing.assert_close(to_heads, leaf.grad, rtol=1e-12, atol=1e-12)


# Models with a posterior of their own


class LaplaceVAE(VAE):
    """Code and prior are Laplace distributions: the same encoder, read as location and log scale."""

    def sample(self, outputs: tuple[Tensor, ...], noise: Tensor) -> Tensor:
        location, log_scale = outputs
        return location + log_scale.exp() * self.prior(noise)

    def divergence(self, outputs: tuple[Tensor, ...]) -> Tensor:
        """KL(Laplace(m, b) || Laplace(0, 1)) = |m| + b e^(−|m|/b) − 1 − ln b."""
        location, log_scale = outputs
        size, scale = location.abs(), log_scale.exp()
        return (size + scale * (-size / scale).exp() - 1 - log_scale).sum(-1)

    def rate(self, outputs: tuple[Tensor, ...]) -> Tensor:
        return self.divergence(outputs)

    def centre(self, outputs: tuple[Tensor, ...]) -> Tensor:
        return outputs[0]

    def prior(self, noise: Tensor) -> Tensor:
        uniform = torch.special.ndtr(noise).clamp(1e-6, 1 - 1e-6) - 0.5
        return -uniform.sign() * torch.log1p(-2 * uniform.abs())


class VectorQuantised(nn.Module):
    """The nearest of a few learnt codes (van den Oord et al. 2017): discrete, and it draws no noise.

    encode returns the encoder's point, the nearest code and its number, which is a whole number.
    """

    CODES, COMMITMENT = 8, 0.25

    def __init__(self, image_shape: tuple[int, ...], latents: int, classes: int = 0) -> None:
        super().__init__()
        self.image_shape, self.latents, self.classes = image_shape, latents, classes
        pixels = math.prod(image_shape)
        self.inward, self.outward = nn.Linear(pixels, latents), nn.Linear(latents, pixels)
        self.codes = nn.Parameter(torch.randn(self.CODES, latents))

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        point = self.inward(x.flatten(1))  # (images, latents)
        number = (point.unsqueeze(1) - self.codes).square().sum(-1).argmin(-1)  # (images,)
        return point, self.codes[number], number

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.outward(z).unflatten(-1, self.image_shape)

    def sample(self, outputs: tuple[Tensor, ...], noise: Tensor) -> Tensor:
        point, code, _ = outputs
        return point + (code - point).detach()  # straight through

    def divergence(self, outputs: tuple[Tensor, ...]) -> Tensor:
        point, code, number = outputs
        assert not number.is_floating_point()
        pull = (code - point.detach()).square() + self.COMMITMENT * (point - code.detach()).square()
        return self.rate(outputs) + pull.sum(-1)

    def rate(self, outputs: tuple[Tensor, ...]) -> Tensor:
        """ln K: what the number of a code costs under a prior that prefers none."""
        return torch.full_like(outputs[0][..., 0], math.log(self.CODES))

    def centre(self, outputs: tuple[Tensor, ...]) -> Tensor:
        return outputs[1]

    def prior(self, noise: Tensor) -> Tensor:
        number = (torch.special.ndtr(noise[..., 0]) * self.CODES).long().clamp(0, self.CODES - 1)
        return self.codes[number]


OWN: dict[str, Any] = {
    "laplace": lambda: LaplaceVAE((8, 8), LATENTS, hidden=(16,)),
    "vector-quantised": lambda: VectorQuantised((8, 8), LATENTS),
}
every_own = pytest.mark.parametrize("own", OWN)
SETTINGS = Evaluation(per_epoch_images=20, iwae_images=5, iwae_samples=4, generated=30, blur_images=10)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return vae.load("digits", train=300, test=40, held_out=50)


def trained(own: str, arms: list[Arm], images: ImageData) -> tuple[Stack, list[vae.EpochRecord]]:
    stack = Stack.create(OWN[own], arms, dataset="digits", seed=2)
    return stack, list(vae.fit(stack, images))


def arms_in(precision: str) -> list[Arm]:
    shared = {"latents": LATENTS, "epochs": 6, "batch_size": 25, "precision": precision}
    return [Arm("bce", **shared), Arm("mse", beta=0.1, learning_rate=1e-2, **shared), Arm("bce", beta=4, **shared)]


def test_only_a_model_with_all_of_a_posteriors_methods_brings_one() -> None:
    assert posterior_of(VAE((8, 8), 2), "log-std") == Gaussian.of("log-std")
    for build in OWN.values():
        model = build()
        assert isinstance(model, OwnPosterior)
        assert posterior_of(model, USUAL) is model


@every_own
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_model_with_its_own_posterior_learns_the_same_alone_and_in_a_stack(
    own: str, one_by_one: bool, digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(OWN[own]()), "alone_on_cpu", one_by_one, raising=False)
    together, records = trained(own, arms_in("float64"), digits)
    for index, arm in enumerate(together.arms):
        single, its_records = trained(own, [arm], digits)
        assert_arms_agree(together, [index], single, [0])
        torch.testing.assert_close(records[-1].rate[index], its_records[-1].rate[0], rtol=1e-9, atol=1e-9)
    assert (records[-1].distortion < records[0].distortion).all()


@every_own
def test_its_gradients_are_those_of_its_own_formulas(own: str) -> None:
    stack = drifted(Stack.create(OWN[own], arms_in("float64"), dataset="digits", seed=0), size=0.1)
    engine = gradients(stack)
    assert isinstance(engine, Autograd)  # also of a model that is a `VAE` otherwise
    x, noise = torch.rand(IMAGES, 8, 8, dtype=torch.float64), torch.randn(IMAGES, LATENTS, dtype=torch.float64)
    model: Any = stack.module(1)
    outputs = model.encode(x)
    distortion = (torch.sigmoid(model.decode(model.sample(outputs, noise))) - x).square().sum()
    (distortion + 0.1 * model.divergence(outputs).sum()).backward()
    engine.step(x, noise, None, Weighting.of(stack, IMAGES))
    for name, value in model.named_parameters():
        leaf = engine.named[name]
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad[1], value.grad, rtol=1e-9, atol=1e-12, msg=name)


def test_the_laplace_rate_is_the_divergence_that_torch_computes() -> None:
    location, log_scale, _ = draws(IMAGES, LATENTS)
    posterior = torch.distributions.Laplace(location, log_scale.exp())
    prior = torch.distributions.Laplace(torch.zeros_like(location), torch.ones_like(location))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(-1)
    torch.testing.assert_close(LaplaceVAE((8, 8), LATENTS).rate((location, log_scale)), expected)


GAUSSIAN_ONLY = {
    "active_units",
    "aggregate_variance",
    "collapsed",
    "neg_iwae",
    "iwae_error",
    "iwae_gap",
    "iwae_log_ess",
}


@every_own
def test_it_is_measured_without_what_only_a_gaussian_has(own: str, digits: ImageData, tmp_path: Path) -> None:
    stack, _ = trained(own, arms_in("float32"), digits)
    evaluator = Evaluator(digits, SETTINGS, cache=tmp_path, device=torch.device("cpu"))
    evaluator.__dict__["classifiers"] = None  # slow, and tested elsewhere
    measured = evaluator.measure(stack.module(0), stack.arms[0], stack.seed)
    gaussian = Stack.create(lambda: VAE((8, 8), LATENTS, hidden=(16,)), stack.arms[:1], dataset="digits", seed=2)
    usual = evaluator.measure(gaussian.module(0), gaussian.arms[0], gaussian.seed)
    assert usual.metrics.keys() - measured.metrics.keys() == GAUSSIAN_ONLY
    assert usual.pictures.keys() - measured.pictures.keys() == {"unit_rate"}

    model: Any = stack.module(0).requires_grad_(False)
    outputs = model.encode(digits.test)
    assert measured.metrics["rate"] == pytest.approx(float(model.rate(outputs).mean()), rel=1e-5)
    assert measured.metrics["neg_elbo"] == pytest.approx(measured.metrics["bce"] + measured.metrics["rate"])
    shown = torch.sigmoid(model.decode(model.centre(outputs)))[evaluator.shown]
    torch.testing.assert_close(torch.from_numpy(measured.pictures["reconstructions"]) / 255, shown, rtol=0, atol=0.003)
    torch.testing.assert_close(Reconstructor(model)(digits.test)[evaluator.shown], shown)
    scores = epoch_scores(stack, digits, 20)
    assert float(scores["rate"][0]) == pytest.approx(float(model.rate(model.encode(digits.test[:20])).mean()), rel=1e-5)


@every_own
def test_another_reading_of_a_gaussians_spread_is_refused(own: str) -> None:
    with pytest.raises(UserError, match=r"posterior='log-std' says how .* and model \w+ has its own posterior"):
        Stack.create(OWN[own], [Arm(), Arm(posterior="log-std")], dataset="digits", seed=0)


@every_own
def test_the_memory_of_its_stack_is_predicted(own: str, digits: ImageData) -> None:
    one, ten = (stack_bytes(OWN[own](), arms, digits, Training()) for arms in (1, 10))
    assert 0 < one < ten
