"""Objectives: KL against torch, reductions as pairs of factors, beta_eff, and the identities that they obey."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gradient_samples import gradients
from vae import VAE, Objective, Stack, UserError
from vae.losses import LOSSES
from vae.objectives import POSTERIORS, REDUCTIONS, effective_beta, objective, rate
from vae.training.autograd import Autograd, Weighting
from vae.training.fused import Fused


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


sizes = st.integers(1, 5000)
betas = st.floats(0, 1e3, allow_nan=False)


def test_rate_is_the_divergence_torch_finds() -> None:
    mean, logvar = torch.randn(2, 3, 5, 7, dtype=torch.float64).unbind(0)
    posterior = torch.distributions.Normal(mean, torch.exp(logvar / 2))
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(-1)
    torch.testing.assert_close(rate(mean, logvar), expected, rtol=1e-12, atol=1e-12)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_rate_is_never_negative_and_zero_only_at_the_prior(mean: float, logvar: float) -> None:
    found = float(rate(torch.tensor([mean], dtype=torch.float64), torch.tensor([logvar], dtype=torch.float64)))
    assert found >= -1e-15
    assert found > 0 or (abs(mean) < 1e-7 and abs(logvar) < 1e-7)


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
    recon, kl = Objective("mse", reduction, beta).factors(batch=batch, pixels=pixels, latents=latents)
    found = effective_beta(reduction, beta, batch=batch, pixels=pixels, latents=latents)
    assert found == pytest.approx(kl / recon, rel=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_factors_are_what_torch_code_of_that_habit_computes(reduction: str) -> None:
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
    weights = Objective("mse", reduction, beta).factors(batch=batch, pixels=pixels, latents=latents)
    found = objective(
        recon.sum(-1)[None], kl.sum(-1)[None], recon=torch.tensor(weights[:1]), kl=torch.tensor(weights[1:])
    )
    assert float(found) == pytest.approx(float(written[reduction]), rel=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", [Autograd, Fused])
def test_a_reduction_is_a_scale_times_the_sum_at_effective_beta(reduction: str, kind: type[Autograd | Fused]) -> None:
    """Gradients of every reduction are s_R times those of `sum` at beta_eff, for every loss: the algebra is exact."""
    batch, shape, latents, beta = 6, (3, 5), 4, 0.3
    sizes_ = {"batch": batch, "pixels": 15, "latents": latents}
    arms = []
    for name in LOSSES:
        reduced = Objective(name, reduction, beta)
        arms += [reduced, Objective(name, "sum", reduced.effective_beta(**sizes_))]
    stack = Stack.create(
        lambda: VAE(shape, latents, hidden=(7,)), arms, dataset="identity", seed=0, dtype=torch.float64
    )
    engine = kind(stack)
    x, noise = torch.rand(batch, *shape, dtype=torch.float64), torch.randn(batch, latents, dtype=torch.float64)
    with torch.no_grad():
        engine.step(x, noise, None, Weighting.of(stack, batch))
    scale = arms[0].factors(**sizes_)[0]
    for name, gradient in gradients(engine).items():
        torch.testing.assert_close(gradient[0::2], scale * gradient[1::2], rtol=1e-12, atol=1e-15, msg=name)


def test_posteriors_agree_where_they_should() -> None:
    """Half-logvar and log-std read the spread that they sample; full-logvar, the slip, does not."""
    consistent = {name: each.kl_factor == each.true_factor for name, each in POSTERIORS.items()}
    assert consistent == {"half-logvar": True, "full-logvar": False, "log-std": True}
    assert {name: each.std_factor for name, each in POSTERIORS.items()} == {
        "half-logvar": 0.5,
        "full-logvar": 1.0,
        "log-std": 1.0,
    }


def test_objective_sums_over_images_and_keeps_arms_apart() -> None:
    distortion, rates = torch.rand(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    recon, kl = torch.tensor([1.0, 0.25]).double(), torch.tensor([0.5, 4.0]).double()
    found = objective(distortion, rates, recon=recon, kl=kl)
    for arm in range(2):
        expected = recon[arm] * distortion[arm].sum() + kl[arm] * rates[arm].sum()
        assert float(found[arm]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "maee"}, r"loss='maee' is not one of .* Did you mean 'mae'\?"),
        ({"reduction": "summ"}, r"reduction='summ' is not one of .* Did you mean 'sum'\?"),
        ({"posterior": "half"}, r"posterior='half' is not one of"),
        ({"beta": -1}, r"beta=-1 must be a finite number, 0 or more"),
        ({"beta": math.nan}, r"beta=nan must be a finite number"),
        ({"beta": math.inf}, r"beta=inf must be a finite number"),
        ({"beta": "1"}, r"beta='1' must be a finite number"),
        ({"beta": True}, r"beta=True must be a finite number"),
    ],
)
def test_what_makes_no_objective_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective(**arguments)  # type: ignore[arg-type]


def test_an_unknown_reduction_has_no_effective_beta() -> None:
    with pytest.raises(UserError, match=r"reduction='avg' is not one of"):
        effective_beta("avg", 1, batch=2, pixels=3, latents=5)


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        (Objective(), "bce-sum-b1"),
        (Objective("mae", "mean", 0.25), "mae-mean-b0.25"),
        (Objective("mse", posterior="log-std"), "mse-sum-b1-log-std"),
    ],
)
def test_labels(arm: Objective, label: str) -> None:
    assert arm.label == label
