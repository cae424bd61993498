"""Acutance, equivalent blur, the blur effect and their companions: known answers, laws, blanks, parity, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import blur_effect as skimage_blur_effect
from sklearn.datasets import load_digits
from torch import Tensor

from tests.image_samples import NAN, blurred, edges, mnist_test, noised, uniform
from vae.errors import UserError
from vae.metrics.blur import blur_effect
from vae.metrics.sharpness import (
    acutance,
    edge_acutance,
    edge_contrast,
    foreground_recall,
    ink_ratio,
    n_blank,
    sigma_eq,
)

SIGMAS = (0.5, 1.0, 2.0)
seeds = st.integers(0, 2**31)


def acutance_ratio(x: Tensor, y: Tensor, threshold: float = 0.05) -> Tensor:
    return acutance(x, threshold=threshold) / acutance(y, threshold=threshold)


@pytest.fixture(scope="module")
def mnist_test_images(mnist_root: Path) -> Tensor:
    return mnist_test(mnist_root)


# Known answers: the ideal edge.


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, (0.4370, 0.2612, 0.1382)), (0.05, (0.4475, 0.2723, 0.1503))])
def test_the_closed_form_of_an_ideal_edge(threshold: float, expected: tuple[float, ...]) -> None:
    assert edge_acutance(torch.tensor(SIGMAS), threshold=threshold).tolist() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.05])
def test_pixel_integrated_edges_read_what_the_closed_form_says(sigma: float, threshold: float) -> None:
    """Averaged over where the edge lies between two pixels; one edge can be 4 % off at sigma .5."""
    measured = acutance(edges(sigma), threshold=threshold)
    assert measured.mean() == pytest.approx(edge_acutance(torch.tensor(sigma), threshold=threshold).item(), rel=0.008)


@pytest.mark.parametrize(
    ("sigma", "threshold", "measured"),
    [
        (0.5, 0.0, 0.431),
        (1.0, 0.0, 0.261),
        (2.0, 0.0, 0.138),
        (0.5, 0.05, 0.4391),
        (1.0, 0.05, 0.2755),
        (2.0, 0.05, 0.149),
    ],
)
def test_measured_edges_of_the_prototype_lie_among_ours(sigma: float, threshold: float, measured: float) -> None:
    """Figures of an independent prototype, each at one position of the edge: within the spread over positions."""
    ours = acutance(edges(sigma), threshold=threshold)
    assert ours.min() - 5e-4 <= measured <= ours.max() + 5e-4


def test_a_step_between_two_pixels_reads_one_whatever_its_height() -> None:
    step = torch.zeros(3, 9, 8, dtype=torch.float64)
    step[..., 4:] = torch.tensor([1.0, 0.5, 0.01])[:, None, None]
    assert acutance(step).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-12)


def test_a_corner_by_hand() -> None:
    """One lit pixel: g is √2 at it and 1 at its two earlier neighbours, so A = (2 + 1 + 1) / (√2 + 2)."""
    pixel = torch.zeros(5, 6, dtype=torch.float64)
    pixel[2, 3] = 0.8
    assert acutance(pixel).item() == pytest.approx(4 / (math.sqrt(2) + 2), abs=1e-12)


def test_the_last_column_has_no_difference_across_and_the_last_row_none_down() -> None:
    pixel = torch.zeros(4, 5, dtype=torch.float64)
    pixel[3, 4] = 1.0
    assert acutance(pixel).item() == pytest.approx(1.0)  # gradients of 1 at its two neighbours, none at itself


# Known answers: MNIST.


@pytest.mark.mnist
def test_mnist_reads_as_published_here(mnist_test_images: Tensor) -> None:
    """The prototype's .671 ± .027 and 1.126 came from fewer images; the whole test set is within a third of its sd."""
    originals = acutance(mnist_test_images)
    assert originals.mean() == pytest.approx(0.6781, abs=2e-4)
    assert originals.std() == pytest.approx(0.0316, abs=2e-4)
    assert originals.mean() == pytest.approx(0.671, abs=0.009)
    binarised = (mnist_test_images > 0.5).double()
    assert acutance(binarised).mean() == pytest.approx(1.126, abs=0.002)
    assert acutance_ratio(binarised, mnist_test_images).mean() > 1.5


