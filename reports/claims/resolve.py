"""Claims as they are judged on one data set: shares become margins in units, predictions become numbers.

Done when a study is planned, before anything is trained. The claims are logged and hashed as they come out of here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from reports.claims.margins import CHANCE_TO_ALL, FLOOR_TO_CEILING, PREDICTION, RATE_AT_BETA_1
from reports.claims.model import Claim, Leg, check_base
from reports.claims.predictions import PREDICTIONS, ppca_rate, significant
from reports.claims.references import References
from vae.arms import Arm
from vae.errors import UserError
from vae.metrics.catalogue import CATALOGUE
from vae.metrics.latents import COLLAPSED

_MARGIN_DIGITS: Final = 2
_PREDICTED_DIGITS: Final = 3


def needs_references(claims: Sequence[Claim]) -> bool:
    """Whether some margin is a share that is not yet in units, or some prediction is not yet a number."""
    return any(not leg.resolved for claim in claims for leg in claim.legs)


def at_least_one_image(claims: Sequence[Claim], test_images: int) -> tuple[Claim, ...]:
    """The claims with no margin below one test image, where values are shares of the test images."""
    return tuple(
        claim.model_copy(
            update={"legs": tuple(_at_least(leg, _one_image(leg, test_images), test_images) for leg in claim.legs)}
        )
        for claim in claims
    )


def resolve(claims: Sequence[Claim], references: References, *, base: Arm | None = None) -> tuple[Claim, ...]:
    """The claims with every margin in its metric's units and every predicted number filled in.

    references: of the study's data set. base: the arm whose values hold where selectors are silent; by default, the
    defaults. Margins are rounded to 2 significant digits, predictions to 3. A margin is at least one test image where
    values are shares of the test images, and at least the rate that counts as collapsed where it is a share of a rate.
    `share` and `of` stay beside it.

    A share whose metric the data set does not allow (its labels or its samples are missing) is left as it is: the
    study does not measure that metric, and so never judges the leg. Raises UserError for every other range that is
    unknown, or is 0, and as `check_base` does.
    """
    base = base or Arm()
    check_base(claims, base)
    return tuple(
        claim.model_copy(update={"legs": tuple(_resolved(claim, leg, references, base) for leg in claim.legs)})
        for claim in claims
    )


def _resolved(claim: Claim, leg: Leg, references: References, base: Arm) -> Leg:
    if leg.resolved:
        return leg
    try:
        if leg.prediction and leg.reference is None:
            leg = leg.model_copy(update={"reference": _predicted(leg, references, base)})
        if leg.margin is None and not _unmeasured(leg.metric, references):
            leg = leg.model_copy(update={"margin": _margin(leg, references, base)})
            leg = _at_least(leg, _one_image(leg, references.test_images), references.test_images)
    except UserError as error:
        raise UserError(f"claim {claim.id!r}, {leg.label or leg.metric}: {error}") from None
    return leg


def _predicted(leg: Leg, references: References, base: Arm) -> float:
    """The number that the leg's prediction gives for the arm that it names."""
    if leg.a is None:
        raise UserError(f"a is missing: prediction={leg.prediction!r} is of an arm")
    prediction, arm = PREDICTIONS[leg.prediction], _arms(leg, references, base)[0]
    if not any(value > 0 for value in references.eigenvalues):
        raise UserError(
            f"prediction={leg.prediction!r}: the training images do not differ, so there is nothing to predict"
        )
    if arm.get("model.conditional"):
        raise UserError(f"prediction={leg.prediction!r} is of models without labels: set model.conditional = false")
    beta_eff = arm.effective_beta(references.pixels)
    number = prediction.value(references.eigenvalues, beta_eff, int(arm["model.latents"]))
    return significant(number, _PREDICTED_DIGITS)


def _margin(leg: Leg, references: References, base: Arm) -> float:
    share = leg.share or 0.0
    width = _width(leg, references, base)
    if width is None:
        raise UserError(
            f"share={share:g} of {leg.of!r}: this data set does not give that range of {leg.metric}; "
            "write margin = ... in the metric's units instead"
        )
    if not width > 0:
        raise UserError(
            f"share={share:g} of {leg.of!r}: on this data set that range of {leg.metric} is 0; "
            "write margin = ... in the metric's units instead"
        )
    return max(significant(share * width, _MARGIN_DIGITS), COLLAPSED if leg.of == RATE_AT_BETA_1 else 0.0)


def _width(leg: Leg, references: References, base: Arm) -> float | None:
    """The range that the leg's share is of, in the metric's units."""
    if leg.of == FLOOR_TO_CEILING:
        conditional = any(arm.get("model.conditional") for arm in _arms(leg, references, base))
        return references.range_of(leg.metric, conditional)
    if leg.of == RATE_AT_BETA_1:
        values = references.eigenvalues
        return max(ppca_rate(values, 1.0, len(values)), COLLAPSED) if values else None
    if leg.of == CHANCE_TO_ALL:
        return 1 - 1 / references.classes if references.classes else None
    return leg.reference if leg.of == PREDICTION else None


def _one_image(leg: Leg, test_images: int) -> float:
    """By how much one test image changes the metric, where it is a share of them; else 0."""
    known = CATALOGUE.get(leg.metric)
    return _rounded_up(1 / test_images) if known is not None and known.lattice == "images" else 0.0


def _at_least(leg: Leg, least: float, test_images: int) -> Leg:
    """The leg, its margin raised to one image, with that in its reason, where it was less."""
    if leg.margin is None or leg.margin >= least:
        return leg
    reason = f"{leg.reason}; raised to one of the {test_images:,} test images"
    return leg.model_copy(update={"margin": least, "reason": reason})


def _rounded_up(value: float) -> float:
    """Up to 2 significant digits: a margin of one image must not come out below it.

    >>> _rounded_up(1 / 360), _rounded_up(0.001)
    (0.0028, 0.001)
    """
    rounded = significant(value, _MARGIN_DIGITS)
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return rounded if rounded >= value else significant(value + step, _MARGIN_DIGITS)


def _unmeasured(metric: str, references: References) -> bool:
    """Whether a study of this data set does not measure the metric at all: no labels, or no samples drawn."""
    known: Any = CATALOGUE.get(metric)
    if known is None or not (known.by_classifier or known.where == "samples"):
        return False
    return metric not in references.floor and metric not in references.ceiling


def _arms(leg: Leg, references: References, base: Arm) -> list[Arm]:
    """The arms that the leg names; the base where it names none."""
    chosen = [selector.arm(base, lambda arm: arm.effective_beta(references.pixels)) for selector in leg.selectors]
    return chosen or [base]
