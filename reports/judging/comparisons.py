"""A claim at one place as comparisons, each measured and analysed; and the verdict of one comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reports.claims.checks import Finding
from reports.claims.model import Claim, Leg
from reports.claims.places import COMPUTED, MATCHED
from reports.claims.regions import Region
from reports.judging import sentences
from reports.judging.cells import Cells
from reports.judging.decisions import Decision, Difference, Family, PValues, decide, sensitivity
from reports.judging.differences import Comparison, measure
from reports.judging.names import subjects
from reports.judging.statistics import least_seeds, seeds_to_settle
from reports.judging.verdict import INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, ClaimRef, Count, Verdict
from reports.numbers import counted, p_value, sentence_case, setting
from vae.arms import Arm
from vae.metrics.catalogue import Metric


@dataclass(frozen=True)
class ClaimAtPlace:
    """A claim at one place, every comparison measured and every check run."""

    claim: Claim
    place: str
    comparisons: tuple[Comparison, ...]

    def tested(self, alpha: float) -> tuple[PValues, ...]:
        """The p of the comparisons that decide and have seeds enough."""
        tested = [one.difference for one in self.comparisons if one.in_family]
        return tuple(one.p for one in tested if one is not None and one.p.n >= least_seeds(alpha))

    def family_p(self, alpha: float) -> tuple[float, float] | None:
        """p_in and p_out of the whole, as `reports.judging.decisions` says; None where nothing could be tested."""
        tested = self.tested(alpha)
        if not tested:
            return None
        complete = len(tested) == sum(one.in_family for one in self.comparisons)
        p_in = max(p.p_in for p in tested) if complete else 1.0  # what is missing cannot support
        return p_in, min(1.0, len(tested) * min(p.p_out for p in tested))


def at_places(claim: Claim, cells: Cells) -> list[ClaimAtPlace]:
    """The claim at each of its places; at `computed` alone where no cell bears on it."""
    places = (COMPUTED,) if all(leg.kind.computed for leg in claim.legs) else dict.fromkeys(claim.places)
    return [
        ClaimAtPlace(claim, place, tuple(one for leg in claim.legs for one in measure(claim, leg, place, cells)))
        for place in places
    ]


@dataclass(frozen=True)
class Rules:
    """What a comparison is judged by. alpha: level of the tests. family: p of the other claims and places.

    catalogue: metric -> its words. base: the arm whose settings need not be named.
    """

    alpha: float
    family: Family
    catalogue: Mapping[str, Metric]
    base: Arm


def judged(claim: Claim, place: str, comparison: Comparison, rules: Rules) -> Verdict:
    """The verdict of one comparison, whatever the others of its claim are."""
    if comparison.finding is not None:
        return _by_check(claim, comparison.leg, comparison.finding, rules)
    verdict, leg, difference = _described(claim, place, comparison, rules), comparison.leg, comparison.difference
    if difference is None:
        reason = comparison.reason or "no seed has all the cells it needs"
        return replace(verdict, reason=reason, sentence=f"Not enough data: {reason}.")
    verdict = replace(verdict, **_numbers(comparison, difference, rules))
    metric = rules.catalogue.get(leg.metric)
    sentence = sentences.compared(
        verdict,
        leg.kind,
        subjects(comparison.pair, rules.base, rates=comparison.rates, at_rate=place == MATCHED),
        label=leg.metric if metric is None else metric.label,
        caveats=comparison.caveats,
    )
    return replace(verdict, sentence=sentences.with_clause(leg.says, verdict.verdict, sentence))


def _described(claim: Claim, place: str, comparison: Comparison, rules: Rules) -> Verdict:
    """What a comparison carries whether or not it could be tested."""
    leg, metric = comparison.leg, rules.catalogue.get(comparison.leg.metric)
    return Verdict(
        claim=ref(claim),
        place=place,
        label=leg.label if leg.label and not leg.twin else f"{leg.label or leg.metric}: {comparison.label}",
        verdict=INSUFFICIENT,
        sentence="",
        kind=leg.kind.name,
        counted=comparison.counted,
        arms=tuple(comparison.levels) or tuple(side.label for side in comparison.pair),
        metric=leg.metric,
        unit="" if metric is None else metric.unit,
        levels=comparison.levels,
        reference=leg.reference,
        margin=leg.margin,
        margin_reason=leg.reason,
        region=(_finite(leg.region.low), _finite(leg.region.high)),
        n=len(comparison.by_seed),
        alpha=rules.alpha,
        per_seed=comparison.by_seed,
        rates=comparison.rates,
        evidence=(*comparison.notes, *filter(None, (_failure(count, leg.metric) for count in comparison.counts))),
        counts=comparison.counts,
        shared=comparison.shared,
    )


def _numbers(comparison: Comparison, difference: Difference, rules: Rules) -> dict[str, Any]:
    """The fields of a comparison that come from its tests."""
    p, estimate = difference.p, difference.estimate
    family = rules.family if comparison.in_family else Family()
    decision = decide(p, rules.alpha, family)
    fields: dict[str, Any] = {
        "verdict": decision.word,
        "reason": _why(decision, p, comparison.leg.region, rules.alpha),
        "effect": estimate.mean,
        "ci_low": _finite(estimate.low),
        "ci_high": _finite(estimate.high),
        "sd": _finite(estimate.sd),
        "d_z": _finite(estimate.d_z),
        "sensitivity": sensitivity(difference, rules.alpha, family),
    }
    if decision.word == INCONCLUSIVE:
        share = rules.alpha / (len(rules.family.p_in) + 1)  # Bonferroni's: enough whatever the others come out as
        fields["seeds_to_settle"] = seeds_to_settle(
            estimate.mean,
            estimate.sd,
            comparison.leg.region,
            alpha=share,
            alpha_out=share / rules.family.legs,
            beyond=p.n,
        )
    if p.by_value or p.n < 2:
        return fields
    fields |= {"p_in": p.p_in, "p_out": p.p_out, "p_exact_in": p.exact_in, "p_exact_out": p.exact_out}
    if comparison.in_family:
        fields |= {"p_in_adj": decision.p_in_adj, "p_out_adj": decision.p_out_adj}
    return fields


def _why(decision: Decision, p: PValues, region: Region, alpha: float) -> str:
    seeds, level = counted(p.n, "seed"), setting(alpha)
    if decision.word == INSUFFICIENT:
        return f"{seeds}, where {least_seeds(alpha)} are the fewest that can decide at {level}"
    if not decision.overruled:
        return ""
    refuting, enough = p.p_out < p.p_in, least_seeds(alpha / len(region.ends))  # it can be left at either end
    if refuting and p.n < enough:
        return f"{seeds} cannot refute an equality at {level}; {enough} can"
    exact = p.exact_out if refuting else p.exact_in
    return f"the t test and the exact sign-flip test disagree (exact p {p_value(exact)})"


def _failure(count: Count, metric: str) -> str:
    """The cells that a condition lacks, as a sentence; empty where it has all."""
    numbers = {"failed": count.failed, "missing": count.missing, f"without {metric}": count.unmeasured}
    lacking = [f"{lost} {what}" for what, lost in numbers.items() if lost]
    why = f" ({'; '.join(count.reasons)})" if count.reasons else ""
    return f"{count.arm}: {count.done} cells done, {', '.join(lacking)}{why}." if lacking else ""


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
        alpha=rules.alpha,
        evidence=finding.notes,
    )


def ref(claim: Claim) -> ClaimRef:
    """What a verdict carries of its claim."""
    return ClaimRef(claim.id, claim.quote, claim.kind.name, claim.expect)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
