"""Losses: closed forms, gradients by hand against autograd, a user's own, and what is refused."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vae.errors import UserError
from vae.likelihoods import continuous_bernoulli_mean
from vae.losses import LOSSES, loss, source_digest

ARMS, IMAGES, PIXELS = 2, 3, 5

numbers = st.floats(-30, 30, allow_nan=False)
pixels = st.floats(0, 1, allow_nan=False)


def examples(scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(1)
    logits = scale * torch.randn(ARMS, IMAGES, PIXELS, generator=source, dtype=torch.float64)
    return logits, torch.rand(IMAGES, PIXELS, generator=source, dtype=torch.float64)


def autograd(name: str, logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    leaf = logits.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(name).distortion(leaf, x).sum(), leaf)
    return gradient


@given(numbers, pixels)
def test_the_three_losses_of_one_pixel(logit: float, pixel: float) -> None:
    mu = 1 / (1 + math.exp(-logit))
    log_mu, log_not = -math.log1p(math.exp(-logit)), -math.log1p(math.exp(logit))
    expected = {
        "bce": -(pixel * log_mu + (1 - pixel) * log_not),
        "mse": (pixel - mu) ** 2,
        "mae": abs(pixel - mu),
    }
    pair = torch.tensor([[logit]], dtype=torch.float64), torch.tensor([[pixel]], dtype=torch.float64)
    for name, value in expected.items():
        assert float(loss(name).distortion(*pair)) == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_losses_agree_with_torch_and_sum_over_pixels_alone() -> None:
    logits, x = examples()
    targets = x.expand_as(logits)
    torch_has = {
        "bce": F.binary_cross_entropy_with_logits(logits, targets, reduction="none"),
        "mse": F.mse_loss(torch.sigmoid(logits), targets, reduction="none"),
        "mae": F.l1_loss(torch.sigmoid(logits), targets, reduction="none"),
    }
    for name, costs in torch_has.items():
        distortions = loss(name).distortion(logits, x)
        assert distortions.shape == (ARMS, IMAGES)
        torch.testing.assert_close(distortions, costs.sum(-1), rtol=1e-12, atol=1e-12)


def test_calibrated_losses_are_the_likelihoods_at_their_best_scale() -> None:
    """One scale per batch, of all its pixels: no other scale makes the batch more likely."""
    logits, x = examples()
    error = torch.sigmoid(logits) - x
    for name, power in (("gaussian-calibrated", 2), ("laplace-calibrated", 1)):
        distortions = loss(name).distortion(logits, x).sum(-1)
        for arm in range(ARMS):
            best = error[arm].abs().pow(power).mean().pow(1 / power)
            for scale in (0.9, 1.0, 1.1):
                if power == 2:
                    density = torch.distributions.Normal(torch.sigmoid(logits[arm]), scale * best)
                else:
                    density = torch.distributions.Laplace(torch.sigmoid(logits[arm]), scale * best)
                cost = -density.log_prob(x).sum()
                assert (
                    cost == pytest.approx(float(distortions[arm]), rel=1e-12) if scale == 1 else cost > distortions[arm]
                )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [0.01, 3.0, 40.0])
def test_gradients_by_hand_equal_autograd(name: str, scale: float) -> None:
    logits, x = examples(scale)
    by_hand = loss(name).gradient
    assert by_hand is not None
    torch.testing.assert_close(by_hand(logits.clone(), x), autograd(name, logits, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_by_hand_stay_finite_in_float32_at_any_logit(name: str) -> None:
    logits = torch.tensor([-1e4, -100, -17, -1e-3, 0, 1e-3, 17, 100, 1e4]).expand(2, -1)
    x = torch.stack([torch.zeros(9), torch.ones(9)])
    by_hand = loss(name).gradient
    assert by_hand is not None
    assert torch.isfinite(by_hand(logits.clone(), x)).all()
    assert torch.isfinite(loss(name).distortion(logits, x)).all()


def test_the_mean_image_belongs_to_the_loss() -> None:
    logits, _ = examples()
    assert torch.equal(loss("continuous-bernoulli").mean(logits), continuous_bernoulli_mean(logits))
    for name in sorted(LOSSES.keys() - {"continuous-bernoulli"}):
        assert torch.equal(loss(name).mean(logits), torch.sigmoid(logits))


def test_a_loss_of_ones_own_is_summed_over_the_pixels() -> None:
    logits, x = examples()
    own = loss("tests.own_losses:cubic")
    expected = (torch.sigmoid(logits) - x).abs().pow(3).sum(-1)
    torch.testing.assert_close(own.distortion(logits, x), expected, rtol=1e-12, atol=0)
    assert own.name == "tests.own_losses:cubic"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("msee", r"loss='msee' is not one of \['bce', 'mse', 'mae', .*\]. Did you mean 'mse'\?"),
        ("nowhere.at_all:f", r"the module 'nowhere.at_all' cannot be imported .*PYTHONPATH"),
        (":f", r"the module '' cannot be imported"),
        ("tests.own_losses:cubed", r"'tests.own_losses' has no 'cubed'"),
        ("tests.own_losses:not_a_function", r"'not_a_function' is of type int, not a function"),
    ],
)
def test_names_that_lead_to_no_loss_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        loss(name)


def test_a_loss_that_averages_over_pixels_is_refused_when_it_is_used() -> None:
    with pytest.raises(UserError, match=r"returned shape \(2, 3\) .* \(2, 3, 5\): return one cost per pixel"):
        loss("tests.own_losses:averaged").distortion(*examples())


def test_an_edited_loss_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for number, text in enumerate(("r - t", "(r - t) ** 2", "r - t")):
        (tmp_path / f"edited{number}.py").write_text(f"def cost(r, t):\n    return {text}\n")
        digests.append(source_digest(f"edited{number}:cost"))
        sys.modules.pop(f"edited{number}")
    assert digests[0] == digests[2] != digests[1]
    assert len(digests[0]) == 16
    assert source_digest("mse") == ""


@pytest.mark.parametrize("name", ["gaussian-calibrated", "laplace-calibrated"])
def test_a_batch_that_is_matched_exactly_has_a_finite_cost_and_no_slope(name: str) -> None:
    calibrated, logits = LOSSES[name], torch.zeros(2, 3, 5, requires_grad=True)
    cost = calibrated.distortion(logits, torch.full((3, 5), 0.5))
    cost.sum().backward()
    assert torch.isfinite(cost).all()
    assert logits.grad is not None
    assert not logits.grad.any()
    assert calibrated.gradient is not None
    assert not calibrated.gradient(torch.zeros(2, 3, 5), torch.full((3, 5), 0.5)).any()