@pytest.mark.mnist
@pytest.mark.parametrize(("sigma", "published"), [(0.5, 0.41), (0.7, 0.67), (1.0, 0.96), (1.5, 1.43), (2.0, 1.89)])
def test_blurred_mnist_reads_its_blur(mnist_test_images: Tensor, sigma: float, published: float) -> None:
    readings = sigma_eq(acutance(blurred(mnist_test_images, sigma), threshold=0.0), threshold=0.0)
    assert readings.mean() == pytest.approx(published, rel=0.02)
    assert readings.median() == pytest.approx(sigma, abs=0.09)


@pytest.mark.mnist
def test_noise_lowers_acutance(mnist_test_images: Tensor) -> None:
    some = mnist_test_images[:1000]
    readings = [acutance(noised(some, sd)).mean().item() for sd in (0.0, 0.02, 0.05, 0.1)]
    assert readings == sorted(readings, reverse=True)
    assert readings[-1] < 0.75 * readings[0]


@pytest.mark.mnist
def test_the_threshold_keeps_a_faint_background_out(mnist_test_images: Tensor) -> None:
    some = mnist_test_images[:1000]
    faint = torch.maximum(some, 0.03 * uniform(*some.shape))
    with_threshold = acutance_ratio(faint, some).mean()
    without = acutance_ratio(faint, some, threshold=0.0).mean()
    assert with_threshold > 0.97
    assert without < 0.95


@pytest.mark.mnist
def test_a_mirrored_mnist_reads_within_four_per_cent(mnist_test_images: Tensor) -> None:
    """Not an exact law: the two forward differences of a pixel look one way, and handwriting slants."""
    mirrored = acutance_ratio(mnist_test_images.flip(-1), mnist_test_images)
    assert mirrored.mean() == pytest.approx(0.970, abs=0.002)


# Laws.


@given(
    seed=seeds, contrast=st.floats(0.05, 1.0), share=st.floats(0.0, 1.0), threshold=st.sampled_from([0.0, 0.05, 0.3])
)
def test_contrast_and_offset_do_not_matter(seed: int, contrast: float, share: float, threshold: float) -> None:
    x = uniform(3, 9, 8, seed=seed)
    changed = (share * (1 - contrast) + contrast * x).clamp(0, 1)
    torch.testing.assert_close(
        acutance(changed, threshold=threshold), acutance(x, threshold=threshold), rtol=1e-9, atol=0
    )


@given(seed=seeds, length=st.integers(2, 9))
def test_the_length_of_an_edge_and_its_direction_do_not_matter(seed: int, length: int) -> None:
    profile = uniform(11, seed=seed).cumsum(0) / 11  # a soft edge of random shape
    edge = profile.expand(length, 11)
    expected = acutance(profile.expand(2, 11))
    for same in (edge, edge.T, edge.flip(-1), edge.T.flip(-2), 1 - edge):
        torch.testing.assert_close(acutance(same), expected, rtol=1e-9, atol=0)


@given(seed=seeds)
def test_transposition_does_not_matter(seed: int) -> None:
    x = uniform(4, 9, 6, seed=seed)
    torch.testing.assert_close(acutance(x.mT), acutance(x), rtol=1e-12, atol=0)


@given(sigma=st.floats(0.01, 6.0), threshold=st.sampled_from([0.0, 0.01, 0.05]))
def test_sigma_eq_undoes_the_closed_form(sigma: float, threshold: float) -> None:
    reading = sigma_eq(edge_acutance(torch.tensor(sigma), threshold=threshold), threshold=threshold)
    assert reading.item() == pytest.approx(sigma, abs=1e-6)


@given(first=st.floats(0.051, 1.4), second=st.floats(0.051, 1.4))
def test_sharper_is_less_blurred(first: float, second: float) -> None:
    low, high = sigma_eq(torch.tensor(sorted([first, second]))).tolist()
    assert low >= high >= 0


