"""The words of predictions: where an arm stands, where it was predicted to, and how near that is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from reports.claims.kinds import KINDS, Measure
from reports.claims.words import EffectText

RATE = EffectText(
    opening="With ‘sum’ at beta 1, the rate of MSE",
    other="",
    size="1.6 nats",
    signed="+1.6 nats",
    interval="The 95 % interval is 1.4 to 1.8, over 8 seeds",
    signed_interval="The 95 % interval is +1.4 to +1.8, over 8 seeds",
    negative=False,
    rounds_to_zero=False,
    margin="2.5 nats",
    shows_opposite=False,
    shows_nothing=False,
    opposite=False,
    level="11.8 nats",
    level_interval="The 95 % interval is 11.6 to 12.0 nats, over 8 seeds",
    reference="10.2 nats",
)


def sentence(kind: str, effect: EffectText, supported: bool) -> str:
    """The answer first, the interval last, as a report has them."""
    numbers = KINDS[kind].effect(effect)
    return f"{KINDS[kind].consequence(effect, supported)}. {numbers.effect}. {numbers.interval}."


def test_a_rate_beside_its_prediction() -> None:
    assert sentence("predicted", RATE, True) == (
        "It holds: within 2.5 nats of the prediction. With ‘sum’ at beta 1, the rate of MSE is 11.8 nats; the "
        "prediction from the training images is 10.2 nats. The 95 % interval is 11.6 to 12.0 nats, over 8 seeds."
    )
    assert sentence("predicted", RATE, False).startswith("It does not hold: not within 2.5 nats of the prediction. ")
    assert "training images is 0. " in sentence("predicted", replace(RATE, reference=""), True)


def test_a_beta_beside_its_prediction_in_logarithms() -> None:
    effect = replace(RATE, opening="With ‘sum’, the rate of MSE", level="9.4", reference="8.55", margin="0.22")
    effect = replace(effect, level_interval="The 95 % interval is 9.0 to 9.7, over 8 seeds")
    assert sentence("predicted-beta", effect, True) == (
        "It holds: within 0.22 of the prediction in ln β. With ‘sum’, the rate of MSE falls to the threshold of "
        "collapse at beta 9.4; the prediction from the training images is beta 8.55. The 95 % interval is 9.0 to 9.7, "
        "over 8 seeds."
    )


@pytest.mark.parametrize(
    ("changes", "supported", "answer"),
    [
        ({}, True, "It holds: above 10.2 nats by more than the 2.5 nats that matters."),
        ({"negative": True, "margin": ""}, True, "It holds: below 10.2 nats."),
        (
            {"shows_opposite": True},
            False,
            "The opposite holds: above 10.2 nats by more than the 2.5 nats that matters.",
        ),
        (
            {"shows_nothing": True},
            False,
            "It does not hold: less than 2.5 nats away from 10.2 nats, no difference that matters",
        ),
        ({"opposite": True}, False, "It does not hold: above 10.2 nats, opposite to the claim; whether by more than "),
        ({"reference": ""}, False, "It does not hold: not as far from 0 as claimed; the opposite is possible"),
    ],
)
def test_an_arm_beside_a_number_is_told_in_one_number(changes: dict[str, object], supported: bool, answer: str) -> None:
    """On which side of the number; then where it stands, with the interval of that, never by how much as well."""
    effect = replace(RATE, **changes)  # type: ignore[arg-type]
    text = sentence("greater", effect, supported)
    assert text.startswith(answer)
    assert text.endswith(
        "With ‘sum’ at beta 1, the rate of MSE is 11.8 nats. The 95 % interval is 11.6 to 12.0 nats, over 8 seeds."
    )
    assert " 1.6 nats" not in text


def test_an_anchor_is_near_its_number_or_not() -> None:
    assert sentence("anchor", RATE, True).startswith("It holds: within 2.5 nats of 10.2 nats. ")
    assert sentence("anchor", RATE, False).startswith("It does not hold: not within 2.5 nats of 10.2 nats. ")


def test_only_a_beta_is_measured_in_logarithms() -> None:
    beta, rate = KINDS["predicted-beta"], KINDS["predicted"]
    assert beta.level(8.55, math.log(1.1)) == pytest.approx(9.405)
    assert rate.level(10.2, 1.6) == pytest.approx(11.8)
    assert (beta.unit, rate.unit) == ("1", None)
    assert (beta.measure, rate.measure) == (Measure.CROSSING, Measure.ARMS)
    assert rate.in_family
    assert beta.in_family
