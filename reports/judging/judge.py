"""From claims and a frame to verdicts: `judge` measures, gates, tests and decides each claim at each place.

The rules stand in `reports.judging.decisions`, the gates in `gates`, the tests in `statistics`, the way from cells to
differences in `differences`. A claim with several places must hold at each: it gets a verdict of place `overall` first,
then one for each place. A claim with several readings gets one verdict of all, then those of each reading. A
conjunction carries its comparisons as `legs`, and the numbers of the comparison that decides it: the clearest
refutation, or else the one nearest to failing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from reports.claims.kinds import KINDS
from reports.claims.model import Claim, check_base
from reports.claims.places import OVERALL
from reports.claims.references import References
from reports.judging import sentences
from reports.judging.cells import Cells, PerImage
from reports.judging.comparisons import ClaimAtPlace, Rules, Study, at_places, judged, ref
from reports.judging.convergence import points_of
from reports.judging.decisions import Family, across_readings, alpha_at, conjunction, together
from reports.judging.floors import Floors
from reports.judging.normality import normality
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, REFUTED, Sensitivity, Verdict
from reports.numbers import listed
from vae.arms import Arm


def judge(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    *,
    base: Arm | None = None,
    alpha: float = 0.05,
    planned: pd.DataFrame | None = None,
    references: References | None = None,
    per_image: PerImage | None = None,
    history: pd.DataFrame | None = None,
    looks: int = 1,
) -> list[Verdict]:
    """The verdict of each claim at each place and reading, in the order of the claims; `headlines` picks one of each.

    frame: one row per cell, columns as in `tracking.schema`, failed cells with NaN metrics. base: the arm whose values
    hold where the frame has no column of a factor and a claim does not name it; by default, the defaults. alpha: level
    of the tests at a first look; looks: how many reports were made with other seeds, this one included. planned:
    columns arm and seed, the cells asked for, so that missing ones are counted. references: floors and ceilings of the
    images; without them no arm is known to be at the floor. per_image: key of a cell -> metric -> the values behind
    it; without them the seeds alone are in the intervals. history: columns key, epoch, metric, value; without points of
    training in it, nothing is said of convergence.

    Raises UserError as `Cells` and `check_base` do.
    """
    cells = Cells(frame, planned, base, per_image)
    check_base(claims, cells.base)
    study = Study(cells, Floors(references), points_of(frame, history, planned, base))
    cases = [case for claim in claims for case in at_places(claim, study)]
    ranks = normality(list(one.by_seed.values()) for case in cases for one in case.comparisons).fails
    level = alpha_at(alpha, looks)
    family_p = [case.family_p(level) for case in cases]
    verdicts: dict[str, list[Verdict]] = {claim.id: [] for claim in claims}
    for i, case in enumerate(cases):
        others = [p for j, p in enumerate(family_p) if j != i and p is not None]
        legs = max(1, len(case.tested(level)))
        family = Family([p_in for p_in, _ in others], [p_out for _, p_out in others], legs)
        verdicts[case.claim.id].append(_verdict(case, Rules(alpha, looks, family, ranks, study)))
    return [
        replace(verdict, evidence=tuple(dict.fromkeys((*claim.notes, *verdict.evidence))))
        for claim in claims
        for verdict in _with_wholes(claim, verdicts[claim.id])
    ]


def headlines(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Of the verdicts of `judge`, the first of each claim: the one for all its readings and places."""
    return [next(of_claim) for _, of_claim in groupby(verdicts, key=lambda verdict: verdict.claim.id)]


def _verdict(case: ClaimAtPlace, rules: Rules) -> Verdict:
    verdicts = [judged(case, comparison, rules) for comparison in case.comparisons]
    if len(verdicts) == 1:
        return verdicts[0]
    whole = _gathered(case.claim, case.place, verdicts)
    return replace(whole, evidence=(*_set_aside(case), *whole.evidence))


