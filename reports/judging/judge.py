"""Claims meet the frame: `judge` measures, tests and decides each claim at each place, and says so in words.

A verdict is a `reports.judging.verdict.Verdict`; the schema of `verdicts.json` stands there (`SCHEMA`). Beside it, in
`reports.judging`: the rules in `decisions`, the tests in `statistics`, the way from cells to differences in
`differences`.

A claim with several places (the arms as named, and at equal rate) must hold at each: it gets a verdict of place
`overall` first, then one for each place. A conjunction carries its comparisons as `legs`, and the numbers of the
comparison that decides it: the clearest refutation, or else the one nearest to failing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from reports.claims.model import Claim
from reports.judging import sentences
from reports.judging.cases import Case, case_of, places_of
from reports.judging.cells import COLLAPSED, Cells
from reports.judging.comparisons import Described, Rules, judged, ref
from reports.judging.decisions import Family, Level, conjunction, together
from reports.judging.statistics import Region
from reports.judging.verdict import (
    COMPUTED,
    INCONCLUSIVE,
    INSUFFICIENT,
    MATCHED,
    NOMINAL,
    OVERALL,
    PLACES,
    REFUTED,
    SCHEMA,
    SCHEMA_VERSION,
    SUPPORTED,
    WORDS,
    ClaimRef,
    Count,
    Sensitivity,
    Verdict,
)
from reports.numbers import listed, setting
from vae.metrics.catalogue import CATALOGUE

__all__ = [
    "COMPUTED",
    "INCONCLUSIVE",
    "INSUFFICIENT",
    "MATCHED",
    "NOMINAL",
    "OVERALL",
    "PLACES",
    "REFUTED",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SUPPORTED",
    "WORDS",
    "ClaimRef",
    "Count",
    "Described",
    "Sensitivity",
    "Verdict",
    "headlines",
    "judge",
]


def judge(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    *,
    alpha: float = 0.05,
    min_seeds: int | None = None,
    planned: pd.DataFrame | None = None,
    catalogue: Mapping[str, Described] = CATALOGUE,
) -> list[Verdict]:
    """The verdict of each claim at each place, in the order of the claims; `headlines` picks one of each.

    frame: one row per cell, columns as in `tracking.schema`, failed cells with NaN metrics. alpha: level of the
    tests. min_seeds: fewest seeds that may decide, where more than the exact test needs are wanted. planned:
    columns arm and seed, the cells asked for, so that missing ones are counted. catalogue: metric -> unit and label.

    The family of Holm's adjustment is every claim at every place that can be tested. Raises UserError for a frame
    without the columns of an arm, and for two cells of one arm and seed.
    """
    cells, level = Cells(frame, planned), Level.of(alpha, min_seeds)
    cases = [case_of(claim, place, cells) for claim in claims for place in places_of(claim)]
    ps = [case.family_p(level.least) for case in cases]
    at_each: dict[str, list[Verdict]] = {}
    for i, case in enumerate(cases):
        others = [p for j, p in enumerate(ps) if j != i and p is not None]
        legs = max(1, len(case.tested(level.least)))
        family = Family([p_in for p_in, _ in others], [p_out for _, p_out in others], legs)
        rules = Rules(level, min_seeds, family, catalogue)
        at_each.setdefault(case.claim.id, []).append(_verdict(case, rules))
    return [_noted(claim, verdict) for claim in claims for verdict in _with_overall(claim, at_each[claim.id])]


def headlines(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each claim: the first, which speaks for all its places."""
    found: dict[str, Verdict] = {}
    for verdict in verdicts:
        found.setdefault(verdict.claim.id, verdict)
    return list(found.values())


def _verdict(case: Case, rules: Rules) -> Verdict:
    parts = [judged(case, part, rules) for part in case.parts]
    if len(parts) == 1:
        return parts[0]
    word = conjunction(part.verdict for part in parts if part.counted)
    deciding = _deciding(word, parts)
    said = sentences.of_many(word, parts, deciding)
    found = _gathered(case.claim, case.place, word, said, parts, deciding)
    return replace(found, evidence=(*_trivial(case), *found.evidence))


def _noted(claim: Claim, verdict: Verdict) -> Verdict:
    """With what the claims file says must be read beside it."""
    return replace(verdict, evidence=tuple(dict.fromkeys((*claim.notes, *verdict.evidence))))


def _trivial(case: Case) -> tuple[str, ...]:
    """Say which comparisons were set aside since there was nothing to compare."""
    found = [part.measured for part in case.parts if part.measured is not None and part.leg.counted]
    labels = dict.fromkeys(measured.label for measured in found if not measured.counted)
    if not labels:
        return ()
    why = f"both arms are collapsed (rate below {setting(COLLAPSED)} nat) and so equal whatever the weight"
    return (f"Shown but not counted, since {why}: {listed(labels)}.",)


def _with_overall(claim: Claim, places: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of the places, behind the one that speaks for all where there are several."""
    if len(places) == 1:
        return list(places)
    word = conjunction(part.verdict for part in places)
    deciding = _deciding(word, places)
    return [
        _gathered(claim, OVERALL, word, sentences.of_places(places), places, deciding),
        *places,
    ]


def _gathered(
    claim: Claim, place: str, word: str, sentence: str, parts: Sequence[Verdict], deciding: Verdict
) -> Verdict:
    """The verdict of several: the numbers of the deciding one, the evidence and the counts of all."""
    counting = [part for part in parts if part.counted]
    notes = [note for part in counting for note in part.evidence]
    return replace(
        deciding,
        claim=ref(claim),
        place=place,
        kind=claim.kind,
        verdict=word,
        sentence=sentence,
        legs=tuple(parts),
        evidence=tuple(dict.fromkeys(notes)),
        counts=tuple(dict.fromkeys(count for part in parts for count in part.counts)),
        sensitivity=together([(part.verdict, part.sensitivity or Sensitivity()) for part in counting]),
        seeds_to_settle=_enough(counting) if word == INCONCLUSIVE else None,
    )


def _deciding(word: str, parts: Sequence[Verdict]) -> Verdict:
    """Of the parts with the word of the whole: the clearest refutation, else the one nearest to failing."""
    candidates = [part for part in parts if part.counted and part.verdict == word]
    if word == REFUTED:
        return min(candidates, key=lambda part: -1.0 if part.p_out_adj is None else part.p_out_adj)
    return max(candidates, key=lambda part: -1.0 if part.p_in_adj is None else part.p_in_adj)


def _enough(parts: Sequence[Verdict]) -> int | None:
    """Seeds for the whole: those that would refute one part, or else those that would support every one."""
    open_ones = [part for part in parts if part.verdict == INCONCLUSIVE]
    refuting = [part.seeds_to_settle for part in open_ones if not _inside(part)]
    known = [seeds for seeds in refuting if seeds is not None]
    if known:
        return min(known)
    needed = [part.seeds_to_settle for part in open_ones]
    return None if refuting or None in needed else max(seeds for seeds in needed if seeds is not None)


def _inside(part: Verdict) -> bool:
    low, high = part.region or (None, None)
    region = Region(-math.inf if low is None else low, math.inf if high is None else high)
    return part.effect is not None and bool(region.holds(part.effect))
