"""The words of claim kinds: the answer that the margin gives, the numbers behind it, and the label of their axis.

The numbers come as text, rounded in `reports.judging.sentences`; here are only the words around them.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.numbers import PURE, setting


@dataclass(frozen=True)
class EffectText:
    """An effect as text. opening: "With ‘sum’ at beta 1, the SSIM of MAE". other: the second arm, "MSE".

    size: without its sign; signed: with it; both with their unit. interval: "The 95 % interval is 0.8 to 1.2, over 8
    seeds", of the size, as "lower" and "higher" need it; signed_interval: with signs. margin: with its unit; empty
    where it is 0.
    shows_opposite, shows_nothing: of a refutation, whether it shows the opposite, or no difference that matters; both
    false where it may be either. opposite: whether the whole interval lies opposite to the claim.
    level, level_interval, reference: of an arm that is compared with a number, with their units. `level` is empty of
    other comparisons, `reference` where that number is 0.
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
    shows_opposite: bool
    shows_nothing: bool
    opposite: bool
    level: str
    level_interval: str
    reference: str


@dataclass(frozen=True)
class Numbers:
    """The numbers of a comparison as two sentences without their full stops: the effect, and its interval."""

    effect: str
    interval: str


def difference(effect: EffectText) -> Numbers:
    """How much lower or higher; neither where the effect rounds to 0."""
    if effect.level or effect.rounds_to_zero:
        return change(effect)
    way = "lower" if effect.negative else "higher"
    return Numbers(f"{effect.opening} is {effect.size} {way} than that of {effect.other}", effect.interval)


def change(effect: EffectText) -> Numbers:
    """How much it differs, with its sign; of one arm compared with a number, its level."""
    if effect.level:
        return Numbers(f"{effect.opening} is {effect.level}", effect.level_interval)
    differs = f"{effect.opening} differs from that of {effect.other} by {effect.signed}"
    return Numbers(differs, effect.signed_interval)


def predicted(effect: EffectText) -> Numbers:
    """Where an arm stands, and what was predicted of it."""
    known = change(effect)
    beside = f"the prediction from the training images is {effect.reference or '0'}"
    return Numbers(f"{known.effect}; {beside}", known.interval)


def predicted_beta(effect: EffectText) -> Numbers:
    """At which beta the rate collapses, and which beta was predicted."""
    where = f"{effect.opening} falls to the threshold of collapse at beta {effect.level}"
    beside = f"the prediction from the training images is beta {effect.reference}"
    return Numbers(f"{where}; {beside}", effect.level_interval)


def slope(effect: EffectText) -> Numbers:
    """How steeply it falls or rises along beta."""
    way = "falls" if effect.negative else "rises"
    steep = f"{effect.opening} {way} by {effect.size} each time beta grows by a factor of e, 2.72"
    return Numbers(steep, effect.interval)


def excess(effect: EffectText, supported: bool) -> str:
    """Of a claim of a direction: more than the margin; or the opposite, or no difference that matters."""
    if effect.level:
        return _beyond(effect, supported)
    margin = effect.margin
    if supported:
        return f"It holds, by more than the {margin} that matters" if margin else "It holds"
    if effect.shows_opposite:
        return f"The opposite holds, by more than the {margin} that matters" if margin else "The opposite holds"
    if not margin:
        return "It does not hold: there is no such difference"
    if effect.shows_nothing:
        return f"It does not hold: the difference is less than the {margin} that would matter, in either direction"
    if effect.opposite:
        return (
            "It does not hold: the difference is in the opposite direction; whether by more than the "
            f"{margin} that matters is open"
        )
    return f"It does not hold: the difference is not more than the {margin} that would matter; the opposite is possible"


def _beyond(effect: EffectText, supported: bool) -> str:
    """The same of one arm that is compared with a number: on which side of it, and by more than the margin or not."""
    margin, reference = effect.margin, effect.reference or "0"
    side = f"{'below' if effect.negative else 'above'} {reference}"
    enough = f" by more than the {margin} that matters" if margin else ""
    if supported:
        return f"It holds: {side}{enough}"
    if effect.shows_opposite:
        return f"The opposite holds: {side}{enough}"
    if effect.shows_nothing:
        return f"It does not hold: less than {margin} away from {reference}, no difference that matters"
    if effect.opposite:
        return f"It does not hold: {side}, opposite to the claim; whether{enough} is open"
    return f"It does not hold: not as far from {reference} as claimed; the opposite is possible"


def equality(effect: EffectText, supported: bool) -> str:
    """Of a claim of equality: within the margin, or not."""
    if effect.level:
        return _near(effect, supported, effect.reference or "0")
    if supported:
        return f"It holds: within ±{effect.margin}, no difference that matters"
    return f"It does not hold: the difference is more than the ±{effect.margin} that would pass as equal"


def nearness(effect: EffectText, supported: bool) -> str:
    """Of a prediction: within the margin of it, or not."""
    return _near(effect, supported, "the prediction")


def nearness_in_logs(effect: EffectText, supported: bool) -> str:
    """The same of a predicted beta, whose margin is one of ln beta."""
    return f"{nearness(effect, supported)} in ln β"


def _near(effect: EffectText, supported: bool, target: str) -> str:
    return f"{'It holds: within' if supported else 'It does not hold: not within'} {effect.margin} of {target}"


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
