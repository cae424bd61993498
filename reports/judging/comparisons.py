"""One comparison, judged: its tests and its word as a `Verdict` of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reports.claims.checks import Finding
from reports.claims.model import Claim, Leg
from reports.judging import sentences
from reports.judging.cases import Case, Part, region_of
from reports.judging.decisions import Decision, Family, Level, Trial, decide, sensitivity
from reports.judging.differences import Measured
from reports.judging.statistics import seeds_to_settle
from reports.judging.verdict import COMPUTED, INCONCLUSIVE, INSUFFICIENT, REFUTED, SUPPORTED, ClaimRef, Count, Verdict
from reports.numbers import counted, p_value, setting


class Described(Protocol):
    """What a catalogue says of a metric: its unit and a short label."""

    @property
    def unit(self) -> str: ...

    @property
    def label(self) -> str: ...


@dataclass(frozen=True)
class Rules:
    """What a comparison is judged by. family: p of the other claims and places. catalogue: metric -> its words."""

    level: Level
    min_seeds: int | None
    family: Family
    catalogue: Mapping[str, Described]

    def to_settle(self, found: Trial) -> int | None:
        """Seeds, more than there are, that would decide: at Bonferroni's share of alpha, whatever the others do."""
        share = self.level.alpha / (len(self.family.p_in) + 1)
        return seeds_to_settle(
            found.estimate.mean,
            found.estimate.sd,
            found.region,
            alpha=share,
            alpha_out=share / self.family.legs,
            beyond=found.base.n,
        )


def judged(case: Case, part: Part, rules: Rules) -> Verdict:
    """The verdict of one comparison, without regard to the others of its claim."""
    if part.finding is not None:
        return _found_by_check(case, part.leg, part.finding, rules)
    measured = part.measured
    if measured is None:
        raise TypeError("a part is measured or found by a check")
    found = replace(_blank(case, part.leg, measured, rules), **_numbers(part, rules))
    metric = rules.catalogue.get(part.leg.metric)
    label = metric.label if metric is not None else part.leg.metric
    said = sentences.compared(found, measured.pair, label=label, caveats=measured.caveats)
    return replace(found, sentence=sentences.with_clause(part.leg.says, found.verdict, said))


def _blank(case: Case, leg: Leg, measured: Measured, rules: Rules) -> Verdict:
    """What a comparison carries whether or not it could be tested."""
    metric = rules.catalogue.get(leg.metric)
    region = region_of(leg)
    return Verdict(
        claim=ref(case.claim),
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
        evidence=(*measured.notes, *_failures(measured.counts, leg.metric)),
        counts=measured.counts,
    )


def _numbers(part: Part, rules: Rules) -> dict[str, Any]:
    """The fields of a comparison that come from its tests."""
    if part.trial is None:
        reason = part.measured.reason if part.measured is not None else ""
        return {"reason": reason or "no seed has all the cells it needs"}
    found, base = part.trial, part.trial.base
    family = rules.family if part.in_family else Family()
    decision = decide(base, rules.level, family, by_value=found.by_value)
    fields: dict[str, Any] = {
        "verdict": decision.word,
        "reason": _why(decision, found, rules.level),
        "effect": found.estimate.mean,
        "ci_low": _finite(found.estimate.low),
        "ci_high": _finite(found.estimate.high),
        "sd": _finite(found.estimate.sd),
        "d_z": _finite(found.estimate.d_z),
        "sensitivity": sensitivity(found, rules.level, family, min_seeds=rules.min_seeds),
    }
    if decision.word == INCONCLUSIVE:
        fields["seeds_to_settle"] = rules.to_settle(found)
    if found.by_value or base.n < 2:
        return fields
    fields |= {"p_in": base.p_in, "p_out": base.p_out, "p_exact_in": base.exact_in, "p_exact_out": base.exact_out}
    return fields | ({"p_in_adj": decision.p_in_adj, "p_out_adj": decision.p_out_adj} if part.in_family else {})


def _why(decision: Decision, found: Trial, level: Level) -> str:
    ps = found.base
    if decision.word == INSUFFICIENT:
        return f"{counted(ps.n, 'seed')}, where {level.least} are the fewest that can decide at {setting(level.alpha)}"
    refuting = ps.p_out < ps.p_in
    if decision.overruled and refuting and ps.n < (enough := level.least_to_refute(found.region)):
        return f"{counted(ps.n, 'seed')} cannot refute an equality at {setting(level.alpha)}; {enough} can"
    if decision.overruled:
        exact = ps.exact_out if refuting else ps.exact_in
        return f"the t test and the exact sign-flip test disagree (exact p {p_value(exact)})"
    return ""


def _failures(counts: Iterable[Count], metric: str) -> list[str]:
    """Cells that a condition lacks, one sentence each."""
    notes = []
    for count in counts:
        lacks = {"failed": count.failed, "missing": count.missing, f"without {metric}": count.unmeasured}
        said = [f"{number} {what}" for what, number in lacks.items() if number]
        if said:
            why = f" ({'; '.join(count.reasons)})" if count.reasons else ""
            notes.append(f"{count.arm}: {count.done} cells done, {', '.join(said)}{why}.")
    return notes


def _found_by_check(case: Case, leg: Leg, finding: Finding, rules: Rules) -> Verdict:
    word = SUPPORTED if finding.holds else REFUTED
    said = f"{finding.sentence[:1].upper()}{finding.sentence[1:]}."
    return Verdict(
        claim=ref(case.claim),
        place=COMPUTED,
        label=leg.label or leg.check,
        verdict=word,
        sentence=sentences.with_clause(leg.says, word, said),
        kind=leg.kind,
        counted=leg.counted,
        levels=finding.numbers,
        alpha=rules.level.alpha,
        evidence=finding.notes,
    )


def ref(claim: Claim) -> ClaimRef:
    """What a verdict carries of its claim."""
    return ClaimRef(claim.id, claim.quote, claim.kind, claim.expect)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
