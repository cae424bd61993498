"""Comparison at equal rate: each loss's metric against its rate, interpolated in log beta, one seed at a time.

At one beta the losses spend very different rates (at beta 1, BCE about twice what MSE does), so a difference there
mixes the loss with the rate. A *curve* is rate and metric of one seed of one loss as functions of ln beta, each through
its points by a monotone cubic (Fritsch & Carlson 1980: no overshoot between points, straight lines through two). At a
rate the curve's ln beta is found first, then the metric there. Nothing is extrapolated: a rate counts only where both
curves reach it, in every seed. The rates are given, or are shares of the range that all curves have in common.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]
_ROUNDING: Final = 1e-9  # in ln beta


@dataclass(frozen=True)
class Curve:
    """One seed of one loss over beta: beta > 0, increasing; rate in nats per image; the metric's values. Each (k,)."""

    beta: tuple[float, ...]
    rate: tuple[float, ...]
    values: tuple[float, ...]

    def beta_at(self, rates: Sequence[float]) -> Array:
        """The beta at which each rate is spent: (r,). NaN where the curve does not reach it, or not just once.

        >>> Curve((1.0, 4.0), (20.0, 10.0), (0.8, 0.6)).beta_at([15.0, 30.0]).tolist()
        [2.0, nan]
        """
        return np.exp(self._log_beta_at(rates))

    def at(self, rates: Sequence[float]) -> Array:
        """The metric at each rate: (r,), NaN where the curve does not reach it.

        >>> Curve((1.0, 4.0), (20.0, 10.0), (0.8, 0.6)).at([15.0]).round(12).tolist()
        [0.7]
        """
        return np.asarray(self._spline(self.values)(self._log_beta_at(rates)))

    def _log_beta_at(self, rates: Sequence[float]) -> Array:
        spent, ends = self._spline(self.rate), np.log([self.beta[0], self.beta[-1]])
        return np.array([_single(spent.solve(rate, extrapolate=True), *ends) for rate in rates])

    def _spline(self, values: Sequence[float]) -> Any:
        return PchipInterpolator(np.log(self.beta), values)


def _single(roots: Array, low: float, high: float) -> float:
    """The one root between low and high, or NaN. A knot may be found from both its sides; a level stretch is NaN."""
    near = roots[~((roots < low - _ROUNDING) | (roots > high + _ROUNDING))]
    if near.size == 0 or not np.isfinite(near).all() or np.ptp(near) > _ROUNDING:
        return math.nan
    return float(np.clip(near[0], low, high))


def curves_by_seed(rows: Iterable[tuple[int, float, float, float]]) -> dict[int, Curve]:
    """The curve of each seed that has two betas or more. rows: (seed, beta, rate, value), in any order.

    Rows that are not finite, or whose beta is 0, are skipped; of rows with one seed and beta the first counts.

    >>> curves_by_seed([(0, 1.0, 20.0, 0.8), (0, 4.0, 10.0, 0.6), (1, 1.0, 21.0, 0.8), (1, 4.0, math.nan, 0.6)])
    {0: Curve(beta=(1.0, 4.0), rate=(20.0, 10.0), values=(0.8, 0.6))}
    """
    points: dict[int, dict[float, tuple[float, float, float]]] = {}
    for seed, beta, rate, value in rows:
        if beta > 0 and math.isfinite(rate) and math.isfinite(value):
            points.setdefault(int(seed), {}).setdefault(beta, (float(beta), float(rate), float(value)))
    lines = {seed: zip(*sorted(line.values())) for seed, line in sorted(points.items()) if len(line) > 1}
    return {seed: Curve(*columns) for seed, columns in lines.items()}


def common_rates(curves: Iterable[Curve], rates: Sequence[float]) -> tuple[float, ...]:
    """Those of the rates that every curve reaches.

    >>> low, high = Curve((1, 2), (12, 4), (0, 1)), Curve((1, 2), (25, 9), (0, 1))
    >>> common_rates([low, high], [5, 10, 15])
    (10,)
    """
    if not rates:
        return ()
    reached = np.array([np.isfinite(curve.beta_at(rates)) for curve in curves]).reshape(-1, len(rates))
    return tuple(rate for rate, column in zip(rates, reached.T) if column.all())


