"""The single comparisons behind verdicts, the leaves of one that has others as its legs; and which stands for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reports.claims.kinds import KINDS
from reports.claims.places import MATCHED
from reports.judging.verdict import Verdict
from reports.numbers import effect_decimals, number


def singles(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """The comparisons of these verdicts in their order. One that two verdicts share comes twice; a verdict without legs
    is a comparison itself."""
    for verdict in verdicts:
        yield from singles(verdict.legs) if verdict.legs else (verdict,)


def deciding(verdict: Verdict) -> Verdict | None:
    """The comparison that stands for a verdict: one whose sentence it gives, at equal rate where there is one. None
    where nothing was measured."""
    told = [
        single
        for single in singles([verdict])
        if single.counted and single.effect is not None and single.sentence[1:] in verdict.sentence
    ]
    return next((single for single in told if single.place == MATCHED), told[0] if told else None)


def written(single: Verdict, value: float) -> str:
    """An effect, or an end of its interval, as text: with its sign, or, of an arm that is compared with a number, where
    the arm then stands. All to the same place."""
    half = ((single.ci_high or 0.0) - (single.ci_low or 0.0)) / 2
    places = effect_decimals(half, single.effect or single.margin or 0.0, single.margin)
    if single.reference is None:
        return number(value, places, signed=True)
    return number(KINDS[single.kind].level(single.reference, value), places)
