"""Latents: units sum to the rate, the aggregate posterior's variance is that of its samples, activity is variance."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vae.errors import UserError
from vae.metrics import latents
from vae.posteriors import rate


def posteriors(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(shape, generator=generator, dtype=torch.float64)
    return mean, torch.randn(shape, generator=generator, dtype=torch.float64) - 1


def test_units_sum_to_the_rate_and_equal_torch() -> None:
    mean, logvar = posteriors(2, 5, 3)
    units = latents.unit_rates(mean, logvar)
    assert units.shape == (2, 3)
    torch.testing.assert_close(units.sum(-1), rate(mean, logvar).mean(-1), rtol=1e-13, atol=0)
    torch.testing.assert_close(units, kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0)).mean(-2))


def test_a_unit_that_is_nearly_the_prior_keeps_its_digits() -> None:
    mean, logvar = torch.zeros(5, 1, dtype=torch.float64), torch.full((5, 1), 1e-7, dtype=torch.float64)
    assert float(latents.unit_rates(mean, logvar)) == pytest.approx(1e-14 / 4, rel=1e-6, abs=0)


def test_float32_is_measured_in_float64() -> None:
    mean, logvar = posteriors(5, 3)
    rates = latents.unit_rates(mean.float(), logvar.float())
    assert rates.dtype == torch.float64
    torch.testing.assert_close(rates, latents.unit_rates(mean.float().double(), logvar.float().double()))


def test_active_units_are_those_whose_mean_varies_by_more_than_a_hundredth() -> None:
    signs = torch.tensor([-1.0, 1.0] * 4, dtype=torch.float64)[:, None]
    deviations = torch.tensor([0.0, 0.0999, 0.1001, 2.0], dtype=torch.float64)  # population sd: variance around .01
    mean = 5 + signs * deviations
    assert latents.active(mean).tolist() == [False, False, True, True]
    assert int(latents.active_units(mean)) == 2
    assert latents.active_units(torch.stack([mean, 0 * mean])).tolist() == [2, 0]


def test_aggregate_variance_is_that_of_samples() -> None:
    mean, logvar = posteriors(5, 3)
    noise = torch.randn(40_000, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    samples = mean + torch.exp(logvar / 2) * noise
    expected = samples.flatten(0, 1).var(0, correction=0)
    torch.testing.assert_close(latents.aggregate_variance(mean, logvar), expected, rtol=0.01, atol=0)


def test_aggregate_variance_leaves_out_units_that_sit_at_the_prior() -> None:
    mean, logvar = posteriors(2, 5, 3)
    mean[..., 1], logvar[..., 1] = 0.3, 0.0
    by_unit = latents.aggregate_variance(mean, logvar)
    torch.testing.assert_close(latents.aggregate_variance_of_active(mean, logvar), by_unit[:, [0, 2]].mean(-1))
    assert math.isnan(float(latents.aggregate_variance_of_active(0 * mean[0], logvar[0])))


def test_collapse_is_a_rate_below_a_tenth_of_a_nat() -> None:
    assert latents.collapsed(torch.tensor([0.0, 0.0999, 0.1, 24.7, math.nan])).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert bool(latents.collapsed(0.05))


MEAN = torch.zeros(5, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latents.unit_rates(MEAN, MEAN[:4]), r"mean is \(5, 3\) and logvar \(4, 3\); they must be equal"),
        (lambda: latents.unit_rates(MEAN, MEAN.long()), r"logvar is \(5, 3\) of torch.int64"),
        (lambda: latents.active_units(MEAN[0]), r"mean is \(3,\) of torch.float32; it must be \(\*, images, latents\)"),
        (lambda: latents.aggregate_variance(MEAN[:0], MEAN[:0]), "at least one image"),
    ],
)
def test_what_is_refused_and_how(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()
