"""From differences to a word: the one rule of the region, the family, the conjunction, and what would change it.

The family is every claim at every place. Of a conjunction it holds the largest p_in of its counted comparisons
(intersection–union: all must hold, each at level alpha) and the smallest p_out times their number (Bonferroni: any one
of them refutes, so each is another chance to refute wrongly; without it, twelve comparisons at their margins would
refute a true claim two times in five). Holm's adjustment runs over the family, separately for p_in and p_out. A
comparison inside a conjunction carries the adjusted p that its claim would have if it stood for it alone; so the
claim's own is the largest p_in, or smallest p_out, among them.

The word of a comparison, at level alpha:

    insufficient data   fewer seeds than the exact test needs to reach alpha, or nothing measured
    supported           p_in, adjusted, < alpha, and the exact sign-flip test of the same side < alpha
    refuted             p_out, adjusted, < alpha, and the exact sign-flip test of the same side < alpha
    inconclusive        else; also where t decides and the sign flips do not agree, which is then said

The exact p is one-sided, in line with p_in and p_out, and is not adjusted: at n = 5 its least value is 1/32, and any
adjustment would forbid a verdict. An equality can be left at either of two ends, so 5 seeds can support it and only 6
can refute it: then the reason is the number of seeds, not that the tests disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reports.claims.regions import Region
from reports.judging.statistics import Estimate, estimate, holm_among, least_seeds, p_values
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, Sensitivity

ALPHAS: Final = (0.01, 0.05, 0.10)
MARGINS: Final = (0.5, 1.0, 2.0)  # times the margin


@dataclass(frozen=True)
class PValues:
    """The four p of one set of differences, and how many seeds gave them."""

    n: int
    p_in: float
    p_out: float
    exact_in: float
    exact_out: float


@dataclass(frozen=True)
class Level:
    """alpha, and the fewest seeds that may decide at it."""

    alpha: float
    least: int

    @classmethod
    def of(cls, alpha: float, min_seeds: int | None = None) -> Level:
        """The level with its guard: never fewer seeds than the exact test needs.

        >>> Level.of(0.05).least, Level.of(0.05, 8).least
        (5, 8)
        """
        return cls(alpha, max(least_seeds(alpha), min_seeds or 0))

    def least_to_refute(self, region: Region) -> int:
        """The fewest seeds that may refute: an interval can be left at either end.

        >>> Level.of(0.05).least_to_refute(Region(-1, 1)), Level.of(0.05).least_to_refute(Region(low=0))
        (6, 5)
        """
        return max(self.least, least_seeds(self.alpha / len(region.ends)))


@dataclass(frozen=True)
class Difference:
    """The paired differences of one comparison, analysed: as they are, at other margins, without each seed in turn.

    by_value: decided by which side of the margin the mean lies on (anchors), whatever the number of seeds.
    """

    region: Region
    estimate: Estimate
    p: PValues
    margins: Mapping[str, PValues]
    without: Mapping[str, PValues]
    by_value: bool = False


@dataclass(frozen=True)
class Family:
    """What a comparison is adjusted with: p_in and p_out of the other claims and places, and how many comparisons of
    its own claim could refute it there."""

    p_in: Sequence[float] = ()
    p_out: Sequence[float] = ()
    legs: int = 1


@dataclass(frozen=True)
class Decision:
    """The word of a comparison, its adjusted p, and whether the exact test overruled t."""

    word: str
    p_in_adj: float
    p_out_adj: float
    overruled: bool = False


def p_of(differences: Iterable[float], region: Region, *, by_value: bool = False) -> PValues:
    """The p of one set of differences, (n,), n >= 1. by_value, or n = 1: 0 or 1, by the side the mean lies on."""
    d = np.fromiter(differences, dtype=float)
    if by_value or d.size < 2:
        inside = float(bool(region.holds(d.mean())))
        return PValues(d.size, 1 - inside, inside, 1 - inside, inside)
    p_in, p_out = p_values(d, region)
    exact_in, exact_out = p_values(d, region, exact=True)
    return PValues(d.size, float(p_in), float(p_out), float(exact_in), float(exact_out))


def analyse(by_seed: Mapping[int, float], region: Region, *, by_value: bool = False) -> Difference:
    """The differences of one comparison, with all that sensitivity needs. by_seed: seed -> difference, not empty."""
    d = np.array(list(by_seed.values()))
    p = p_of(d, region, by_value=by_value)
    scaled = {f"{factor:g}": p_of(d, region.scaled(factor), by_value=by_value) for factor in MARGINS if factor != 1}
    without = _without_each(by_seed, region, by_value=by_value) if d.size > 1 else {}
    return Difference(region, estimate(d), p, {**scaled, "1": p}, without, by_value)


def _without_each(by_seed: Mapping[int, float], region: Region, *, by_value: bool) -> dict[str, PValues]:
    d = np.array(list(by_seed.values()))
    rows = np.stack([np.delete(d, i) for i in range(d.size)])
    if by_value or d.size < 3:
        return {str(seed): p_of(row, region, by_value=by_value) for seed, row in zip(by_seed, rows)}
    columns = zip(*p_values(rows, region), *p_values(rows, region, exact=True))
    return {str(seed): PValues(d.size - 1, *map(float, p)) for seed, p in zip(by_seed, columns)}


def decide(p: PValues, level: Level, family: Family = Family(), *, by_value: bool = False) -> Decision:
    """The word of one comparison. family: p of the others that it is adjusted with.

    >>> decide(PValues(8, 0.001, 0.999, 0.004, 1.0), Level.of(0.05)).word
    'supported'
    >>> decide(PValues(8, 0.001, 0.999, 0.06, 1.0), Level.of(0.05))
    Decision(word='inconclusive', p_in_adj=0.001, p_out_adj=0.999, overruled=True)
    """
    if by_value:
        return Decision(SUPPORTED if p.p_in < level.alpha else REFUTED, p.p_in, p.p_out)
    p_in = holm_among(p.p_in, family.p_in)
    p_out = holm_among(min(1.0, family.legs * p.p_out), family.p_out)
    if p.n < level.least:
        return Decision(INSUFFICIENT, p_in, p_out)
    if p_in < level.alpha:
        agreed, word = p.exact_in < level.alpha, SUPPORTED
    elif p_out < level.alpha:
        agreed, word = p.exact_out < level.alpha, REFUTED
    else:
        return Decision(INCONCLUSIVE, p_in, p_out)
    return Decision(word if agreed else INCONCLUSIVE, p_in, p_out, overruled=not agreed)


def conjunction(words: Iterable[str]) -> str:
    """All must hold: one refuted refutes; else what is missing or open keeps it so.

    >>> conjunction(["supported", "refuted"]), conjunction(["supported", "inconclusive"])
    ('refuted', 'inconclusive')
    """
    among = set(words)
    for word in (REFUTED, INSUFFICIENT, INCONCLUSIVE):
        if word in among:
            return word
    return SUPPORTED if among else INSUFFICIENT


def sensitivity(difference: Difference, level: Level, family: Family, *, min_seeds: int | None = None) -> Sensitivity:
    """The word of a comparison at other levels, at half and twice the margin, and without each seed.

    The other claims of the family stay as they are.
    """

    def word(p: PValues, at: Level) -> str:
        return decide(p, at, family, by_value=difference.by_value).word

    return Sensitivity(
        alpha={f"{alpha:.2f}": word(difference.p, Level.of(alpha, min_seeds)) for alpha in ALPHAS},
        margin={f"{factor:g}": word(difference.margins[f"{factor:g}"], level) for factor in MARGINS},
        leave_one_out={seed: word(p, level) for seed, p in difference.without.items()},
    )


def together(parts: Sequence[tuple[str, Sensitivity]]) -> Sensitivity:
    """Sensitivity of a conjunction from each part's word and sensitivity; a part without a setting keeps its word."""

    def over(pick: str) -> dict[str, str]:
        keys = dict.fromkeys(key for _, settings in parts for key in getattr(settings, pick))
        return {key: conjunction(getattr(settings, pick).get(key, word) for word, settings in parts) for key in keys}

    return Sensitivity(alpha=over("alpha"), margin=over("margin"), leave_one_out=over("leave_one_out"))
