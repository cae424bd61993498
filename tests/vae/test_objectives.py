"""Objectives: reductions as pairs of factors, beta_eff, and the identities that they obey."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gradient_samples import gradients
from vae import VAE, Arm, Stack, UserError
from vae.arms import same_objective, sum_twin
from vae.losses import LOSSES
from vae.objectives import REDUCTIONS, effective_beta, objective, term_weights
from vae.training.autograd import Autograd, Weighting
from vae.training.fit import batches
from vae.training.fused import Fused


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


sizes = st.integers(1, 5000)
betas = st.floats(0, 1e3, allow_nan=False)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", 1.0), ("batch-mean", 1.0), ("mean", 39.2), ("mean-recon", 100_352.0), ("mean-recon-batch", 784.0)],
)
def test_effective_beta_at_the_notes_setting(reduction: str, expected: float) -> None:
    assert effective_beta(reduction, 1, batch=128, pixels=784, latents=20) == expected


@given(st.sampled_from(sorted(REDUCTIONS)), betas, sizes, sizes, sizes)
def test_effective_beta_is_the_ratio_of_the_factors(
    reduction: str, beta: float, batch: int, pixels: int, latents: int
) -> None:
    arm = Arm("mse", reduction=reduction, beta=beta, batch_size=batch, latents=latents)
    recon, kl = term_weights(arm.reduction, arm.beta, batch=batch, pixels=pixels, latents=latents)
    beta_eff = effective_beta(reduction, beta, batch=batch, pixels=pixels, latents=latents)
    assert beta_eff == pytest.approx(kl / recon, rel=1e-12)
    assert arm.effective_beta(pixels) == beta_eff  # an arm knows its own batch size and latents


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_are_those_of_torch_code_with_that_reduction(reduction: str) -> None:
    """Each reduction written out as people write it, on tensors whose sizes all differ."""
    batch, pixels, latents, beta = 3, 11, 5, 0.7
    recon, kl = torch.rand(batch, pixels, dtype=torch.float64), torch.rand(batch, latents, dtype=torch.float64)
    written = {
        "sum": recon.sum() + beta * kl.sum(),
        "batch-mean": recon.sum(-1).mean() + beta * kl.sum(-1).mean(),
        "mean": recon.mean() + beta * kl.mean(),
        "mean-recon": recon.mean() + beta * kl.sum(),
        "mean-recon-batch": recon.mean() + beta * kl.sum(-1).mean(),
    }
    weights = term_weights(reduction, beta, batch=batch, pixels=pixels, latents=latents)
    loss = objective(
        recon.sum(-1)[None], kl.sum(-1)[None], recon=torch.tensor(weights[:1]), kl=torch.tensor(weights[1:])
    )
    assert float(loss) == pytest.approx(float(written[reduction]), rel=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", [Autograd, Fused])
def test_a_reduction_is_a_scale_times_the_sum_at_effective_beta(reduction: str, kind: type[Autograd | Fused]) -> None:
    """Gradients of every reduction are s_R times those of `sum` at beta_eff, for every loss: the algebra is exact."""
    batch, shape, latents, pixels = 6, (3, 5), 4, 15
    settings = {"beta": 0.3, "batch_size": batch, "latents": latents, "precision": "float64"}
    reduced = [Arm(name, reduction=reduction, **settings) for name in LOSSES]
    arms = [arm for one in reduced for arm in (one, sum_twin(one, one.effective_beta(pixels)))]
    stack = Stack.create(lambda: VAE(shape, latents, hidden=(7,)), arms, dataset="identity", seed=0)
    engine = kind(stack)
    x, noise = torch.rand(batch, *shape, dtype=torch.float64), torch.randn(batch, latents, dtype=torch.float64)
    with torch.no_grad():
        engine.step(x, noise, None, Weighting.of(stack, batch))
    scale, _ = term_weights(arms[0].reduction, arms[0].beta, batch=batch, pixels=pixels, latents=latents)
    for name, gradient in gradients(engine).items():
        torch.testing.assert_close(gradient[0::2], scale * gradient[1::2], rtol=1e-12, atol=1e-15, msg=name)


@given(st.sampled_from(sorted(REDUCTIONS)), st.sampled_from([0.0, 0.1, 1.0, 7.5]), sizes, sizes, sizes)
def test_an_arm_has_the_objective_of_its_sum_twin_and_of_no_other_arm(
    reduction: str, beta: float, batch: int, pixels: int, latents: int
) -> None:
    arm = Arm("mse", reduction=reduction, beta=beta, batch_size=batch, latents=latents, learning_rate=0.1)
    twin = sum_twin(arm, arm.effective_beta(pixels))
    assert twin.effective_beta(pixels) == pytest.approx(arm.effective_beta(pixels), rel=1e-11)
    others = [twin.replace(loss="bce"), twin.replace(learning_rate=0.2), twin.replace(beta=twin.beta + 1)]
    arms = [arm, *others, twin]
    groups = same_objective({one: one.effective_beta(pixels) for one in arms})
    assert groups == ([(arm, twin)] if arm != twin else [])


@pytest.mark.parametrize("settings", [{"last_batch": "keep"}, {"last_batch": "drop"}, {"weight_decay": 0.1}], ids=str)
def test_arms_have_the_same_objective_where_all_their_gradients_differ_by_one_factor(settings: dict[str, Any]) -> None:
    """All steps of one epoch, whose last batch is smaller if it is kept; weight decay is a part of the gradient."""
    count, batch, shape, latents = 14, 6, (3, 5), 4
    settings = {"batch_size": batch, "latents": latents, "precision": "float64"} | settings
    arms = [Arm("mse", reduction=reduction, beta=0.3, **settings) for reduction in REDUCTIONS]
    arms += [Arm("mse", reduction="mean-recon", beta=0.3 / (batch * latents), **settings)]  # beta_eff of the mean arm
    arms = list(dict.fromkeys([*arms, *(sum_twin(arm, arm.effective_beta(15)) for arm in arms)]))
    stack = Stack.create(lambda: VAE(shape, latents, hidden=(7,)), arms, dataset="identity", seed=0)
    engine, decay = Autograd(stack), arms[0].training.weight_decay
    x, noise = torch.rand(count, *shape, dtype=torch.float64), torch.randn(count, latents, dtype=torch.float64)
    steps = []
    for start, end in batches(count, batch, arms[0].training.last_batch):
        engine.step(x[start:end], noise[start:end], None, Weighting.of(stack, end - start))
        steps += [(gradients(engine)[name] + decay * engine.named[name]).flatten(1) for name in engine.named]
    directions = torch.nn.functional.normalize(torch.cat(steps, dim=1), dim=1).detach()  # (arms, steps · weights)
    groups = same_objective({arm: arm.effective_beta(15) for arm in arms})
    grouped = [set(pair) for group in groups for pair in combinations(group, 2)]
    for (i, one), (j, other) in combinations(enumerate(arms), 2):
        parallel = bool((directions[i] - directions[j]).abs().max() < 1e-9)
        # With weight decay only arms of one reduction are said to be the same, even if another has equal factors.
        assert ({one, other} in grouped) == (parallel and not decay), (one, other)


def test_objective_sums_over_images_and_keeps_arms_apart() -> None:
    distortion, rates = torch.rand(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    recon, kl = torch.tensor([1.0, 0.25]).double(), torch.tensor([0.5, 4.0]).double()
    losses = objective(distortion, rates, recon=recon, kl=kl)
    for arm in range(2):
        expected = recon[arm] * distortion[arm].sum() + kl[arm] * rates[arm].sum()
        assert float(losses[arm]) == pytest.approx(float(expected), rel=1e-12)


def test_an_unknown_reduction_has_no_effective_beta() -> None:
    with pytest.raises(UserError, match=r"reduction='avg' is not one of"):
        effective_beta("avg", 1, batch=2, pixels=3, latents=5)
