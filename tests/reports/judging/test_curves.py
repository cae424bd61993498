"""Comparison at equal rate: laws of the interpolation, and what it must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.judging.curves import (
    Curve,
    common_rates,
    common_support,
    crossing,
    curves_by_seed,
    matched,
    rates_at,
)

BETAS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
RATES = [10.0, 15.0, 20.0, 25.0, 30.0]
# Rates of the prototype on MNIST, by loss.
BCE = (54.9, 41.5, 33.4, 24.7, 15.7, 8.8)
MSE = (38.4, 27.8, 19.0, 11.7, 5.8, 2.2)


def of_rate(rate: float) -> float:
    """A metric that hangs on the rate alone, saturating as SSIM does."""
    return 0.93 - 0.72 * math.exp(-rate / 14.0)


def curve(rates: tuple[float, ...], shift: float = 0.0) -> Curve:
    return Curve(BETAS, rates, tuple(of_rate(rate) + shift for rate in rates))


def test_curves_straight_in_log_beta_are_met_exactly() -> None:
    beta = (0.5, 1.0, 3.0, 4.0)
    straight = Curve(beta, tuple(20 - 7 * math.log(b) for b in beta), tuple(3 + 2 * math.log(b) for b in beta))
    rates = np.array([10.9, 14.0, 18.5, 24.0])
    log_beta = (20 - rates) / 7
    assert straight.beta_at(list(rates)) == pytest.approx(np.exp(log_beta), rel=1e-12)
    assert straight.at(list(rates)) == pytest.approx(3 + 2 * log_beta, rel=1e-12)


def test_the_points_themselves_are_met_ends_included() -> None:
    bce = curve(BCE)
    assert bce.beta_at(list(BCE)) == pytest.approx(BETAS, rel=1e-9)
    assert bce.at(list(BCE)) == pytest.approx(bce.values, rel=1e-9)


def test_a_metric_of_the_rate_alone_is_equal_at_equal_rate_far_below_the_margin() -> None:
    pairs, used = matched({0: curve(BCE)}, {0: curve(MSE)}, RATES)
    assert used == (10, 15, 20, 25, 30)
    assert abs(pairs[0][0] - pairs[0][1]) < 0.005 / 4
    at_beta_1 = curve(BCE).values[3] - curve(MSE).values[3]
    assert at_beta_1 > 0.1  # which is all that a comparison at one beta would show


@given(shift=st.floats(-0.5, 0.5))
def test_a_constant_gap_comes_out_whole(shift: float) -> None:
    pairs, _ = matched({0: curve(BCE, shift)}, {0: curve(BCE)}, RATES)
    assert pairs[0][0] - pairs[0][1] == pytest.approx(shift, abs=1e-12)


@given(scale=st.floats(0.01, 100))
def test_the_unit_of_beta_does_not_matter(scale: float) -> None:
    other = Curve(tuple(b * scale for b in BETAS), BCE, curve(BCE).values)
    assert other.at(RATES) == pytest.approx(curve(BCE).at(RATES), rel=1e-9)


def test_beta_is_interpolated_in_its_logarithm() -> None:
    assert Curve((1.0, 100.0), (30.0, 10.0), (0.0, 1.0)).beta_at([20.0])[0] == pytest.approx(10.0)


def test_between_points_the_metric_never_overshoots() -> None:
    steps = Curve((1.0, 2.0, 3.0, 4.0), (40.0, 30.0, 20.0, 10.0), (0.0, 0.0, 1.0, 1.0))
    values = steps.at(list(np.linspace(10, 40, 61)))
    assert values.min() >= -1e-12
    assert values.max() <= 1 + 1e-12


def test_nothing_is_extrapolated() -> None:
    assert np.isnan(curve(MSE).at([38.5, 2.1])).all()
    assert np.isnan(curve(MSE).beta_at([100.0])).all()


def test_a_rate_that_is_spent_twice_is_not_answered() -> None:
    bent = Curve((1.0, 2.0, 3.0), (10.0, 20.0, 12.0), (0.0, 1.0, 2.0))
    assert np.isnan(bent.beta_at([15.0])[0])
    assert np.isfinite(bent.beta_at([11.0])[0])


def test_a_level_stretch_gives_no_answer_on_it_and_is_no_error() -> None:
    level = Curve((1.0, 2.0, 3.0, 4.0), (30.0, 10.0, 10.0, 5.0), (0.0, 1.0, 2.0, 3.0))
    assert np.isnan(level.beta_at([10.0])[0])
    assert np.isfinite(level.beta_at([20.0])[0])


def test_only_rates_that_every_curve_of_every_seed_reaches_are_compared() -> None:
    short = Curve(BETAS[2:], MSE[2:], curve(MSE).values[2:])  # the cells at the low betas failed: up to 19 nats
    pairs, used = matched({0: curve(BCE), 1: curve(BCE)}, {0: curve(MSE), 1: short}, RATES)
    assert used == (10, 15)
    assert sorted(pairs) == [0, 1]
    assert common_rates([curve(BCE), short], RATES) == (10, 15)


def test_seeds_that_one_side_lacks_are_left_out() -> None:
    pairs, _ = matched({0: curve(BCE), 2: curve(BCE)}, {0: curve(MSE), 3: curve(MSE)}, RATES)
    assert list(pairs) == [0]


def test_without_a_common_rate_there_is_nothing() -> None:
    low = Curve((1.0, 2.0), (5.0, 1.0), (0.0, 1.0))
    assert matched({0: curve(BCE)}, {0: low}, RATES) == ({}, ())
    assert matched({0: curve(BCE)}, {}, RATES) == ({}, ())


def test_curves_of_seeds_are_those_of_their_points_whatever_the_order_of_the_rows() -> None:
    rows = [(seed, *point) for seed in (1, 0) for point in zip(BETAS, BCE, curve(BCE, 0.1 * seed).values)]
    assert curves_by_seed(reversed(rows)) == {0: curve(BCE), 1: curve(BCE, 0.1)}


def test_rows_that_no_curve_can_hold_are_skipped() -> None:
    good = [(0, 1.0, 20.0, 0.8), (0, 4.0, 10.0, 0.6)]
    bad = [(0, 0.0, 30.0, 0.9), (0, 2.0, math.nan, 0.7), (0, 3.0, 12.0, math.nan), (1, 1.0, 20.0, 0.8)]
    assert curves_by_seed([*good, *bad, (0, 1.0, 99.0, 0.1)]) == curves_by_seed(good)
    assert list(curves_by_seed(good)) == [0]


def test_shares_are_of_the_rates_that_all_curves_reach() -> None:
    assert common_support([curve(BCE), curve(MSE)]) == (8.8, 38.4)
    assert rates_at([curve(BCE), curve(MSE)], [0.5]) == pytest.approx((23.6,))
    pairs, used = matched({0: curve(BCE), 1: curve(BCE)}, {0: curve(MSE), 1: curve(MSE)}, (), [0.25, 0.5, 0.75])
    assert used == pytest.approx((16.2, 23.6, 31.0))
    assert pairs.keys() == {0, 1}


def test_seeds_that_only_one_side_has_do_not_narrow_the_support() -> None:
    narrow = Curve((1.0, 2.0), (20.0, 19.0), (0.0, 0.0))
    _, used = matched({0: curve(BCE), 1: narrow}, {0: curve(MSE)}, (), [0.5])
    assert used == pytest.approx((23.6,))


def test_curves_that_share_no_rate_are_not_compared() -> None:
    low, high = Curve((1.0, 2.0), (2.0, 1.0), (0.0, 0.0)), Curve((1.0, 2.0), (9.0, 2.0), (0.0, 0.0))
    assert common_support([low, high]) is None
    assert rates_at([low, high], [0.5]) == ()
    assert matched({0: low}, {0: high}, (), [0.5]) == ({}, ())
    assert common_support([]) is None


@given(shares=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True), scale=st.floats(0.01, 100))
def test_shares_follow_the_scale_of_the_rates(shares: list[float], scale: float) -> None:
    first, second = (tuple(rate * scale for rate in rates) for rates in (BCE, MSE))
    _, used = matched({0: Curve(BETAS, first, first)}, {0: Curve(BETAS, second, second)}, (), shares)
    assert used == pytest.approx([scale * (8.8 + share * 29.6) for share in shares])


# Where the rate falls to a level.


@given(at=st.floats(1.1, 30), level=st.floats(0.05, 3))
def test_a_straight_rate_crosses_where_it_says(at: float, level: float) -> None:
    points = [(beta, level - math.log(beta / at)) for beta in (0.5, 1.0, 7.0, 40.0)]
    assert crossing(points[::-1], level) == pytest.approx(at, rel=1e-9)


def test_a_rate_that_never_falls_to_the_level_or_never_leaves_it() -> None:
    points = list(zip(BETAS, MSE))
    assert crossing(points, 2.0) == math.inf
    assert crossing(points, 40.0) == 0
    assert crossing(points, 11.7) == pytest.approx(1.0)
    assert math.isnan(crossing(points[:1], 5.0))
    assert math.isnan(crossing([(1.0, math.nan), (0.0, 4.0), (2.0, 1.0)], 0.5))


def test_noise_below_the_level_is_no_second_crossing_and_the_last_one_counts() -> None:
    falling = [(1.0, 2.0), (2.0, 1.0), (4.0, 0.02), (8.0, 0.05), (16.0, 0.01)]
    assert 2 < crossing(falling, 0.1) < 4
    again = [(1.0, 2.0), (2.0, 0.05), (4.0, 0.2), (8.0, 0.01)]
    assert 4 < crossing(again, 0.1) < 8


def test_a_rate_that_stays_at_the_level_crosses_where_it_first_meets_it() -> None:
    assert crossing([(1.0, 3.0), (2.0, 1.0), (4.0, 1.0), (8.0, 1.0)], 1.0) == pytest.approx(2.0)
