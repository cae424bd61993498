"""A claim on models of another family than the base's means the models that the grid has."""

from __future__ import annotations

from typing import Any

import pytest

from reports.claims.families import with_options
from reports.claims.load import claims_from_json, load_claims, parse_claims
from reports.claims.model import Claim
from reports.claims.needs import needed_arms
from vae.arms import Arm

DENSE, SMALL, WIDE = Arm("mae"), Arm("mae", family="conv", channels=(4, 8)), Arm("mae", family="conv", channels=(9,))
USUAL = Arm("mae", family="conv")


def claims(**of_a: Any) -> tuple[Claim, ...]:
    """One claim: a convolutional arm, with these settings besides, against a dense one."""
    a = {"loss": "mae", "beta": 1, "model.family": "conv", **of_a}
    words = {"id": "x", "quote": "x", "kind": "less", "metric": "rate", "margin": 1, "reason": "x"}
    return parse_claims({"claim": [{**words, "a": a, "b": {"loss": "mae", "beta": 1}}]}, file="x")


def trained_besides(given: tuple[Claim, ...], arms: list[Arm]) -> list[Arm]:
    return needed_arms(given, arms, base=DENSE, effective_beta=lambda arm: arm.beta)


@pytest.mark.parametrize(
    ("arms", "channels"),
    [
        ([DENSE, SMALL], (4, 8)),
        ([DENSE, WIDE, SMALL], (9,)),  # the first of the grid
        ([DENSE, WIDE, USUAL], None),  # the default, which the grid has
        ([DENSE], None),  # the default: the grid has no such model
    ],
)
def test_an_option_that_the_base_lacks_is_that_of_the_grid(arms: list[Arm], channels: tuple[int, ...] | None) -> None:
    (claim,) = with_options(claims(), arms=arms, base=DENSE)
    a, b = claim.legs[0].selectors
    assert a.settings.get("model.channels") == channels
    assert "model.hidden" not in {*a.settings, *b.settings}
    assert trained_besides((claim,), arms) == ([] if len(arms) > 1 else [USUAL])


def test_without_it_a_model_would_be_trained_that_the_grid_lacks() -> None:
    assert trained_besides(claims(), [DENSE, SMALL]) == [USUAL]


def test_an_option_that_the_claim_names_stays() -> None:
    given = claims(**{"model.channels": [9]})
    assert with_options(given, arms=[DENSE, SMALL], base=DENSE) == given


@pytest.mark.parametrize("base", [DENSE, SMALL])
def test_claims_on_the_bases_own_family_stay_as_they_are(base: Arm) -> None:
    given = load_claims("notes", "anchor", "ppca")
    assert with_options(given, arms=[DENSE, SMALL], base=base) == given


def test_arms_that_a_claim_needs_are_completed_too_and_come_back_from_the_log() -> None:
    table = {**claims()[0].model_dump(mode="json", exclude={"legs", "rates"}), "needs": [{"loss": "bce", "beta": 2}]}
    table["needs"][0]["model.family"] = "conv"
    (claim,) = claims()
    (full,) = with_options(
        (Claim.model_validate({**table, "leg": [leg.model_dump() for leg in claim.legs]}),),
        arms=[DENSE, SMALL],
        base=DENSE,
    )
    assert full.needs[0].settings["model.channels"] == (4, 8)
    assert claims_from_json([full.model_dump(mode="json")]) == (full,)
