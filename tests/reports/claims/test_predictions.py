"""Predicted numbers: laws, parity with probabilistic PCA fitted by others, and the known number of MNIST."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from reports.claims.predictions import betas_around, ppca_beta, ppca_rate
from tests.claim_samples import EIGENVALUES
from vae.datasets.load import load
from vae.metrics.latents import COLLAPSED

SPECTRA = st.lists(st.floats(1e-3, 50), min_size=1, max_size=12).map(lambda values: sorted(values, reverse=True))
BETAS = st.floats(1e-3, 200)


@given(values=SPECTRA, beta=BETAS, factor=st.floats(1.001, 10), latents=st.integers(1, 12))
def test_the_rate_falls_with_beta_and_grows_with_latents(
    values: list[float], beta: float, factor: float, latents: int
) -> None:
    rate = ppca_rate(values, beta, latents)
    assert rate >= 0
    assert ppca_rate(values, beta * factor, latents) <= rate
    assert ppca_rate(values, beta, latents + 1) >= rate
    assert (rate == 0) == (beta >= 2 * values[0])


@given(values=SPECTRA, latents=st.integers(1, 12), rate=st.floats(1e-3, 20))
def test_the_beta_of_a_rate_spends_that_rate(values: list[float], latents: int, rate: float) -> None:
    assert ppca_rate(values, ppca_beta(values, rate, latents), latents) == pytest.approx(rate, rel=1e-9)


@given(values=SPECTRA, latents=st.integers(1, 12))
def test_the_last_latent_is_off_from_twice_the_largest_eigenvalue_on(values: list[float], latents: int) -> None:
    assert ppca_beta(values, 0.0, latents) == 2 * values[0]
    assert ppca_beta(values, COLLAPSED, latents) < 2 * values[0]


@given(values=SPECTRA, beta=BETAS, scale=st.floats(0.1, 10))
def test_brighter_images_need_a_larger_beta_in_proportion(values: list[float], beta: float, scale: float) -> None:
    scaled = [value * scale for value in values]
    assert ppca_rate(scaled, beta * scale, 12) == pytest.approx(ppca_rate(values, beta, 12), abs=1e-9)


def test_images_that_do_not_differ_have_no_rate() -> None:
    assert ppca_rate([0.0, 0.0], 1.0, 2) == 0
    assert ppca_beta([0.0, 0.0], 0.1, 2) == 0


def random_images(seed: int = 0) -> NDArray[np.float64]:
    """Images whose pixels are correlated: (400, 9)."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(400, 9)) @ np.diag(np.linspace(3, 0.1, 9)) @ draw.normal(size=(9, 9)) / 3


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("latents", [1, 4, 9])
def test_the_rate_is_the_divergence_of_the_optimal_linear_vae(beta: float, latents: int) -> None:
    """Tipping & Bishop's posterior with the noise held at beta / 2; its KL over the images it was fitted on."""
    images = random_images()
    fitted = PCA().fit(images)
    eigenvalues = fitted.explained_variance_ * (len(images) - 1) / len(images)
    variance = beta / 2
    weights = fitted.components_[:latents].T * np.sqrt(np.maximum(eigenvalues[:latents] - variance, 0))  # (9, L)
    inner = weights.T @ weights + variance * np.eye(latents)
    means = (images - images.mean(0)) @ weights @ np.linalg.inv(inner)
    spread = np.diag(variance * np.linalg.inv(inner))  # W'W is diagonal, so the true posterior is too
    divergence = 0.5 * (means**2 + spread - 1 - np.log(spread)).sum(1).mean()
    assert ppca_rate(list(eigenvalues), beta, latents) == pytest.approx(divergence, abs=1e-9)


def test_no_linear_vae_is_cheaper_than_the_predicted_one() -> None:
    """The objective at the predicted rate, against the same with each latent's scale moved."""
    values, beta = np.array([3.0, 1.2, 0.2]), 1.0
    variance = beta / 2

    def cost(gains: NDArray[np.float64]) -> float:
        """Distortion + beta · rate of a linear VAE along the principal axes; gains: squared lengths of the columns."""
        shrink = gains / (gains + variance)
        spread = variance / (gains + variance)
        residual = values * (1 - shrink) ** 2 + gains * spread
        means = values * gains / (gains + variance) ** 2
        rate = 0.5 * (means + spread - 1 - np.log(spread))
        return float((residual + beta * rate).sum())

    best = np.maximum(values - variance, 0)
    for step in (0.9, 0.99, 1.01, 1.1):
        for unit in range(3):
            moved = best.copy()
            moved[unit] = moved[unit] * step + (1e-3 if moved[unit] == 0 else 0)
            assert cost(moved) > cost(best)
    rate = 0.5 * np.log(np.maximum(values / variance, 1)).sum()
    assert ppca_rate(list(values), beta, 3) == pytest.approx(rate)


def test_arms_lie_around_a_predicted_beta() -> None:
    betas = betas_around(8.55)
    assert betas[2] == 8.55
    assert [beta / 8.55 for beta in betas] == pytest.approx([0.5, 0.7, 1, 1.4, 2], rel=0.01)


def test_the_prototype_of_mnist_is_predicted_within_a_factor() -> None:
    """science.md: beta 4 gives 1.4 nats, beta 8 .13, beta 12 none."""
    assert ppca_rate(EIGENVALUES, 4, 20) == pytest.approx(1.4, abs=0.05)
    assert ppca_rate(EIGENVALUES, 8, 20) == pytest.approx(0.13, abs=0.005)
    assert ppca_rate(EIGENVALUES, 12, 20) == 0


@pytest.mark.mnist
def test_mnist_collapses_where_its_largest_eigenvalue_says(mnist_root: Path) -> None:
    images = load("mnist", mnist_root).train.flatten(1).double()
    centred = images - images.mean(0)
    eigenvalues = np.linalg.eigvalsh((centred.T @ centred / len(images)).numpy())[::-1]
    assert eigenvalues[0] == pytest.approx(5.22, abs=0.15)
    assert ppca_beta(eigenvalues.tolist(), 0.0, 20) == pytest.approx(10.4, abs=0.3)
    assert ppca_beta(eigenvalues.tolist(), COLLAPSED, 20) == pytest.approx(10.4 * math.exp(-2 * COLLAPSED), abs=0.3)
    assert ppca_rate(eigenvalues.tolist(), 1.0, 20) == pytest.approx(10.2, abs=0.2)
