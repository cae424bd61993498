"""Gradients by hand against autograd: float64, 1e-9, for everything that an arm can be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.gradient_samples import gradients
from tests.stack_samples import drifted
from vae import VAE, Arm, Stack
from vae.losses import LOSSES
from vae.objectives import REDUCTIONS
from vae.posteriors import POSTERIORS
from vae.training.autograd import Autograd, Gradients, StepValues, Weighting
from vae.training.fused import Fused

BATCH, LATENTS, CLASSES = 9, 4, 3

OWN = ("tests.own_losses:cubic", "tests.own_losses:charbonnier")
ALL_LOSSES = [Arm(name, beta=0.5) for name in (*LOSSES, *OWN)]
ALL_POSTERIORS = [Arm("mse", beta=2, posterior=name) for name in POSTERIORS]
ALL_REDUCTIONS = [Arm("mae", reduction=name, beta=0.7) for name in REDUCTIONS]
MIXED = [Arm("bce"), Arm("mae", reduction="mean"), Arm("bce", beta=0), Arm(OWN[0], posterior="log-std")]


def scene(
    arms: list[Arm], classes: int, hidden: tuple[int, ...], precision: str = "float64"
) -> tuple[Stack, tuple[Tensor, Tensor, Tensor | None]]:
    arms = [arm.replace(precision=precision) for arm in arms]
    build = lambda: VAE((5, 6), LATENTS, classes, hidden=hidden)  # noqa: E731
    stack = drifted(Stack.create(build, arms, dataset="fused", seed=0), size=0.2)
    source, dtype = torch.Generator().manual_seed(1), stack.dtype
    x = torch.rand(BATCH, 5, 6, generator=source, dtype=dtype)
    noise = torch.randn(BATCH, LATENTS, generator=source, dtype=dtype)
    return stack, (x, noise, torch.arange(BATCH) % CLASSES if classes else None)


def steps(stack: Stack, batch: tuple[Tensor, Tensor, Tensor | None]) -> tuple[list[Gradients], list[StepValues]]:
    engines: list[Gradients] = [kind(stack.select(range(len(stack)))) for kind in (Autograd, Fused)]
    weighting = Weighting.of(stack, BATCH)
    with torch.no_grad():
        return engines, [engine.step(*batch, weighting) for engine in engines]


@pytest.mark.parametrize("arms", [ALL_LOSSES, ALL_POSTERIORS, ALL_REDUCTIONS, MIXED, MIXED[:1]])
@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize("hidden", [(11,), (13, 7), (7, 5, 8)])
def test_by_hand_equals_autograd(arms: list[Arm], classes: int, hidden: tuple[int, ...]) -> None:
    (reference, fused), (expected, actual) = steps(*scene(arms, classes, hidden))
    torch.testing.assert_close((actual.distortion, actual.rate), (expected.distortion, expected.rate))
    by_hand, by_autograd = gradients(fused), gradients(reference)
    assert by_hand.keys() == by_autograd.keys()
    for name, value in by_autograd.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(by_hand[name], value, rtol=1e-9, atol=1e-12 * scale, msg=name)


def test_the_weights_are_the_stacks_own_under_the_stacks_names() -> None:
    stack, _ = scene(MIXED, CLASSES, (7, 5))
    before = {name: value.clone() for name, value in stack.parameters.items()}
    fused = Fused(stack)
    assert fused.named.keys() == before.keys()
    assert all(torch.equal(fused.named[name], value) for name, value in before.items())
    for leaf in fused.leaves:
        leaf.add_(1)
    assert all(torch.allclose(stack.parameters[name], value + 1) for name, value in before.items())


def test_values_are_only_computed_when_asked_for() -> None:
    stack, batch = scene(MIXED, 0, (7,))
    fused, weighting = Fused(stack), Weighting.of(stack, BATCH)
    with torch.no_grad():
        without = fused.step(*batch, weighting, distortion=False)
        before = {name: value.clone() for name, value in gradients(fused).items()}
        with_values = fused.step(*batch, weighting)
    assert without.distortion is None
    assert with_values.distortion is not None
    assert torch.equal(without.rate, with_values.rate)
    assert all(torch.equal(before[name], value) for name, value in gradients(fused).items())


def test_a_step_leaves_its_inputs_as_they_are() -> None:
    stack, (x, noise, y) = scene(MIXED, CLASSES, (7,))
    before = x.clone(), noise.clone()
    with torch.no_grad():
        Fused(stack).step(x, noise, y, Weighting.of(stack, BATCH))
    assert torch.equal(x, before[0])
    assert torch.equal(noise, before[1])


def test_batches_of_another_size_and_released_memory_change_nothing() -> None:
    stack, (x, noise, _) = scene(MIXED, 0, (7,))
    fused = Fused(stack)
    with torch.no_grad():
        fused.step(x, noise, None, Weighting.of(stack, BATCH))
        first = {name: value.clone() for name, value in gradients(fused).items()}
        fused.step(x[:4], noise[:4], None, Weighting.of(stack, 4))
        fused.release()
        assert all(name.endswith("bias") for name in gradients(fused))
        fused.step(x, noise, None, Weighting.of(stack, BATCH))
    assert all(torch.equal(first[name], value) for name, value in gradients(fused).items())


@pytest.mark.parametrize("arms", [MIXED, MIXED[:1]])
def test_float32_is_close_by_whichever_routine(arms: list[Arm]) -> None:
    """One arm takes oneDNN's products where there are any, several take torch.bmm."""
    engines, _ = steps(*scene(arms, CLASSES, (13, 7), "float32"))
    for name, value in gradients(engines[0]).items():
        torch.testing.assert_close(gradients(engines[1])[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_bfloat16_is_near_float32_and_its_gradients_are_float32() -> None:
    source = torch.Generator().manual_seed(0)
    x, noise = torch.rand(64, 5, 6, generator=source), torch.randn(64, LATENTS, generator=source)
    by_precision = {}
    for precision in ("float32", "bfloat16"):
        arms = [Arm("bce", precision=precision), Arm("mse", reduction="mean", precision=precision)]
        stack = Stack.create(lambda: VAE((5, 6), LATENTS, hidden=(32, 16)), arms, dataset="fused", seed=0)
        fused = Fused(stack)
        with torch.no_grad():
            fused.step(x, noise, None, Weighting.of(stack, 64))
        by_precision[precision] = gradients(fused)
    for name, exact in by_precision["float32"].items():
        rounded = by_precision["bfloat16"][name]
        assert rounded.dtype == torch.float32
        for arm in range(2):
            cosine = torch.cosine_similarity(rounded[arm].flatten(), exact[arm].flatten(), dim=0)
            assert cosine > 0.995, (name, arm, float(cosine))


def test_the_check_is_not_finite_where_any_gradient_is_not() -> None:
    for name in ("encoder.0.weight", "mean.bias", "spread.weight", "decoder.0.bias", "output.weight"):
        stack, batch = scene(MIXED, 0, (7,))
        stack.parameters[name][2].fill_(torch.nan)
        with torch.no_grad():
            values = Fused(stack).step(*batch, Weighting.of(stack, BATCH), distortion=False)
        assert torch.isfinite(values.finite_check).tolist() == [True, True, False, True], name
