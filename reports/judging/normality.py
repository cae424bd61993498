"""Are the differences of a study normal, as the t tests take them to be? Asked once, of all its comparisons together.

Each comparison's differences over seeds give a Shapiro–Wilk p. Were all normal, these would be spread evenly over
[0, 1]; a one-sided Kolmogorov–Smirnov test asks whether too many are small. A few seeds of one comparison cannot show
what all of them together can. Comparisons of one study share cells, so the p is a guide and its level strict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from reports.judging.singles import singles
from reports.judging.verdict import Verdict
from reports.numbers import counted, p_value

LEAST_COMPARISONS: Final = 10
LEAST_SEEDS: Final = 5
LEVEL: Final = 0.01


@dataclass(frozen=True)
class Normality:
    """What the test says. comparisons: with enough seeds. p: None where they are too few to test."""

    comparisons: int
    p: float | None = None

    @property
    def fails(self) -> bool:
        return self.p is not None and self.p < LEVEL

    @property
    def sentence(self) -> str:
        """The result, and what follows from it."""
        if self.p is None:
            few = counted(self.comparisons, "comparison")
            return (
                f"Whether differences are normal could not be tested: {few} with {LEAST_SEEDS} seeds or more, and "
                f"{LEAST_COMPARISONS} are needed."
            )
        over = f"over {counted(self.comparisons, 'comparison')} (p {p_value(self.p)})"
        if self.fails:
            return (
                f"The differences are not normal {over}: a verdict also needs the exact signed-rank test to agree. "
                "Where differences have a long tail, no test of few seeds is safe."
            )
        return f"No departure from normality was found {over}; with few seeds this is a weak check."


def normality(differences: Iterable[Iterable[float]]) -> Normality:
    """The test over all comparisons; the differences of each over its seeds. Equal and opposite ones count once.

    >>> normality([[1.0, 2.0, 3.0, 5.0, 4.0]]).p is None
    True
    """
    rows = dict.fromkeys(_rounded(row) for row in differences)
    p = [stats.shapiro(row).pvalue for row in rows if len(row) >= LEAST_SEEDS and np.ptp(row) > 0]
    if len(p) < LEAST_COMPARISONS:
        return Normality(len(p))
    return Normality(len(p), float(stats.kstest(p, "uniform", alternative="greater").pvalue))


def _rounded(row: Iterable[float]) -> tuple[float, ...]:
    """Differences to nine digits, of one sign: a − b and b − a are one comparison."""
    values = [float(f"{value:.9g}") for value in row]
    return max(tuple(values), tuple(-value for value in values))


def of_verdicts(verdicts: Iterable[Verdict]) -> Normality:
    """The same, from what verdicts carry."""
    return normality(list(one.per_seed.values()) for one in singles(verdicts))
