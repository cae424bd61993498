"""Paired statistics: arrays of differences in, numbers out. The seed is the unit.

d holds one paired difference per seed along its last axis. A claim names an open region (`reports.claims.regions`) for
the mean of d. p_in tests "the mean lies outside the region" (small: the claim is supported), p_out "the mean lies
inside it" (small: refuted). Both are built from one-sided paired t tests against the region's finite ends:

    p_in    the larger over the ends: every end must be cleared (two ends: TOST, Schuirmann 1987)
    p_out   the smaller over the ends, times the number of ends (Bonferroni: either end may be crossed)

The t tests are of the mean beside the variance of all kinds of luck (`reports.judging.luck`); with seeds alone they are
the usual ones. Each has an exact counterpart over the seeds, the sign-flip test: if the differences from the end are
symmetric about 0, every pattern of signs is equally likely. Its least one-sided p is 2^−n: 5 seeds can reach .05 (1/32)
from one side, and from two sides (1/16) cannot. The signed-rank test (Wilcoxon 1945) is a second one, which a single
far value moves less; it is asked for where the differences of a study are not normal. Where nothing varies, the value
decides: p is 0 or 1, and a value on an end lies outside, the region being open. Values on a lattice, such as shares of
360 images, vary by a step / √12 at least: there, no spread is no proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import stdtr

from reports.claims.regions import Region
from reports.judging.luck import NOTHING, Added
from vae.errors import UserError

Array = NDArray[np.float64]
Test = Literal["t", "signs", "ranks"]

_ROUNDING: Final = 1e-12  # of the largest number at hand: a smaller spread is rounding, not variation
_EXACT_UP_TO: Final = 14  # seeds: 2^14 sign patterns; beyond, random patterns stand for all of them
_PATTERNS: Final = 9_999
_EXACT_RANKS: Final = 50  # seeds up to which the signed-rank test is exact
_BATCH: Final = 4_000_000  # numbers held at once by the sign-flip test
_POWER: Final = 0.8  # wanted of the seeds that would settle a claim
_MOST_SEEDS: Final = 1_000  # an effect that needs more lies at the margin
_STRIDE: Final = 32  # of the first search among them


@dataclass(frozen=True)
class Estimate:
    """Mean of the paired differences with its interval. Metric units; d_z = mean / sd has none.

    low, high: over seeds, images and classifiers; narrow_low, narrow_high: over the seeds alone.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    d_z: float
    narrow_low: float
    narrow_high: float


def mean(values: Iterable[float]) -> float:
    """Their mean, summed exactly, so that it does not depend on their order; NaN of none.

    >>> mean([1.0, 2.0]), mean([])
    (1.5, nan)
    """
    known = list(values)
    return math.fsum(known) / len(known) if known else math.nan


def estimate(differences: ArrayLike, luck: Added = NOTHING, *, step: float = 0.0) -> Estimate:
    """Mean, spread and 95 % interval of one set of differences.

    differences: (n,), n >= 1. luck: variance beside that of the seeds. step: of the lattice that the values lie on; 0
    for none. With one seed sd and interval are NaN; without spread d_z is NaN. The interval is Student's: percentile
    and BCa bootstraps cover 84–89 % at these n.

    >>> e = estimate([1.0, 2.0, 3.0])
    >>> e.n, e.mean, round(e.low, 3), round(e.high, 3), e.d_z
    (3, 2.0, -0.484, 4.484, 2.0)
    """
    d = _differences(differences, least=1)
    n, mean, nan = d.size, float(d.mean()), math.nan
    if n == 1:
        return Estimate(1, mean, nan, nan, nan, nan, nan, nan)
    sd = float(_spread(d, step))
    of_seeds = sd**2 / n
    narrow = _quantile(float(n - 1)) * math.sqrt(of_seeds)
    wide = max(narrow, _quantile(float(luck.degrees(of_seeds, n))) * math.sqrt(of_seeds + luck.variance))
    d_z = mean / sd if sd else nan
    return Estimate(n, mean, sd, mean - wide, mean + wide, d_z, mean - narrow, mean + narrow)


@lru_cache(maxsize=4096)
def _quantile(degrees: float) -> float:
    """Student's t at 0.975. A report asks for a few of them thousands of times."""
    return float(stats.t.ppf(0.975, degrees))


def p_values(
    differences: ArrayLike, region: Region, luck: Added = NOTHING, *, test: Test = "t", step: float = 0.0
) -> tuple[Array, Array]:
    """(p_in, p_out) of "the mean of the differences lies in the region".

    differences: (*, n), n >= 2. Returns two arrays (*). luck, step: as of `estimate`; of the t test. test: "t";
    "signs", all 2^n sign patterns up to 14 seeds, 9,999 random ones beyond (so that the least p is 1e-4 there); or
    "ranks", exact signed ranks.

    >>> p_in, p_out = p_values([1.0, 1.2, 0.8, 1.1, 0.9], Region.above(0.5), test="signs")
    >>> float(p_in), float(p_out)
    (0.03125, 1.0)
    """
    d = _differences(differences, least=2)
    inside, outside = [np.zeros(d.shape[:-1])], [np.ones(d.shape[:-1])]
    for end, sign in ((region.low, 1), (region.high, -1)):
        if math.isfinite(end):
            towards, away = _one_sided(sign * d, sign * end, luck, test, step)
            inside.append(towards)
            outside.append(len(region.ends) * away)
    return np.max(inside, axis=0), np.min(outside, axis=0)


