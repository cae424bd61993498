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
    direction="",
    opposite=False,
    level="11.8 nats",
    reference="10.2",
)


def sentence(kind: str, effect: EffectText, supported: bool) -> str:
    return KINDS[kind].effect(effect) + KINDS[kind].consequence(effect, supported)


def test_a_rate_beside_its_prediction() -> None:
    start = (
        "With ‘sum’ at beta 1, the rate of MSE is 11.8 nats, 1.6 nats above the 10.2 predicted from the training images"
    )
    assert sentence("predicted", RATE, True) == (
        f"{start} (95 % interval 1.4 to 1.8, 8 seeds): within ±2.5 nats of the prediction"
    )
    assert sentence("predicted", RATE, False).endswith(": more than ±2.5 nats from the prediction")
    assert "1.6 nats below the 0 predicted" in sentence("predicted", replace(RATE, negative=True, reference=""), True)


def test_a_beta_beside_its_prediction_in_logarithms() -> None:
    effect = replace(RATE, opening="With ‘sum’, the rate of MSE", level="9.4", signed="+0.09", reference="8.55")
    effect = replace(effect, signed_interval="95 % interval +0.05 to +0.13, 8 seeds", margin="0.22")
    assert sentence("predicted-beta", effect, True) == (
        "With ‘sum’, the rate of MSE falls to the threshold of collapse at beta 9.4, +0.09 in ln β from the 8.55 "
        "predicted from the training images (95 % interval +0.05 to +0.13, 8 seeds): within ±0.22 of the prediction"
    )


def test_only_a_beta_is_measured_in_logarithms() -> None:
    beta, rate = KINDS["predicted-beta"], KINDS["predicted"]
    assert beta.level(8.55, math.log(1.1)) == pytest.approx(9.405)
    assert rate.level(10.2, 1.6) == pytest.approx(11.8)
    assert (beta.unit, rate.unit) == ("1", None)
    assert (beta.measure, rate.measure) == (Measure.CROSSING, Measure.ARMS)
    assert rate.in_family
    assert beta.in_family
