"""The gates: what must hold before a comparison is judged, branch by branch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.judging.cells import Cells
from reports.judging.comparison import Comparison
from reports.judging.differences import measure
from reports.judging.floors import UNKNOWN, Floors
from reports.judging.gates import gated
from reports.judging.judge import judge
from tests.claim_samples import NOISE, arm, claims, frame, one, references

FLOOR = {"ssim": 0.2, "legibility": 0.1}
FLOORS = Floors(
    references(
        floor=FLOOR,
        floor_with_labels=FLOOR | {"legibility": 0.98},
        ceiling={"ssim": 1.0, "legibility": 0.99},
    )
)
GOOD, BLANK = 0.6, 0.201


def _arm(label: str, ssim: float, **columns: Any) -> pd.DataFrame:
    values = {"ssim": ssim, "acutance": 0.9 - ssim, "rate": 20 * (ssim - 0.2), "legibility": ssim - 0.1}
    return arm(label, {name: value + NOISE * 0.001 for name, value in values.items()}, **columns)


def _measured(first: float, second: float, metric: str = "ssim", floors: Floors = FLOORS, **columns: Any) -> Comparison:
    cells = Cells(frame(_arm("mae-sum-1", first, **columns), _arm("mse-sum-1", second, **columns)))
    (claim,) = claims(one(metric=metric, margin=0.05))
    if columns:
        cells.base = next(iter(cells.rows)).replace({"loss": "bce"})
    (measured,) = measure(claim, claim.legs[0], "nominal", cells, floors)
    return measured


def test_arms_that_carry_something_pass() -> None:
    measured = _measured(GOOD, 0.5)
    assert (measured.blocked, measured.at_floor, measured.caveats, measured.counted) == ("", (), (), True)


def test_without_references_nothing_is_known_and_all_pass() -> None:
    measured = _measured(BLANK, BLANK, floors=UNKNOWN)
    assert (measured.blocked, measured.at_floor) == ("", ())


@pytest.mark.parametrize("metric", ["ssim", "acutance", "rate", "legibility"])
def test_two_arms_that_carry_nothing_are_not_judged_by_any_metric(metric: str) -> None:
    measured = _measured(BLANK, BLANK - 0.001, metric)
    assert measured.at_floor == ("mae-sum-b1", "mse-sum-b1")
    why = "both carry nothing: mae-sum-b1 and mse-sum-b1 are no better than a model without latents"
    assert measured.blocked == why
    assert not measured.in_family


@pytest.mark.parametrize(("first", "second", "blank"), [(BLANK, GOOD, "mae-sum-b1"), (GOOD, BLANK, "mse-sum-b1")])
def test_one_that_carries_nothing_is_judged_by_what_sees_originals_or_latents(
    first: float, second: float, blank: str
) -> None:
    no_better = f"{blank} is no better than a model without latents"
    for metric in ("ssim", "rate", "legibility"):
        measured = _measured(first, second, metric)
        assert (measured.blocked, measured.at_floor) == ("", (blank,))
        assert no_better in measured.caveats
    blind = _measured(first, second, "acutance")
    assert blind.blocked == f"{no_better}, and acutance never looks at the original: it credits no such arm"


def _alone(kind: str, metric: str, ssim: float, **changes: Any) -> Comparison:
    """One arm against a number."""
    text = one(kind, metric=metric).replace('b = { loss = "mse", reduction = "sum", beta = 1 }', "reference = 0.3")
    (claim,) = claims(text)
    leg = claim.legs[0].model_copy(update={"kind": replace(claim.legs[0].kind, **changes)})
    (measured,) = measure(claim, leg, "nominal", Cells(frame(_arm("mae-sum-1", ssim))), FLOORS)
    return measured


def test_an_arm_beside_a_number_that_carries_nothing_is_not_judged() -> None:
    assert _alone("equivalent", "ssim", GOOD).blocked == ""
    why = "it carries nothing: mae-sum-b1 is no better than a model without latents"
    assert _alone("equivalent", "ssim", BLANK).blocked == why
    assert _alone("equivalent", "rate", BLANK).blocked == why


def test_a_kind_may_claim_that_an_arm_carries_nothing_by_a_metric_of_the_latents_alone() -> None:
    measured = _alone("equivalent", "rate", BLANK, at_floor_too=True)
    assert (measured.blocked, measured.at_floor) == ("", ("mae-sum-b1",))
    assert _alone("equivalent", "ssim", BLANK, at_floor_too=True).blocked


TREND = """
[[claim]]
id = "falls"
quote = "It falls"
kind = "trend"
direction = "falls"
metric = "{metric}"
margin = 0.01
reason = "made up"
a = {{ loss = "mae" }}
"""


@pytest.mark.parametrize(("values", "blocked"), [((0.6, 0.4, BLANK), False), ((BLANK, 0.2, 0.19), True)])
def test_a_curve_is_at_the_floor_when_all_its_arms_are(values: tuple[float, ...], blocked: bool) -> None:
    (claim,) = claims(TREND.format(metric="acutance"))
    table = frame(*(_arm(f"mae-sum-{beta}", ssim) for beta, ssim in zip((1, 2, 4), values)))
    (measured,) = measure(claim, claim.legs[0], "nominal", Cells(table), FLOORS)
    assert bool(measured.blocked) == blocked


def test_a_metric_that_needs_no_latents_is_not_judged() -> None:
    measured = _measured(GOOD, 0.5, "legibility", **{"model.conditional": True})
    assert measured.blocked.startswith("legibility says nothing of the latents here")
    assert _measured(GOOD, 0.5, "ssim", **{"model.conditional": True}).blocked == ""


def test_what_carries_nothing_is_said_before_what_says_nothing() -> None:
    measured = _measured(BLANK, BLANK, "legibility", **{"model.conditional": True})
    assert measured.blocked.startswith("both carry nothing")


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ("bce-sum-1", "bce-sum-4", "bce-sum-b1"),
        ("bce-sum-4", "bce-sum-1", "bce-sum-b1"),
        ("mae-sum-1", "mse-sum-1", ""),
    ],
)
def test_what_is_won_by_construction_is_shown_and_decides_nothing(first: str, second: str, winner: str) -> None:
    sides = [arm(label, {"neg_elbo": 100 + i + NOISE}) for i, label in enumerate((first, second))]
    text = one("less", metric="neg_elbo")
    for name, label in (("mae", first), ("mse", second)):
        loss, _, beta = label.split("-")
        text = text.replace(f'"{name}", reduction = "sum", beta = 1', f'"{loss}", reduction = "sum", beta = {beta}')
    (verdict,) = judge(claims(text), frame(*sides))
    assert verdict.won_by == winner
    assert verdict.counted == (not winner)
    assert (verdict.verdict == "insufficient") == bool(winner)
    if winner:
        assert f"{winner} is trained on −ELBO and wins it by construction" in verdict.reason


def test_where_the_weight_of_kl_was_not_logged_nobody_is_said_to_win() -> None:
    sides = frame(*(arm(f"bce-sum-{beta}", {"neg_elbo": 100 + beta + NOISE}) for beta in (1, 4)))
    text = (
        one("less", metric="neg_elbo")
        .replace("mae", "bce")
        .replace('"mse", reduction = "sum", beta = 1', '"bce", beta = 4')
    )
    (verdict,) = judge(claims(text), sides.assign(beta_eff=math.nan))
    assert verdict.won_by == ""


def test_what_was_not_measured_is_left_as_it_is() -> None:
    (claim,) = claims(one())
    nothing = Comparison(claim.legs[0], "mae − mse", reason="no arm")
    assert gated(nothing, Cells(frame(_arm("mae-sum-1", BLANK))), FLOORS) is nothing


def test_a_gate_never_makes_a_word_more_decided() -> None:
    rng = np.random.default_rng(4)
    for _ in range(12):
        first, second = rng.choice([BLANK, 0.195, GOOD], 2)
        table = frame(_arm("mae-sum-1", first), _arm("mse-sum-1", second))
        for metric in ("ssim", "acutance"):
            (free,) = judge(claims(one(metric=metric)), table)
            (held,) = judge(claims(one(metric=metric)), table, references=FLOORS.references)
            assert held.verdict in (free.verdict, "insufficient")
            assert (held.effect, held.ci_low, held.ci_high) == (free.effect, free.ci_low, free.ci_high)
