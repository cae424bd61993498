"""The course of training: which points go together, what has settled, and what a missing point leaves unsaid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.judging.convergence import points_of
from reports.judging.judge import judge
from reports.judging.sentences import of_training
from reports.judging.verdict import Verdict
from tests.claim_samples import NOISE, SEEDS, arm, claims, frame, one, two_arms

EPOCHS = (3, 5, 10)


def history(table: pd.DataFrame, values: Mapping[int, Sequence[float]], metric: str = "point/ssim") -> pd.DataFrame:
    """A history: epoch -> value of each cell of the table, in its order."""
    parts = [
        pd.DataFrame({"key": table["key"], "epoch": epoch, "metric": metric, "value": list(of_epoch)})
        for epoch, of_epoch in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def followed(
    effects: Sequence[float], *, drift: Sequence[float] = (0, 0, 0), kind: str = "greater", margin: float = 0.2
) -> Verdict:
    """The verdict on two arms whose difference had these effects; drift: how far below its end the second arm was."""
    table = two_arms(effects[-1], sd=0.05)
    at_end = table["ssim"].to_numpy().reshape(2, -1)
    values = {
        epoch: [*(at_end[0] + effect - effects[-1] - below), *(at_end[1] - below)]
        for epoch, effect, below in zip(EPOCHS[-len(effects) :], effects, drift)
    }
    (verdict,) = judge(claims(one(kind, margin=margin)), table, history=history(table, values))
    return verdict


# Which points go together.


def test_points_are_counted_from_the_end() -> None:
    long, short = arm("mae-sum-1", {"ssim": [1.0, 2.0]}), arm("mse-sum-1", {"ssim": [3.0, 4.0]})
    of_long = history(long, {3: [0.1, 0.2], 5: [0.5, 0.6], 10: [1.0, 2.0]})
    of_short = history(short, {1: [2.5, 2.6], 2: [3.0, 4.0]})
    points = points_of(frame(long, short), pd.concat([of_long, of_short]), None, None)
    mae, mse = points[-1].cells.rows
    read = [[dict(point.cells.values(arm_, "ssim")) for arm_ in (mae, mse)] for point in points]
    assert read == [
        [{0: 0.1, 1: 0.2}, {}],
        [{0: 0.5, 1: 0.6}, {0: 2.5, 1: 2.6}],
        [{0: 1.0, 1: 2.0}, {0: 3.0, 1: 4.0}],
    ]
    assert [point.share for point in points] == pytest.approx([0.3, 0.5, 1.0])


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_the_last_point_is_the_end_of_every_cell_whatever_the_others(epochs: list[list[int]], order: object) -> None:
    table = arm("mae-sum-1", {"ssim": [0.0] * len(epochs)})
    rows = [
        {"key": table["key"][seed], "epoch": epoch, "metric": "point/ssim", "value": 100.0 * seed + epoch}
        for seed, of_cell in enumerate(epochs)
        for epoch in of_cell
    ]
    order.shuffle(rows)  # type: ignore[attr-defined]
    points = points_of(table, pd.DataFrame(rows), None, None)
    (mae,) = points[-1].cells.rows
    assert len(points) == max(map(len, epochs))
    for back, point in enumerate(reversed(points), start=1):
        there = {seed: 100.0 * seed + sorted(of)[-back] for seed, of in enumerate(epochs) if len(of) >= back}
        assert point.cells.values(mae, "ssim") == there
        assert 0 < point.share <= 1
    assert points[-1].share == 1


def test_without_points_of_training_nothing_is_followed() -> None:
    table = two_arms(1.0)
    others = history(table, {1: table["ssim"]}, metric="test_neg_elbo")
    foreign = history(table, {1: table["ssim"]}).assign(key="another study's")
    for given_history in (None, others.head(0), others, foreign):
        assert points_of(table, given_history, None, None) == ()
    (verdict,) = judge(claims(one()), table, history=others)
    assert (verdict.settled, verdict.moved, verdict.by_epochs, verdict.word) == (None, None, (), verdict.verdict)


def test_what_was_not_measured_at_a_point_is_not_taken_from_the_end() -> None:
    table = two_arms(1.0).assign(rate=5.0, n_blank=0)
    (point,) = points_of(table, history(table, {10: table["ssim"]}), None, None)
    assert "ssim" in point.cells.columns
    assert not {"rate", "n_blank"} & point.cells.columns


@pytest.mark.parametrize("factor", ["training.learning_rate", "model.latents", "beta"])
def test_the_settings_of_arms_are_kept_at_every_point(factor: str) -> None:
    sides = [arm("mae-sum-1", {"ssim": 1 + NOISE}, **{factor: value}) for value in (2, 1)]
    table = frame(*sides).astype({factor: int if factor == "model.latents" else float})
    points = points_of(table, history(table, dict.fromkeys(EPOCHS, table["ssim"])), None, None)
    assert [len(point.cells.rows) for point in points] == [2, 2, 2]


# What has settled.


@pytest.mark.parametrize(
    ("effects", "moved", "settled"),
    [
        ((1.6, 0.8, 0.5), -0.3, False),
        ((1.6, 0.6, 0.5), -0.1, True),  # only the last step counts
        ((0.5, 0.5, 0.8), 0.3, False),  # in either direction
        ((0.8, 0.7, 0.8), 0.1, True),
        ((0.5, 0.9), 0.4, False),
    ],
)
def test_an_effect_has_settled_when_its_last_step_is_within_the_margin(
    effects: tuple[float, ...], moved: float, settled: bool
) -> None:
    verdict = followed(effects)
    assert verdict.moved == pytest.approx(moved)
    assert verdict.settled == settled
    assert verdict.verdict == "supported"
    assert verdict.word == ("supported" if settled else "supported after 10 epochs")
    assert [at.effect for at in verdict.by_epochs] == pytest.approx(list(effects))
    assert [at.epochs for at in verdict.by_epochs] == list(EPOCHS[-len(effects) :])


def test_arms_that_move_together_have_not_settled() -> None:
    verdict = followed((0.5, 0.5, 0.5), drift=(2.0, 1.0, 0.0))
    assert (verdict.moved, verdict.arms_moved) == (pytest.approx(0), pytest.approx(1.0))
    assert (verdict.settled, verdict.word) == (False, "supported after 10 epochs")


@settings(max_examples=30)
@given(step=st.floats(-1, 1), margin=st.floats(0.05, 1))
def test_settled_is_a_last_step_within_the_margin_that_does_not_cross_it_if_repeated(
    step: float, margin: float
) -> None:
    verdict = followed((0.5, 0.5 - step, 0.5), margin=margin)
    if min(abs(abs(step) - margin), abs(0.5 - margin), abs(0.5 + step - margin)) > 1e-9:
        assert verdict.settled == (abs(step) <= margin and (margin < 0.5) == (0.5 + step > margin))


def test_a_step_that_would_cross_the_margin_if_repeated_is_said_to_be_one() -> None:
    verdict = followed((0.6, 0.45, 0.3), margin=0.2)
    assert (verdict.settled, verdict.word) == (False, "supported after 10 epochs")
    assert of_training(verdict) == (
        "Still moving: since epoch 5 the difference moved by −0.150 and an arm by 0.150, both less than the margin of "
        "0.2, but as much again would take it across the margin."
    )


def test_what_moved_by_more_than_the_margin_is_told_from_what_did_not() -> None:
    arms = of_training(followed((0.5, 0.5, 0.5), drift=(2.0, 1.0, 0.0)))
    assert "since epoch 5 an arm moved by 1.000, more than the margin of" in arms
    assert arms.endswith("; the difference moved by 0.000, less.")
    both = of_training(followed((1.6, 0.8, 0.5)))
    assert "since epoch 5 the difference moved by −0.300 and an arm by 0.300, both more than the margin of" in both
    calm = of_training(followed((1.6, 0.6, 0.5)))
    assert calm.startswith(
        "Settled: since epoch 5 the difference moved by −0.100 and an arm by 0.100, neither by more than the"
    )


def test_only_a_word_that_decides_carries_the_epochs() -> None:
    open_one = followed((1.0, 0.6, 0.2))
    assert (open_one.verdict, open_one.settled, open_one.word) == ("inconclusive", False, "inconclusive")
    assert followed((1.0, -0.5, -1.0)).word == "refuted after 10 epochs"
    assert followed((0.5, 0.3, 0.0), kind="equivalent").word == "supported after 10 epochs"


def test_without_a_margin_half_the_interval_is_what_may_move() -> None:
    half = followed((0.5, 0.5, 0.5), margin=0.0)
    assert half.effect is not None
    assert half.ci_high is not None
    allowed = half.ci_high - half.effect
    for step, settled in ((0.9, True), (1.1, False)):
        assert followed((0.5, 0.5 + step * allowed, 0.5), margin=0.0).settled == settled


def test_the_words_at_earlier_points_are_those_that_they_alone_would_give() -> None:
    verdict = followed((-1.0, 0.2, 1.0))
    assert verdict.sensitivity is not None
    words = dict(verdict.sensitivity.epochs)
    assert words == {"3 epochs": "refuted", "5 epochs": "inconclusive", "10 epochs": "supported"}
    assert not verdict.sensitivity.stable


# Missing points.


def test_one_point_says_how_it_stood_and_not_whether_it_moved() -> None:
    verdict = followed((0.8,))
    assert [at.effect for at in verdict.by_epochs] == pytest.approx([0.8])
    assert (verdict.settled, verdict.moved, verdict.word) == (None, None, "supported")


def test_movement_is_not_known_where_a_seed_was_not_followed() -> None:
    table = two_arms(0.5, sd=0.05)
    rows = history(table, {5: table["ssim"] + np.repeat([0.1, 0.0], SEEDS), 10: table["ssim"]})
    (whole,) = judge(claims(one()), table, history=rows)
    assert whole.moved == pytest.approx(-0.1)
    assert whole.settled is True
    for epoch in (5, 10):
        lost = (rows["epoch"] == epoch) & rows["key"].isin(["mae-sum-b1-0", "mse-sum-b1-1"])
        (partly,) = judge(claims(one()), table, history=rows[~lost])
        assert (partly.moved, partly.settled) == (None, None)
        assert sorted(at.n for at in partly.by_epochs) == [6, 8]


def test_a_trend_moves_while_its_arms_do_though_the_slope_stands_still() -> None:
    text = """
