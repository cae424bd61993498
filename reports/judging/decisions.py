"""From differences to a word: the rule of the region, the family, the conjunction, and what would change the word.

The family is every claim at every place. Of a conjunction it holds the largest p_in of its counted comparisons
(intersection–union: all must hold, each at level alpha) and the smallest p_out times their number (Bonferroni: any one
of them refutes; without it, twelve comparisons at their margins would refute a true claim two times in five). Holm's
adjustment runs over the family, separately for p_in and p_out. A comparison inside a conjunction carries the adjusted p
that its claim would have if it stood for it alone; so the claim's own is the largest p_in, or smallest p_out, of them.

The word of a comparison, at level alpha:

    insufficient data   fewer seeds than the exact test needs to reach alpha, or nothing measured
    supported           p_in, adjusted, < alpha, and the exact sign-flip p of the same side < alpha
    refuted             p_out, adjusted, < alpha, and the exact sign-flip p of the same side < alpha
    inconclusive        else; where t decides and the sign flips do not agree, the verdict gives that reason

The exact p is one-sided and not adjusted: at n = 5 its least value is 1/32, and any adjustment would forbid a verdict.
An equality can be left at either of two ends: 5 seeds can support it, and only 6 can refute it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reports.claims.regions import Region
from reports.judging.statistics import Array, Estimate, estimate, holm, least_seeds, p_values
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, Sensitivity

ALPHAS: Final = (0.01, 0.05, 0.10)
MARGINS: Final = (0.5, 1.0, 2.0)  # times the margin


@dataclass(frozen=True)
class PValues:
    """The four p of one set of differences, and how many seeds gave them.

    by_value: the side of the margin on which the mean lies decides (anchors), whatever the number of seeds.
    """

    n: int
    p_in: float
    p_out: float
    exact_in: float
    exact_out: float
    by_value: bool = False


@dataclass(frozen=True)
class Difference:
    """The paired differences of one comparison, analysed: as they are, at other margins, without each seed in turn."""

    estimate: Estimate
    p: PValues
    margins: Mapping[str, PValues]
    without: Mapping[str, PValues]


@dataclass(frozen=True)
class Family:
    """p_in and p_out of the other claims and places; legs: how many comparisons of its own claim could refute it."""

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


def _p_of(rows: Array, region: Region, *, by_value: bool) -> list[PValues]:
    """The p of each set of differences. rows: (k, n), n >= 1; by value at n = 1 too."""
    n = rows.shape[-1]
    if by_value or n < 2:
        inside = region.holds(rows.mean(axis=-1)).astype(float)
        columns = [1 - inside, inside] * 2
    else:
        columns = [*p_values(rows, region), *p_values(rows, region, exact=True)]
    return [
        PValues(n, p_in, p_out, exact_in, exact_out, by_value)
        for p_in, p_out, exact_in, exact_out in np.stack(columns, axis=-1).tolist()
    ]


def analyse(by_seed: Mapping[int, float], region: Region, *, by_value: bool = False) -> Difference:
    """The differences of one comparison, with all that sensitivity needs. by_seed: seed -> difference, not empty."""
    d = np.array(list(by_seed.values()))
    margins = {f"{factor:g}": _p_of(d[None], region.scaled(factor), by_value=by_value)[0] for factor in MARGINS}
    without: dict[str, PValues] = {}
    if d.size > 1:
        rows = np.stack([np.delete(d, i) for i in range(d.size)])
        without = dict(zip(map(str, by_seed), _p_of(rows, region, by_value=by_value)))
    return Difference(estimate(d), margins["1"], margins, without)


def decide(p: PValues, alpha: float, family: Family = Family()) -> Decision:
    """The word of one comparison at level alpha. family: p of the others that it is adjusted with.

    >>> decide(PValues(8, 0.001, 0.999, 0.004, 1.0), 0.05).word
    'supported'
    >>> decide(PValues(8, 0.001, 0.999, 0.06, 1.0), 0.05)
    Decision(word='inconclusive', p_in_adj=0.001, p_out_adj=0.999, overruled=True)
    """
    if p.by_value:
        return Decision(SUPPORTED if p.p_in < alpha else REFUTED, p.p_in, p.p_out)
    p_in = float(holm([p.p_in, *family.p_in])[0])
    p_out = float(holm([min(1.0, family.legs * p.p_out), *family.p_out])[0])
    if p.n < least_seeds(alpha):
        return Decision(INSUFFICIENT, p_in, p_out)
    if p_in < alpha:
        agreed, word = p.exact_in < alpha, SUPPORTED
    elif p_out < alpha:
        agreed, word = p.exact_out < alpha, REFUTED
    else:
        return Decision(INCONCLUSIVE, p_in, p_out)
    return Decision(word if agreed else INCONCLUSIVE, p_in, p_out, overruled=not agreed)


def conjunction(words: Iterable[str]) -> str:
    """All must hold: one refuted refutes; else what is missing or open keeps it so.

    >>> conjunction(["supported", "refuted"]), conjunction(["supported", "inconclusive"])
    ('refuted', 'inconclusive')
    """
    among = set(words)
    return next((word for word in (REFUTED, INSUFFICIENT, INCONCLUSIVE, SUPPORTED) if word in among), INSUFFICIENT)


def sensitivity(difference: Difference, alpha: float, family: Family) -> Sensitivity:
    """The word of a comparison at other levels and margins and without each seed; the other claims stay as they are."""
    return Sensitivity(
        alpha={f"{level:.2f}": decide(difference.p, level, family).word for level in ALPHAS},
        margin={factor: decide(p, alpha, family).word for factor, p in difference.margins.items()},
        leave_one_out={seed: decide(p, alpha, family).word for seed, p in difference.without.items()},
    )


def together(parts: Sequence[tuple[str, Sensitivity]]) -> Sensitivity:
    """Sensitivity of a conjunction from each part's word and sensitivity; a part without a setting keeps its word."""

    def whole(name: str) -> dict[str, str]:
        of_parts = [(word, getattr(settings, name)) for word, settings in parts]
        keys = dict.fromkeys(key for _, words in of_parts for key in words)
        return {key: conjunction(words.get(key, word) for word, words in of_parts) for key in keys}

    return Sensitivity(whole("alpha"), whole("margin"), whole("leave_one_out"))
