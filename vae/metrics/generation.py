"""How good samples and reconstructions are, judged by a classifier: by its features and by the classes it reads.

With features x (real) and y (generated), d of them per image, and N images each:

    KID       mean k(x, x') + mean k(y, y') − 2 mean k(x, y), pairs of different images, k(a, b) = (a·b/d + 1)³
    Fréchet   |mean x − mean y|² + tr(Cx + Cy − 2 (Cx^½ Cy Cx^½)^½)
    coverage  share of real images with a generated one nearer than their own k-th real neighbour

KID is unbiased: 0 on average where the distributions agree, so slightly negative values are right. The Fréchet distance
is biased (.22 at N = 10,000 and 2.2 at 1,000 for equal Gaussians of 64 features), and coverage depends on both counts:
compare them at one N only. What the classifier's features do not show, none of the three can measure.

All is computed in float64, in blocks of rows, on the tensors' device. All functions raise UserError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vae.errors import UserError

NEIGHBOURS = 5  # of coverage, recommended by its authors

# Entries of a matrix held at once: 4 MB, which fits in a CPU's cache; an accelerator is fastest with large launches.
_BLOCK_ON_CPU = 1 << 19
_BLOCK_ELSEWHERE = 1 << 24


def legibility(read: Tensor, labels: Tensor) -> float:
    """Share of images that the classifier reads as their label, in [0, 1].

    read, labels: (N,) whole numbers. For samples of a conditional model, labels are the requested classes.

    >>> legibility(torch.tensor([3, 1, 4, 1]), torch.tensor([3, 1, 4, 5]))
    0.75
    """
    if read.shape != labels.shape or read.ndim != 1 or not len(read):
        raise UserError(
            f"read is {tuple(read.shape)} and labels {tuple(labels.shape)};"
            " both must be (images,), with at least one image"
        )
    if read.is_floating_point() or labels.is_floating_point():
        raise UserError(
            f"read is {read.dtype} and labels {labels.dtype}; both must be whole numbers."
            " Did you mean scores.argmax(-1)?"
        )
    return float((read == labels).double().mean())


def class_entropy(read: Tensor, classes: int) -> float:
    """Entropy of the classes read in the samples, nats: ln(classes) where all are equally frequent, 0 where one is.

    read: (N,) whole numbers below `classes`. From counts, so about (classes − 1) / 2N too small.

    >>> round(class_entropy(torch.tensor([0, 1, 2, 3]), 4), 4)
    1.3863
    """
    if read.ndim != 1 or not len(read) or read.is_floating_point():
        raise UserError(
            f"read is {tuple(read.shape)} of {read.dtype}; it must be (images,) whole numbers, at least one"
        )
    if int(read.min()) < 0 or int(read.max()) >= classes:
        raise UserError(f"read reaches from {int(read.min())} to {int(read.max())}; allowed is 0 to {classes - 1}")
    shares = torch.bincount(read, minlength=classes).double() / len(read)
    return float(torch.special.entr(shares).sum())


def kid(real: Tensor, generated: Tensor) -> float:
    """Kernel Inception Distance, here of the classifier's features: unbiased squared MMD, cubic kernel.

    real: (N, d), generated: (M, d), N and M at least 2. All pairs are used, not random subsets, so it has no noise
    of its own. Bińkowski, Sutherland, Arbel & Gretton (2018).

    >>> round(kid(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])), 6)  # 1 + 8 − 2 (1 + 27) / 2
    -19.0
    """
    x, y = _pair(real, generated, least=2)
    between = sum(float(_kernel(products, x.shape[-1]).sum()) for _, products in _products(x, y))
    return _mean_kernel(x) + _mean_kernel(y) - 2 * between / (len(x) * len(y))


def frechet(real: Tensor, generated: Tensor) -> float:
    """Fréchet distance of the Gaussians fitted to both sets of features: >= 0, and biased upwards as 1/N.

    real: (N, d), generated: (M, d), N and M at least 2. Heusel et al. (2017).

    >>> round(frechet(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [7.0]])), 6)  # 4² + (√2 − √8)²
    18.0
    """
    x, y = _pair(real, generated, least=2)
    return frechet_gaussian(x.mean(0), _covariance(x), y.mean(0), _covariance(y))


def frechet_gaussian(mean_x: Tensor, cov_x: Tensor, mean_y: Tensor, cov_y: Tensor) -> float:
    """The same between two Gaussians: means (d,), covariances (d, d), symmetric. Dowson & Landau (1982).

    (Cx Cy)^½ and (Cx^½ Cy Cx^½)^½ have the same trace. The second is symmetric, so its eigenvalues are real and, up to
    rounding, not negative.

    >>> frechet_gaussian(torch.zeros(2), torch.eye(2), torch.ones(2), 4 * torch.eye(2))  # 2 + 2 (1 − 2)²
    4.0
    """
    return _distance(_Gaussian.of(mean_x.double(), cov_x.double()), mean_y.double(), cov_y.double())


def coverage(real: Tensor, generated: Tensor, *, k: int = NEIGHBOURS) -> float:
    """Share of real images that have a generated one nearer than their own k-th nearest real neighbour, in [0, 1].

    real: (N, d) with N > k, generated: (M, d). Where the distributions agree and M = N it is 1 − 2^−k on average:
    .969. Naeem, Oh, Uh, Choi & Yoo (2020).

    >>> coverage(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.5]]), k=1)
    0.6666666666666666
    """
    if k < 1:
        raise UserError(f"k={k!r} must be a whole number of neighbours, 1 or more")
    x, y = _pair(real, generated, least=1)
    if len(x) <= k:
        raise UserError(f"real has {len(x)} images; the {k}-th neighbour of one of them needs more than k={k}")
    within, length = _radius(x, k, max(len(x), len(y))), y.square().sum(-1)
    return sum(_covered(x[rows], products, length, within[rows]) for rows, products in _products(x, y)) / len(x)


class Comparison(NamedTuple):
    """:func:`kid`, :func:`frechet` and :func:`coverage`; NaN for one that needs more images than there are."""

    kid: float
    frechet: float
    coverage: float


@dataclass(frozen=True)
class RealFeatures:
    """Features of real images, with all that the three metrics need of them alone: for many sets of generated ones.

    features: (N, d) in float64. kernel: the mean of k over their pairs. within: the distance to the k-th neighbour,
    squared, (N,); empty where there are too few.
    """

    features: Tensor
    kernel: float
    gaussian: _Gaussian
    within: Tensor

    @classmethod
    def of(cls, real: Tensor) -> RealFeatures:
        """real: (N, d), N at least 2. Raises UserError.

        >>> real, generated = torch.rand(2, 50, 3).unbind()
        >>> RealFeatures.of(real).compare(generated).kid == kid(real, generated)
        True
        """
        x, _ = _pair(real, real, least=2)
        within = _radius(x, NEIGHBOURS, len(x)) if len(x) > NEIGHBOURS else x[:0, 0]
        return cls(x, _mean_kernel(x), _Gaussian.of(x.mean(0), _covariance(x)), within)

    def compare(self, generated: Tensor) -> Comparison:
        """generated: (M, d), M at least 2. Products with the real features are taken once. Raises UserError."""
        x, y = _pair(self.features, generated, least=2)
        length, between, covered = y.square().sum(-1), 0.0, 0
        for rows, products in _products(x, y):
            between += float(_kernel(products, x.shape[-1]).sum())
            if len(self.within):
                covered += _covered(x[rows], products, length, self.within[rows])
        return Comparison(
            kid=self.kernel + _mean_kernel(y) - 2 * between / (len(x) * len(y)),
            frechet=_distance(self.gaussian, y.mean(0), _covariance(y)),
            coverage=covered / len(x) if len(self.within) else math.nan,
        )


class _Gaussian(NamedTuple):
    """mean: (d,). root: of the covariance, (d, d), and trace: of the covariance."""

    mean: Tensor
    root: Tensor
    trace: Tensor

    @classmethod
    def of(cls, mean: Tensor, cov: Tensor) -> _Gaussian:
        values, vectors = torch.linalg.eigh(cov)
        return cls(mean, (vectors * values.clamp_min(0).sqrt()) @ vectors.T, cov.trace())


def _distance(real: _Gaussian, mean: Tensor, cov: Tensor) -> float:
    """The Fréchet distance of a Gaussian with this mean and covariance."""
    shared = torch.linalg.eigvalsh(real.root @ cov @ real.root).clamp_min(0).sqrt().sum()
    apart = (real.mean - mean).square().sum()
    return max(0.0, float(apart + real.trace + cov.trace() - 2 * shared))


def _mean_kernel(x: Tensor) -> float:
    """Mean of k over ordered pairs of different rows."""
    own = _kernel(x.square().sum(-1), x.shape[-1]).sum()
    total = sum(float(_kernel(products, x.shape[-1]).sum()) for _, products in _products(x, x))
    return (total - float(own)) / (len(x) * (len(x) - 1))


def _kernel(products: Tensor, features: int) -> Tensor:
    base = (products / features).add_(1)
    return (base * base).mul_(base)


def _radius(x: Tensor, k: int, columns: int) -> Tensor:
    """Squared distance of each row of x to its k-th nearest other row, (N,). columns: of a block."""
    length, radii = x.square().sum(-1), []
    for rows in _blocks(x, columns):
        among = _squared_distances(x[rows], x[rows] @ x.T, length)  # (rows, N)
        among.diagonal(rows.start).fill_(torch.inf)  # an image is not its own neighbour
        radii.append(among.topk(k, largest=False, sorted=False).values.amax(-1))
    return torch.cat(radii)


def _covered(x: Tensor, products: Tensor, length: Tensor, within: Tensor) -> int:
    """How many rows of x have a generated one nearer than `within`. length: squares of the generated ones."""
    return int((_squared_distances(x, products, length).amin(-1) < within).sum())


def _squared_distances(x: Tensor, products: Tensor, length: Tensor) -> Tensor:
    """|x − y|² of all pairs, (n, m), from the products x·y: eight times faster than from differences."""
    return (x.square().sum(-1)[:, None] + length).sub_(products, alpha=2)


def _covariance(x: Tensor) -> Tensor:
    """(N, d) -> (d, d), unbiased."""
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def _products(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """x·y of some rows of x after the other with all rows of y."""
    return ((rows, x[rows] @ y.T) for rows in _blocks(x, max(len(x), len(y))))


def _blocks(x: Tensor, columns: int) -> Iterator[slice]:
    """The rows of x, some at a time: as many as the size of a block allows with that many columns."""
    step = max(1, (_BLOCK_ON_CPU if x.device.type == "cpu" else _BLOCK_ELSEWHERE) // columns)
    return (slice(start, start + step) for start in range(0, len(x), step))


def _pair(real: Tensor, generated: Tensor, *, least: int) -> tuple[Tensor, Tensor]:
    """Both in float64. Raises UserError unless both are matrices of features."""
    for name, value in (("real", real), ("generated", generated)):
        shown, wrong = f"{name} is {tuple(value.shape)} of {value.dtype}", ~value.isfinite()
        if value.ndim != 2 or not value.is_floating_point():
            raise UserError(f"{shown}; it must be floating-point features (images, d)")
        if len(value) < least:
            raise UserError(f"{name} has {len(value)} images; at least {least} are needed")
        if rows := int(wrong.any(-1).sum()):
            raise UserError(
                f"{name} has {rows} of {len(value)} rows with NaN or infinite features: did a model diverge?"
            )
    if real.shape[-1] != generated.shape[-1]:
        raise UserError(f"real has {real.shape[-1]} features and generated {generated.shape[-1]}; they must be equal")
    return real.detach().double(), generated.detach().double()
