"""Forward passes and gradients by autograd: the reference, held against a plain loop over ordinary modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.gradient_samples import gradients
from tests.stack_samples import drifted
from vae import Arm, Stack
from vae.families import FAMILIES
from vae.losses import loss
from vae.objectives import term_weights
from vae.posteriors import Gaussian
from vae.training.autograd import Autograd, Engine, Weighting, loss_runs


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


BATCH, LATENTS, CLASSES = 5, 3, 4
ARMS = [
    Arm("bce", reduction="mean", beta=0.5),
    Arm("mae", beta=2, posterior="full-logvar"),
    Arm("mae", reduction="batch-mean", beta=0.1, posterior="log-std"),
    Arm("tests.own_losses:cubic"),
]

families = pytest.mark.parametrize("family", FAMILIES)
conditional = pytest.mark.parametrize("classes", [0, CLASSES])


def scene(family: str, classes: int, arms: list[Arm] = ARMS) -> tuple[Stack, Tensor, Tensor, Tensor | None]:
    """A stack in float64 whose arms have drifted apart, images, noise and labels; all sizes differ."""
    arms = [arm.replace(precision="float64") for arm in arms]
    stack = drifted(
        Stack.create(lambda: FAMILIES[family]((8, 7), LATENTS, classes), arms, dataset="scene", seed=0), size=0.1
    )
    source = torch.Generator().manual_seed(1)
    x = torch.rand(BATCH, 8, 7, generator=source, dtype=torch.float64)
    noise = torch.randn(BATCH, LATENTS, generator=source, dtype=torch.float64)
    return stack, x, noise, torch.tensor([3, 0, 1, 1, 2]) if classes else None


@families
@conditional
def test_a_stack_computes_what_its_modules_compute(family: str, classes: int) -> None:
    stack, x, noise, y = scene(family, classes)
    engine = Engine(stack)
    logits, true_rates = engine.forward(x, noise, y, true_rate=True)
    distortion, rates = engine.terms(x, noise, y)
    assert logits.shape == (len(ARMS), BATCH, 56)
    for index, arm in enumerate(ARMS):
        model, posterior = stack.module(index), Gaussian.of(arm.posterior)
        outputs = model.encode(x, y)
        expected_logits = model.decode(posterior.sample(outputs, noise), y).flatten(1)
        expected = (
            expected_logits,
            posterior.rate(outputs),
            loss(arm.loss).distortion(expected_logits, x.flatten(1)),
            posterior.divergence(outputs),
        )
        actual = logits[index], true_rates[index], distortion[index], rates[index]
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(true_rates[1], rates[1])  # full-logvar, the slip, counts another rate than it spends


@families
@conditional
def test_gradients_are_those_of_each_module_alone(family: str, classes: int) -> None:
    stack, x, noise, y = scene(family, classes)
    engine = Autograd(stack)
    values = engine.step(x, noise, y, Weighting.of(stack, BATCH))
    by_name = gradients(engine)
    for index, arm in enumerate(ARMS):
        model, posterior = stack.module(index), Gaussian.of(arm.posterior)
        outputs = model.encode(x, y)
        logits = model.decode(posterior.sample(outputs, noise), y).flatten(1)
        distortion, rates = loss(arm.loss).distortion(logits, x.flatten(1)), posterior.divergence(outputs)
        recon, kl = term_weights(arm.reduction, arm.beta, batch=BATCH, pixels=56, latents=LATENTS)
        (recon * distortion.sum() + kl * rates.sum()).backward()
        for name, value in model.named_parameters():
            torch.testing.assert_close(by_name[name][index], value.grad, rtol=1e-9, atol=1e-12, msg=name)
        assert values.distortion is not None
        torch.testing.assert_close(values.distortion[index], distortion.mean().detach())
        torch.testing.assert_close(values.rate[index], rates.mean().detach())


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
        exact, rounded = Engine(stack).forward(x, noise), Engine(stack, rounded=True).forward(x, noise)
    for one, other in zip(exact, rounded):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_a_forward_pass_changes_nothing() -> None:
    stack, x, noise, _ = scene("mlp", 0)
    before = {name: value.clone() for name, value in stack.parameters.items()}
    Engine(stack).terms(x, noise)
    assert all(torch.equal(before[name], value) for name, value in stack.parameters.items())
    assert not any(value.requires_grad for value in stack.parameters.values())


def test_runs_of_one_loss_are_neighbours() -> None:
    stack, *_ = scene("mlp", 0, [Arm(name) for name in ("mse", "mse", "bce", "mse")])
    assert [(run.name, arms) for run, arms in loss_runs(stack)] == [
        ("mse", slice(0, 2)),
        ("bce", slice(2, 3)),
        ("mse", slice(3, 4)),
    ]


def test_weightings_know_whether_they_are_plain() -> None:
    stack, *_ = scene("mlp", 0, [Arm("mse", beta=2), Arm("bce", beta=3)])
    weighting = Weighting.of(stack, 7)
    assert weighting.plain
    assert (weighting.recon.tolist(), weighting.kl.tolist()) == ([1, 1], [2, 3])
    stack, *_ = scene("mlp", 0, [Arm("mse", beta=2), Arm("bce", reduction="batch-mean", beta=3)])
    weighting = Weighting.of(stack, 8)
    assert not weighting.plain
    assert (weighting.recon.tolist(), weighting.kl.tolist()) == ([1, 1 / 8], [2, 3 / 8])


def test_the_check_is_not_finite_where_any_gradient_is_not() -> None:
    stack, x, noise, _ = scene("mlp", 0, [Arm("bce"), Arm("mse", beta=2)])
    weighting = Weighting.of(stack, BATCH)
    assert torch.isfinite(Autograd(stack.select([0, 1])).step(x, noise, None, weighting).finite_check).all()
    stack.parameters["output.weight"][1, 3, 2] = torch.inf
    assert torch.isfinite(Autograd(stack).step(x, noise, None, weighting).finite_check).tolist() == [True, False]
