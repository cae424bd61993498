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
from reports.judging.verdict import Verdict
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
    values = {
        "ssim": ssim,
        "acutance": 0.9 - ssim,
        "rate": 20 * (ssim - 0.2),
        "legibility": ssim - 0.1,
        "kid": 1 - ssim,
    }
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
    assert (measured.blocked, measured.at_floor, measured.counted) == ("", (), True)


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
    assert blind.blocked == f"{no_better}, and acutance does not use the original, so it cannot credit such an arm"


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


def _trend(metric: str, *values: float) -> Comparison:
    (claim,) = claims(TREND.format(metric=metric))
    table = frame(*(_arm(f"mae-sum-{beta}", ssim) for beta, ssim in zip((1, 2, 4), values)))
    (measured,) = measure(claim, claim.legs[0], "nominal", Cells(table), FLOORS)
    return measured


@pytest.mark.parametrize("metric", ["ssim", "acutance", "rate"])
def test_a_trend_over_arms_that_all_carry_nothing_is_not_judged(metric: str) -> None:
    assert _trend(metric, BLANK, 0.2, 0.19).blocked.startswith("it carries nothing: mae-sum-b1, mae-sum-b2 and")
    assert _trend(metric, 0.6, 0.5, 0.4).at_floor == ()


def test_a_trend_with_one_blank_arm_is_judged_by_what_sees_it() -> None:
    why = "mae-sum-b4 is no better than a model without latents, and acutance does not use the original"
    assert _trend("acutance", 0.6, 0.4, BLANK).blocked.startswith(why)
    by_original = _trend("ssim", 0.6, 0.4, BLANK)
    assert (by_original.blocked, by_original.at_floor) == ("", ("mae-sum-b4",))
    assert any(caveat.startswith("1 of the 3 arms of") for caveat in by_original.caveats)
    by_latents = _trend("rate", 0.6, 0.4, BLANK)  # a rate that falls to nothing is no fault of a trend
    assert (by_latents.blocked, by_latents.caveats) == ("", ())


def test_a_distortion_over_beta_rises_by_construction_for_its_own_loss() -> None:
    text = TREND.format(metric="mse").replace('"falls"', '"rises"', 2).replace('id = "rises"', 'id = "falls"')
    for loss, counted in (("mse", False), ("mae", True)):
        (claim,) = claims(text.replace('"mae"', f'"{loss}"'))
        table = frame(
            *(arm(f"{loss}-sum-{beta}", {"mse": 30 + beta + NOISE, "rate": 9 / beta + NOISE}) for beta in (1, 2, 4))
        )
        (measured,) = measure(claim, claim.legs[0], "nominal", Cells(table), FLOORS)
        assert measured.counted == counted
        assert ("rises with beta by construction" in measured.blocked) == (not counted)


@pytest.mark.parametrize(("metric", "blocked"), [("acutance", True), ("ssim", False)])
def test_a_curve_is_asked_only_near_what_is_read_off_it(metric: str, blocked: bool) -> None:
    """mae at beta 4 is blank; near the upper end of the rates it is not read, near the lower end it is."""
    table = frame(
        *(
            _arm(f"{loss}-sum-{beta}", ssim)
            for loss in ("mae", "mse")
            for beta, ssim in ((0.5, 0.7), (1, 0.5), (2, 0.4))
        ),
        _arm("mae-sum-4", BLANK),
        _arm("mse-sum-4", 0.3),
    )
    text = one(metric=metric, margin=0.05).replace("quote = ", 'places = ["matched-rate"]\nquote = ', 1)
    for share, reads_blank in ((0.9, False), (0.1, True)):
        (claim,) = claims(f"[matched_rate]\nshares = [{share}]\n{text}")
        (measured,) = measure(claim, claim.legs[0], "matched-rate", Cells(table), FLOORS)
        assert measured.by_seed
        assert measured.at_floor == (("mae-sum-b4",) if reads_blank else ())
        assert bool(measured.blocked) == (blocked and reads_blank)
        assert bool(measured.caveats) == (reads_blank and not blocked)


def test_legibility_says_nothing_of_an_arm_that_is_given_the_labels() -> None:
    given = {"model.conditional": True}
    measured = _measured(GOOD, 0.5, "legibility", **given)
    assert measured.blocked == "legibility says nothing of the latents of a model that is given the labels"
    assert _measured(GOOD, 0.5, "ssim", **given).blocked == ""
    assert _measured(GOOD, 0.5, "kid", **given).blocked == ""


def test_a_classifier_credits_no_blank_arm_that_is_given_the_labels() -> None:
    measured = _measured(BLANK, GOOD, "kid", **{"model.conditional": True})
    assert "no better than a model without latents, and KID can be had from the labels" in measured.blocked
    assert _measured(BLANK, GOOD, "kid").blocked == ""


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


IMAGES = np.random.default_rng(5).normal(0, 0.05, 40)  # what images add to the difference, alike in every seed


def _with_images(lost: tuple[str, ...] = (), nan: int = 0) -> Verdict:
    """MAE against MSE with values of 40 images; lost: keys of cells without; nan: images without a value."""
    table = frame(_arm("mae-sum-1", GOOD), _arm("mse-sum-1", 0.5)).assign(rate=7.0)
    values = {}
    for key, ssim in zip(table["key"], table["ssim"]):
        of_images = ssim + (IMAGES - IMAGES.mean()) * key.startswith("mae")
        of_images[:nan] = math.nan
        values[key] = {"ssim": of_images, "ssim.images": np.array(40.0)}
    kept = {key: value for key, value in values.items() if key not in lost}
    (verdict,) = judge(claims(one(margin=0.05)), table, per_image=kept)
    return verdict


def test_lost_values_of_single_images_are_told_and_never_taken_for_none() -> None:
    whole, partly = _with_images(), _with_images(lost=("mae-sum-b1-0", "mse-sum-b1-1"))
    assert whole.images == partly.images == 40
    assert partly.ci_low == pytest.approx(whole.ci_low or 0)  # the images' share is from the six other seeds
    assert whole.evidence == ()
    assert partly.evidence == (
        "The values of single images are missing in 2 of 8 seeds: what images add to the interval is from the others.",
    )


def test_where_nearly_all_values_of_single_images_are_lost_nothing_is_decided() -> None:
    keys = [f"mae-sum-b1-{seed}" for seed in range(7)]
    verdict = _with_images(lost=tuple(keys))
    assert verdict.verdict == "insufficient"
    assert "missing in 7 of 8 seeds, so that what other test images would give is not known" in verdict.reason


def test_images_without_a_value_are_told_where_they_are_most() -> None:
    assert _with_images(nan=12).evidence == ()
    (note,) = _with_images(nan=30).evidence
    assert note.startswith("Only 10 of 40 images have a value in every cell")


def test_seeds_that_were_planned_and_have_not_come_are_in_the_sentence() -> None:
    table = frame(_arm("mae-sum-1", GOOD), _arm("mse-sum-1", 0.5))
    planned = pd.concat([table[["arm", "seed"]], table[["arm", "seed"]].assign(seed=table["seed"] + 8)])
    (whole,) = judge(claims(one(margin=0.05)), table)
    (partly,) = judge(claims(one(margin=0.05)), table, planned=planned)
    assert "planned" not in whole.sentence
    assert ". 8 of the 16 seeds planned are in. The 95 % interval" in partly.sentence
