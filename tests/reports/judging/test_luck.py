"""The luck of seeds, images and classifiers: the formula by hand, unbiased, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.judging.luck import NOTHING, Added, added, total_of
from reports.judging.statistics import estimate

RNG = np.random.default_rng(3)
D = RNG.normal(0, 1, (6, 40)) + RNG.normal(0, 2, 40)  # six seeds, forty images that differ


def test_the_variance_is_that_of_a_two_way_analysis() -> None:
    """Var = (MS_seed + MS_image − MS_rest) / (n m), each mean square summed by hand."""
    n, m = D.shape
    grand = D.mean()
    ms_seed = m * sum((row.mean() - grand) ** 2 for row in D) / (n - 1)
    ms_image = n * sum((column.mean() - grand) ** 2 for column in D.T) / (m - 1)
    rest = [(D[i, j] - D[i].mean() - D[:, j].mean() + grand) ** 2 for i in range(n) for j in range(m)]
    ms_rest = sum(rest) / ((n - 1) * (m - 1))
    luck, of_seeds = added(list(D), m), estimate(D.mean(axis=1)).sd ** 2 / n
    assert of_seeds == pytest.approx(ms_seed / (n * m))
    assert of_seeds + luck.variance == pytest.approx((ms_seed + ms_image - ms_rest) / (n * m))
    spread = ms_seed**2 / (n - 1) + (ms_image - ms_rest) ** 2 / luck.images_df
    whole = (ms_seed + ms_image - ms_rest) ** 2 / spread  # Satterthwaite, from mean squares
    assert float(luck.degrees(of_seeds, n)) == pytest.approx(whole)
    assert luck.kept == m


def test_what_the_images_add_is_unbiased() -> None:
    rng, sd, m = np.random.default_rng(5), 2.0, 30
    draws = [
        added(list(rng.normal(0, 1, (5, 1)) + rng.normal(0, sd, m) + rng.normal(0, 1, (5, m))), m).images
        for _ in range(600)
    ]
    error = np.std(draws) / math.sqrt(len(draws))
    assert abs(np.mean(draws) - sd**2 / m) < 3 * error
    assert error < 0.02 * sd**2 / m


def test_what_the_classifiers_add_is_the_variance_of_their_effects_over_their_number() -> None:
    effects = np.array([0.3, -0.1, 0.4])
    of_each = [seed + effects[:, None] for seed in (0.0, 1.0, 5.0, 2.0)]  # one number of each classifier: (K, 1)
    luck = added(of_each, None)
    assert (luck.classifiers, luck.classifiers_df) == (pytest.approx(effects.var(ddof=1) / 3), 2)
    assert (luck.images, luck.kept) == (0, None)
    by_image = [np.broadcast_to(values, (3, 20)) for values in of_each]
    assert added(by_image, 20).classifiers == pytest.approx(luck.classifiers)
    assert added([values[:1] for values in of_each], None) == NOTHING  # one classifier shows nothing of others


def test_values_of_some_of_the_images_stand_for_all() -> None:
    """The variance over images falls with the images that the metric is the mean over, not with those kept."""
    few = added(list(D[:, :20]), 20)
    assert added(list(D[:, :20]), 80).images == pytest.approx(few.images / 4)
    assert added(list(D[:, :20]), 80).images_df == few.images_df
    assert added(list(D[:, :20]), 5).images == few.images  # never over fewer than those at hand


def test_images_without_a_value_are_left_out() -> None:
    gaps = D.copy()
    gaps[2, 7] = gaps[0, 9] = math.nan
    left = np.delete(D, [7, 9], axis=1)
    assert added(list(gaps), 40) == added(list(left), 40)
    assert added(list(gaps), 40).kept == 38
    assert added(list(np.full((4, 10), math.nan)), 10) == NOTHING


@pytest.mark.parametrize("by_seed", [[], [D[0]], [D[0], D[1][:30]]])
def test_without_two_seeds_of_one_shape_nothing_is_known(by_seed: list[np.ndarray]) -> None:
    assert added(by_seed, 40) == NOTHING


def test_images_that_do_not_differ_add_nothing_even_by_chance() -> None:
    rng = np.random.default_rng(8)
    shares = [added(list(rng.normal(0, 1, (6, 50))), 50).images for _ in range(200)]
    assert min(shares) == 0
    assert 0.3 < np.mean(np.array(shares) == 0) < 0.7  # what is estimated below 0 is 0


@given(factor=st.floats(-50, 50).filter(lambda factor: abs(factor) > 1e-3), shift=st.floats(-50, 50))
def test_units_scale_it_by_their_square_and_an_origin_does_not_matter(factor: float, shift: float) -> None:
    luck, there = added(list(D), 40), added(list(factor * D + shift), 40)
    assert there.variance == pytest.approx(luck.scaled(factor).variance, rel=1e-6, abs=1e-9)


def test_rounding_is_no_luck() -> None:
    shared = np.random.default_rng(2).normal(0, 1, (6, 40))
    assert added(list((shared + 0.1) - shared), 40).variance == 0


variances = st.floats(0, 100).map(lambda value: round(value, 3))


@given(images=variances, classifiers=variances, seeds=variances, images_df=st.floats(1, 500), n=st.integers(2, 30))
def test_degrees_of_freedom_lie_between_the_least_and_the_sum(
    images: float, classifiers: float, seeds: float, images_df: float, n: int
) -> None:
    luck = Added(images, images_df, classifiers, 2.0)
    known = [df for variance, df in ((seeds, n - 1.0), (images, images_df), (classifiers, 2.0)) if variance]
    degrees = float(luck.degrees(seeds, n))
    assert min(known, default=n - 1) * (1 - 1e-9) <= degrees <= (sum(known) or n - 1) * (1 + 1e-9)
    shares = luck.shares(seeds)
    assert sum(shares.values()) == pytest.approx(1) if seeds + luck.variance else not shares


def _covered(images_sd: float, classifiers: int = 1, classifiers_sd: float = 0.0) -> tuple[float, float]:
    """How often the wide and the narrow interval hold the truth, 0, over new seeds, images and classifiers."""
    rng, n, m = np.random.default_rng(11), 8, 60
    wide, narrow, studies = 0, 0, 1_500
    for _ in range(studies):
        d = rng.normal(0, 1, (n, 1, 1)) + rng.normal(0, images_sd * m**0.5, (1, 1, m))
        d = d + rng.normal(0, classifiers_sd * classifiers**0.5, (1, classifiers, 1)) + rng.normal(0, 1, (n, 1, m))
        found = estimate(d.mean(axis=(1, 2)), added([one if classifiers > 1 else one[0] for one in d], m))
        wide += found.low < 0 < found.high
        narrow += found.narrow_low < 0 < found.narrow_high
    return wide / studies, narrow / studies


@pytest.mark.parametrize("options", [{"images_sd": 1.0}, {"images_sd": 0.5, "classifiers": 3, "classifiers_sd": 0.5}])
def test_the_wide_interval_covers_and_the_narrow_one_does_not(options: dict[str, float]) -> None:
    wide, narrow = _covered(**options)  # type: ignore[arg-type]
    assert 0.93 <= wide <= 0.975
    assert narrow < 0.8


def test_without_luck_of_images_both_intervals_cover() -> None:
    wide, narrow = _covered(images_sd=0.0)
    assert 0.94 < narrow <= wide < 0.98


def test_the_count_of_images_stands_beside_their_values() -> None:
    assert total_of({"ssim": np.ones(5), "ssim.images": np.array(360)}, "ssim") == 360
    assert total_of({"kid": np.ones(3)}, "kid") is None
