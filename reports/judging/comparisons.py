"""A claim at one place as comparisons, each measured and analysed; and the verdict of one comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reports.claims.checks import Finding
from reports.claims.model import Claim, Leg
from reports.claims.places import COMPUTED, MATCHED
from reports.judging import sentences
from reports.judging.cells import Cells
from reports.judging.decisions import Decision, Difference, Family, Level, PValues, analyse, decide, sensitivity
from reports.judging.differences import Measured, measure
from reports.judging.names import subjects
from reports.judging.statistics import seeds_to_settle
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, ClaimRef, Count, Verdict
from reports.numbers import counted, p_value, sentence_case, setting
from vae.arms import Arm


class Described(Protocol):
    """What a catalogue says of a metric: its unit and a short label."""

    @property
    def unit(self) -> str: ...

    @property
    def label(self) -> str: ...


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim at a place. difference: None where there is nothing to test, or a check found it."""

    measured: Measured
    difference: Difference | None = None

    @property
    def leg(self) -> Leg:
        """The comparison as the claims file has it."""
        return self.measured.leg

    @property
    def in_family(self) -> bool:
        """Whether its p belongs to the family: a counted comparison of a kind that is tested."""
        return self.leg.kind.in_family and self.measured.counted


@dataclass(frozen=True)
class ClaimAtPlace:
    """A claim at one place."""

    claim: Claim
    place: str
    comparisons: tuple[Comparison, ...]

    @classmethod
    def of(cls, claim: Claim, place: str, cells: Cells) -> ClaimAtPlace:
        """The claim at that place: every comparison measured and analysed, every check run."""
        measured = [one for leg in claim.legs for one in measure(claim, leg, place, cells)]
        return cls(claim, place, tuple(_analysed(one) for one in measured))

    def tested(self, least: int) -> tuple[PValues, ...]:
        """The p of the comparisons that decide and have seeds enough."""
        tested = [one.difference for one in self.comparisons if one.in_family]
        return tuple(one.p for one in tested if one is not None and one.p.n >= least)

    def family_p(self, least: int) -> tuple[float, float] | None:
        """p_in and p_out of the whole, as `reports.judging.decisions` says; None where nothing could be tested."""
        tested = self.tested(least)
        if not tested:
            return None
        complete = len(tested) == sum(one.in_family for one in self.comparisons)
        p_in = max(p.p_in for p in tested) if complete else 1.0  # what is missing cannot support
        return p_in, min(1.0, len(tested) * min(p.p_out for p in tested))


def places_of(claim: Claim) -> tuple[str, ...]:
    """Where the claim is judged: its places, or `computed` where no cell bears on it."""
    computed = all(leg.kind.computed for leg in claim.legs)
    return (COMPUTED,) if computed else tuple(dict.fromkeys(claim.places))


def _analysed(measured: Measured) -> Comparison:
    if not measured.by_seed:
        return Comparison(measured)
    kind = measured.leg.kind
    return Comparison(measured, analyse(measured.by_seed, kind.region(measured.leg), by_value=kind.by_value))


@dataclass(frozen=True)
class Rules:
    """What a comparison is judged by. family: p of the other claims and places. catalogue: metric -> its words.

    base: the arm whose settings go without saying.
    """

    level: Level
    min_seeds: int | None
    family: Family
    catalogue: Mapping[str, Described]
    base: Arm

    def to_settle(self, difference: Difference) -> int | None:
        """Seeds, more than there are, that would decide: at Bonferroni's share of alpha, whatever the others do."""
        share = self.level.alpha / (len(self.family.p_in) + 1)
        return seeds_to_settle(
            difference.estimate.mean,
            difference.estimate.sd,
            difference.region,
            alpha=share,
            alpha_out=share / self.family.legs,
            beyond=difference.p.n,
        )


def judged(claim: Claim, place: str, comparison: Comparison, rules: Rules) -> Verdict:
    """The verdict of one comparison, without regard to the others of its claim."""
    measured, leg = comparison.measured, comparison.leg
    if measured.finding is not None:
        return _by_check(claim, leg, measured.finding, rules)
    verdict = replace(_described(claim, place, measured, rules), **_numbers(comparison, rules))
    if verdict.effect is None:
        return replace(verdict, sentence=sentences.not_compared(verdict.reason))
    metric = rules.catalogue.get(leg.metric)
    told = sentences.compared(
        verdict,
        leg.kind,
        subjects(measured.pair, rules.base, rates=measured.rates, at_rate=place == MATCHED),
        label=metric.label if metric is not None else leg.metric,
        caveats=measured.caveats,
    )
    return replace(verdict, sentence=sentences.with_clause(leg.says, verdict.verdict, told))


