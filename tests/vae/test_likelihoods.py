"""Observation models: probabilities that sum to one, calibrated scales that are the likeliest, known constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from torch import Tensor
from torch.nn import functional as F

from vae import likelihoods as lk
from vae.datasets.load import load
from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE

Nll = Callable[[Tensor, Tensor], Tensor]
ALL: dict[str, Nll] = {
    "bernoulli": lk.bernoulli_nll,
    "continuous-bernoulli": lk.continuous_bernoulli_nll,
    "gaussian": lk.gaussian_nll,
    "laplace": lk.laplace_nll,
    "logistic": lambda mean, x: lk.logistic_nll(mean, x, 0.05),
}
LOGITS = [-30.0, -7.0, -0.31, -0.29, -1e-3, 0.0, 1e-6, 0.1, 0.299, 0.301, 1.0, 4.0, 16.0, 30.0]


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ALL)
def test_every_model_sums_over_pixels_only_and_broadcasts_the_rest(name: str) -> None:
    prediction, x = uniform(3, 5, 7, seed=1), uniform(5, 7, seed=2)
    together = ALL[name](prediction, x)
    alone = torch.stack([torch.stack([ALL[name](p, i) for p, i in zip(arm, x)]) for arm in prediction])
    by_pixel = ALL[name](prediction[..., None], x[..., None]).sum(-1)
    assert together.shape == (3, 5)
    torch.testing.assert_close(together, alone, rtol=1e-13, atol=0)
    torch.testing.assert_close(together, by_pixel, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_every_model_in_float32_is_near_float64(name: str) -> None:
    prediction, x = uniform(5, 784, seed=1), uniform(5, 784, seed=2)
    in_float32 = ALL[name](prediction.float(), x.float())
    assert in_float32.dtype == torch.float32
    torch.testing.assert_close(in_float32.double(), ALL[name](prediction, x), rtol=2e-6, atol=5e-4)


def test_bernoulli_is_the_cross_entropy_and_its_gradient_at_any_logit() -> None:
    logits = torch.tensor([-700.0, -88.0, -20.0, -0.5, 0.0, 0.5, 17.0, 79.9, 80.0, 80.1, 700.0], dtype=torch.float64)
    x = torch.linspace(0, 1, len(logits), dtype=torch.float64)
    for dtype, rtol in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        leaf = logits.to(dtype, copy=True).requires_grad_()
        value = lk.bernoulli_nll(leaf[:, None], x.to(dtype)[:, None])
        value.sum().backward()
        wanted = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        torch.testing.assert_close(value.double(), wanted, rtol=rtol, atol=rtol)
        torch.testing.assert_close(leaf.grad.double(), torch.sigmoid(logits) - x, rtol=0, atol=2 * rtol)


def test_bernoulli_on_grey_values_is_the_mean_over_binarised_ones() -> None:
    logits, x = torch.tensor([-1.3, 0.4, 2.2], dtype=torch.float64), uniform(3)
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    weights = torch.where(images == 1, x, 1 - x).prod(-1)
    assert float(weights @ lk.bernoulli_nll(logits, images)) == pytest.approx(
        float(lk.bernoulli_nll(logits, x)), abs=1e-13
    )


def entropy(x: Tensor) -> Tensor:
    """(*, D) in [0, 1] -> (*), nats per image."""
    return (torch.special.entr(x) + torch.special.entr(1 - x)).sum(-1)


def test_the_entropy_of_an_image_is_the_least_bernoulli_cost_and_only_the_image_itself_has_it() -> None:
    x = uniform(5, 7)
    torch.testing.assert_close(entropy(x), lk.bernoulli_nll(torch.logit(x), x), rtol=1e-13, atol=0)
    assert (entropy(x) < lk.bernoulli_nll(torch.logit(x) + 0.01, x)).all()


@pytest.mark.mnist
def test_the_catalogue_gives_the_entropy_of_mnist(mnist_root: Path) -> None:
    test = load("mnist", mnist_root, train=1, download=False).test
    assert float(entropy(test.double().flatten(1)).mean()) == pytest.approx(45.53, abs=0.005)
    assert "45.53" in CATALOGUE["bce"].about


def moment(power: int, logit: float) -> float:
    """∫ x^power e^(x l − max(l, 0)) dx over [0, 1]."""
    top = max(logit, 0.0)
    return float(integrate.quad(lambda x: x**power * math.exp(x * logit - top), 0, 1, epsabs=0, epsrel=1e-13)[0])


@pytest.mark.parametrize("largest", [3.0, 79.0, 95.0])
def test_both_bernoullis_measured_together_are_those_of_training_to_the_bit(largest: float) -> None:
    draw = torch.Generator().manual_seed(0)
    logits, x = torch.randn(7, 41, generator=draw), torch.rand(7, 41, generator=draw)
    logits[2, 3], logits[4, 5], logits[5, 6] = largest, -largest, 0.0
    given = logits.clone()
    bernoulli, continuous = lk.both_bernoulli_nlls(logits, x)
    assert torch.equal(bernoulli, lk.bernoulli_nll(logits, x))
    assert torch.equal(continuous, lk.continuous_bernoulli_nll(logits, x))
    assert torch.equal(lk.measured_bernoulli_nll(logits[:, None], x), lk.bernoulli_nll(logits[:, None], x))
    assert torch.equal(logits, given)
    none = lk.both_bernoulli_nlls(logits[:0], x[:0])
    assert [cost.shape for cost in none] == [(0,), (0,)]


def test_continuous_bernoulli_normaliser_and_mean_equal_quadrature() -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64)
    log_c, mean = lk.continuous_bernoulli_log_normaliser(logits), lk.continuous_bernoulli_mean(logits)
    for logit, c, m in zip(LOGITS, log_c.tolist(), mean.tolist()):
        # sigmoid(l)^x sigmoid(−l)^(1−x) = e^(x l − softplus(l)), and softplus(l) − max(l, 0) = softplus(−|l|)
        assert c == pytest.approx(np.logaddexp(0, -abs(logit)) - math.log(moment(0, logit)), abs=2e-12)
        assert m == pytest.approx(moment(1, logit) / moment(0, logit), rel=2e-12)


def test_continuous_bernoulli_holds_in_float32() -> None:
    logits = torch.cat([torch.linspace(-30, 30, 4001), torch.linspace(-0.5, 0.5, 1001)])
    log_c, mean = lk.continuous_bernoulli_log_normaliser(logits), lk.continuous_bernoulli_mean(logits)
    error = log_c.double() - lk.continuous_bernoulli_log_normaliser(logits.double())
    assert float(error.abs().max()) < 4e-7  # an ulp of ln 30 is 2.4e-7
    assert float(error[logits.abs() < 0.3].abs().max()) < 2e-7
    assert float((mean.double() - lk.continuous_bernoulli_mean(logits.double())).abs().max()) < 1e-6


def test_continuous_bernoulli_gradient_is_its_mean_minus_the_image_also_at_zero() -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    x = uniform(len(LOGITS))
    lk.continuous_bernoulli_nll(logits, x).backward()
    torch.testing.assert_close(logits.grad, lk.continuous_bernoulli_mean(logits.detach()) - x, rtol=0, atol=1e-13)


def test_the_two_training_losses_run_under_vmap() -> None:
    logits, x = uniform(3, 5, 7, seed=1), uniform(5, 7, seed=2)
    for nll in (lk.bernoulli_nll, lk.continuous_bernoulli_nll):
        torch.testing.assert_close(torch.vmap(nll, in_dims=(0, None))(logits, x), nll(logits, x))


@given(logit=st.floats(-40, 40))
def test_continuous_bernoulli_is_a_density(logit: float) -> None:
    def density(x: float) -> float:
        pixel = torch.tensor([x], dtype=torch.float64)
        return math.exp(-float(lk.continuous_bernoulli_nll(torch.tensor([logit], dtype=torch.float64), pixel)))

    assert integrate.quad(density, 0, 1, epsabs=1e-9)[0] == pytest.approx(1, abs=1e-9)


def test_fixed_gaussian_and_laplace_are_errors_and_their_constants_at_784_pixels() -> None:
    mean, x = uniform(5, 784, seed=1), uniform(5, 784, seed=2)
    gaussian = lk.gaussian_nll(mean, x) - (x - mean).square().sum(-1)
    laplace = lk.laplace_nll(mean, x) - (x - mean).abs().sum(-1)
    assert gaussian.tolist() == pytest.approx([448.73] * 5, abs=0.005)
    assert laplace.tolist() == pytest.approx([543.43] * 5, abs=0.005)


def test_gaussian_and_laplace_equal_scipy_with_a_scale_per_image() -> None:
    mean, x, scale = uniform(3, 5, 7, seed=1), uniform(5, 7, seed=2), 0.1 + uniform(3, 1, seed=3)
    wide = scale[..., None].numpy()
    normal = -stats.norm.logpdf(x.numpy(), mean.numpy(), np.sqrt(wide)).sum(-1)
    laplace = -stats.laplace.logpdf(x.numpy(), mean.numpy(), wide).sum(-1)
    np.testing.assert_allclose(lk.gaussian_nll(mean, x, scale), normal, rtol=1e-13)
    np.testing.assert_allclose(lk.laplace_nll(mean, x, scale), laplace, rtol=1e-13)


FITS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor, float], Tensor]]] = {
    "gaussian": (lk.fit_gaussian, lk.gaussian_nll),
    "laplace": (lk.fit_laplace, lk.laplace_nll),
}


def noisy(spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(mean, x): images of 256 levels, with black and white pixels, and imperfect reconstructions of them."""
    x = ((1.6 * uniform(11, 13, seed=seed) - 0.3).clamp(0, 1) * 255).round() / 255
    mean = (x + spread * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)).clamp(0, 1)
    return mean, x