def test_sigma_eq_ends_at_a_pixel_sharp_edge_and_at_the_threshold() -> None:
    sharpest = 1 / math.sqrt(4 * math.pi / 6)
    assert sigma_eq(torch.tensor([sharpest + 1e-9, 1.4]), threshold=0.0).tolist() == [0.0, 0.0]
    softest = math.sqrt(1 / (2 * math.pi * 0.05**2) - 1 / 6)
    assert sigma_eq(torch.tensor(0.05 + 1e-9).double()).item() == pytest.approx(softest, rel=1e-4)
    assert edge_acutance(torch.tensor([softest - 0.01, softest + 0.01])).isnan().tolist() == [False, True]


def test_sigma_eq_lets_nan_pass_and_keeps_the_shape() -> None:
    readings = sigma_eq(torch.tensor([[0.3, NAN, 0.2], [NAN, 0.6, 1.1]]))
    assert readings.isnan().tolist() == [[False, True, False], [True, False, False]]
    assert readings.dtype == torch.float64


# Blank pictures.


def test_a_picture_without_an_edge_reads_nan_and_is_counted() -> None:
    ramp = torch.linspace(0, 1, 30).expand(6, 30)  # no gradient reaches 5 % of the range
    faint = torch.zeros(6, 30)
    faint[2:, 10:] = 9e-4
    lit = torch.zeros(6, 30)
    lit[3, 7] = 1.0
    x = torch.stack([torch.zeros(6, 30), torch.full((6, 30), 0.7), faint, ramp, lit])
    measured = acutance(x)
    assert measured.isnan().tolist() == [True, True, True, True, False]
    assert n_blank(measured) == 4
    assert n_blank(sigma_eq(measured)) == 4
    assert acutance(x, threshold=0.0).isnan().tolist() == [True, True, True, False, False]


def test_companions_are_nan_only_where_the_original_has_nothing() -> None:
    blank, lit = torch.zeros(5, 4), torch.eye(5)[:, :4]
    reconstruction, original = torch.stack([blank, lit, blank]), torch.stack([lit, blank, blank])
    for metric in (edge_contrast, ink_ratio, foreground_recall):
        values = metric(reconstruction, original)
        assert values[0] == 0.0
        assert values[1:].isnan().all()


# Companions.


def test_companions_by_hand() -> None:
    original = torch.zeros(4, 6, dtype=torch.float64)
    original[:, 2:4] = 1.0
    reconstruction = torch.zeros(4, 6, dtype=torch.float64)
    reconstruction[:, 2] = 0.6
    reconstruction[0, 5] = 0.9
    assert ink_ratio(reconstruction, original).item() == pytest.approx((4 * 0.6 + 0.9) / 8)
    assert foreground_recall(reconstruction, original).item() == pytest.approx(0.5)
    for metric in (ink_ratio, foreground_recall):  # on a light ground ink is what is darker
        on_light = metric(1 - reconstruction.double(), 1 - original.double(), light_ground=True)
        assert on_light.item() == pytest.approx(metric(reconstruction, original).item(), rel=1e-7)
    stroke, dot = 2 * 4 * 0.6, 2 * 0.9  # .6 up and down in four rows; .9 at the dot's left neighbour and in the dot
    assert edge_contrast(reconstruction, original).item() == pytest.approx((stroke + dot) / 8)


def test_blur_leaves_the_contrast_of_a_lone_edge_and_the_ink_of_a_stroke() -> None:
    sharp, soft = edges(0.3, phases=3), edges(1.5, phases=3)
    torch.testing.assert_close(edge_contrast(soft, sharp), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0)
    stroke = torch.zeros(40, 41, dtype=torch.float64)
    stroke[15:25, 20:22] = 1.0
    assert ink_ratio(blurred(stroke, 1.5), stroke).item() == pytest.approx(1.0, abs=1e-9)
    assert edge_contrast(blurred(stroke, 1.5), stroke).item() < 0.75  # thin strokes melt


@pytest.mark.mnist
def test_a_median_loses_thin_strokes_while_it_looks_sharp(mnist_test_images: Tensor) -> None:
    """What MAE does: where a pixel is lit in fewer than half of the possible images, it goes black."""
    some = mnist_test_images[:500]
    jittered = torch.stack([some.roll((dy, dx), (-2, -1)) for dy in range(-2, 3) for dx in range(-2, 3)])
    median, mean = jittered.median(0).values, jittered.mean(0)
    ratios = [acutance_ratio(blurry, some).nanmean().item() for blurry in (median, mean)]
    assert ratios[0] > 1.5 * ratios[1]
    recall = foreground_recall(median, some).nanmean()
    assert recall < 0.75
    assert ink_ratio(median, some).mean() < 0.9 * ink_ratio(mean, some).mean()


