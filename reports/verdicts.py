"""Claims meet the frame: `judge` measures, tests and decides each claim at each place, and says so in words.

A verdict is a `reports.record.Verdict`; the schema of `verdicts.json` stands there (`SCHEMA`). The rules are in
`reports.decisions`, the tests in `reports.statistics`, the way from cells to differences in `reports.pairing`.

A claim with several places (the arms as named, and at equal rate) must hold at each: it gets a verdict of place
`overall` first, then one for each place. A conjunction carries its comparisons as `legs`, and the numbers of the
comparison that decides it: the clearest refutation, or else the one nearest to failing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pandas as pd

from reports import sentences
from reports.cells import COLLAPSED, Cells
from reports.checks import Finding, run_check
from reports.claim_model import COMPUTED_KINDS, Claim, Leg
from reports.decisions import Decision, Family, Level, Ps, Trial, conjunction, decide, sensitivity, together, trial
from reports.pairing import Measured, measure
from reports.record import (
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
from reports.rounding import counted, listed, p_value, setting
from reports.statistics import Region, seeds_to_settle

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


class Described(Protocol):
    """What a catalogue says of a metric: its unit and a short label."""

    @property
    def unit(self) -> str: ...

    @property
    def label(self) -> str: ...


@dataclass(frozen=True)
class _Part:
    """One comparison of a claim at a place: measured and tested, or found by a check."""

    leg: Leg
    measured: Measured | None = None
    trial: Trial | None = None
    finding: Finding | None = None

    @property
    def in_family(self) -> bool:
        return self.finding is None and self.leg.kind != "anchor" and (self.measured is None or self.measured.counted)


@dataclass(frozen=True)
class _Case:
    """A claim at one place."""

    claim: Claim
    place: str
    parts: tuple[_Part, ...]

    def family_p(self, least: int) -> tuple[float, float] | None:
        """(largest p_in, smallest p_out) of the comparisons tested; None where there is none."""
        mine = [part for part in self.parts if part.in_family]
        tested = [part.trial.base for part in mine if part.trial is not None and part.trial.base.n >= least]
        if not tested:
            return None
        p_in = [ps.p_in for ps in tested] if len(tested) == len(mine) else [1.0]  # what is missing cannot support
        return max(p_in), min(ps.p_out for ps in tested)


@dataclass(frozen=True)
class _Rules:
    level: Level
    min_seeds: int | None
    family: Family  # the other claims and places
    catalogue: Mapping[str, Described]

    @property
    def alpha_of_one(self) -> float:
        """Bonferroni's share of alpha: seeds that suffice at this level suffice whatever the others do."""
        return self.level.alpha / (len(self.family.p_in) + 1)


def judge(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    *,
    alpha: float = 0.05,
    min_seeds: int | None = None,
    planned: pd.DataFrame | None = None,
    catalogue: Mapping[str, Described] | None = None,
) -> list[Verdict]:
    """The verdict of each claim at each place, in the order of the claims; `headlines` picks one of each.

    frame: one row per cell, columns as in `tracking.schema`, failed cells with NaN metrics. alpha: level of the
    tests. min_seeds: fewest seeds that may decide, where more than the exact test needs are wanted. planned:
    columns arm and seed, the cells asked for, so that missing ones are counted. catalogue: metric -> unit and label.

    The family of Holm's adjustment is every claim at every place that can be tested. Raises UserError for a frame
    without the columns of an arm, and for two cells of one arm and seed.
    """
    cells, level = Cells(frame, planned), Level.of(alpha, min_seeds)
    cases = [_case(claim, place, cells) for claim in claims for place in _places(claim)]
    ps = [case.family_p(level.least) for case in cases]
    at_each: dict[str, list[Verdict]] = {}
    for i, case in enumerate(cases):
        others = [p for j, p in enumerate(ps) if j != i and p is not None]
        family = Family([p_in for p_in, _ in others], [p_out for _, p_out in others])
        rules = _Rules(level, min_seeds, family, catalogue or {})
        at_each.setdefault(case.claim.id, []).append(_verdict(case, rules))
    return [_noted(claim, verdict) for claim in claims for verdict in _with_overall(claim, at_each[claim.id])]