@pytest.mark.parametrize("spread", [0.003, 0.05, 0.4])
@pytest.mark.parametrize("name", FITS)
def test_a_calibrated_scale_is_the_likeliest(name: str, spread: float) -> None:
    fit, nll = FITS[name]
    mean, x = noisy(spread)
    best = optimize.minimize_scalar(
        lambda t: float(nll(mean, x, math.exp(t)).mean()), bounds=(-12, 3), method="bounded", options={"xatol": 1e-9}
    )
    scale = float(fit(mean, x))
    assert float(nll(mean, x, scale).mean()) <= best.fun + 1e-9
    assert scale == pytest.approx(math.exp(best.x), rel=1e-5)


def test_calibrated_closed_forms() -> None:
    mean, x = noisy(0.1)
    pixels, variance, scale = x.shape[-1], lk.fit_gaussian(mean, x), lk.fit_laplace(mean, x)
    gaussian = pixels / 2 * (torch.log(2 * math.pi * variance) + 1)
    laplace = pixels * (torch.log(2 * scale) + 1)
    assert float(lk.gaussian_nll(mean, x, variance).mean()) == pytest.approx(float(gaussian), abs=1e-11)
    assert float(lk.laplace_nll(mean, x, scale).mean()) == pytest.approx(float(laplace), abs=1e-11)


