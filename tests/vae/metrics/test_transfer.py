"""The transfer function: blurs of known H, a shift, noise, pooling, rings of any shape, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.image_samples import fourier_blurred, mnist_test, uniform
from vae.errors import UserError
from vae.metrics.transfer import Transfer, transfer

MTF50 = 0.18739  # of a Gaussian blur of sigma 1 px: √(ln 2 / 2) / π
SIGMAS = (0.4, 0.5, 0.7, 1.0, 1.5, 2.0)


@pytest.fixture(scope="module")
def mnist_test_images(mnist_root: Path) -> Tensor:
    return mnist_test(mnist_root)


def texture(*shape: int, seed: int = 0) -> Tensor:
    """Flat spectrum, and values so far from 0 and 1 that a Fourier blur, which overshoots, stays in the range."""
    return 0.2 + 0.6 * uniform(*shape, seed=seed)


# Known answers.


def test_the_constant_is_where_a_gaussian_blur_passes_a_half() -> None:
    assert math.exp(-2 * (math.pi * MTF50) ** 2) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("shape", [(60, 48, 48), (40, 64, 45), (40, 37, 50)])
def test_a_gaussian_blur_has_its_own_transfer_function(sigma: float, shape: tuple[int, ...]) -> None:
    original = texture(*shape)
    passed = transfer(fourier_blurred(original, sigma), original)
    expected = torch.exp(-2 * (math.pi * sigma * passed.frequency) ** 2)
    torch.testing.assert_close(passed.h, expected, rtol=0, atol=0.01)
    assert passed.mtf50 == pytest.approx(MTF50 / sigma, rel=0.005)


@pytest.mark.parametrize("sigma", [0.7, 1.0])
def test_a_blur_is_all_gain_and_no_incoherence(sigma: float) -> None:
    original = texture(60, 48, 48)
    passed = transfer(fourier_blurred(original, sigma), original)
    torch.testing.assert_close(passed.gain, passed.h, rtol=0, atol=1e-3)
    assert passed.coherence.min() > 0.98  # below 1 only as far as H varies within a ring


@pytest.mark.mnist
@pytest.mark.parametrize("sigma", SIGMAS)
def test_mtf50_of_blurred_mnist(mnist_test_images: Tensor, sigma: float) -> None:
    original = 0.1 + 0.8 * mnist_test_images[:2000]
    assert transfer(fourier_blurred(original, sigma), original).mtf50 == pytest.approx(MTF50 / sigma, rel=0.015)


@pytest.mark.mnist
def test_a_shift_of_one_pixel_lowers_h_and_leaves_gain(mnist_test_images: Tensor) -> None:
    """H(.25) = J0(π / 2) = .47 though nothing is blurred; the coherence of a ring falls with it."""
    passed = transfer(mnist_test_images.roll(1, -1), mnist_test_images)
    quarter = 7  # of 28
    assert passed.frequency[quarter] == pytest.approx(0.25, abs=0.003)
    assert passed.h[quarter] == pytest.approx(0.47, abs=0.01)
    torch.testing.assert_close(passed.gain, torch.ones_like(passed.gain), rtol=0, atol=1e-9)
    torch.testing.assert_close(passed.coherence, passed.h.square(), rtol=0, atol=1e-9)


def test_noise_adds_gain_that_does_not_cohere() -> None:
    """Of equal power to the texture's, so G² = 2 and γ² = 1/2, and H stays at 1."""
    original, noise = texture(400, 24, 24), uniform(400, 24, 24, seed=1)
    noisy = 0.25 + 0.5 * (original + 0.6 * (noise - 0.5))  # half the contrast, to stay in range
    passed = transfer(noisy.clamp(0, 1), original)
    for values, expected in ((2 * passed.h, 1.0), (2 * passed.gain, math.sqrt(2)), (passed.coherence, 0.5)):
        torch.testing.assert_close(values[1:], torch.full((12,), expected, dtype=torch.float64), rtol=0, atol=0.03)


# Laws.