def _described(claim: Claim, place: str, measured: Measured, rules: Rules) -> Verdict:
    """What a comparison carries whether or not it could be tested."""
    leg = measured.leg
    metric, region = rules.catalogue.get(leg.metric), leg.kind.region(leg)
    return Verdict(
        claim=ref(claim),
        place=place,
        label=leg.label if leg.label and not leg.twin else f"{leg.label or leg.metric}: {measured.label}",
        verdict=INSUFFICIENT,
        sentence="",
        reason=measured.reason,
        kind=leg.kind.name,
        counted=measured.counted,
        arms=tuple(measured.levels) or tuple(side.label for side in measured.pair),
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
        evidence=(*measured.notes, *_failures(measured.counts, leg.metric)),
        counts=measured.counts,
        shared=measured.shared,
    )


def _numbers(comparison: Comparison, rules: Rules) -> dict[str, Any]:
    """The fields of a comparison that come from its tests."""
    difference = comparison.difference
    if difference is None:
        return {"reason": comparison.measured.reason or "no seed has all the cells it needs"}
    p, estimate = difference.p, difference.estimate
    family = rules.family if comparison.in_family else Family()
    decision = decide(p, rules.level, family, by_value=difference.by_value)
    fields: dict[str, Any] = {
        "verdict": decision.word,
        "reason": _why(decision, difference, rules.level),
        "effect": estimate.mean,
        "ci_low": _finite(estimate.low),
        "ci_high": _finite(estimate.high),
        "sd": _finite(estimate.sd),
        "d_z": _finite(estimate.d_z),
        "sensitivity": sensitivity(difference, rules.level, family, min_seeds=rules.min_seeds),
    }
    if decision.word == INCONCLUSIVE:
        fields["seeds_to_settle"] = rules.to_settle(difference)
    if difference.by_value or p.n < 2:
        return fields
    fields |= {"p_in": p.p_in, "p_out": p.p_out, "p_exact_in": p.exact_in, "p_exact_out": p.exact_out}
    if comparison.in_family:
        fields |= {"p_in_adj": decision.p_in_adj, "p_out_adj": decision.p_out_adj}
    return fields


def _why(decision: Decision, difference: Difference, level: Level) -> str:
    p = difference.p
    if decision.word == INSUFFICIENT:
        return f"{counted(p.n, 'seed')}, where {level.least} are the fewest that can decide at {setting(level.alpha)}"
    refuting = p.p_out < p.p_in
    if decision.overruled and refuting and p.n < (enough := level.least_to_refute(difference.region)):
        return f"{counted(p.n, 'seed')} cannot refute an equality at {setting(level.alpha)}; {enough} can"
    if decision.overruled:
        exact = p.exact_out if refuting else p.exact_in
        return f"the t test and the exact sign-flip test disagree (exact p {p_value(exact)})"
    return ""


def _failures(counts: Iterable[Count], metric: str) -> list[str]:
    """Cells that a condition lacks, one sentence each."""
    notes = []
    for count in counts:
        numbers = {"failed": count.failed, "missing": count.missing, f"without {metric}": count.unmeasured}
        lacking = [f"{lost} {what}" for what, lost in numbers.items() if lost]
        if lacking:
            why = f" ({'; '.join(count.reasons)})" if count.reasons else ""
            notes.append(f"{count.arm}: {count.done} cells done, {', '.join(lacking)}{why}.")
    return notes


def _by_check(claim: Claim, leg: Leg, finding: Finding, rules: Rules) -> Verdict:
    word = SUPPORTED if finding.holds else REFUTED
    return Verdict(
        claim=ref(claim),
        place=COMPUTED,
        label=leg.label or leg.check,
        verdict=word,
        sentence=sentences.with_clause(leg.says, word, f"{sentence_case(finding.sentence)}."),
        kind=leg.kind.name,
        counted=leg.counted,
        levels=finding.numbers,
        alpha=rules.level.alpha,
        evidence=finding.notes,
    )


def ref(claim: Claim) -> ClaimRef:
    """What a verdict carries of its claim."""
    return ClaimRef(claim.id, claim.quote, claim.kind.name, claim.expect)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