@pytest.mark.parametrize("name", FITS)
def test_arms_are_fitted_together_as_alone(name: str) -> None:
    fit, nll = FITS[name]
    arms, (_, x) = torch.stack([noisy(spread)[0] for spread in (0.003, 0.05, 0.4)]), noisy(0.1)
    together = fit(arms, x)
    assert together.shape == (3, 1)
    torch.testing.assert_close(together[:, 0], torch.stack([fit(arm, x)[0] for arm in arms]), rtol=1e-9, atol=0)
    assert nll(arms, x, together).shape == (3, 11)


def test_logistic_scales_are_of_each_pixel_and_of_arms_together_as_alone() -> None:
    arms, (_, x) = torch.stack([noisy(spread)[0] for spread in (0.003, 0.05, 0.4)]), noisy(0.1)
    together = lk.fit_logistic(arms, x)
    assert together.shape == (3, 1, 13)
    torch.testing.assert_close(together, torch.stack([lk.fit_logistic(arm, x) for arm in arms]), rtol=2e-3, atol=0)
    assert lk.logistic_nll(arms, x, together).shape == (3, 11)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("spread", [0.003, 0.05, 0.4])
def test_each_pixels_logistic_scale_is_the_best_near_it(spread: float, levels: int) -> None:
    """Of cost and pull together: no scale nearby is better, and of the whole range only another hump could be."""
    mean, x = noisy(spread)
    x = (x * (levels - 1)).round() / (levels - 1)
    common, at = (x - mean).abs().mean().log(), lk.fit_logistic(mean, x, levels).log()[0]

    def objective(log_scale: Tensor) -> Tensor:
        cost = lk.logistic_nll(mean[..., None], x[..., None], log_scale.exp()[:, None], levels).sum(0)
        return cost + lk.PULL / 2 * (log_scale - common) ** 2

    least = objective(at)
    for step in (-0.02, 0.02):
        inside = (at + step).clamp(math.log(1e-4), math.log(10))
        assert (least <= objective(inside) + 1e-5).all()