[[claim]]
id = "falls"
quote = "It falls"
kind = "trend"
direction = "falls"
metric = "rate"
margin = 0.5
reason = "made up"
a = { loss = "mae" }
"""
    noise = 0.01 * NOISE
    table = frame(*(arm(f"mae-sum-{beta}", {"rate": 20 - 5 * np.log(beta) + noise}) for beta in (1, 2, 4)))
    for shift, settled in ((0.1, True), (3.0, False)):
        rows = history(table, {5: table["rate"] - shift, 10: table["rate"]}, metric="point/rate")
        (verdict,) = judge(claims(text), table, history=rows)
        assert verdict.moved == pytest.approx(0, abs=1e-9)
        assert verdict.arms_moved == pytest.approx(shift)
        assert verdict.settled is settled


def test_points_that_share_no_seed_say_nothing_of_movement() -> None:
    table = two_arms(0.5, sd=0.05)
    rows = history(table, {5: table["ssim"], 10: table["ssim"]})
    seeds = rows["key"].str[-1].astype(int)
    apart = rows[((rows["epoch"] == 5) & (seeds < 4)) | (rows["epoch"] == 10)]
    apart.loc[(apart["epoch"] == 10) & (apart["key"].str[-1].astype(int) < 4), "value"] = math.nan
    (verdict,) = judge(claims(one()), table, history=apart)
    assert (verdict.settled, verdict.moved) == (None, None)
    assert len(verdict.by_epochs) == 2


def test_a_metric_that_no_point_measured_is_judged_all_the_same() -> None:
    table = two_arms(1.0).assign(acutance=lambda cells: cells["ssim"])
    rows = history(table, dict.fromkeys(EPOCHS, table["ssim"]))
    (verdict,) = judge(claims(one(metric="acutance")), table, history=rows)
    assert (verdict.word, verdict.settled, verdict.by_epochs) == ("supported", None, ())
