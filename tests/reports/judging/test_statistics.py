"""The paired statistics: known answers, parity with scipy and brute force, laws, and a calibration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.claims.regions import Region
from reports.judging.statistics import (
    Test,
    estimate,
    holm,
    least_seeds,
    p_values,
    power,
    seeds_to_settle,
    slope,
)
from vae.errors import UserError

DIFFERENCES = np.array([0.31, 0.12, 0.45, -0.08, 0.27, 0.39, 0.22])
finite = st.floats(-5, 5).map(lambda value: round(value, 3))
several = st.lists(finite, min_size=3, max_size=7).filter(lambda d: np.ptp(d) > 0.01)
regions = st.builds(
    lambda region, margin: region(margin),
    st.sampled_from([Region.above, Region.below, Region.within]),
    st.floats(0.05, 2),
)


@pytest.mark.parametrize(("n", "half_width"), [(5, 1.24), (8, 0.84), (10, 0.72)])
def test_interval_half_width_in_sd_is_the_published_one(n: int, half_width: float) -> None:
    spread = estimate(np.linspace(-1, 1, n))
    assert (spread.high - spread.low) / 2 / spread.sd == pytest.approx(half_width, abs=0.005)


@pytest.mark.parametrize(("n", "least"), [(5, 0.0625), (8, 0.0078), (10, 0.0020)])
def test_least_exact_two_sided_p_is_the_published_one(n: int, least: float) -> None:
    p_in, _ = p_values(np.linspace(1, 2, n), Region.above(0.0), test="signs")
    assert 2 * float(p_in) == pytest.approx(least, abs=5e-5)


@pytest.mark.parametrize(("n", "margin"), [(5, 1.60), (8, 1.15), (10, 1.00)])
def test_tost_has_80_percent_power_at_the_published_margins(n: int, margin: float) -> None:
    supported, _ = power(0.0, 1.0, n, Region.within(margin), alpha=0.05)
    assert float(supported) == pytest.approx(0.80, abs=0.01)


def test_estimate_is_scipys() -> None:
    theirs = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.95)
    ours = estimate(DIFFERENCES)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert ours.d_z == pytest.approx(DIFFERENCES.mean() / DIFFERENCES.std(ddof=1))


def test_one_sided_and_two_ended_p_are_scipys() -> None:
    above = stats.ttest_1samp(DIFFERENCES, 0.1, alternative="greater").pvalue
    below = stats.ttest_1samp(DIFFERENCES, 0.1, alternative="less").pvalue
    over_low = stats.ttest_1samp(DIFFERENCES, -0.1, alternative="greater").pvalue
    under_low = stats.ttest_1samp(DIFFERENCES, -0.1, alternative="less").pvalue
    assert p_values(DIFFERENCES, Region.above(0.1)) == pytest.approx((above, below), rel=1e-12)
    expected = max(over_low, below), min(1, 2 * min(above, under_low))
    assert p_values(DIFFERENCES, Region.within(0.1)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.3])
def test_exact_p_counts_the_sign_patterns(margin: float) -> None:
    shifted = DIFFERENCES - margin
    flips = [np.dot(signs, shifted) for signs in itertools.product([1, -1], repeat=shifted.size)]
    by_hand = np.mean(np.array(flips) >= shifted.sum() - 1e-12)
    p_in, _ = p_values(DIFFERENCES, Region.above(margin), test="signs")
    assert float(p_in) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("n", [3, 8, 14, 20, 50, 60])
def test_exact_tests_are_scipys(n: int) -> None:
    rng = np.random.default_rng(n)
    for d in rng.normal(0.2, 1.0, (3, n)):
        drawn = {"n_resamples": math.inf} if n <= 14 else {"n_resamples": 9_999, "rng": np.random.default_rng(0)}
        flips = [
            stats.permutation_test(
                (d,), np.mean, permutation_type="samples", alternative=side, vectorized=True, **drawn
            )
            for side in (["greater", "less"] if n <= 14 else ["greater"])
        ]
        ours = p_values(d, Region.above(0.0), test="signs")
        assert [float(p) for p in ours][: len(flips)] == pytest.approx([one.pvalue for one in flips], rel=1e-12)
        method = "exact" if n <= 50 else "asymptotic"
        ranks = [stats.wilcoxon(d, alternative=side, method=method).pvalue for side in ("greater", "less")]
        assert p_values(d, Region.above(0.0), test="ranks") == pytest.approx(ranks, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("sd", [0.5, 1.0, 2.0])
def test_ties_and_values_on_the_end_never_help_either_side_of_the_rank_test(sd: float) -> None:
    """Whole numbers around an end: told apart in a claim's favour, they would support falsely in 8 to 25 %."""
    d = np.random.default_rng(6).normal(0, sd, (4_000, 8)).round()
    for p in p_values(d[np.ptp(d, axis=1) > 0], Region.above(0.0), test="ranks"):
        assert np.mean(p < 0.05) <= 0.055


