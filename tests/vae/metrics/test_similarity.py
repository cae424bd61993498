"""SSIM and PSNR: parity where borders matter, the figures known on MNIST, laws, speed, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.datasets import load_digits
from torch import Tensor

from tests.image_samples import blurred, mnist_test, noised, uniform
from vae.errors import UserError
from vae.metrics.similarity import psnr, psnr_of_mean, ssim, ssim_both, ssim_window

DAMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "haze": lambda x: x.clamp_min(0.05),
    "thin haze": lambda x: x.clamp_min(0.02),
    "dimmed": lambda x: 0.7 * x,
    "shift": lambda x: x.roll((1, -2), (-2, -1)),
    "blur": partial(blurred, sigma=1.0),
    "noise": partial(noised, sd=0.1),
    "binarised": lambda x: (x > 0.5).to(x.dtype),
    "frame": lambda x: torch.nn.functional.pad(x[..., 1:-1, 1:-1], (1, 1, 1, 1), value=0.5),
    "blank": torch.zeros_like,
}
seeds = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def mnist_test_images(mnist_root: Path) -> Tensor:
    return mnist_test(mnist_root)


def reference(x: Tensor, y: Tensor) -> Tensor:
    """scikit-image, one pair at a time."""
    small = min(x.shape[-2:]) < 11
    window = {"win_size": 7} if small else {"gaussian_weights": True, "sigma": 1.5}
    pairs = zip(x.double().numpy(), y.double().numpy())
    options = {**window, "use_sample_covariance": False, "data_range": 1.0}
    return torch.tensor([float(structural_similarity(a, b, **options)) for a, b in pairs], dtype=torch.float64)


def agree(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


# Parity with scikit-image.


@pytest.mark.mnist
@pytest.mark.parametrize("damage", DAMAGES)
def test_ssim_is_scikit_images_on_damaged_mnist(mnist_test_images: Tensor, damage: str) -> None:
    x = mnist_test_images[:60]
    y = DAMAGES[damage](x)
    upright, inverted = ssim_both(y, x)
    agree(upright, reference(y, x))
    agree(inverted, reference(1 - y, 1 - x))


@pytest.mark.mnist
def test_a_library_that_pads_the_border_would_not_agree(mnist_test_images: Tensor) -> None:
    """The parity inputs must be able to fail: with the border windows, a haze of .05 scores .47."""
    x = mnist_test_images[:60]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    maps = [structural_similarity(a, b, **options)[1] for a, b in zip(x.numpy(), x.clamp_min(0.05).numpy())]
    assert np.mean(maps) < 0.5
    assert ssim(x, x.clamp_min(0.05)).mean() > 0.7


@pytest.mark.parametrize("damage", DAMAGES)
def test_ssim_of_small_digits_has_a_uniform_window(damage: str) -> None:
    x = torch.from_numpy(load_digits().images[:40] / 16)
    y = DAMAGES[damage](x)
    agree(ssim(y, x), reference(y, x))


@pytest.mark.parametrize(
    ("height", "width", "window"),
    [
        (7, 7, "uniform-7"),
        (10, 19, "uniform-7"),
        (23, 10, "uniform-7"),
        (11, 11, "gaussian-11"),
        (12, 31, "gaussian-11"),
    ],
)
def test_the_shorter_side_chooses_the_window(height: int, width: int, window: str) -> None:
    assert ssim_window(height, width) == window
    x = uniform(5, height, width)
    y = DAMAGES["haze"](0.6 * x)
    agree(ssim(y, x), reference(y, x))


def test_near_white_pictures_keep_their_digits_in_float32() -> None:
    """A variance there is a difference of numbers near 1: computed in float32 it would be off in the fourth digit."""
    x = (1 - 0.004 * uniform(5, 20, 17)).float()
    y = (1 - 0.004 * uniform(5, 20, 17, seed=1)).float()
    agree(ssim(y, x), reference(y, x))


# Known answers on MNIST.


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("damage", "upright", "inverted"),
    [("thin haze", 0.8709, 0.9995), ("haze", 0.8002, 0.9968), ("blur", 0.7938, 0.8306)],
)
def test_haze_costs_ssim_and_not_its_inverse(
    mnist_test_images: Tensor, damage: str, upright: float, inverted: float
) -> None:
    """The whole test set. A prototype on fewer images: .88, .817 and .78."""
    means = [values.mean().item() for values in ssim_both(DAMAGES[damage](mnist_test_images), mnist_test_images)]
    assert means == pytest.approx([upright, inverted], abs=2e-4)
    assert means[0] == pytest.approx({"thin haze": 0.88, "haze": 0.817, "blur": 0.78}[damage], abs=0.018)


# Laws.


@given(seed=seeds, height=st.integers(7, 15), width=st.integers(7, 15))
def test_ssim_is_symmetric_bounded_and_blind_to_flips(seed: int, height: int, width: int) -> None:
    x, y = uniform(3, height, width, seed=seed), uniform(3, height, width, seed=seed + 1)
    agree(ssim(x, y), ssim(y, x))
    agree(ssim(x, x), torch.ones(3, dtype=torch.float64))
    assert (ssim(x, y).abs() <= 1).all()
    for moved in (
        partial(torch.flip, dims=(-1,)),
        partial(torch.flip, dims=(-2,)),
        partial(torch.transpose, dim0=-1, dim1=-2),
    ):
        agree(ssim(moved(x), moved(y)), ssim(x, y))


@given(seed=seeds)
def test_both_polarities_from_one_pass(seed: int) -> None:
    x, y = uniform(4, 12, 14, seed=seed), uniform(4, 12, 14, seed=seed + 1).square()
    upright, inverted = ssim_both(x, y)
    agree(upright, ssim(x, y))
    agree(inverted, ssim(1 - x, 1 - y))
    agree(ssim_both(1 - x, 1 - y)[1], upright)


@given(seed=seeds, low=st.floats(0, 1), high=st.floats(0, 1))
def test_constant_pictures_differ_by_their_means_alone(seed: int, low: float, high: float) -> None:
    x, y = (torch.full((2, 12, 11), value, dtype=torch.float64) for value in (low, high))
    expected = (2 * low * high + 1e-4) / (low**2 + high**2 + 1e-4)
    agree(ssim(x, y), torch.full((2,), expected, dtype=torch.float64))


# PSNR.


def test_psnr_is_scikit_images() -> None:
    x, y = uniform(6, 5, 8), noised(uniform(6, 5, 8), 0.1)
    expected = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(x.numpy(), y.numpy())]
    assert psnr(x, y).tolist() == pytest.approx(expected, abs=1e-9)
    assert psnr_of_mean(x, y).item() == pytest.approx(peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1))


@given(seed=seeds)
def test_the_mean_of_psnrs_is_at_least_the_psnr_of_the_mean(seed: int) -> None:
    x = uniform(6, 5, 8, seed=seed)
    y = x * uniform(6, 1, 1, seed=seed + 1)
    assert psnr(x, y).mean() >= psnr_of_mean(x, y) - 1e-9


def test_psnr_of_equal_pictures_is_infinite() -> None:
    x = uniform(3, 5, 8)
    assert psnr(x, x).tolist() == [math.inf] * 3
    assert psnr_of_mean(x, x).item() == math.inf
    assert psnr_of_mean(x, x).shape == ()


# Refusals.


def test_ssim_refuses_pictures_smaller_than_its_window() -> None:
    for call in (ssim, ssim_both):
        with pytest.raises(UserError, match=r"x has pictures of 6 x 28 px; each side must be at least 7 px"):
            call(torch.zeros(2, 6, 28), torch.zeros(2, 6, 28))
