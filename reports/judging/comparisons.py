"""A claim at one place and reading as comparisons, each measured and analysed; and the verdict of one comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from reports.claims.checks import Finding
from reports.claims.model import Claim, Leg
from reports.claims.places import COMPUTED, MATCHED
from reports.claims.regions import Region
from reports.judging import sentences
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison
from reports.judging.convergence import AtPoints, Point, comparisons_at, course
from reports.judging.decisions import (
    FAILED,
    RANKS,
    Decision,
    Difference,
    Family,
    PValues,
    alpha_at,
    decide_with_failures,
    sensitivity,
)
from reports.judging.differences import measure
from reports.judging.floors import UNKNOWN, Floors
from reports.judging.names import subjects
from reports.judging.statistics import least_seeds, seeds_to_settle
from reports.judging.verdict import (
    A_DIFFERENCE,
    EITHER,
    INCONCLUSIVE,
    INSUFFICIENT,
    NO_DIFFERENCE,
    OPPOSITE,
    REFUTED,
    SUPPORTED,
    ClaimRef,
    Count,
    Verdict,
)
from reports.numbers import counted, finite, p_value, sentence_case, setting
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE


@dataclass(frozen=True)
class Study:
    """What all claims of a study are judged on. points: its cells during training."""

    cells: Cells
    floors: Floors = UNKNOWN
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class ClaimAtPlace:
    """One reading of a claim at one place, every comparison measured and every check run.

    earlier: the comparisons at each point of training.
    """

    claim: Claim
    place: str
    comparisons: tuple[Comparison, ...]
    reading: str = ""
    earlier: AtPoints = ()

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


def at_places(claim: Claim, study: Study) -> list[ClaimAtPlace]:
    """Each reading of the claim at each of its places; at `computed` alone where no cell bears on it."""
    cases = []
    for reading in claim.readings:
        legs = [leg for leg in claim.legs if leg.reading == reading]
        places = (COMPUTED,) if all(leg.kind.computed for leg in legs) else dict.fromkeys(claim.places)
        for place in places:
            comparisons = tuple(one for leg in legs for one in measure(claim, leg, place, study.cells, study.floors))
            earlier = comparisons_at(study.points, claim, legs, place, study.floors)
            cases.append(ClaimAtPlace(claim, place, comparisons, reading, earlier))
    return cases


@dataclass(frozen=True)
class Rules:
    """What a comparison is judged by. level: of the tests at a first look. looks: this one included. family: p of the
    other claims and places. ranks: whether the signed-rank test must agree. study: whose cells and floors these are."""

    level: float
    looks: int
    family: Family
    ranks: bool
    study: Study

    @property
    def alpha(self) -> float:
        """The level of the tests at this look."""
        return alpha_at(self.level, self.looks)

    @property
    def base(self) -> Arm:
        return self.study.cells.base


def judged(case: ClaimAtPlace, comparison: Comparison, rules: Rules) -> Verdict:
    """The verdict of one comparison, whatever the others of its claim are."""
    if comparison.finding is not None:
        return _by_check(case, comparison.leg, comparison.finding, rules)
    verdict, leg, difference = _described(case, comparison, rules), comparison.leg, comparison.difference
    if difference is None:
        reason = comparison.reason or "no seed has all the cells it needs"
        return replace(verdict, reason=reason, sentence=f"{sentences.NOT_ENOUGH}: {reason}.")
    family = rules.family if comparison.in_family else Family()
    verdict = replace(verdict, **_numbers(comparison, difference, rules, family))
    verdict = _over_training(verdict, case, comparison, rules, family)
    metric = CATALOGUE.get(leg.metric)
    sentence = sentences.compared(
        verdict,
        leg.kind,
        subjects(comparison.pair, rules.base, rates=comparison.rates, at_rate=case.place == MATCHED),
        label=leg.metric if metric is None else metric.label,
        caveats=comparison.caveats,
    )
    return replace(verdict, sentence=sentences.with_clause(leg.says, verdict.verdict, sentence))


def _described(case: ClaimAtPlace, comparison: Comparison, rules: Rules) -> Verdict:
    """What a comparison carries whether or not it could be tested."""
    leg, metric = comparison.leg, CATALOGUE.get(comparison.leg.metric)
    levels = comparison.means
    return Verdict(
        claim=ref(case.claim),
        place=case.place,
        reading=case.reading,
        label=leg.label if leg.label and not leg.twin else f"{leg.label or leg.metric}: {comparison.label}",
        verdict=INSUFFICIENT,
        sentence="",
        kind=leg.kind.name,
        counted=comparison.counted,
        arms=tuple(levels) or tuple(side.label for side in comparison.pair),
        metric=leg.metric,
        unit=leg.kind.unit or ("" if metric is None else metric.unit),
        levels=levels,
        reference=leg.reference,
        margin=leg.margin,
        margin_reason=f"{setting(100 * leg.share)} % of {leg.of}: {leg.reason}" if leg.share else leg.reason,
        region=(finite(leg.region.low), finite(leg.region.high)) if leg.resolved else None,
        n=len(comparison.by_seed),
        alpha=rules.alpha,
        looks=rules.looks,
        per_seed=comparison.by_seed,
        rates=comparison.rates,
        evidence=(*comparison.notes, *filter(None, (_failure(count, leg.metric) for count in comparison.counts))),
        counts=comparison.counts,
        shared=comparison.shared,
        at_floor=comparison.at_floor,
        won_by=comparison.won_by,
        **_standing(comparison, rules),
    )


def _standing(comparison: Comparison, rules: Rules) -> dict[str, Any]:
    """Where the arms stand between floor and ceiling; nothing where these are not known."""
    floors, cells, metric = rules.study.floors, rules.study.cells, comparison.leg.metric
    arms = list(dict.fromkeys(side.arm for side in comparison.pair if not side.any_beta))
    if not arms or floors.references is None:
        return {}
    shares = {cells.label(arm): finite(floors.share(cells, arm, metric)) for arm in arms}
    return {
        "floor": floors.floor(arms[0], metric),
        "ceiling": floors.ceiling(metric),
        "standing": {label: share for label, share in shares.items() if share is not None},
    }


def _numbers(comparison: Comparison, difference: Difference, rules: Rules, family: Family) -> dict[str, Any]:
    """The fields of a comparison that come from its tests."""
    p, estimate, region = difference.p, difference.estimate, comparison.leg.region
    fields: dict[str, Any] = {
        "effect": estimate.mean,
        "ci_low": finite(estimate.low),
        "ci_high": finite(estimate.high),
        "narrow_low": finite(estimate.narrow_low),
        "narrow_high": finite(estimate.narrow_high),
        "images": difference.luck.kept,
        "luck": difference.luck.shares(estimate.sd**2 / estimate.n) if difference.luck.variance else {},
        "sd": finite(estimate.sd),
        "d_z": finite(estimate.d_z),
    }
    if comparison.blocked:
        return fields | {"verdict": INSUFFICIENT, "reason": comparison.blocked}
    decision = decide_with_failures(difference.tested, rules.alpha, family, ranks=rules.ranks)
    fields |= {
        "verdict": decision.word,
        "reason": _why(decision, p, region, rules.alpha),
        "direction": _direction(comparison.leg, estimate.low, estimate.high) if decision.word == REFUTED else "",
        "sensitivity": sensitivity(difference, rules.alpha, family, ranks=rules.ranks, looks=rules.looks),
    }
    if decision.word == INCONCLUSIVE and decision.overruled != FAILED:  # no number of seeds makes up for these
        share = rules.alpha / (len(rules.family.p_in) + 1)  # Bonferroni's: enough whatever the others come out as
        fields["seeds_to_settle"] = seeds_to_settle(
            estimate.mean,
            estimate.sd,
            region,
            alpha=share,
            alpha_out=share / rules.family.legs,
            beyond=p.n,
            luck=difference.luck,
        )
    if p.by_value or p.n < 2:
        return fields
    fields |= {"p_in": p.p_in, "p_out": p.p_out, "p_exact_in": p.exact_in, "p_exact_out": p.exact_out}
    fields |= {"p_rank_in": p.rank_in, "p_rank_out": p.rank_out} if rules.ranks else {}
    if comparison.in_family:
        fields |= {"p_in_adj": decision.p_in_adj, "p_out_adj": decision.p_out_adj}
    return fields


def _over_training(
    verdict: Verdict, case: ClaimAtPlace, comparison: Comparison, rules: Rules, family: Family
) -> Verdict:
    """The verdict with how the effect stood during training."""
    legs = [leg for leg in case.claim.legs if leg.reading == case.reading]
    key = legs.index(comparison.leg), comparison.label
    found = course(comparison, key, case.earlier, rules.alpha, family, ranks=rules.ranks)
    all_epochs = {rules.study.cells.epochs(arm) for arm in comparison.read}
    epochs = all_epochs.pop() if len(all_epochs) == 1 else None
    known = verdict.sensitivity
    if known is not None and found.words:
        last = counted(epochs, "epoch") if epochs is not None else "the end"
        known = replace(known, epochs={**found.words, last: verdict.verdict})
    return replace(
        verdict,
        epochs=epochs,
        settled=found.settled,
        moved=found.moved,
        arms_moved=found.sides_moved,
        by_epochs=found.points,
        sensitivity=known,
    )


_DISAGREE: Final = "the t test and the exact {test} disagree (exact p {p})"


def _why(decision: Decision, p: PValues, region: Region, alpha: float) -> str:
    seeds, level = counted(p.n, "seed"), setting(alpha)
    if decision.word == INSUFFICIENT:
        return f"{seeds}, where {least_seeds(alpha)} are the fewest that can decide at {level}"
    if not decision.overruled:
        return ""
    if decision.overruled == FAILED:
        return "some cells failed, and with the worst values seen in their place the verdict would be another"
    refuting, enough = p.p_out < p.p_in, least_seeds(alpha / len(region.ends))  # it can be left at either end
    if refuting and p.n < enough:
        return f"{seeds} cannot refute an equality at {level}; {enough} can"
    if decision.overruled == RANKS:
        return _DISAGREE.format(test="signed-rank test", p=p_value(p.rank_out if refuting else p.rank_in))
    exact = p.exact_out if refuting else p.exact_in
    return _DISAGREE.format(test="sign-flip test", p=p_value(exact))


def _direction(leg: Leg, low: float, high: float) -> str:
    """What a refutation shows, from the interval of the effect."""
    region, margin = leg.region, leg.margin or 0.0
    if len(region.ends) != 1:
        return A_DIFFERENCE
    if region.high == region.ends[0]:  # a claim of less: turned round
        low, high = -high, -low
    if high < -margin:
        return OPPOSITE
    return NO_DIFFERENCE if low > -margin else EITHER


def _failure(count: Count, metric: str) -> str:
    """The cells that a condition lacks, as a sentence; empty where it has all."""
    numbers = {"failed": count.failed, "missing": count.missing, f"without {metric}": count.unmeasured}
    lacking = [f"{lost} {what}" for what, lost in numbers.items() if lost]
    why = f" ({'; '.join(count.reasons)})" if count.reasons else ""
    return f"{count.arm}: {count.done} cells done, {', '.join(lacking)}{why}." if lacking else ""


def _by_check(case: ClaimAtPlace, leg: Leg, finding: Finding, rules: Rules) -> Verdict:
    word = SUPPORTED if finding.holds else REFUTED
    return Verdict(
        claim=ref(case.claim),
        place=COMPUTED,
        reading=case.reading,
        label=leg.label or leg.check,
        verdict=word,
        sentence=sentences.with_clause(leg.says, word, f"{sentence_case(finding.sentence)}."),
        kind=leg.kind.name,
        counted=leg.counted,
        levels=finding.numbers,
        alpha=rules.alpha,
        looks=rules.looks,
        evidence=finding.notes,
    )


def ref(claim: Claim) -> ClaimRef:
    """What a verdict carries of its claim."""
    return ClaimRef(claim.id, claim.quote, claim.kind.name, claim.expect)