@given(d=several, region=regions)
def test_a_claim_of_less_is_the_claim_of_greater_mirrored(d: list[float], region: Region) -> None:
    mirrored = Region(-region.high, -region.low)
    for test in ("t", "signs", "ranks"):
        there = p_values(d, region, test=test)
        back = p_values([-x for x in d], mirrored, test=test)
        assert np.allclose(there, back, atol=1e-12)


@given(d=several, region=regions, scale=st.floats(0.01, 100))
def test_units_do_not_matter(d: list[float], region: Region, scale: float) -> None:
    assert np.allclose(p_values(d, region), p_values(np.array(d) * scale, region.scaled(scale)), atol=1e-9)


@given(d=several, region=regions)
def test_support_and_refutation_exclude_each_other(d: list[float], region: Region) -> None:
    p_in, p_out = p_values(d, region)
    assert max(p_in, p_out) >= 0.5
    if len(region.ends) == 1:
        assert p_in + p_out == pytest.approx(1, abs=1e-12)


@given(d=several, margin=st.floats(0.1, 2), more=st.floats(1.01, 3))
def test_a_wider_margin_makes_equality_easier_and_an_excess_harder(d: list[float], margin: float, more: float) -> None:
    equal, wider = Region.within(margin), Region.within(margin * more)
    assert p_values(d, wider)[0] <= p_values(d, equal)[0] + 1e-12
    assert p_values(d, wider)[1] >= p_values(d, equal)[1] - 1e-12
    excess, further = Region.above(margin), Region.above(margin * more)
    assert p_values(d, further)[0] >= p_values(d, excess)[0] - 1e-12


@pytest.mark.parametrize("test", ["t", "signs", "ranks"])
def test_rows_are_tested_one_by_one(test: Test) -> None:
    rows = np.random.default_rng(1).normal(0.2, 1, size=(3, 2, 6))
    region = Region.within(0.7)
    together = p_values(rows, region, test=test)
    assert together[0].shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        alone = p_values(rows[i, j], region, test=test)
        assert alone == pytest.approx((together[0][i, j], together[1][i, j]), rel=1e-12)


@pytest.mark.parametrize("test", ["t", "signs", "ranks"])
@pytest.mark.parametrize(
    ("value", "region", "expected"),
    [
        (0.3, Region.above(0.2), (0, 1)),
        (0.2, Region.above(0.2), (1, 0)),  # on the margin: outside, the region being open
        (-0.2, Region.within(0.2), (1, 0)),
        (0.1, Region.above(0.2), (1, 0)),
        (0.0, Region.within(0.2), (0, 1)),
        (-0.3, Region.within(0.2), (1, 0)),
        (0.0, Region.below(0.0), (1, 0)),
    ],
)
def test_without_spread_the_value_decides(value: float, region: Region, expected: tuple[int, int], test: Test) -> None:
    assert p_values(np.full(6, value), region, test=test) == expected


def test_rounding_beside_the_margin_is_no_spread() -> None:
    noise = 1e-15 * np.array([1.0, -2.0, 0.5, 3.0, -1.0, 2.0])
    assert p_values(noise, Region.within(0.5)) == (0, 1)
    assert math.isnan(estimate(np.full(5, 0.1)).d_z)


def test_many_seeds_are_tested_by_random_patterns_the_same_every_time() -> None:
    d = np.random.default_rng(4).normal(0.4, 1, size=20)
    region = Region.above(0.0)
    first, second = (float(p_values(d, region, test="signs")[0]) for _ in range(2))
    assert first == second
    assert first == pytest.approx(float(p_values(d, region)[0]), abs=0.02)