# The blur effect.


def reference(x: Tensor, h_size: int) -> list[float]:
    return [float(np.mean(skimage_blur_effect(p, h_size=h_size, reduce_func=None))) for p in x.double().numpy()]


@pytest.mark.parametrize("h_size", [11, 5])
@pytest.mark.parametrize("shape", [(5, 28, 28), (4, 13, 22), (3, 31, 12), (2, 4, 5)])
def test_blur_effect_is_scikit_images(shape: tuple[int, ...], h_size: int) -> None:
    x = uniform(*shape)
    x[0, :, : shape[2] // 2] = 0.25  # a flat half
    assert blur_effect(x, h_size=h_size).tolist() == pytest.approx(reference(x, h_size), abs=1e-9)


@pytest.mark.parametrize("h_size", [11, 5])
def test_blur_effect_of_digits_whose_sides_are_shorter_than_the_box(h_size: int) -> None:
    x = torch.from_numpy(load_digits().images[:40] / 16)
    assert blur_effect(x, h_size=h_size).tolist() == pytest.approx(reference(x, h_size), abs=1e-9)


@pytest.mark.mnist
@pytest.mark.parametrize("h_size", [11, 5])
def test_blur_effect_of_mnist_and_its_blurs(mnist_test_images: Tensor, h_size: int) -> None:
    some = mnist_test_images[:30]
    series = [some, blurred(some, 0.7), blurred(some, 1.4)]
    for x in series:
        assert blur_effect(x, h_size=h_size).tolist() == pytest.approx(reference(x, h_size), abs=1e-9)
    readings = [blur_effect(x, h_size=h_size).mean().item() for x in series]
    assert readings == sorted(readings)


def test_the_mean_of_axes_sees_a_blur_that_the_maximum_does_not() -> None:
    sharp, soft = edges(0.4, height=20, phases=3), edges(2.0, height=20, phases=3)
    for x in (sharp, soft):
        assert [skimage_blur_effect(p) for p in x.numpy()] == pytest.approx([1.0, 1.0, 1.0])
        assert blur_effect(x).tolist() == pytest.approx(reference(x, 11), abs=1e-9)
    assert (blur_effect(soft) > blur_effect(sharp) + 0.1).all()


def test_blur_effect_of_a_blank_picture_is_nan() -> None:
    x = torch.stack([torch.zeros(9, 8), torch.full((9, 8), 0.3), torch.eye(9)[:, :8]])
    assert blur_effect(x).isnan().tolist() == [True, True, False]


# Refusals.


@pytest.mark.parametrize("h_size", [0, 1, 4, -5])
def test_blur_effect_refuses_a_box_without_a_middle(h_size: int) -> None:
    with pytest.raises(UserError, match=rf"h_size={h_size} is not an odd number of pixels .* 5 or 11\?"):
        blur_effect(uniform(2, 9, 8), h_size=h_size)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, NAN])
def test_thresholds_are_shares(threshold: float) -> None:
    for call in (acutance, sigma_eq, edge_acutance):
        with pytest.raises(UserError, match=rf"threshold={threshold} is not in \[0, 1\)"):
            call(uniform(4, 5), threshold=threshold)
    with pytest.raises(UserError, match=r"threshold=5 .* Did you mean 0\.05\?"):
        acutance(uniform(4, 5), threshold=5)


def test_sigma_eq_refuses_an_acutance_measured_at_another_threshold() -> None:
    message = (
        r"acutance=0\.04 is not above threshold=0\.05, as every measured acutance is\. Was it measured with another"
    )
    with pytest.raises(UserError, match=message):
        sigma_eq(torch.tensor([NAN, 0.2, 0.04]))


def test_edge_acutance_refuses_a_negative_blur() -> None:
    with pytest.raises(UserError, match=r"sigma reaches -0\.5; a blur in pixels is not negative"):
        edge_acutance(torch.tensor([1.0, -0.5]))
