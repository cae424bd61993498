"""Claims meet the frame: `judge` measures, tests and decides each claim at each place, and puts it into words.

A verdict is a `reports.judging.verdict.Verdict`. Beside it, in `reports.judging`: the rules in `decisions`, the tests
in `statistics`, the way from cells to differences in `differences`.

A claim with several places (the arms as named, and at equal rate) must hold at each: it gets a verdict of place
`overall` first, then one for each place. A conjunction carries its comparisons as `legs`, and the numbers of the
comparison that decides it: the clearest refutation, or else the one nearest to failing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from reports.claims.model import Claim, check_base
from reports.claims.places import OVERALL
from reports.claims.regions import Region
from reports.judging import sentences
from reports.judging.cells import Cells
from reports.judging.comparisons import ClaimAtPlace, Described, Rules, judged, places_of, ref
from reports.judging.decisions import Family, Level, conjunction, together
from reports.judging.verdict import INCONCLUSIVE, REFUTED, Sensitivity, Verdict
from reports.numbers import listed, setting
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE
from vae.metrics.latents import COLLAPSED


def judge(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    *,
    base: Arm | None = None,
    alpha: float = 0.05,
    min_seeds: int | None = None,
    planned: pd.DataFrame | None = None,
    catalogue: Mapping[str, Described] = CATALOGUE,
) -> list[Verdict]:
    """The verdict of each claim at each place, in the order of the claims; `headlines` picks one of each.

    frame: one row per cell, columns as in `tracking.schema`, failed cells with NaN metrics. base: the arm whose values
    hold where the frame has no column of a factor and a claim does not name it; by default, the defaults. alpha: level
    of the tests. min_seeds: fewest seeds that may decide, where more than the exact test needs are wanted. planned:
    columns arm and seed, the cells asked for, so that missing ones are counted. catalogue: metric -> unit and label.

    The family of Holm's adjustment is every claim at every place that can be tested. Raises UserError for a frame
    without the columns of an arm, for two cells of one arm and seed, and for a claim that selects by an option which
    the base's models do not have.
    """
    cells, level = Cells(frame, planned, base), Level.of(alpha, min_seeds)
    check_base(claims, cells.base)
    cases = [ClaimAtPlace.of(claim, place, cells) for claim in claims for place in places_of(claim)]
    family_p = [case.family_p(level.least) for case in cases]
    at_places: dict[str, list[Verdict]] = {}
    for i, case in enumerate(cases):
        others = [p for j, p in enumerate(family_p) if j != i and p is not None]
        legs = max(1, len(case.tested(level.least)))
        family = Family([p_in for p_in, _ in others], [p_out for _, p_out in others], legs)
        rules = Rules(level, min_seeds, family, catalogue, cells.base)
        at_places.setdefault(case.claim.id, []).append(_verdict(case, rules))
    return [_noted(claim, verdict) for claim in claims for verdict in _with_overall(claim, at_places[claim.id])]


def headlines(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each claim: the first, which speaks for all its places."""
    first: dict[str, Verdict] = {}
    for verdict in verdicts:
        first.setdefault(verdict.claim.id, verdict)
    return list(first.values())


def _verdict(case: ClaimAtPlace, rules: Rules) -> Verdict:
    verdicts = [judged(case.claim, case.place, comparison, rules) for comparison in case.comparisons]
    if len(verdicts) == 1:
        return verdicts[0]
    word = conjunction(verdict.verdict for verdict in verdicts if verdict.counted)
    deciding = _deciding(word, verdicts)
    sentence = sentences.of_many(word, verdicts, deciding)
    whole = _gathered(case.claim, case.place, word, sentence, verdicts, deciding)
    return replace(whole, evidence=(*_set_aside(case), *whole.evidence))


def _noted(claim: Claim, verdict: Verdict) -> Verdict:
    """With what the claims file says must be read beside it."""
    return replace(verdict, evidence=tuple(dict.fromkeys((*claim.notes, *verdict.evidence))))


def _set_aside(case: ClaimAtPlace) -> tuple[str, ...]:
    """Which comparisons do not count since there was nothing to compare, in a sentence."""
    measured = [comparison.measured for comparison in case.comparisons if comparison.leg.counted]
    labels = dict.fromkeys(one.label for one in measured if not one.counted)
    if not labels:
        return ()
    why = f"both arms are collapsed (rate below {setting(COLLAPSED)} nat) and so equal whatever the weight"
    return (f"Shown but not counted, since {why}: {listed(labels)}.",)


def _with_overall(claim: Claim, places: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of the places, behind the one that speaks for all where there are several."""
    if len(places) == 1:
        return list(places)
    word = conjunction(verdict.verdict for verdict in places)
    deciding = _deciding(word, places)
    return [_gathered(claim, OVERALL, word, sentences.of_places(places), places, deciding), *places]


def _gathered(
    claim: Claim, place: str, word: str, sentence: str, legs: Sequence[Verdict], deciding: Verdict
) -> Verdict:
    """The verdict of several: the numbers of the deciding one, the evidence and the counts of all."""
    counting = [leg for leg in legs if leg.counted]
    notes = [note for leg in counting for note in leg.evidence]
    return replace(
        deciding,
        claim=ref(claim),
        place=place,
        kind=claim.kind.name,
        verdict=word,
        sentence=sentence,
        legs=tuple(legs),
        evidence=tuple(dict.fromkeys(notes)),
        counts=tuple(dict.fromkeys(count for leg in legs for count in leg.counts)),
        sensitivity=together([(leg.verdict, leg.sensitivity or Sensitivity()) for leg in counting]),
        seeds_to_settle=_enough(counting) if word == INCONCLUSIVE else None,
    )


def _deciding(word: str, legs: Sequence[Verdict]) -> Verdict:
    """Of those with the word of the whole: the clearest refutation, else the one nearest to failing."""
    candidates = [leg for leg in legs if leg.counted and leg.verdict == word]
    if word == REFUTED:
        return min(candidates, key=lambda leg: -1.0 if leg.p_out_adj is None else leg.p_out_adj)
    return max(candidates, key=lambda leg: -1.0 if leg.p_in_adj is None else leg.p_in_adj)


def _enough(legs: Sequence[Verdict]) -> int | None:
    """Seeds for the whole: those that would refute one of its legs, or else those that would support every one."""
    open_ones = [leg for leg in legs if leg.verdict == INCONCLUSIVE]
    refuting = [leg.seeds_to_settle for leg in open_ones if not _inside(leg)]
    known = [seeds for seeds in refuting if seeds is not None]
    if known:
        return min(known)
    needed = [leg.seeds_to_settle for leg in open_ones]
    return None if refuting or None in needed else max(seeds for seeds in needed if seeds is not None)


def _inside(leg: Verdict) -> bool:
    low, high = leg.region or (None, None)
    region = Region(-math.inf if low is None else low, math.inf if high is None else high)
    return leg.effect is not None and bool(region.holds(leg.effect))