@given(seed=st.integers(0, 2**31), height=st.integers(2, 13), width=st.integers(2, 13))
def test_half_plane_rings_are_the_whole_planes(seed: int, height: int, width: int) -> None:
    """Against the definition: complex sums over rings of the full plane, one frequency at a time."""
    x, y = uniform(3, height, width, seed=seed), uniform(3, height, width, seed=seed + 1)
    fx, fy = np.fft.fft2(x.numpy()), np.fft.fft2(y.numpy())
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    rings = np.rint(max(height, width) * f)
    passed = transfer(y, x)
    assert len(passed.h) == max(height, width) // 2 + 1
    for ring in range(len(passed.h)):
        here = rings == ring
        xx, yy = (np.abs(transform[:, here]) ** 2 for transform in (fx, fy))
        xy = (fx[:, here].conj() * fy[:, here]).sum()
        assert passed.frequency[ring] == pytest.approx(f[here].mean())
        assert passed.h[ring] == pytest.approx(xy.real / xx.sum(), abs=1e-9)
        assert passed.gain[ring] == pytest.approx(math.sqrt(yy.sum() / xx.sum()), abs=1e-9)
        assert passed.coherence[ring] == pytest.approx(abs(xy) ** 2 / (xx.sum() * yy.sum()), abs=1e-9)


def test_pictures_are_pooled_by_their_power() -> None:
    """Ratios of sums: a dark picture that is passed whole hardly helps a bright one that is halved."""
    bright, dark, blank = texture(1, 9, 8), 0.01 * texture(1, 9, 8, seed=1), torch.zeros(1, 9, 8)
    original = torch.cat([bright, dark, blank])
    passed = transfer(torch.cat([0.5 * bright, dark, blank]), original)
    assert (passed.h - 0.5).abs().max() < 0.001
    assert passed.h.min() > 0.5


def test_many_pictures_in_pieces_read_as_their_channels_and_batches() -> None:
    original = uniform(4, 3, 60, 50)
    reconstruction = 0.5 * original + 0.5 * uniform(4, 3, 60, 50, seed=1)
    whole, flat = transfer(reconstruction, original), transfer(reconstruction.flatten(0, 1), original.flatten(0, 1))
    assert torch.equal(whole.h, flat.h)
    one = transfer(reconstruction[:1, :1], original[:1, :1])
    alone = transfer(reconstruction[0, 0], original[0, 0])
    assert torch.equal(one.coherence, alone.coherence)


# Edges of mtf50.


def curve(*h: float) -> Transfer:
    values = torch.tensor(h, dtype=torch.float64)
    return Transfer(torch.arange(len(h), dtype=torch.float64) / 10, values, values, values)


def test_mtf50_is_the_first_crossing_between_rings() -> None:
    assert curve(1.0, 0.8, 0.4, 0.9, 0.1).mtf50 == pytest.approx(0.1 + 0.1 * 0.3 / 0.4)
    assert curve(1.0, 0.5, 0.0).mtf50 == pytest.approx(0.1)
    assert curve(1.0, 0.5, 0.8).mtf50 == 0.5  # Nyquist: a half is not below a half


def test_mtf50_ends_at_nyquist() -> None:
    assert curve(1.0, 0.9, 0.8).mtf50 == 0.5
    assert curve(1.0, 1.0, 1.0, 1.0, 1.0, 0.505, 0.0).mtf50 == 0.5  # beyond it only rounding of the last ring


def test_mtf50_of_what_never_arrives_is_zero() -> None:
    passed = transfer(0.4 * texture(3, 9, 8), texture(3, 9, 8))
    assert passed.mtf50 == 0.0


def test_rings_without_power_are_nan_and_skipped() -> None:
    assert curve(math.nan, 1.0, math.nan, 0.0).mtf50 == pytest.approx(0.2)
    grey = torch.full((3, 9, 8), 0.3, dtype=torch.float64)
    passed = transfer(texture(3, 9, 8), grey)
    assert passed.h.isnan().tolist() == [False, True, True, True, True]
    nothing = transfer(texture(3, 9, 8), torch.zeros(3, 9, 8, dtype=torch.float64))
    assert math.isnan(nothing.mtf50)


def test_a_flat_reconstruction_passes_nothing_and_coheres_with_nothing() -> None:
    passed = transfer(torch.full((3, 9, 8), 0.3, dtype=torch.float64), texture(3, 9, 8))
    assert passed.h[1:].abs().max() < 1e-12
    assert passed.gain[1:].max() < 1e-12
    assert passed.coherence[1:].isnan().all()


def test_no_pictures_have_no_transfer() -> None:
    assert transfer(torch.zeros(0, 9, 8), torch.zeros(0, 9, 8)).h.isnan().all()


def test_transfer_refuses_what_does_not_match() -> None:
    with pytest.raises(UserError, match=r"reconstruction is \(3, 9, 8\) and original is \(3, 8, 9\); .* same shape"):
        transfer(torch.zeros(3, 9, 8), torch.zeros(3, 8, 9))
    with pytest.raises(UserError, match=r"reconstruction has pictures of 9 x 1 px; each side must be at least 2 px"):
        transfer(torch.zeros(3, 9, 1), torch.zeros(3, 9, 1))
