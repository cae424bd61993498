"""Three kinds of luck: the seeds, the test images and the classifiers that a number happened to be measured with.

A mean difference d over n seeds and m images varies with the seeds that were drawn, with the images that are in the
test set, and, where classifiers read the images, with the classifiers. Another study would have others of each. So the
interval that decides is over all of them ("for images like these"); the one over seeds alone ("for these images") is
shown beside it.

Two-way, seeds x images, without replication (Satterthwaite 1946):

    Var(d) = (MS_seed + MS_image − MS_rest) / (n m)

    MS_seed / (n m)              = variance of the seeds' means / n: what the seeds alone give
    (MS_image − MS_rest) / (n m)   what the images add; at least 0

Where values of k of the m images were kept, the second term is found from those k and divided by m / k. Classifiers
add the variance of their own effects over their number. What is added has degrees of freedom of its own, and the whole
has Satterthwaite's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDING: Final = 1e-12  # of the largest difference at hand: less is rounding, not variation


@dataclass(frozen=True)
class Added:
    """Variance of a mean difference beside that of the seeds. images, classifiers: their shares, squared metric units.

    images_df, classifiers_df: degrees of freedom of each. kept: images whose values were at hand.
    """

    images: float = 0.0
    images_df: float = math.inf
    classifiers: float = 0.0
    classifiers_df: float = math.inf
    kept: int | None = None

    @property
    def variance(self) -> float:
        return self.images + self.classifiers

    def scaled(self, factor: float) -> Added:
        """The same for a multiple of the metric."""
        square = factor * factor
        return Added(self.images * square, self.images_df, self.classifiers * square, self.classifiers_df, self.kept)

    def degrees(self, seeds: Array | float, n: int) -> Array:
        """Satterthwaite's degrees of freedom of the whole. seeds: variance of the mean over n seeds, (*). Returns (*).

        >>> float(Added().degrees(4.0, 8))
        7.0
        """
        own = np.asarray(seeds, dtype=float)
        spread = own**2 / (n - 1) + self.images**2 / self.images_df + self.classifiers**2 / self.classifiers_df
        whole = (own + self.variance) ** 2
        usual = np.full(own.shape, float(n - 1))
        return np.asarray(np.divide(whole, spread, out=usual, where=spread > 0))

    def shares(self, seeds: float) -> dict[str, float]:
        """The share of each kind of luck in the variance of the mean. seeds: variance of the mean over seeds."""
        whole = seeds + self.variance
        parts = {"seeds": seeds, "images": self.images, "classifiers": self.classifiers}
        return {name: part / whole for name, part in parts.items()} if whole > 0 else {}


NOTHING = Added()


def added(by_seed: Sequence[Array], total: int | None) -> Added:
    """What images and classifiers add to the variance of a mean difference.

    by_seed: the differences of each seed: (k,) by image, (K, k) by classifier and image, or (K, 1) of a number that
    each classifier gives for all images. total: images that the metric itself is the mean over; None where there are
    none to vary. Images without a value somewhere (NaN) are left out.

    >>> images = [np.array([1.0, 3.0, 2.0]), np.array([1.2, 3.1, 2.4])]
    >>> round(added(images, total=3).images, 3)
    0.317
    """
    if len(by_seed) < 2 or len({values.shape for values in by_seed}) != 1:
        return NOTHING
    d = np.stack([np.atleast_2d(np.asarray(values, dtype=float)) for values in by_seed])  # (n, K, k)
    d = d[:, :, np.isfinite(d).all(axis=(0, 1))]
    if not d.size:
        return NOTHING
    images, images_df = _images(d.mean(axis=1), total)
    classifiers, classifiers_df = _classifiers(d)
    return Added(images, images_df, classifiers, classifiers_df, None if total is None else d.shape[-1])


def _images(d: Array, total: int | None) -> tuple[float, float]:
    """The images' term and its degrees of freedom. d: (n, k)."""
    n, kept = d.shape
    if total is None or kept < 2:
        return 0.0, math.inf
    rest = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0) + d.mean()
    ms_rest = float((rest**2).sum()) / ((n - 1) * (kept - 1))
    ms_image = n * float(d.mean(axis=0).var(ddof=1))
    excess = ms_image - ms_rest
    if excess <= (_ROUNDING * np.abs(d).max()) ** 2:
        return 0.0, math.inf
    rest_share = ms_rest / ms_image
    df = (1 - rest_share) ** 2 * (kept - 1) / (1 + rest_share**2 / (n - 1))
    return excess / (n * max(total, kept)), df


def _classifiers(d: Array) -> tuple[float, float]:
    """The classifiers' term and its degrees of freedom. d: (n, K, k)."""
    effects = d.mean(axis=(0, 2))  # (K,)
    if effects.size < 2:
        return 0.0, math.inf
    return float(effects.var(ddof=1)) / effects.size, float(effects.size - 1)


def total_of(values: Mapping[str, Array], metric: str) -> int | None:
    """Over how many images a metric is the mean, as it was kept beside the values of its images."""
    count = values.get(f"{metric}.images")
    return None if count is None else int(count)