def test_a_pixel_scale_beats_one_for_all_where_pixels_differ() -> None:
    random = torch.Generator().manual_seed(0)
    spreads = torch.tensor([0.001, 0.01, 0.1, 0.4], dtype=torch.float64)
    means = 0.5 + torch.zeros(400, 4, dtype=torch.float64)
    fitted, scored = (
        (means + spreads * torch.randn(400, 4, generator=random, dtype=torch.float64)).clamp(0, 1) for _ in range(2)
    )
    scales = lk.fit_logistic(means, fitted)
    assert bool((scales[0].diff() > 0).all())
    by_pixel = lk.logistic_nll(means, scored, scales).mean()
    assert all(by_pixel < lk.logistic_nll(means, scored, scale).mean() - 0.5 for scale in (0.001, 0.01, 0.1))


def test_one_white_pixel_where_all_were_black_costs_no_more_than_a_guess_in_a_hundred() -> None:
    black, x = torch.zeros(300, 4), torch.zeros(1, 4)
    scales = lk.fit_logistic(black, black)
    x[0, 2] = 1
    cost = float(lk.logistic_nll(black[:1], x, scales) - lk.logistic_nll(black[:1], black[:1], scales))
    assert cost <= math.log(256 / lk.UNIFORM) + 1e-3


def test_the_logistic_scale_stops_at_its_bound_where_images_are_matched_exactly() -> None:
    _, x = noisy(0.1)
    torch.testing.assert_close(lk.fit_logistic(x, x), torch.full((1, 13), 1e-4, dtype=torch.float64))


def test_a_table_is_the_share_of_each_level_among_pixels_of_like_logits() -> None:
    logits = torch.tensor([[-20.0, -20.0, 0.1], [0.2, 3.0, 20.0]])
    x = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    table = lk.fit_table(logits, x, levels=2)
    assert table.exp().sum(-1).tolist() == pytest.approx([1.0] * len(table))
    wanted = {-9.0: [2.1, 0.1], 0.15: [1.1, 1.1], 2.9: [0.1, 1.1], 8.0: [0.1, 1.1], -3.0: [0.1, 0.1]}
    for logit, counts in wanted.items():
        for level in (0, 1):
            cost = lk.table_nll(torch.tensor([logit]), torch.tensor([float(level)]), table)
            assert float(cost) == pytest.approx(-math.log(counts[level] / sum(counts)))


def test_a_table_reads_what_has_several_humps_and_a_logistic_cannot() -> None:
    logits = torch.zeros(500, 3)
    x = torch.randint(0, 3, (500, 3), generator=torch.Generator().manual_seed(0)) / 2
    by_table = lk.table_nll(logits, x, lk.fit_table(logits, x)).mean()
    grey = torch.sigmoid(logits)
    by_logistic = lk.logistic_nll(grey, x, lk.fit_logistic(grey, x)).mean()
    assert float(by_table) == pytest.approx(3 * math.log(3), abs=0.1)
    assert by_logistic > by_table + 1


def test_a_histogram_counts_each_pixel_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    train = torch.tensor([[0.0, 0.5], [0.0, 1.0], [1.0, 1.0]])
    costs = lk.histogram_nll(train, torch.tensor([[0.0, 1.0], [0.5, 0.0]]), levels=3)
    wanted = [-math.log(2.1 / 3.3) - math.log(2.1 / 3.3), -math.log(0.1 / 3.3) - math.log(0.1 / 3.3)]
    assert costs.tolist() == pytest.approx(wanted)
    monkeypatch.setattr(lk, "_AT_ONCE", 1)
    assert torch.equal(lk.histogram_nll(train, torch.tensor([[0.0, 1.0], [0.5, 0.0]]), levels=3), costs)


