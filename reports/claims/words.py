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
    opposite, beyond_margin: whether the whole interval lies opposite to the claim, and whether by more than the margin.
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
    opposite: bool
    beyond_margin: bool
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


def slope(effect: EffectText) -> str:
    """How steeply it falls or rises along beta."""
    way = "falls" if effect.negative else "rises"
    return f"{effect.opening} {way} by {effect.size} per factor e in beta ({effect.interval})"


def excess(effect: EffectText, supported: bool) -> str:
    """Of a claim of a direction: whether the effect is more than the margin, or opposite, as far as the interval
    shows it."""
    margin = effect.margin
    if supported:
        return f": more than the {margin} that matters" if margin else ""
    if not effect.opposite:
        return f": not more than the {margin} that would matter" if margin else ": no such difference"
    beyond = f", by more than the {margin} that matters" if effect.beyond_margin and margin else ""
    return f": opposite to the claim{beyond}"


def equality(effect: EffectText, supported: bool) -> str:
    """Of a claim of equality: within the margin, or not."""
    if supported:
        return f": within ±{effect.margin}, no difference that matters"
    return f": more than the ±{effect.margin} that would pass as equal"


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


def _in(unit: str) -> str:
    return "" if unit in PURE else f" ({unit})"
