"""The words of claim kinds: the clause for an effect, what the margin makes of it, and the label of its axis.

The numbers come as text, rounded in `reports.judging.sentences`; here are only the words around them.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.numbers import PURE, setting


@dataclass(frozen=True)
class EffectText:
    """An effect as text. opening: "With ‘sum’ at beta 1, the SSIM of MAE". other: the second arm, "MSE".

    size: without its sign; signed: with it; both with their unit. interval: "95 % interval 0.8 to 1.2, 8 seeds", of the
    size, as "lower" and "higher" need it; signed_interval: with signs. margin: with its unit; empty where it is 0.
    direction: of a refutation, what it shows (`reports.judging.verdict.DIRECTIONS`); else empty. opposite: whether the
    whole interval lies opposite to the claim.
    level, reference: of an arm that is compared with a number; reference is empty where that number is 0.
    """

    opening: str
    other: str
    size: str
    signed: str
    interval: str
    signed_interval: str
    negative: bool
    rounds_to_zero: bool
    margin: str
    direction: str
    opposite: bool
    level: str
    reference: str


def difference(effect: EffectText) -> str:
    """How much lower or higher; neither where the effect rounds to 0."""
    if effect.level or effect.rounds_to_zero:
        return change(effect)
    way = "lower" if effect.negative else "higher"
    return f"{effect.opening} is {effect.size} {way} than that of {effect.other} ({effect.interval})"


def change(effect: EffectText) -> str:
    """How much it differs, with its sign; of one arm compared with a number, its level."""
    if not effect.level:
        return f"{effect.opening} differs from that of {effect.other} by {effect.signed} ({effect.signed_interval})"
    way = "below" if effect.negative else "above"
    away = f", {effect.size} {way} {effect.reference}" if effect.reference else ""
    return f"{effect.opening} is {effect.level}{away} ({effect.interval})"


def predicted(effect: EffectText) -> str:
    """Where an arm stands, and how far from what was predicted of it."""
    way = "below" if effect.negative else "above"
    away = f"{effect.size} {way} the {effect.reference or '0'} predicted from the training images"
    return f"{effect.opening} is {effect.level}, {away} ({effect.interval})"


def predicted_beta(effect: EffectText) -> str:
    """At which beta the rate collapses, and how far that is from the beta predicted."""
    where = f"falls to the threshold of collapse at beta {effect.level}"
    away = f"{effect.signed} in ln β from the {effect.reference} predicted from the training images"
    return f"{effect.opening} {where}, {away} ({effect.signed_interval})"


def slope(effect: EffectText) -> str:
    """How steeply it falls or rises along beta."""
    way = "falls" if effect.negative else "rises"
    return f"{effect.opening} {way} by {effect.size} per factor e in beta ({effect.interval})"


def excess(effect: EffectText, supported: bool) -> str:
    """Of a claim of a direction: more than the margin; or the opposite, or no difference that matters."""
    margin = effect.margin
    if supported:
        return f": more than the {margin} that matters" if margin else ""
    if effect.direction == "the opposite":
        return f": the opposite holds, by more than the {margin} that matters" if margin else ": the opposite holds"
    if not margin:
        return ": no such difference"
    if effect.direction == "no difference that matters":
        return f": less than the {margin} that would matter, either way"
    if effect.opposite:
        return f": opposite to the claim, by more or by less than the {margin} that matters"
    return f": not more than the {margin} that would matter, and perhaps the opposite"


def equality(effect: EffectText, supported: bool) -> str:
    """Of a claim of equality: within the margin, or not."""
    if supported:
        return f": within ±{effect.margin}, no difference that matters"
    return f": more than the ±{effect.margin} that would pass as equal"


def nearness(effect: EffectText, supported: bool) -> str:
    """Of a prediction: within the margin of it, or not."""
    if supported:
        return f": within ±{effect.margin} of the prediction"
    return f": more than ±{effect.margin} from the prediction"


def difference_axis(label: str, unit: str, reference: float | None) -> str:
    """Of a difference between two arms, or between an arm and a number.

    >>> difference_axis("rate", "nats", None), difference_axis("−ELBO", "nats", 105.6), difference_axis("SSIM", "1", 0)
    ('difference in rate (nats)', '−ELBO − 105.6 (nats)', 'SSIM')
    """
    if reference is None:
        return f"difference in {label}{_in(unit)}"
    return f"{label} − {setting(reference)}{_in(unit)}" if reference else f"{label}{_in(unit)}"


def slope_axis(label: str, unit: str, reference: float | None) -> str:
    """Of a slope over beta.

    >>> slope_axis("rate", "nats", None)
    'slope of rate on ln β (nats)'
    """
    return f"slope of {label} on ln β{_in(unit)}"


def predicted_beta_axis(label: str, unit: str, reference: float | None) -> str:
    """Of a beta beside the one predicted.

    >>> predicted_beta_axis("rate", "nats", 8.55)
    'ln β of collapse − ln 8.55'
    """
    return f"ln β of collapse − ln {setting(reference or 0.0)}"


def _in(unit: str) -> str:
    return "" if unit in PURE else f" ({unit})"
