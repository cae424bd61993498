"""Samples against real images: nothing between equal distributions, known Gaussian pairs, worse with every blur."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg
from scipy.ndimage import gaussian_filter
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from vae.datasets.load import load
from vae.errors import UserError
from vae.metrics import generation
from vae.metrics.classifier import Recipe, trained_classifier

D = 64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_kid_equals_an_independent_one_in_blocks_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(31, 7, seed=1), normal(23, 7, seed=2) + 0.5
    kxx, kyy, kxy = (polynomial_kernel(a, b, degree=3, gamma=1 / 7, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    expected = (kxx.sum() - np.trace(kxx)) / (31 * 30) + (kyy.sum() - np.trace(kyy)) / (23 * 22) - 2 * kxy.mean()
    assert generation.kid(x, y) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(generation, "_BLOCK_ON_CPU", 50)  # one or two rows at a time
    assert generation.kid(x, y) == pytest.approx(expected, rel=1e-12)


def test_kid_of_equal_distributions_is_zero_on_average() -> None:
    values = torch.tensor(
        [generation.kid(normal(100, D, seed=2 * i), normal(80, D, seed=2 * i + 1)) for i in range(60)]
    )
    assert float(values.mean().abs()) < 3 * float(values.std()) / math.sqrt(len(values))
    assert float(values.min()) < 0 < float(values.max())
    assert generation.kid(normal(100, D), normal(80, D, seed=1) + 0.3) > 10 * float(values.std())


def test_kid_by_hand() -> None:
    # Features of ±1 have k = (±1 + 1)³: 8 for equal signs and 0 for others.
    x, y = torch.ones(4, 1), torch.tensor([[1.0], [-1.0], [-1.0]])
    assert generation.kid(x, y) == pytest.approx(8 + 8 / 3 - 2 * 8 / 3)
    assert generation.kid(x, x) == pytest.approx(0)


def gaussian(seed: int, d: int = 5) -> tuple[Tensor, Tensor]:
    root = normal(d, d, seed=seed)
    return normal(d, seed=seed + 100), root @ root.T


@pytest.mark.parametrize("seed", range(5))
def test_frechet_between_known_gaussians_equals_the_matrix_root(seed: int) -> None:
    (mean_x, cov_x), (mean_y, cov_y) = gaussian(seed), gaussian(seed + 10)
    root = linalg.sqrtm((cov_x @ cov_y).numpy()).real
    expected = float((mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace()) - 2 * np.trace(root)
    distance = generation.frechet_gaussian(mean_x, cov_x, mean_y, cov_y)
    assert distance == pytest.approx(expected, rel=1e-9)
    assert generation.frechet_gaussian(mean_y, cov_y, mean_x, cov_x) == pytest.approx(distance, rel=1e-9)


def test_frechet_between_gaussians_with_one_set_of_axes_is_exact() -> None:
    axes = torch.linalg.qr(normal(6, 6)).Q
    a, b = torch.tensor([0.0, 0.0, 1.0, 4.0, 9.0, 2.0]), torch.tensor([0.0, 3.0, 0.0, 1.0, 16.0, 2.0])
    cov_a, cov_b = ((axes * v.double()) @ axes.T for v in (a, b))  # singular ones too
    zero = torch.zeros(6, dtype=torch.float64)
    expected = float((a.sqrt() - b.sqrt()).square().sum())
    assert generation.frechet_gaussian(zero, cov_a, zero, cov_b) == pytest.approx(expected, abs=1e-6)
    assert generation.frechet_gaussian(zero, cov_a, zero + 2, cov_a) == pytest.approx(24, abs=1e-6)


def test_frechet_of_features_uses_their_unbiased_covariance() -> None:
    x, y = normal(31, 7, seed=1), 2 * normal(23, 7, seed=2) + 1
    moments = [torch.from_numpy(np.asarray(m)) for f in (x, y) for m in (f.mean(0), np.cov(f.numpy().T))]
    assert generation.frechet(x, y) == pytest.approx(generation.frechet_gaussian(*moments), rel=1e-12)
    assert generation.frechet(x, x) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("images", "bias"), [(1000, 2.2), (10_000, 0.22)])
def test_frechet_bias_of_equal_distributions_at_64_features(images: int, bias: float) -> None:
    assert generation.frechet(normal(images, D, seed=1), normal(images, D, seed=2)) == pytest.approx(bias, rel=0.06)


@pytest.mark.parametrize("block", [50, 1 << 19])
def test_coverage_equals_an_independent_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "_BLOCK_ON_CPU", block)
    x, y = normal(61, 7, seed=1), 0.7 * normal(43, 7, seed=2) + 0.8
    for k in (1, 3, 5):
        radius = NearestNeighbors(n_neighbors=k).fit(x).kneighbors()[0][:, -1]  # without the image itself
        nearest = NearestNeighbors(n_neighbors=1).fit(y).kneighbors(x)[0][:, 0]
        expected = float((nearest < radius).mean())
        assert 0.1 < expected < 0.9
        assert generation.coverage(x, y, k=k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 5])
def test_coverage_of_equal_distributions_is_one_less_a_halving_per_neighbour(k: int) -> None:
    # One of 2 N − 1 others is as likely the nearest as any: the k nearest are all real with C(N−1, k) / C(2N−1, k).
    n = 400
    values = torch.tensor(
        [generation.coverage(normal(n, D, seed=2 * i), normal(n, D, seed=2 * i + 1), k=k) for i in range(40)]
    )
    expected = 1 - math.comb(n - 1, k) / math.comb(2 * n - 1, k)
    assert expected == pytest.approx(0.969 if k == 5 else 0.5, abs=1e-3)
    assert float(values.mean()) == pytest.approx(expected, abs=3.5 * float(values.std()) / math.sqrt(len(values)))


def test_coverage_sees_a_missing_mode_and_copies_of_one_image() -> None:
    x = torch.cat([normal(40, 7), normal(40, 7, seed=1) + 50])
    assert generation.coverage(x, x) == 1
    assert generation.coverage(x, normal(80, 7, seed=2)) <= 0.5
    assert generation.coverage(x, x[:1].expand(80, -1)) < 0.5
    assert generation.coverage(torch.zeros(9, 3), torch.zeros(4, 3)) == 0  # nothing is nearer than a distance of zero


@pytest.mark.parametrize("block", [50, 1 << 19])
@pytest.mark.parametrize("generated", [2, 5, 90, 200])
def test_real_features_compare_as_the_three_metrics_do(
    generated: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "_BLOCK_ON_CPU", block)
    x, y = normal(90, 7), normal(generated, 7, seed=1) + 0.5
    compared = generation.RealFeatures.of(x).compare(y)
    assert compared.kid == pytest.approx(generation.kid(x, y), rel=1e-12)
    assert compared.frechet == generation.frechet(x, y)
    assert compared.coverage == generation.coverage(x, y)


def test_coverage_is_left_out_where_real_images_have_too_few_neighbours() -> None:
    x, y = normal(generation.NEIGHBOURS, 3), normal(80, 3, seed=1)
    compared = generation.RealFeatures.of(x).compare(y)
    assert math.isnan(compared.coverage)
    assert (compared.kid, compared.frechet) == (generation.kid(x, y), generation.frechet(x, y))


def test_class_entropy_and_legibility_by_hand() -> None:
    read = torch.tensor([0, 0, 1, 3])
    assert generation.class_entropy(read, 4) == pytest.approx(0.5 * math.log(2) + 2 * 0.25 * math.log(4))
    assert generation.class_entropy(torch.zeros(7).long(), 10) == 0
    assert generation.class_entropy(torch.arange(30) % 10, 10) == pytest.approx(math.log(10))
    assert generation.legibility(read, torch.tensor([0, 1, 1, 3])) == 0.75


@given(read=st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_class_entropy_has_its_bounds_whatever_the_classes_are_called(read: list[int]) -> None:
    entropy = generation.class_entropy(torch.tensor(read), 5)
    assert 0 <= entropy <= math.log(len(set(read))) + 1e-12
    assert generation.class_entropy(4 - torch.tensor(read), 5) == pytest.approx(entropy, abs=1e-12)


def test_an_accelerator_is_given_larger_blocks() -> None:
    on_cpu, elsewhere = (len(list(generation._blocks(torch.empty(9000, 2, device=d), 9000))) for d in ("cpu", "meta"))
    assert (on_cpu, elsewhere) == (156, 5)


def test_every_metric_gets_worse_with_every_blur() -> None:
    digits = load("digits")
    assert digits.train_labels is not None
    assert digits.test_labels is not None
    reader = trained_classifier(digits.train, digits.train_labels, digest=digits.digest, recipe=Recipe(least_steps=300))
    real = reader.read(digits.test)
    scores = []
    for sigma in (0.5, 0.8, 1.2, 2.0):
        blurred = torch.from_numpy(gaussian_filter(digits.test.numpy(), (0, sigma, sigma), mode="constant"))
        read = reader.read(blurred.clamp(0, 1))
        scores.append(
            (
                -generation.legibility(read.classes, digits.test_labels),
                generation.kid(real.features, read.features),
                generation.frechet(real.features, read.features),
                -generation.coverage(real.features, read.features),
                -generation.class_entropy(read.classes, 10),
            )
        )
    for by_blur in zip(*scores):
        assert list(by_blur) == sorted(by_blur)
        assert by_blur[0] < by_blur[-1]


FEATURES, CLASSES = torch.zeros(9, 4), torch.zeros(9).long()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generation.kid(FEATURES, FEATURES[:, :3]), "real has 4 features and generated 3"),
        (lambda: generation.kid(FEATURES, FEATURES[:1]), "generated has 1 images; at least 2 are needed"),
        (lambda: generation.frechet(FEATURES[0], FEATURES), r"real is \(4,\) of torch.float32"),
        (lambda: generation.frechet(FEATURES, FEATURES.long()), "generated is .* of torch.int64"),
        (lambda: generation.kid(FEATURES, FEATURES * math.nan), "generated has 9 of 9 rows with NaN .* diverge"),
        (lambda: generation.coverage(FEATURES[:5], FEATURES), "real has 5 images; .* needs more than k=5"),
        (lambda: generation.coverage(FEATURES, FEATURES, k=0), "k=0 must be a whole number of neighbours"),
        (lambda: generation.legibility(CLASSES, CLASSES[:8]), r"read is \(9,\) and labels \(8,\)"),
        (lambda: generation.legibility(CLASSES[:0], CLASSES[:0]), "at least one image"),
        (lambda: generation.legibility(FEATURES[:, 0], CLASSES), r"Did you mean scores.argmax\(-1\)\?"),
        (lambda: generation.class_entropy(CLASSES + 10, 10), "read reaches from 10 to 10; allowed is 0 to 9"),
        (lambda: generation.class_entropy(FEATURES, 10), r"it must be \(images,\) whole numbers"),
    ],
)
def test_what_is_refused_and_how(call: Callable[[], float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()
