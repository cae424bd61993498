"""Claims bring their evidence: which arms they compare that a study's grid lacks."""

from __future__ import annotations

from collections.abc import Sequence

from reports.claims.kinds import Measure
from reports.claims.model import LEAST_CURVE, Claim, check_base
from reports.claims.places import MATCHED, NOMINAL
from reports.claims.predictions import betas_around
from reports.claims.selectors import EffectiveBeta
from vae.arms import Arm, find, sum_twin
from vae.errors import UserError


def needed_arms(claims: Sequence[Claim], arms: Sequence[Arm], *, base: Arm, effective_beta: EffectiveBeta) -> list[Arm]:
    """The arms that the claims compare and the grid lacks, each once, in the order of the claims.

    arms: those of the grid. base: the arm whose values hold where selectors are silent. effective_beta: arm -> its
    beta_eff on the study's images.

    First the arms that are named; then, where a curve over beta is needed (a trend, a comparison at equal rate, a tuned
    arm) and there are fewer than two betas, the claim's own betas; those around a predicted beta; then the `sum` twin
    of every arm that a twin comparison matches, of those just added too. Raises UserError as `check_base` does, and for
    a predicted beta that is no number yet.
    """
    check_base(claims, base)
    known = list(arms)

    def add(wanted: Sequence[Arm]) -> None:
        for arm in wanted:
            if find(arm, known) is None:
                known.append(arm)

    for claim in claims:
        add(_named(claim, base, effective_beta))
    for claim in claims:
        add(_on_curves(claim, known, base))
        add(_around_predicted(claim, base))
    add([twin for claim in claims for twin in _twins(claim, known, base, effective_beta)])
    return known[len(arms) :]


def _named(claim: Claim, base: Arm, effective_beta: EffectiveBeta) -> list[Arm]:
    selectors = list(claim.needs)
    if NOMINAL in claim.places:
        selectors += [selector for leg in claim.legs for selector in leg.selectors]
    return [selector.arm(base, effective_beta) for selector in selectors if selector.names_one and not selector.tuned]


def _on_curves(claim: Claim, known: Sequence[Arm], base: Arm) -> list[Arm]:
    curves = [
        selector.at_any_beta
        for leg in claim.legs
        for selector in leg.selectors
        if MATCHED in claim.places or leg.kind.measure is Measure.SLOPE or selector.tuned
    ]
    arms: list[Arm] = []
    for curve in dict.fromkeys(curves):
        if sum(curve.matches(arm, base) and arm.beta > 0 for arm in known) < LEAST_CURVE:
            arms += [base.replace(curve.settings, beta=beta) for beta in claim.betas]
    return arms


def _around_predicted(claim: Claim, base: Arm) -> list[Arm]:
    """The arms that find the beta of which a leg predicts where it lies."""
    arms: list[Arm] = []
    for leg in claim.legs:
        if leg.kind.measure is Measure.CROSSING and leg.a is not None:
            if leg.reference is None:
                raise UserError(
                    f"claim {claim.id!r}: prediction={leg.prediction!r} is no number yet; resolve the claims"
                )
            arms += [base.replace(leg.a.settings, beta=beta) for beta in betas_around(leg.reference)]
    return arms


def _twins(claim: Claim, known: Sequence[Arm], base: Arm, effective_beta: EffectiveBeta) -> list[Arm]:
    return [
        sum_twin(arm, effective_beta(arm))
        for leg in claim.legs
        for arm in known
        if leg.twin and leg.a is not None and leg.a.matches(arm, base, effective_beta(arm))
    ]