def common_support(curves: Iterable[Curve]) -> tuple[float, float] | None:
    """The rates that all curves span: the largest of their least rates, the smallest of their largest; None if empty.

    >>> common_support([Curve((1, 2), (12, 4), (0, 1)), Curve((1, 2), (25, 9), (0, 1))])
    (9, 12)
    """
    spans = [(min(curve.rate), max(curve.rate)) for curve in curves]
    if not spans:
        return None
    low, high = max(low for low, _ in spans), min(high for _, high in spans)
    return (low, high) if low < high else None


def rates_at(curves: Iterable[Curve], shares: Sequence[float]) -> tuple[float, ...]:
    """The rates at these shares of the common support, 0 its low end; none where it is empty.

    >>> rates_at([Curve((1, 2), (12, 4), (0, 1)), Curve((1, 2), (25, 9), (0, 1))], [0.5])
    (10.5,)
    """
    support = common_support(curves)
    return () if support is None else tuple(support[0] + share * (support[1] - support[0]) for share in shares)


def crossing(points: Iterable[tuple[float, float]], level: float) -> float:
    """The beta from which on the rate stays at or below a level, along the rate's monotone cubic over ln beta.

    points: (beta, rate) of one seed, beta > 0, in any order. 0 where the rate is never above the level, infinity where
    it is above it at the largest beta, NaN without two points that are finite.

    >>> crossing([(1.0, 3.0), (4.0, 1.0), (16.0, 0.0)], 1.0)
    4.0
    >>> crossing([(1.0, 3.0), (4.0, 1.0)], 0.5), crossing([(1.0, 3.0), (4.0, 1.0)], 5.0)
    (inf, 0.0)
    """
    line = sorted({beta: rate for beta, rate in points if beta > 0 and math.isfinite(rate)}.items())
    if len(line) < 2:
        return math.nan
    beta, rate = zip(*line)
    above = [i for i, value in enumerate(rate) if value > level]
    if not above:
        return 0.0
    last = above[-1]
    if last == len(line) - 1:
        return math.inf
    low, high = math.log(beta[last]), math.log(beta[last + 1])
    roots = PchipInterpolator(np.log(beta), rate).solve(level, extrapolate=False)
    inside = [root for root in roots if low - _ROUNDING <= root <= high + _ROUNDING]  # NaN, of a level stretch, is not
    return float(math.exp(min(inside))) if inside else float(beta[last + 1])


def matched(
    first: Mapping[int, Curve], second: Mapping[int, Curve], rates: Sequence[float], shares: Sequence[float] = ()
) -> tuple[dict[int, tuple[float, float]], tuple[float, ...]]:
    """Both metrics at equal rate, averaged over the rates inside a seed.

    first, second: seed -> curve. shares: in place of rates, of the common support of the curves of all seeds that both
    have. Returns (seed -> (first, second), the rates used): those seeds, at the rates that all their curves reach; no
    seeds where there is no such rate.

    >>> a, b = Curve((1, 4), (20, 10), (0.8, 0.6)), Curve((1, 4), (30, 10), (0.9, 0.5))
    >>> values, used = matched({0: a}, {0: b}, [5, 15, 20])
    >>> [round(value, 12) for value in values[0]], used
    ([0.75, 0.65], (15, 20))
    """
    seeds = sorted(first.keys() & second.keys())
    curves = [curve[seed] for curve in (first, second) for seed in seeds]
    used = common_rates(curves, rates_at(curves, shares) if shares else rates) if seeds else ()
    if not used:
        return {}, ()
    return {seed: (float(first[seed].at(used).mean()), float(second[seed].at(used).mean())) for seed in seeds}, used


def interpolated(log_beta: Array, values: Array, at: Array) -> Array:
    """Values along a curve, such as those of every image, by the same monotone cubic in ln beta.

    log_beta: (k,), increasing. values: (k, ...). at: (r,), inside. Returns (r, ...).
    """
    return np.asarray(PchipInterpolator(log_beta, values, axis=0)(at))
