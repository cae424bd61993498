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
    interval="95 % interval 1.4 to 1.8, 8 seeds",
    signed_interval="95 % interval +1.4 to +1.8, 8 seeds",
    negative=False,
    rounds_to_zero=False,
    margin="2.5 nats",
    shows_opposite=False,
    shows_nothing=False,
    opposite=False,
    level="11.8 nats",
    level_interval="95 % interval 11.6 to 12.0 nats, 8 seeds",
    reference="10.2 nats",
)


def sentence(kind: str, effect: EffectText, supported: bool) -> str:
    return KINDS[kind].effect(effect) + KINDS[kind].consequence(effect, supported)


def test_a_rate_beside_its_prediction() -> None:
    assert sentence("predicted", RATE, True) == (
        "With ‘sum’ at beta 1, the rate of MSE is 11.8 nats (95 % interval 11.6 to 12.0 nats, 8 seeds); the prediction "
        "from the training images is 10.2 nats: within 2.5 nats of the prediction"
    )
    assert sentence("predicted", RATE, False).endswith(": not within 2.5 nats of the prediction")
    assert "training images is 0:" in sentence("predicted", replace(RATE, reference=""), True)


def test_a_beta_beside_its_prediction_in_logarithms() -> None:
    effect = replace(RATE, opening="With ‘sum’, the rate of MSE", level="9.4", reference="8.55", margin="0.22")
    effect = replace(effect, level_interval="95 % interval 9.0 to 9.7, 8 seeds")
    assert sentence("predicted-beta", effect, True) == (
        "With ‘sum’, the rate of MSE falls to the threshold of collapse at beta 9.4 (95 % interval 9.0 to 9.7, 8 "
        "seeds); the prediction from the training images is beta 8.55: within 0.22 of the prediction in ln β"
    )


@pytest.mark.parametrize(
    ("changes", "supported", "tail"),
    [
        ({}, True, ": above 10.2 nats by more than the 2.5 nats that matters"),
        ({"negative": True, "margin": ""}, True, ": below 10.2 nats"),
        ({"shows_opposite": True}, False, ": above 10.2 nats by more than the 2.5 nats that matters, the opposite of "),
        ({"shows_nothing": True}, False, ": less than 2.5 nats away from 10.2 nats, no difference that matters"),
        ({"opposite": True}, False, ": above 10.2 nats, opposite to the claim; whether by more than the 2.5 nats that"),
        ({"reference": ""}, False, ": not as far from 0 as claimed; the opposite is possible"),
    ],
)
def test_an_arm_beside_a_number_is_told_in_one_number(changes: dict[str, object], supported: bool, tail: str) -> None:
    """Where it stands, with the interval of that; then on which side of the number, never by how much as well."""
    effect = replace(RATE, **changes)  # type: ignore[arg-type]
    text = sentence("greater", effect, supported)
    assert text.startswith(
        "With ‘sum’ at beta 1, the rate of MSE is 11.8 nats (95 % interval 11.6 to 12.0 nats, 8 seeds)"
    )
    assert text.partition(")")[2].startswith(tail)
    assert " 1.6 nats" not in text


def test_an_anchor_is_near_its_number_or_not() -> None:
    assert sentence("anchor", RATE, True).endswith(": within 2.5 nats of 10.2 nats")
    assert sentence("anchor", RATE, False).endswith(": not within 2.5 nats of 10.2 nats")


def test_only_a_beta_is_measured_in_logarithms() -> None:
    beta, rate = KINDS["predicted-beta"], KINDS["predicted"]
    assert beta.level(8.55, math.log(1.1)) == pytest.approx(9.405)
    assert rate.level(10.2, 1.6) == pytest.approx(11.8)
    assert (beta.unit, rate.unit) == ("1", None)
    assert (beta.measure, rate.measure) == (Measure.CROSSING, Measure.ARMS)
    assert rate.in_family
    assert beta.in_family
