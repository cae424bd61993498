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

from collections.abc import Iterator

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
    return _mean_kernel(x) + _mean_kernel(y) - 2 * _kernel_sum(x, y) / (len(x) * len(y))


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
    values, vectors = torch.linalg.eigh(cov_x.double())
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T  # (d, d)
    shared = torch.linalg.eigvalsh(root @ cov_y.double() @ root).clamp_min(0).sqrt().sum()
    apart = (mean_x.double() - mean_y.double()).square().sum()
    return max(0.0, float(apart + cov_x.double().trace() + cov_y.double().trace() - 2 * shared))


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
    covered = 0
    for rows in _blocks(x, max(len(x), len(y))):
        among = _squared_distances(x[rows], x)  # (rows, N)
        among.diagonal(rows.start).fill_(torch.inf)  # an image is not its own neighbour
        radius = among.topk(k, largest=False, sorted=False).values.amax(-1)  # (rows)
        covered += int((_squared_distances(x[rows], y).amin(-1) < radius).sum())
    return covered / len(x)


def _mean_kernel(x: Tensor) -> float:
    """Mean of k over ordered pairs of different rows."""
    own = _kernel(x.square().sum(-1), x.shape[-1]).sum()
    return (_kernel_sum(x, x) - float(own)) / (len(x) * (len(x) - 1))


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    """Σ k over all pairs of a row of x and a row of y."""
    return sum(float(_kernel(x[rows] @ y.T, x.shape[-1]).sum()) for rows in _blocks(x, len(y)))


def _kernel(products: Tensor, features: int) -> Tensor:
    base = products / features + 1
    return base * base * base


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x − y|² of all pairs, (n, m), from the product x·y: eight times faster than from differences."""
    return x.square().sum(-1)[:, None] + y.square().sum(-1) - 2 * (x @ y.T)


def _covariance(x: Tensor) -> Tensor:
    """(N, d) -> (d, d), unbiased."""
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


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
