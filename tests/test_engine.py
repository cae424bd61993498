"""Forward passes and gradients by autograd: the reference, held against a plain loop over ordinary modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.gradient_samples import gradients
from vae import Objective, Stack
from vae.losses import loss
from vae.models import FAMILIES
from vae.objectives import POSTERIORS, rate
from vae.training.autograd import Autograd, Engine, Weighting, loss_runs


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


BATCH, LATENTS, CLASSES = 5, 3, 4
ARMS = [
    Objective("bce", "mean", 0.5),
    Objective("mae", "sum", 2, "full-logvar"),
    Objective("mae", "batch-mean", 0.1, "log-std"),
    Objective("tests.own_losses:cubic"),
]

families = pytest.mark.parametrize("family", FAMILIES)
conditional = pytest.mark.parametrize("classes", [0, CLASSES])


def scene(family: str, classes: int, arms: list[Objective] = ARMS) -> tuple[Stack, Tensor, Tensor, Tensor | None]:
    """A stack whose arms have drifted apart, images, noise and labels; all sizes differ."""
    stack = Stack.create(
        lambda: FAMILIES[family]((8, 7), LATENTS, classes), arms, dataset="scene", seed=0, dtype=torch.float64
    )
    source = torch.Generator().manual_seed(0)
    for value in stack.parameters.values():
        value += 0.1 * torch.randn(value.shape, generator=source, dtype=value.dtype)
    x = torch.rand(BATCH, 8, 7, generator=source, dtype=torch.float64)
    noise = torch.randn(BATCH, LATENTS, generator=source, dtype=torch.float64)
    return stack, x, noise, torch.tensor([3, 0, 1, 1, 2]) if classes else None


@families
@conditional
def test_a_stack_computes_what_its_modules_compute(family: str, classes: int) -> None:
    stack, x, noise, y = scene(family, classes)
    logits, mean, spread = Engine(stack).forward(x, noise, y)
    distortion, rates = Engine(stack).terms(x, noise, y)
    assert logits.shape == (len(ARMS), BATCH, 56)
    for arm, each in enumerate(ARMS):
        model, posterior = stack.module(arm), POSTERIORS[each.posterior]
        its_mean, its_spread = model.encode(x, y)
        z = its_mean + torch.exp(posterior.std_factor * its_spread) * noise
        its_logits = model.decode(z, y).flatten(1)
        torch.testing.assert_close((logits[arm], mean[arm], spread[arm]), (its_logits, its_mean, its_spread))
        expected = loss(each.loss).distortion(its_logits, x.flatten(1))
        torch.testing.assert_close(distortion[arm], expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(rates[arm], rate(its_mean, posterior.kl_factor * its_spread))


@families
@conditional
def test_gradients_are_those_of_each_module_alone(family: str, classes: int) -> None:
    stack, x, noise, y = scene(family, classes)
    engine = Autograd(stack)
    values = engine.step(x, noise, y, Weighting.of(stack, BATCH))
    found = gradients(engine)
    for arm, each in enumerate(ARMS):
        model, posterior = stack.module(arm), POSTERIORS[each.posterior]
        mean, spread = model.encode(x, y)
        logits = model.decode(mean + torch.exp(posterior.std_factor * spread) * noise, y).flatten(1)
        distortion, its_rate = (
            loss(each.loss).distortion(logits, x.flatten(1)),
            rate(mean, posterior.kl_factor * spread),
        )
        recon, kl = each.factors(batch=BATCH, pixels=56, latents=LATENTS)
        (recon * distortion.sum() + kl * its_rate.sum()).backward()
        for name, value in model.named_parameters():
            torch.testing.assert_close(found[name][arm], value.grad, rtol=1e-9, atol=1e-12, msg=name)
        assert values.distortion is not None
        torch.testing.assert_close(values.distortion[arm], distortion.mean().detach())
        torch.testing.assert_close(values.rate[arm], its_rate.mean().detach())


@families
def test_side_by_side_and_one_by_one_are_one(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, x, noise, _ = scene(family, 0)
    outputs = []
    for alone in (True, False):
        monkeypatch.setattr(type(stack.template), "alone_on_cpu", alone, raising=False)
        outputs.append(Engine(stack).forward(x, noise))
    for one, other in zip(*outputs):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@families
def test_bfloat16_rounds_products_and_returns_float32(family: str) -> None:
    stack = Stack.create(lambda: FAMILIES[family]((8, 7), LATENTS), ARMS, dataset="scene", seed=0)
    x, noise = torch.rand(BATCH, 8, 7), torch.randn(BATCH, LATENTS)
    with torch.no_grad():
        exact, rounded = Engine(stack).forward(x, noise), Engine(stack, "bfloat16").forward(x, noise)
    for one, other in zip(exact, rounded):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_looking_changes_nothing() -> None:
    stack, x, noise, _ = scene("mlp", 0)
    before = {name: value.clone() for name, value in stack.parameters.items()}
    Engine(stack).terms(x, noise)
    assert all(torch.equal(before[name], value) for name, value in stack.parameters.items())
    assert not any(value.requires_grad for value in stack.parameters.values())


def test_runs_of_one_loss_are_neighbours() -> None:
    stack, *_ = scene("mlp", 0, [Objective(name) for name in ("mse", "mse", "bce", "mse")])
    assert [(each.name, arms) for each, arms in loss_runs(stack)] == [
        ("mse", slice(0, 2)),
        ("bce", slice(2, 3)),
        ("mse", slice(3, 4)),
    ]


def test_weightings_know_whether_they_are_plain() -> None:
    stack, *_ = scene("mlp", 0, [Objective("mse", beta=2), Objective("bce", beta=3)])
    weighting = Weighting.of(stack, 7)
    assert weighting.plain
    assert (weighting.recon.tolist(), weighting.kl.tolist()) == ([1, 1], [2, 3])
    stack, *_ = scene("mlp", 0, [Objective("mse", beta=2), Objective("bce", "batch-mean", 3)])
    weighting = Weighting.of(stack, 8)
    assert not weighting.plain
    assert (weighting.recon.tolist(), weighting.kl.tolist()) == ([1, 1 / 8], [2, 3 / 8])


def test_the_pulse_stops_with_any_gradient() -> None:
    stack, x, noise, _ = scene("mlp", 0, [Objective("bce"), Objective("mse", beta=2)])
    weighting = Weighting.of(stack, BATCH)
    assert torch.isfinite(Autograd(stack.select([0, 1])).step(x, noise, None, weighting).pulse).all()
    stack.parameters["output.weight"][1, 3, 2] = torch.inf
    assert torch.isfinite(Autograd(stack).step(x, noise, None, weighting).pulse).tolist() == [True, False]