def _set_aside(case: ClaimAtPlace) -> tuple[str, ...]:
    """Which comparisons do not count though they were meant to, each reason in a sentence."""
    by_reason: dict[str, list[str]] = {}
    for one in case.comparisons:
        if one.leg.counted and not one.counted and one.blocked:
            by_reason.setdefault(one.blocked, []).append(one.label)
    return tuple(
        f"Shown but not counted, since {why}: {listed(dict.fromkeys(labels))}." for why, labels in by_reason.items()
    )


def _with_wholes(claim: Claim, verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """The verdicts of the places, and before them, where there are several, the one for all; so for readings too."""
    of_readings = [list(places) for _, places in groupby(verdicts, key=lambda verdict: verdict.reading)]
    wholes = [[_gathered(claim, OVERALL, places), *places] if len(places) > 1 else places for places in of_readings]
    if len(wholes) > 1:
        yield _of_readings(claim, [first for first, *_ in wholes])
    for whole in wholes:
        yield from whole


def _gathered(claim: Claim, place: str, legs: Sequence[Verdict]) -> Verdict:
    """The verdict of several: the numbers of the deciding one, the evidence and the counts of all."""
    counting = [leg for leg in legs if leg.counted]
    if not counting:
        reason = "no comparison is left that could decide it"
        sentence = f"{sentences.NOT_ENOUGH}: {reason}. {legs[0].sentence}"
        return replace(_like(claim, place, legs[0], legs), verdict=INSUFFICIENT, reason=reason, sentence=sentence)
    word = conjunction(leg.verdict for leg in counting)
    deciding = _deciding(word, counting)
    return replace(
        _like(claim, place, deciding, legs),
        verdict=word,
        sentence=sentences.of_places(legs) if place == OVERALL else sentences.of_many(word, counting, deciding),
        settled=_settled(word, counting),
        sensitivity=together([(leg.verdict, leg.sensitivity or Sensitivity()) for leg in counting]),
        seeds_to_settle=_enough(counting) if word == INCONCLUSIVE else None,
    )


def _of_readings(claim: Claim, readings: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim with several readings."""
    word = across_readings(reading.verdict for reading in readings)
    deciding = next((reading for reading in readings if reading.verdict == word), readings[0])
    whole = _like(claim, OVERALL, deciding, readings)
    words = [(reading.verdict, reading.sensitivity or Sensitivity()) for reading in readings]
    return replace(
        whole,
        reading="",
        verdict=word,
        direction=whole.direction if word == REFUTED else "",
        reason="",
        sentence=sentences.of_readings(readings),
        settled=_all_settled(readings),  # every reading bears on the word
        sensitivity=together(words, across_readings),
        seeds_to_settle=_enough(readings) if word == INCONCLUSIVE else None,
    )


def _like(claim: Claim, place: str, deciding: Verdict, legs: Sequence[Verdict]) -> Verdict:
    """The deciding one, as the verdict of all legs: their evidence and counts."""
    counting = [leg for leg in legs if leg.counted] or legs
    return replace(
        deciding,
        claim=ref(claim),
        place=place,
        kind=claim.kind.name,
        counted=True,
        legs=tuple(legs),
        evidence=tuple(dict.fromkeys(note for leg in counting for note in leg.evidence)),
        counts=tuple(dict.fromkeys(count for leg in legs for count in leg.counts)),
    )


def _settled(word: str, legs: Sequence[Verdict]) -> bool | None:
    """Whether what decides has settled: of a refutation one leg that refutes; else every leg. None: not known."""
    if word != REFUTED:
        return _all_settled(legs)
    refuting = [leg for leg in legs if leg.verdict == REFUTED]
    return True if any(leg.settled or _computed(leg) for leg in refuting) else _all_settled(refuting)


def _all_settled(verdicts: Sequence[Verdict]) -> bool | None:
    """Whether all have settled: not where one still moves, and not known where one was not followed. None of checks,
    which no training changes."""
    known = [verdict.settled for verdict in verdicts if not _computed(verdict)]
    if not known or False in known:
        return False if known else None
    return None if None in known else True


def _computed(verdict: Verdict) -> bool:
    """Whether no cell bears on it, but code alone."""
    counting = [leg for leg in verdict.legs if leg.counted]
    return all(map(_computed, counting)) if counting else KINDS[verdict.kind].computed


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