def closed_testing(p: np.ndarray) -> np.ndarray:
    """Holm by its definition: the largest Bonferroni p over all sets that hold the hypothesis."""
    sets = [list(s) for size in range(1, p.size + 1) for s in itertools.combinations(range(p.size), size)]
    bonferroni = [(s, min(1.0, len(s) * p[s].min())) for s in sets]
    return np.array([max(value for s, value in bonferroni if i in s) for i in range(p.size)])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p: list[float]) -> None:
    assert np.allclose(holm(p), closed_testing(np.array(p)), atol=1e-12)


def test_the_slope_is_scipys() -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 5))
    assert slope(x, y) == pytest.approx(stats.linregress(x, y).slope, rel=1e-12)


@pytest.mark.parametrize(
    ("mean", "region"),
    [
        (0.9, Region.above(0.2)),
        (0.0, Region.above(0.5)),
        (-0.8, Region.below(0.1)),
        (0.1, Region.within(0.9)),
        (1.2, Region.within(0.5)),
    ],
)
def test_seeds_to_settle_is_the_first_number_with_the_power(mean: float, region: Region) -> None:
    n = seeds_to_settle(mean, 1.0, region, alpha=0.05)
    assert n is not None
    side = 0 if region.holds(mean) else 1
    at, before = (float(power(mean, 1.0, seeds, region, alpha=0.05)[side]) for seeds in (n, n - 1))
    assert at >= 0.8
    assert before < 0.8 or n == least_seeds(0.05)


def test_an_effect_on_the_margin_is_never_settled() -> None:
    assert seeds_to_settle(0.2, 1.0, Region.above(0.2), alpha=0.05) is None


# Calibration: the whole rule for one claim, t and sign flips together, as `reports.judging.decisions` applies it.
NULLS = [(Region.above(0.5), 0.5), (Region.below(0.5), -0.5), (Region.within(1.15), 1.15)]


@pytest.mark.parametrize(("region", "at_margin"), NULLS)
def test_false_support_and_false_refutation_stay_at_alpha(region: Region, at_margin: float) -> None:
    d = np.random.default_rng(11).normal(at_margin, 1.0, size=(8_000, 8))
    p_in, p_out = p_values(d, region)
    exact_in, exact_out = p_values(d, region, test="signs")
    assert np.mean((p_in < 0.05) & (exact_in < 0.05)) <= 0.06
    assert np.mean((p_out < 0.05) & (exact_out < 0.05)) <= 0.06
    assert np.mean(p_in < 0.05) == pytest.approx(0.05, abs=0.008)


@pytest.mark.parametrize(
    ("region", "truth", "side"),
    [
        (Region.above(0.5), 1.5, 0),
        (Region.above(0.5), -0.4, 1),
        (Region.within(1.15), 0.0, 0),
        (Region.within(0.5), 1.6, 1),
    ],
)
def test_power_is_as_the_noncentral_t_predicts(region: Region, truth: float, side: int) -> None:
    d = np.random.default_rng(12).normal(truth, 1.0, size=(8_000, 8))
    predicted = float(power(truth, 1.0, 8, region, alpha=0.05)[side])
    decided = float(np.mean(p_values(d, region)[side] < 0.05))
    agreed = float(np.mean((p_values(d, region)[side] < 0.05) & (p_values(d, region, test="signs")[side] < 0.05)))
    assert 0.5 < predicted < 0.98
    assert decided == pytest.approx(predicted, abs=0.015)
    assert predicted - 0.06 < agreed <= decided  # the sign flips cost a little power, never add any


@given(
    mean=st.floats(-1e4, 1e4),
    sd=st.floats(1e-4, 1e4),
    region=regions,
    n=st.integers(2, 1000),
    alpha=st.floats(1e-3, 0.2),
)
def test_power_is_a_chance_at_any_effect(mean: float, sd: float, region: Region, n: int, alpha: float) -> None:
    for chance in power(mean, sd, n, region, alpha=alpha):
        assert 0 <= float(chance) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: p_values([1.0], Region()), r"shape \(1,\); at least 2"),
        (lambda: p_values([1.0, math.nan], Region()), "holds NaN or infinity"),
        (lambda: estimate([]), r"shape \(0,\)"),
        (lambda: least_seeds(0), "alpha=0 must lie between 0 and 1"),
    ],
)
def test_refusals_name_what_was_given(call: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()  # type: ignore[operator]