def headlines(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each claim: the first, which speaks for all its places."""
    found: dict[str, Verdict] = {}
    for verdict in verdicts:
        found.setdefault(verdict.claim.id, verdict)
    return list(found.values())


def _places(claim: Claim) -> tuple[str, ...]:
    computed = all(leg.kind in COMPUTED_KINDS for leg in claim.legs)
    return (COMPUTED,) if computed else tuple(dict.fromkeys(claim.places))


def _case(claim: Claim, place: str, cells: Cells) -> _Case:
    parts: list[_Part] = []
    for leg in claim.legs:
        if leg.kind in COMPUTED_KINDS:
            parts.append(_Part(leg, finding=run_check(leg.check)))
        else:
            parts += [_tried(found) for found in measure(claim, leg, place, cells)]
    return _Case(claim, place, tuple(parts))


def _tried(found: Measured) -> _Part:
    if not found.by_seed:
        return _Part(found.leg, found)
    by_value = found.leg.kind == "anchor"
    return _Part(found.leg, found, trial(found.by_seed, _region(found.leg), by_value=by_value))


def _region(leg: Leg) -> Region:
    kind = {"trend": "greater" if leg.direction == "rises" else "less", "anchor": "equivalent"}.get(leg.kind, leg.kind)
    return Region.of(kind, float(leg.margin or 0))


def _verdict(case: _Case, rules: _Rules) -> Verdict:
    parts = [_judged(case, part, rules) for part in case.parts]
    if len(parts) == 1:
        said = sentences.with_clause(case.claim.says, parts[0].verdict, parts[0].sentence)
        return replace(parts[0], sentence=said)
    word = conjunction(part.verdict for part in parts if part.counted)
    deciding = _deciding(word, parts)
    said = sentences.with_clause(case.claim.says, word, sentences.of_many(word, parts, deciding))
    found = _gathered(case.claim, case.place, word, said, parts, deciding)
    return replace(found, evidence=(*_trivial(case), *found.evidence))


def _noted(claim: Claim, verdict: Verdict) -> Verdict:
    """With what the claims file says must be read beside it."""
    return replace(verdict, evidence=tuple(dict.fromkeys((*claim.notes, *verdict.evidence))))


def _trivial(case: _Case) -> tuple[str, ...]:
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
        _gathered(claim, OVERALL, word, sentences.of_places(places, deciding), places, deciding),
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
        claim=_ref(claim),
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


def _judged(case: _Case, part: _Part, rules: _Rules) -> Verdict:
    if part.finding is not None:
        return _found_by_check(case, part.leg, part.finding, rules)
    measured = part.measured
    if measured is None:
        raise TypeError("a part is measured or found by a check")
    found = replace(_blank(case, part.leg, measured, rules), **_numbers(part, rules))
    metric = rules.catalogue.get(part.leg.metric)
    label = metric.label if metric is not None else part.leg.metric
    return replace(found, sentence=sentences.compared(found, measured.pair, label=label))


def _blank(case: _Case, leg: Leg, measured: Measured, rules: _Rules) -> Verdict:
    """What a comparison carries whether or not it could be tested."""
    metric = rules.catalogue.get(leg.metric)
    region = _region(leg)
    return Verdict(
        claim=_ref(case.claim),
        place=case.place,
        label=leg.label if leg.label and not leg.twin else f"{leg.label or leg.metric}: {measured.label}",
        verdict=INSUFFICIENT,
        sentence="",
        reason=measured.reason,
        kind=leg.kind,
        counted=measured.counted,
        arms=tuple(measured.levels) or tuple(arm.label for arm in measured.pair),
        metric=leg.metric,
        unit="" if metric is None else metric.unit,
        levels=measured.levels,
        reference=leg.reference,
        margin=leg.margin,
        margin_reason=leg.reason,
        region=(_finite(region.low), _finite(region.high)),
        n=len(measured.by_seed),
        alpha=rules.level.alpha,
        per_seed=measured.by_seed,
        rates=measured.rates,
        evidence=(*measured.notes, *_failures(measured.counts)),
        counts=measured.counts,
    )


def _numbers(part: _Part, rules: _Rules) -> dict[str, Any]:
    """The fields of a comparison that come from its tests."""
    if part.trial is None:
        reason = part.measured.reason if part.measured is not None else ""
        return {"reason": reason or "no seed has all the cells it needs"}
    found, base = part.trial, part.trial.base
    family = rules.family if part.in_family else Family()
    decision = decide(base, rules.level, family, by_value=found.by_value)
    fields: dict[str, Any] = {
        "verdict": decision.word,
        "reason": _why(decision, base, rules.level),
        "effect": found.estimate.mean,
        "ci_low": _finite(found.estimate.low),
        "ci_high": _finite(found.estimate.high),
        "sd": _finite(found.estimate.sd),
        "d_z": _finite(found.estimate.d_z),
        "sensitivity": sensitivity(found, rules.level, family, min_seeds=rules.min_seeds),
    }
    if decision.word == INCONCLUSIVE:
        estimate = found.estimate
        fields["seeds_to_settle"] = seeds_to_settle(estimate.mean, estimate.sd, found.region, alpha=rules.alpha_of_one)
    if found.by_value or base.n < 2:
        return fields
    fields |= {"p_in": base.p_in, "p_out": base.p_out, "p_exact_in": base.exact_in, "p_exact_out": base.exact_out}
    return fields | ({"p_in_adj": decision.p_in_adj, "p_out_adj": decision.p_out_adj} if part.in_family else {})


def _why(decision: Decision, ps: Ps, level: Level) -> str:
    if decision.word == INSUFFICIENT:
        return f"{counted(ps.n, 'seed')}, where {level.least} are the fewest that can decide at {setting(level.alpha)}"
    if decision.overruled:
        exact = ps.exact_in if ps.p_in < ps.p_out else ps.exact_out
        return f"the t test and the exact sign-flip test disagree (exact p {p_value(exact)})"
    return ""


def _failures(counts: Iterable[Count]) -> list[str]:
    """Cells that a condition lacks, one sentence each."""
    notes = []
    for count in counts:
        lacks = {"failed": count.failed, "missing": count.missing, "without the metric": count.unmeasured}
        said = [f"{number} {what}" for what, number in lacks.items() if number]
        if said:
            why = f" ({'; '.join(count.reasons)})" if count.reasons else ""
            notes.append(f"{count.arm}: {count.done} cells done, {', '.join(said)}{why}.")
    return notes


def _found_by_check(case: _Case, leg: Leg, finding: Finding, rules: _Rules) -> Verdict:
    return Verdict(
        claim=_ref(case.claim),
        place=COMPUTED,
        label=leg.label or leg.check,
        verdict=SUPPORTED if finding.holds else REFUTED,
        sentence=f"{finding.sentence[:1].upper()}{finding.sentence[1:]}.",
        kind=leg.kind,
        counted=leg.counted,
        levels=finding.numbers,
        alpha=rules.level.alpha,
        evidence=finding.notes,
    )


def _ref(claim: Claim) -> ClaimRef:
    return ClaimRef(claim.id, claim.quote, claim.kind, claim.expect)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
