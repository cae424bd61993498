"""From differences to a word: the rule of the region, the family, the conjunction, and what would change the word.

The family is every claim at every place. Of a conjunction it holds the largest p_in of its counted comparisons
(intersection–union: all must hold, each at level alpha) and the smallest p_out times their number (Bonferroni: any one
of them refutes; without it, twelve comparisons at their margins would refute a true claim two times in five). Holm's
adjustment runs over the family, separately for p_in and p_out. A comparison inside a conjunction carries the adjusted p
that its claim would have if it stood for it alone; so the claim's own is the largest p_in, or smallest p_out, of them.

The word of a comparison, at level alpha:

    insufficient    fewer seeds than the exact test needs to reach alpha, or nothing measured
    supported       p_in, adjusted, < alpha, and the exact sign-flip p of the same side < alpha
    refuted         p_out, adjusted, < alpha, and the exact sign-flip p of the same side < alpha
    inconclusive    else; where t decides and an exact test does not agree, the verdict gives that reason

The exact p is one-sided and not adjusted: at n = 5 its least value is 1/32, and any adjustment would forbid a verdict.
An equality can be left at either of two ends: 5 seeds can support it, and only 6 can refute it. Where the differences
of a study are not normal (`reports.judging.normality`), the exact signed-rank p of the same side must be < alpha too.

Two more things can take a word away: cells that failed, counted as the worst values seen, and reports of the same study
that were made before with other seeds: alpha is divided by the square of the number of looks. (Divided by the number
alone, a reader who adds seeds until a claim is supported supports a false one in 6 to 7 % of studies, simulated.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

import numpy as np

from reports.claims.regions import Region
from reports.judging.luck import NOTHING, Added
from reports.judging.statistics import Array, Estimate, Test, estimate, holm, least_seeds, p_values
from reports.judging.verdict import (
    ALL_LUCK,
    AS_WORST,
    DEPENDS,
    INCONCLUSIVE,
    INSUFFICIENT,
    LEFT_OUT,
    REFUTED,
    SEEDS_ALONE,
    SUPPORTED,
    Sensitivity,
)

ALPHAS: Final = (0.01, 0.05, 0.10)
MARGINS: Final = (0.5, 1.0, 2.0)  # times the margin
TESTS: Final[tuple[Test, ...]] = ("t", "signs", "ranks")


def alpha_at(alpha: float, looks: int) -> float:
    """The level of the tests at the so-manieth look at a study.

    >>> alpha_at(0.05, 1), alpha_at(0.05, 2)
    (0.05, 0.0125)
    """
    return alpha if looks == 1 else alpha / looks**2


@dataclass(frozen=True)
class PValues:
    """The p of one set of differences, and how many seeds gave them.

    exact: by sign flips; rank: by signed ranks. by_value: the side of the margin on which the mean lies decides
    (anchors), whatever the number of seeds.
    """

    n: int
    p_in: float
    p_out: float
    exact_in: float
    exact_out: float
    rank_in: float = 0.0
    rank_out: float = 0.0
    by_value: bool = False


@dataclass(frozen=True)
class Tested:
    """The p of one set of differences: as they are, and with failed cells as the values seen that speak most against
    the claim, and most for it; None where none failed."""

    p: PValues
    against: PValues | None = None
    in_favour: PValues | None = None


@dataclass(frozen=True)
class Difference:
    """The paired differences of one comparison, analysed: as they are, at other margins, without each seed in turn, and
    with the luck of the seeds alone (narrow)."""

    estimate: Estimate
    tested: Tested
    margins: Mapping[str, Tested]
    without: Mapping[str, Tested]
    narrow: Tested
    luck: Added = NOTHING

    @property
    def p(self) -> PValues:
        """The p of the differences as they are."""
        return self.tested.p


@dataclass(frozen=True)
class Data:
    """What a comparison is decided from. by_seed: seed -> difference, not empty. luck: variance beside the seeds'.

    step: of the lattice that the differences lie on; 0 for none. failed: the differences of seeds with a failed cell,
    as they would speak most against the claim, and most for it: seed -> (against, for).
    """

    by_seed: Mapping[int, float]
    luck: Added = NOTHING
    step: float = 0.0
    failed: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """p_in and p_out of the other claims and places; legs: how many comparisons of its own claim could refute it."""

    p_in: Sequence[float] = ()
    p_out: Sequence[float] = ()
    legs: int = 1


@dataclass(frozen=True)
class Decision:
    """The word of a comparison, its adjusted p, and what took a word away: an exact test, or failed cells."""

    word: str
    p_in_adj: float
    p_out_adj: float
    overruled: str = ""


SIGNS: Final = "signs"
RANKS: Final = "ranks"
FAILED: Final = "failed"


def _p_of(rows: Array, region: Region, luck: Added, step: float, *, by_value: bool) -> list[PValues]:
    """The p of each set of differences. rows: (k, n), n >= 1; by value at n = 1 too."""
    n = rows.shape[-1]
    if by_value or n < 2:
        inside = region.holds(rows.mean(axis=-1)).astype(float)
        columns = [1 - inside, inside] * 3
    else:
        columns = [p for test in TESTS for p in p_values(rows, region, luck, test=test, step=step)]
    rows_of_p = np.stack(columns, axis=-1).tolist()
    return [replace(PValues(n, *row), by_value=by_value) for row in rows_of_p]


def analyse(data: Data, region: Region, *, by_value: bool = False) -> Difference:
    """The differences of one comparison, with all that sensitivity needs."""
    d = np.array(list(data.by_seed.values()))
    against, in_favour = (
        np.array(list({**data.by_seed, **{seed: ends[i] for seed, ends in data.failed.items()}}.values()))
        for i in (0, 1)
    )

    def tested(rows: Sequence[Array], inside: Region = region, luck: Added = data.luck) -> Tested:
        return Tested(*(_p_of(row[None], inside, luck, data.step, by_value=by_value)[0] for row in rows))

    whole = [d, against, in_favour] if data.failed else [d]
    margins = {f"{factor:g}": tested(whole, region.scaled(factor)) for factor in MARGINS}
    without: dict[str, Tested] = {}
    if d.size > 1:
        seeds = range(d.size)  # the differences of all seeds come first in each row
        columns = [
            _p_of(np.stack([np.delete(row, i) for i in seeds]), region, data.luck, data.step, by_value=by_value)
            for row in whole
        ]
        without = {str(seed): Tested(*p) for seed, p in zip(data.by_seed, zip(*columns))}
    return Difference(
        estimate(d, data.luck, step=data.step),
        margins["1"],
        margins,
        without,
        narrow=tested(whole, luck=NOTHING),
        luck=data.luck,
    )


def decide(p: PValues, alpha: float, family: Family = Family(), *, ranks: bool = False) -> Decision:
    """The word of one comparison at level alpha. family: p of the others that it is adjusted with. ranks: whether the
    signed-rank test must agree too.

    >>> decide(PValues(8, 0.001, 0.999, 0.004, 1.0), 0.05).word
    'supported'
    >>> decide(PValues(8, 0.001, 0.999, 0.06, 1.0), 0.05)
    Decision(word='inconclusive', p_in_adj=0.001, p_out_adj=0.999, overruled='signs')
    """
    if p.by_value:
        return Decision(SUPPORTED if p.p_in < alpha else REFUTED, p.p_in, p.p_out)
    p_in = float(holm([p.p_in, *family.p_in])[0])
    p_out = float(holm([min(1.0, family.legs * p.p_out), *family.p_out])[0])
    if p.n < least_seeds(alpha):
        return Decision(INSUFFICIENT, p_in, p_out)
    if p_in < alpha:
        exact, rank, word = p.exact_in, p.rank_in, SUPPORTED
    elif p_out < alpha:
        exact, rank, word = p.exact_out, p.rank_out, REFUTED
    else:
        return Decision(INCONCLUSIVE, p_in, p_out)
    overruled = SIGNS if exact >= alpha else RANKS if ranks and rank >= alpha else ""
    return Decision(INCONCLUSIVE if overruled else word, p_in, p_out, overruled)


def decide_with_failures(tested: Tested, alpha: float, family: Family = Family(), *, ranks: bool = False) -> Decision:
    """The same, and inconclusive where failed cells, counted as the worst values seen, would give another word."""
    decision = decide(tested.p, alpha, family, ranks=ranks)
    worst = {SUPPORTED: tested.against, REFUTED: tested.in_favour}.get(decision.word)
    if worst is None or decide(worst, alpha, family, ranks=ranks).word == decision.word:
        return decision
    return Decision(INCONCLUSIVE, decision.p_in_adj, decision.p_out_adj, FAILED)


def conjunction(words: Iterable[str]) -> str:
    """All must hold: one refuted refutes; else what is missing or open keeps it so.

    >>> conjunction(["supported", "refuted"]), conjunction(["supported", "inconclusive"])
    ('refuted', 'inconclusive')
    """
    among = set(words)
    return next((word for word in (REFUTED, INSUFFICIENT, INCONCLUSIVE, SUPPORTED) if word in among), INSUFFICIENT)


def across_readings(words: Iterable[str]) -> str:
    """One word of all readings of a sentence: theirs where they agree, *depends on the reading* where one is supported
    and another refuted; else what is open, or lacks data, keeps it so.

    >>> across_readings(["supported", "refuted"]), across_readings(["supported", "inconclusive"])
    ('depends on the reading', 'inconclusive')
    """
    among = set(words)
    if len(among) == 1:
        return among.pop()
    if {SUPPORTED, REFUTED} <= among:
        return DEPENDS
    return INCONCLUSIVE if INCONCLUSIVE in among else INSUFFICIENT


def sensitivity(
    difference: Difference, alpha: float, family: Family, *, ranks: bool = False, looks: int = 1
) -> Sensitivity:
    """The word of a comparison at other levels and margins, without each seed, with the luck of the seeds alone, and
    with failed cells left out; the other claims stay as they are. alpha: of this look; the other levels are lowered
    for the looks as it was."""

    def word(tested: Tested, level: float = alpha) -> str:
        return decide_with_failures(tested, level, family, ranks=ranks).word

    whole = difference.tested
    left_out = {
        LEFT_OUT: decide(whole.p, alpha, family, ranks=ranks).word,
        AS_WORST: word(whole),
    }
    return Sensitivity(
        alpha={f"{level:.2f}": word(whole, alpha_at(level, looks)) for level in ALPHAS},
        margin={factor: word(tested) for factor, tested in difference.margins.items()},
        leave_one_out={seed: word(tested) for seed, tested in difference.without.items()},
        luck={SEEDS_ALONE: word(difference.narrow), ALL_LUCK: word(whole)} if difference.luck.variance else {},
        failed=left_out if whole.against is not None else {},
    )


def together(
    parts: Sequence[tuple[str, Sensitivity]], whole_word: Callable[[Iterable[str]], str] = conjunction
) -> Sensitivity:
    """Sensitivity of a whole from each part's word and sensitivity; a part without a setting keeps its word."""

    def whole(name: str) -> dict[str, str]:
        of_parts = [(word, getattr(settings, name)) for word, settings in parts]
        keys = dict.fromkeys(key for _, words in of_parts for key in words)
        return {key: whole_word(words.get(key, word) for word, words in of_parts) for key in keys}

    return Sensitivity(**{one.name: whole(one.name) for one in fields(Sensitivity) if one.init})