def _one_sided(d: Array, end: float, luck: Added, test: Test, step: float) -> tuple[Array, Array]:
    """p of "the mean is not above end" and of "the mean is not below end". (*, n) -> (*), (*)."""
    flat = _agree(d, abs(end))
    mean = d.mean(axis=-1)
    if test == "t":
        n = d.shape[-1]
        of_seeds = np.where(flat & (step == 0), 0.0, _spread(d, step) ** 2 / n)
        flat = of_seeds + luck.variance == 0
        error = np.sqrt(np.where(flat, 1.0, of_seeds + luck.variance))
        degrees = luck.degrees(of_seeds, n)
        t = (mean - end) / error
        tested = stdtr(degrees, np.stack([-t, t]))
    else:
        # A set without spread is decided by value below; any set with spread may stand in for it in the test.
        shifted = np.where(flat[..., None], np.arange(d.shape[-1]), d - end)
        tested = _sign_flips(shifted) if test == "signs" else _signed_ranks(shifted)
    inside = mean - end > _ROUNDING * np.maximum(np.abs(mean), abs(end))
    by_value = np.where(np.stack([inside, ~inside]), 0.0, 1.0)
    above, below = np.where(flat, by_value, tested)
    return above, below


def _spread(d: Array, step: float) -> Array:
    """Standard deviation over the seeds, at least that of rounding to the lattice. (*, n) -> (*)."""
    sd = np.where(_agree(d), 0.0, d.std(axis=-1, ddof=1))
    return np.asarray(np.maximum(sd, step / math.sqrt(12)))


def _signed_ranks(d: Array) -> Array:
    """p of "the centre is not above 0" and of "it is not below 0", by signed ranks. (*, n) -> (2, *)."""
    # Values that round to one number are told apart, so that ranks have no ties and the test is exact. Of values that
    # tie, and of a value on 0, each of the two tests is told that it speaks against it.
    n = d.shape[-1]
    apart = _ROUNDING * np.abs(d).max(axis=-1, keepdims=True) * np.arange(1, n + 1)
    both = np.stack([d, -d]) - apart
    if n > _EXACT_RANKS:
        return np.asarray(stats.wilcoxon(both, axis=-1, alternative="greater", method="asymptotic").pvalue)
    ranks = np.abs(both).argsort(axis=-1).argsort(axis=-1) + 1
    return np.asarray(_rank_tail(n)[(ranks * (both > 0)).sum(axis=-1)])


@cache
def _rank_tail(n: int) -> Array:
    """P(W >= w) of the sum of the positive ranks, w = 0, ..., n (n + 1) / 2."""
    ways = np.ones(1)
    for rank in range(1, n + 1):
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))  # the rank is negative, or positive
    return np.asarray(ways[::-1].cumsum()[::-1] / 2.0**n)


def _sign_flips(d: Array) -> Array:
    """p of "the mean is not above 0" and of "it is not below 0", by sign patterns. (*, n) -> (2, *)."""
    patterns = _patterns(d.shape[-1])
    rows = d.reshape(-1, d.shape[-1])
    step = max(1, _BATCH // len(patterns))
    counts = np.concatenate([_reached(patterns, rows[i : i + step]) for i in range(0, len(rows), step)], axis=-1)
    sampled = d.shape[-1] > _EXACT_UP_TO  # then the observed pattern counts as one more
    return np.asarray((counts + sampled) / (len(patterns) + sampled)).reshape(2, *d.shape[:-1])


def _reached(patterns: Array, d: Array) -> Array:
    """How many patterns give a sum as large as the observed, and as small. patterns: (k, n). d: (r, n) -> (2, r)."""
    sums, observed = patterns @ d.T, d.sum(axis=-1)  # (k, r), (r,)
    rounding = _ROUNDING * np.abs(d).sum(axis=-1)
    return np.stack([(sums >= observed - rounding).sum(axis=0), (sums <= observed + rounding).sum(axis=0)])


@cache
def _patterns(n: int) -> Array:
    """All 2^n patterns of n signs up to 14, else 9,999 random ones, the same every time. (k, n) of 1 and −1."""
    if n > _EXACT_UP_TO:
        drawn = np.random.default_rng(0).permuted(np.tile([1.0, -1.0], (_PATTERNS, n, 1)), axis=-1)  # as scipy's are
        return np.ascontiguousarray(drawn[..., 0])
    return np.asarray(1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1))


def _agree(d: Array, scale: float = 0.0) -> NDArray[np.bool_]:
    """Whether the seeds of each set agree to rounding, relative to their size or `scale`. (*, n) -> (*)."""
    return np.asarray(np.ptp(d, axis=-1) <= _ROUNDING * np.maximum(np.abs(d).max(axis=-1), scale))


