"""From claims and a frame to verdicts: `judge` measures, tests and decides each claim at each place.

The rules stand in `reports.judging.decisions`, the tests in `statistics`, the way from cells to differences in
`differences`. A claim with several places must hold at each: it gets a verdict of place `overall` first, then one for
each place. A conjunction carries its comparisons as `legs`, and the numbers of the comparison that decides it: the
clearest refutation, or else the one nearest to failing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from reports.claims.model import Claim, check_base
from reports.claims.places import OVERALL
from reports.judging import sentences
from reports.judging.cells import Cells
from reports.judging.comparisons import ClaimAtPlace, Rules, at_places, judged, ref
from reports.judging.decisions import Family, conjunction, together
from reports.judging.verdict import INCONCLUSIVE, REFUTED, Sensitivity, Verdict
from reports.numbers import listed, setting
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE, Metric
from vae.metrics.latents import COLLAPSED


def judge(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    *,
    base: Arm | None = None,
    alpha: float = 0.05,
    planned: pd.DataFrame | None = None,
    catalogue: Mapping[str, Metric] = CATALOGUE,
) -> list[Verdict]:
    """The verdict of each claim at each place, in the order of the claims; `headlines` picks one of each.

    frame: one row per cell, columns as in `tracking.schema`, failed cells with NaN metrics. base: the arm whose values
    hold where the frame has no column of a factor and a claim does not name it; by default, the defaults. alpha: level
    of the tests. planned: columns arm and seed, the cells asked for, so that missing ones are counted. catalogue:
    metric -> unit and label.

    Raises UserError as `Cells` and `check_base` do.
    """
    cells = Cells(frame, planned, base)
    check_base(claims, cells.base)
    cases = [case for claim in claims for case in at_places(claim, cells)]
    family_p = [case.family_p(alpha) for case in cases]
    verdicts: dict[str, list[Verdict]] = {claim.id: [] for claim in claims}
    for i, case in enumerate(cases):
        others = [p for j, p in enumerate(family_p) if j != i and p is not None]
        legs = max(1, len(case.tested(alpha)))
        family = Family([p_in for p_in, _ in others], [p_out for _, p_out in others], legs)
        verdicts[case.claim.id].append(_verdict(case, Rules(alpha, family, catalogue, cells.base)))
    return [
        replace(verdict, evidence=tuple(dict.fromkeys((*claim.notes, *verdict.evidence))))
        for claim in claims
        for verdict in _with_overall(claim, verdicts[claim.id])
    ]


def headlines(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Of the verdicts of `judge`, the first of each claim: the one for all its places."""
    return [next(of_claim) for _, of_claim in groupby(verdicts, key=lambda verdict: verdict.claim.id)]


def _verdict(case: ClaimAtPlace, rules: Rules) -> Verdict:
    verdicts = [judged(case.claim, case.place, comparison, rules) for comparison in case.comparisons]
    if len(verdicts) == 1:
        return verdicts[0]
    whole = _gathered(case.claim, case.place, verdicts)
    return replace(whole, evidence=(*_set_aside(case), *whole.evidence))


def _set_aside(case: ClaimAtPlace) -> tuple[str, ...]:
    """Which comparisons do not count since there was nothing to compare, in a sentence."""
    labels = dict.fromkeys(one.label for one in case.comparisons if one.leg.counted and not one.counted)
    if not labels:
        return ()
    why = f"both arms are collapsed (rate below {setting(COLLAPSED)} nat) and so equal whatever the weight"
    return (f"Shown but not counted, since {why}: {listed(labels)}.",)


def _with_overall(claim: Claim, places: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of the places, and before them, where there are several, the one for all."""
    return [*([_gathered(claim, OVERALL, places)] if len(places) > 1 else []), *places]


def _gathered(claim: Claim, place: str, legs: Sequence[Verdict]) -> Verdict:
    """The verdict of several: the numbers of the deciding one, the evidence and the counts of all."""
    counting = [leg for leg in legs if leg.counted]
    word = conjunction(leg.verdict for leg in counting)
    deciding = _deciding(word, counting)
    return replace(
        deciding,
        claim=ref(claim),
        place=place,
        kind=claim.kind.name,
        verdict=word,
        sentence=sentences.of_places(legs) if place == OVERALL else sentences.of_many(word, counting, deciding),
        legs=tuple(legs),
        evidence=tuple(dict.fromkeys(note for leg in counting for note in leg.evidence)),
        counts=tuple(dict.fromkeys(count for leg in legs for count in leg.counts)),
        sensitivity=together([(leg.verdict, leg.sensitivity or Sensitivity()) for leg in counting]),
        seeds_to_settle=_enough(counting) if word == INCONCLUSIVE else None,
    )


def _deciding(word: str, legs: Sequence[Verdict]) -> Verdict:
    """Of those with the word of the whole: the clearest refutation, else the one nearest to failing."""
    candidates = [leg for leg in legs if leg.verdict == word]
    if word == REFUTED:
        return min(candidates, key=lambda leg: -1.0 if leg.p_out_adj is None else leg.p_out_adj)
    return max(candidates, key=lambda leg: -1.0 if leg.p_in_adj is None else leg.p_in_adj)


def _enough(legs: Sequence[Verdict]) -> int | None:
    """Seeds for the whole: those that would refute one of its legs, or else those that would support every one."""
    undecided = [leg for leg in legs if leg.verdict == INCONCLUSIVE]
    outside = [leg for leg in undecided if not _inside(leg)]
    settled = [leg.seeds_to_settle for leg in outside or undecided if leg.seeds_to_settle is not None]
    if outside:
        return min(settled, default=None)
    return max(settled) if len(settled) == len(undecided) else None


def _inside(leg: Verdict) -> bool:
    low, high = leg.region or (None, None)
    return leg.effect is not None and (low is None or low < leg.effect) and (high is None or leg.effect < high)
