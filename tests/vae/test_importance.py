"""Bounds on ln p(x): exact where the posterior is exact, the ELBO at one draw, tighter with more draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae.errors import UserError
from vae.importance import iwae, log_ess, log_mean_exp
from vae.likelihoods import bernoulli_nll, gaussian_nll
from vae.models import VAE

IMAGES, LATENTS, PIXELS, VARIANCE = 5, 3, 7, 0.4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


class LinearGaussian:
    """z ~ N(0, 1), x | z ~ N(W z + b, v): all that is estimated elsewhere is known here.

    The columns of W are orthogonal, so the true posterior is diagonal, as an encoder's is.
    """

    def __init__(self) -> None:
        self.w = torch.linalg.qr(normal(PIXELS, LATENTS, seed=1)).Q * torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
        self.b = normal(PIXELS, seed=2)
        self.x = normal(IMAGES, PIXELS, seed=3)
        precision = 1 + (self.w**2).sum(0) / VARIANCE
        self.mean = (self.x - self.b) @ self.w / VARIANCE / precision
        self.logvar = -torch.log(precision).expand(IMAGES, LATENTS)
        cov = self.w @ self.w.T + VARIANCE * torch.eye(PIXELS, dtype=torch.float64)
        self.neg_log_p = -MultivariateNormal(self.b, cov).log_prob(self.x)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return z @ self.w.T + self.b

    nll = staticmethod(partial(gaussian_nll, variance=VARIANCE))


@pytest.fixture(scope="module")
def linear() -> LinearGaussian:
    return LinearGaussian()


@pytest.mark.parametrize("samples", [1, 2, 30])
def test_exact_posterior_gives_the_exact_evidence_at_any_number_of_draws(linear: LinearGaussian, samples: int) -> None:
    bound = iwae(
        linear.decode, linear.mean, linear.logvar, linear.x,
        samples=samples, generator=seeded(), nll=linear.nll, binarise=False,
    )  # fmt: skip
    torch.testing.assert_close(bound.neg_iwae, linear.neg_log_p, rtol=1e-12, atol=0)
    torch.testing.assert_close(bound.log_ess, torch.zeros(IMAGES, dtype=torch.float64), rtol=0, atol=1e-12)
    if samples > 1:
        torch.testing.assert_close(bound.gap, torch.zeros(IMAGES, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_wrong_posterior_tends_to_the_evidence_from_above_and_the_gate_says_when(linear: LinearGaussian) -> None:
    mean, logvar = linear.mean + 0.3, linear.logvar + 0.8
    bound = partial(iwae, linear.decode, mean, logvar, linear.x, nll=linear.nll, binarise=False)
    few, many = bound(samples=2, generator=seeded(1)), bound(samples=40_000, generator=seeded(1))
    assert float(few.gap.mean()) > 0.05 > float(many.gap.mean())
    torch.testing.assert_close(many.neg_iwae, linear.neg_log_p, rtol=0, atol=0.05)
    assert (many.log_ess < 0).all()
    assert (many.log_ess > -math.log(40_000)).all()


def many_copies(linear: LinearGaussian, count: int) -> dict[str, Tensor]:
    image = slice(2, 3)
    return {
        "mean": (linear.mean[image] + 0.3).expand(count, -1),
        "logvar": (linear.logvar[image] + 0.8).expand(count, -1),
        "x": linear.x[image].expand(count, -1),
    }


def test_one_draw_is_the_elbo(linear: LinearGaussian) -> None:
    # In closed form: E |x − Wz − b|² / 2v adds Σ w² e^logvar / 2v to its value at the mean.
    copies = many_copies(linear, 40_000)
    mean, logvar, x = copies["mean"][0], copies["logvar"][0], copies["x"][0]
    expected = gaussian_nll(linear.decode(mean), x, VARIANCE)
    expected += ((linear.w**2).sum(0) * torch.exp(logvar)).sum() / (2 * VARIANCE)
    expected += 0.5 * (mean**2 + torch.exp(logvar) - 1 - logvar).sum()
    one = iwae(linear.decode, **copies, samples=1, generator=seeded(), nll=linear.nll, binarise=False)
    error = float(one.neg_iwae.std()) / 200
    assert float(one.neg_iwae.mean()) == pytest.approx(float(expected), abs=4 * error)
    assert error < 0.03
    assert one.gap.isnan().all()


def test_one_draw_costs_its_distortion_to_the_last_digit_where_the_posterior_is_the_prior(
    linear: LinearGaussian,
) -> None:
    prior, x = torch.zeros(1, LATENTS, dtype=torch.float64), linear.x[:1]
    noise = torch.randn(1, LATENTS, generator=seeded(9)).double()
    one = iwae(linear.decode, prior, prior, x, samples=1, generator=seeded(9), nll=linear.nll, binarise=False)
    torch.testing.assert_close(one.neg_iwae, linear.nll(linear.decode(noise), x), rtol=1e-14, atol=0)


def test_the_bound_tightens_with_every_doubling(linear: LinearGaussian) -> None:
    copies = many_copies(linear, 2000)
    means = [
        float(
            iwae(
                linear.decode, **copies, samples=k, generator=seeded(k), nll=linear.nll, binarise=False
            ).neg_iwae.mean()
        )
        for k in (1, 2, 4, 8, 16, 32)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] > float(linear.neg_log_p[2])


@given(values=st.lists(st.floats(-300, 300), min_size=1, max_size=9), shift=st.floats(-200, 200))
def test_averages_of_weights_have_their_bounds(values: list[float], shift: float) -> None:
    weights = torch.tensor(values, dtype=torch.float64)
    bound, share = float(log_mean_exp(weights)), float(log_ess(weights))
    assert float(weights.mean()) - 1e-9 <= bound <= float(weights.max()) + 1e-9
    assert -math.log(len(values)) - 1e-9 <= share <= 1e-9
    assert float(log_mean_exp(weights + shift)) == pytest.approx(bound + shift, abs=1e-9)
    assert float(log_ess(weights + shift)) == pytest.approx(share, abs=1e-9)


def test_log_ess_by_hand() -> None:
    weights = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    assert float(log_ess(weights.log())) == pytest.approx(math.log(64 / 30 / 3))


@pytest.fixture(scope="module")
def model() -> VAE:
    torch.manual_seed(0)
    return VAE((4, 6), latents=LATENTS, classes=5, hidden=(11,)).double()


def grey(count: int = IMAGES) -> Tensor:
    return torch.rand(count, 4, 6, generator=seeded(4), dtype=torch.float64)


@pytest.mark.parametrize("decoded", [7 * 24 * 4, 1 << 19])
@pytest.mark.parametrize("budget", [1, 8 * 24 * 4, 1 << 23])
def test_memory_is_bounded_and_the_result_does_not_depend_on_the_bounds(
    model: VAE, budget: int, decoded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def decode(z: Tensor, labels: Tensor | None) -> Tensor:
        sizes.append(len(z))
        return model.decode(z, labels)

    labels = torch.arange(IMAGES)
    mean, spread = (part.detach() for part in model.encode(grey(), labels))
    whole = iwae(model.decode, mean, spread, grey(), labels=labels, samples=6, generator=seeded())
    monkeypatch.setattr("vae.importance.BUDGET_ON_CPU", budget)
    monkeypatch.setattr("vae.importance.DECODED_ON_CPU", decoded)
    blocks = iwae(decode, mean, spread, grey(), labels=labels, samples=6, generator=seeded())
    images = max(1, budget // (24 * 4) // 6)  # that are drawn for together, and of which one draw each is the least
    assert max(sizes) <= max(min(images, IMAGES), min(budget, decoded) // (24 * 4))
    assert sum(sizes) == 6 * IMAGES
    for name in ("neg_iwae", "gap", "log_ess"):
        torch.testing.assert_close(getattr(blocks, name), getattr(whole, name), rtol=1e-12, atol=1e-12)


def test_every_image_is_decoded_with_its_own_label(model: VAE) -> None:
    labels, x = torch.tensor([4, 0, 3, 1, 1]), (grey() > 0.5).double()
    mean, spread = (part.detach() for part in model.encode(x, labels))

    def bound(count: int, labels: Tensor) -> Tensor:
        return iwae(
            model.decode, mean[:count], spread[:count], x[:count],
            labels=labels[:count], samples=4, generator=seeded(), binarise=False,
        ).neg_iwae  # fmt: skip

    # The first image's noise is the first of the stream, whoever follows: so prefixes agree.
    torch.testing.assert_close(bound(IMAGES, labels)[:2], bound(2, labels), rtol=1e-12, atol=0)
    changed = bound(IMAGES, torch.tensor([4, 0, 2, 1, 1])) != bound(IMAGES, labels)
    assert changed.tolist() == [False, False, True, False, False]


def test_grey_values_are_binarised_once_per_image_by_default() -> None:
    seen: list[Tensor] = []

    def spy(logits: Tensor, x: Tensor) -> Tensor:
        seen.append(x.clone())
        return bernoulli_nll(logits, x)

    x = grey(2000)  # few enough that all draws are scored together
    zeros = torch.zeros(len(x), LATENTS, dtype=torch.float64)

    def decode(z: Tensor, labels: Tensor | None) -> Tensor:
        return z.repeat(1, 8)

    iwae(decode, zeros, zeros, x, samples=2, generator=seeded(), nll=spy)
    drawn = torch.cat(seen)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert float((drawn - x.flatten(1)).mean().abs()) < 0.01
    assert float(((drawn - x.flatten(1)) * (x.flatten(1) - 0.5)).mean().abs()) < 0.01
    seen.clear()
    iwae(decode, zeros, zeros, x, samples=2, generator=seeded(), nll=spy, binarise=False)
    torch.testing.assert_close(torch.cat(seen), x.flatten(1))


def test_equal_generators_give_equal_numbers_and_float32_models_are_averaged_in_float64() -> None:
    model = VAE((4, 6), latents=LATENTS, hidden=(11,)).float()
    mean, spread = (part.detach() for part in model.encode(grey().float()))
    first, again, other = (
        iwae(model.decode, mean, spread, grey().float(), samples=8, generator=seeded(seed)) for seed in (0, 0, 1)
    )
    assert first.neg_iwae.dtype == first.gap.dtype == first.log_ess.dtype == torch.float64
    assert torch.equal(first.neg_iwae, again.neg_iwae)
    assert not torch.equal(first.neg_iwae, other.neg_iwae)
    assert not first.neg_iwae.requires_grad


MEAN, X = torch.zeros(IMAGES, LATENTS), torch.zeros(IMAGES, PIXELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples=0 must be 1 or an even number"),
        ({"samples": 7}, "samples=7 must be 1 or an even number: the gap compares two halves"),
        ({"logvar": torch.zeros(IMAGES, 2)}, r"mean is \(5, 3\) and logvar \(5, 2\)"),
        ({"mean": MEAN[0], "logvar": MEAN[0]}, r"both must be \(images, latents\)"),
        ({"x": X[:4]}, "x has 4 images and mean has 5"),
        ({"labels": torch.zeros(3).long()}, "labels has 3 images and mean has 5"),
        ({"x": X.long()}, r"x is torch.int64; .*Did you mean x / 255\?"),
        ({"mean": MEAN[:0], "logvar": MEAN[:0], "x": X[:0]}, "x has no images"),
        ({"x": X + 2}, r"x reaches from 2 to 2; allowed is \[0, 1\]"),
    ],
)
def test_what_is_refused_and_how(changes: dict[str, object], message: str) -> None:
    arguments = {"mean": MEAN, "logvar": MEAN, "x": X, "samples": 2, "generator": seeded()} | changes
    call: Callable[..., object] = partial(iwae, lambda z, labels: torch.zeros(len(z), PIXELS))
    with pytest.raises(UserError, match=message):
        call(**arguments)