def test_a_diverged_arm_has_nan_scores_and_leaves_the_others_alone() -> None:
    mean, x = noisy(0.1)
    arms = torch.stack([mean, torch.full_like(mean, math.nan)])
    for fit, nll in (*FITS.values(), (lk.fit_logistic, lk.logistic_nll)):
        scores = nll(arms, x, fit(arms, x))
        torch.testing.assert_close(scores[0], nll(mean, x, fit(mean, x)), rtol=1e-9, atol=0)
        assert scores[1].isnan().all()


@given(mean=st.floats(0, 1), log_scale=st.floats(math.log(1e-4), math.log(10)), count=st.sampled_from([2, 17, 256]))
def test_the_levels_sum_to_one(mean: float, log_scale: float, count: int) -> None:
    levels = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    total = torch.exp(-lk.logistic_nll(torch.full_like(levels, mean), levels, math.exp(log_scale), count)).sum()
    assert abs(float(total) - 1) < 1e-12


def test_logistic_probabilities_are_differences_of_the_distribution_function() -> None:
    k = np.arange(256)
    upper = np.where(k == 255, np.inf, (k + 0.5) / 255)
    lower = np.where(k == 0, -np.inf, (k - 0.5) / 255)
    wanted = 0.99 * (stats.logistic.cdf(upper, 0.3, 0.04) - stats.logistic.cdf(lower, 0.3, 0.04)) + 0.01 / 256
    levels = torch.from_numpy(k / 255)[:, None]
    probabilities = torch.exp(-lk.logistic_nll(torch.full_like(levels, 0.3), levels, 0.04))
    np.testing.assert_allclose(probabilities, wanted, rtol=0, atol=1e-15)


def test_bits_per_dim_of_uniform_noise_is_eight() -> None:
    assert float(lk.bits_per_dim(torch.tensor(7 * math.log(256)), 7)) == pytest.approx(8)


FLAT = torch.zeros(5, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lk.bernoulli_nll(FLAT.long(), FLAT), r"logits is torch.int64: it must be floating point"),
        (lambda: lk.gaussian_nll(FLAT, (255 * FLAT).byte()), r"x is torch.uint8: .*Did you mean x / 255\?"),
        (lambda: lk.gaussian_nll(FLAT, FLAT[:, :6]), r"mean of shape \(5, 7\) and x of shape \(5, 6\) differ"),
        (lambda: lk.bernoulli_nll(torch.zeros(5, 1, 7), torch.zeros(5, 8)), "differ in their last axis"),
        (lambda: lk.bernoulli_nll(torch.zeros(5, 2, 4), torch.zeros(5, 8)), r"Did you mean logits.flatten\(-2\)\?"),
        (lambda: lk.laplace_nll(FLAT, torch.zeros(4, 7)), "do not broadcast"),
        (lambda: lk.fit_gaussian(FLAT[0], FLAT[0]), r"must be \(\*, images, D\)"),
        (lambda: lk.logistic_nll(FLAT, 255 + FLAT, 0.1), r"x reaches from 255 to 255; .*Did you mean x / 255\?"),
        (lambda: lk.logistic_nll(FLAT, FLAT - 1, 0.1), r"x reaches from -1 to -1; allowed is \[0, 1\]"),
        (lambda: lk.fit_logistic(FLAT, FLAT * math.nan), r"x holds NaN; every pixel must be in \[0, 1\]"),
        (lambda: lk.gaussian_nll(FLAT, FLAT, 0.0), "variance=0 must be above 0"),
        (lambda: lk.laplace_nll(FLAT, FLAT, torch.tensor([1.0, -2.0, 1.0, 1.0, 1.0])), "scale=-2 must be above 0"),
        (lambda: lk.logistic_nll(FLAT, FLAT, -1.0), "scale=-1 must be above 0"),
    ],
)
def test_what_is_refused_and_how(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_images_that_are_matched_exactly_have_the_least_scale() -> None:
    x = torch.rand(3, 7, generator=torch.Generator().manual_seed(0))
    for fit, power in ((lk.fit_gaussian, 2), (lk.fit_laplace, 1)):
        assert float(fit(x, x)) == pytest.approx(lk.LEAST_SCALE**power, rel=1e-6)