def _differences(values: ArrayLike, *, least: int) -> Array:
    d = np.asarray(values, dtype=float)
    if d.ndim == 0 or d.shape[-1] < least:
        raise UserError(f"differences has shape {d.shape}; at least {least} along the last axis are needed")
    if not np.isfinite(d).all():
        raise UserError("differences holds NaN or infinity: leave out, and count, what was not measured")
    return d


def holm(p: ArrayLike) -> Array:
    """Holm's (1979) adjusted p of a family: p_(k) times (m − k + 1), made monotone, at most 1.

    p: (m,), any order. Returns (m,), same order.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of y on x: units of y per unit of x. x, y: (k,); x holds two distinct values or more.

    >>> slope([0.0, 1.0, 2.0], [5.0, 3.0, 1.0])
    -2.0
    """
    at = np.asarray(x, dtype=float)
    centred = at - at.mean()
    return float(np.asarray(y, dtype=float) @ centred / (centred @ centred))


def least_seeds(alpha: float) -> int:
    """Fewest seeds with which the exact sign-flip test can reach alpha from one side: 2^−n < alpha.

    >>> least_seeds(0.05), least_seeds(0.01)
    (5, 7)
    """
    if not 0 < alpha < 1:
        raise UserError(f"alpha={alpha!r} must lie between 0 and 1")
    return math.floor(-math.log2(alpha)) + 1


def power(
    effect: float, sd: float, n: ArrayLike, region: Region, *, alpha: float, luck: Added = NOTHING
) -> tuple[Array, Array]:
    """Chance that p_in < alpha, and that p_out < alpha, at a true mean and spread: noncentral t.

    effect, sd: of the differences, metric units, sd > 0. n: seeds, (*), each >= 2. luck: what more seeds do not lessen.
    Returns two arrays (*). With two ends the first is a lower bound (Bonferroni), close where it is large.

    >>> supported, refuted = power(0.0, 1.0, 8, Region.within(1.15), alpha=0.05)
    >>> round(float(supported), 2)
    0.8
    """
    seeds = np.asarray(n, dtype=float)
    inside, outside = np.ones(seeds.shape), np.zeros(seeds.shape)
    whole = np.sqrt(sd**2 + seeds * luck.variance)  # so that whole² / n is the variance of the mean
    for end, sign in ((region.low, 1), (region.high, -1)):
        if math.isfinite(end):
            distance = sign * (effect - end) / whole
            inside = inside - (1 - _t_power(distance, seeds, alpha))
            outside = outside + _t_power(-distance, seeds, alpha / len(region.ends))
    return np.clip(inside, 0, 1), np.clip(outside, 0, 1)


def _t_power(distance: Array, n: Array, alpha: float) -> Array:
    """Power of a one-sided t test whose true mean lies `distance` sd beyond the end."""
    reach = np.clip(distance, -6.0, 6.0)  # beyond 6 sd the power is 0 or 1, and the series does not converge
    noncentrality = np.clip(reach * np.sqrt(n), -30.0, 30.0)
    return np.asarray(stats.nct.sf(stats.t.isf(alpha, n - 1), n - 1, noncentrality))


def seeds_to_settle(
    mean: float,
    sd: float,
    region: Region,
    *,
    alpha: float,
    alpha_out: float | None = None,
    beyond: int = 0,
    luck: Added = NOTHING,
) -> int | None:
    """Fewest seeds that would decide with 80 % power, if the true mean and spread were those seen.

    A mean inside the region is to be supported, at alpha; one outside refuted, at alpha_out (alpha where None).
    beyond: seeds that there are and did not suffice. luck: what more seeds do not lessen. None when more than 1,000
    would be needed.

    >>> seeds_to_settle(0.5, 1.0, Region.above(0.0), alpha=0.05)
    27
    >>> seeds_to_settle(9.0, 1.0, Region.within(1.0), alpha=0.05, beyond=5)
    6
    """
    inside = bool(region.holds(mean))
    level = alpha if inside or alpha_out is None else alpha_out
    least = least_seeds(level if inside else level / len(region.ends))
    n = np.arange(max(least, beyond + 1), _MOST_SEEDS + 1)
    if sd == 0 and luck.variance == 0:
        return int(n[0])

    def first(among: NDArray[np.int_]) -> int | None:
        enough = np.flatnonzero(power(mean, sd, among, region, alpha=level, luck=luck)[0 if inside else 1] >= _POWER)
        return int(among[enough[0]]) if enough.size else None

    coarse = first(np.append(n[_STRIDE - 1 :: _STRIDE], n[-1]))  # power grows with the seeds: the first lies just below
    return None if coarse is None else first(n[(n > coarse - _STRIDE) & (n <= coarse)])


def unseen(n: int) -> float:
    """The largest share of runs in which something happens that n runs may all have missed, at 95 %: 1 − .05^(1/n).

    >>> round(unseen(8), 2)
    0.31
    """
    return float(1 - 0.05 ** (1 / n))
