"""Normality over all comparisons: even p where it holds, found where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.judging.judge import judge
from reports.judging.normality import LEAST_COMPARISONS, Normality, normality, of_verdicts
from tests.claim_samples import arm, claims, frame, one


def test_normal_differences_pass_and_their_p_is_even() -> None:
    rng = np.random.default_rng(2)
    p = np.array([normality(rng.normal(0.3, 2, (30, 8))).p for _ in range(300)], dtype=float)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean([Normality(30, value).fails for value in p]) <= 0.03


@pytest.mark.parametrize("seeds", [5, 8])
def test_many_comparisons_show_what_one_cannot(seeds: int) -> None:
    rng = np.random.default_rng(3)
    failed = [normality(rng.exponential(1, (40, seeds))).fails for _ in range(40)]
    assert np.mean(failed) > (0.9 if seeds == 8 else 0.5)
    assert not normality(rng.exponential(1, (1, seeds))).fails


def test_units_and_order_of_the_seeds_do_not_matter() -> None:
    rows = np.random.default_rng(4).normal(size=(12, 8))
    p = normality(rows).p
    assert p is not None
    assert normality(rows[::-1, ::-1] * 100 + 3).p == pytest.approx(p, rel=1e-5)


def test_one_comparison_counts_once_however_often_and_whichever_way_it_is_made() -> None:
    rows = np.random.default_rng(5).normal(size=(12, 8))
    assert normality([*rows, *rows, *(-rows), *(rows * (1 + 1e-13))]) == normality(rows)


def test_too_few_comparisons_or_seeds_and_no_spread_are_not_tested() -> None:
    rows = np.random.default_rng(6).normal(size=(LEAST_COMPARISONS - 1, 8))
    few = normality([*rows, np.ones(8), rows[0][:4]])
    assert (few.comparisons, few.p, few.fails) == (LEAST_COMPARISONS - 1, None, False)
    assert "could not be tested: 9 comparisons with 5 seeds or more, and 10 are needed" in few.sentence
    assert normality([]).comparisons == 0


def test_the_sentence_says_what_follows() -> None:
    assert "also needs the exact signed-rank test" in Normality(40, 1e-4).sentence
    passed = Normality(40, 0.4).sentence
    assert passed.startswith("No departure from normality was found over 40 comparisons (p 0.4)")
    assert "a weak check" in passed


def test_verdicts_carry_all_that_the_test_needs() -> None:
    """Of a claim with readings, places and legs each comparison counts once."""
    rng = np.random.default_rng(7)
    metrics = ("ssim", "sigma_eq", "acutance", "legibility", "kid", "rate")
    sides = [arm(f"{loss}-sum-1", {m: rng.normal(size=8) for m in metrics}) for loss in ("mae", "mse", "bce")]
    head = '[[claim]]\nid = "all"\nquote = "all"\nkind = "greater"\n'
    legs = [
        one(metric=metric).split("\n", 4)[4].replace("mse", other).replace('kind = "greater"\n', "")
        for metric in metrics
        for other in ("mse", "bce")
    ]
    for readings in ([""] * 12, ["r", "s"] * 6):
        named = [f'reading = "{reading}"\n' if reading else "" for reading in readings]
        text = head + "".join(f"[[claim.leg]]\n{name}{leg}" for name, leg in zip(named, legs))
        verdicts = judge(claims(text + one(name="again")), frame(*sides))
        assert of_verdicts(verdicts).comparisons == 12
