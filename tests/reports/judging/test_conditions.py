"""Sides of a comparison: pairing by seed, and what failed cells may have been."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.claims.regions import Region
from reports.judging.conditions import UNPAIRED, Condition, Paired
from reports.judging.luck import NOTHING
from vae.arms import Arm

MAE, MSE = (Arm("mae"),), (Arm("mse"),)
values = st.floats(-3, 3).map(lambda value: round(value, 3))
sides = st.dictionaries(st.integers(0, 9), values, max_size=8)
seeds = st.frozensets(st.integers(0, 9), max_size=4)
regions = st.builds(
    lambda region, margin: region(margin),
    st.sampled_from([Region.above, Region.below, Region.within]),
    st.floats(0.1, 2),
)


def _paired(first: dict[int, float], second: dict[int, float], *failed: frozenset[int]) -> Paired:
    lost, gone = failed or (frozenset(), frozenset())
    return Paired((Condition("a", first, MAE, failed=lost), Condition("b", second, MSE, failed=gone)))


@given(first=sides, second=sides)
def test_differences_are_of_the_seeds_that_both_have(first: dict[int, float], second: dict[int, float]) -> None:
    paired = _paired(first, second)
    assert set(paired.seeds) == first.keys() & second.keys()
    assert paired.by_seed == {seed: first[seed] - second[seed] for seed in paired.seeds}
    if paired.seeds:
        assert paired.levels["a"] - paired.levels["b"] == pytest.approx(
            math.fsum(paired.by_seed.values()) / len(paired.seeds)
        )
    else:
        assert paired.levels == {}


def test_a_plain_number_is_no_level() -> None:
    paired = Paired((Condition("a", {0: 1.0, 1: 3.0}, MAE), Condition("0.5", {0: 0.5, 1: 0.5})))
    assert (paired.by_seed, paired.levels) == ({0: 0.5, 1: 2.5}, {"a": 2.0})
    assert (UNPAIRED.seeds, UNPAIRED.by_seed, UNPAIRED.levels, UNPAIRED.images) == ((), {}, {}, None)


def _inside(region: Region, value: float) -> float:
    """How far inside a region a value lies, negative outside."""
    return min(value - region.low, region.high - value)


@given(first=sides, second=sides, lost=seeds, gone=seeds, region=regions, share=st.floats(0, 1), other=st.floats(0, 1))
def test_a_failed_cell_counts_as_the_worst_and_as_the_best_of_what_was_seen(
    first: dict[int, float],
    second: dict[int, float],
    lost: frozenset[int],
    gone: frozenset[int],
    region: Region,
    share: float,
    other: float,
) -> None:
    """Whatever value from the least to the greatest seen the failed cells had, the difference lies between."""
    done = [
        {seed: value for seed, value in side.items() if seed not in out}
        for side, out in ((first, lost), (second, gone))
    ]
    paired = _paired(*done, lost, gone)
    failed = paired.data(region).failed
    if not paired.by_seed:
        assert failed == {}
        return
    assert failed.keys() == lost | gone
    pool = [value for side in done for value in side.values()]
    low, high = min(pool), max(pool)
    for seed, (against, in_favour) in failed.items():
        may = []
        for side, out, at in ((done[0], lost, share), (done[1], gone, other)):
            own = list(side.values())
            ends = (low, high) if seed in out else (side.get(seed, min(own)), side.get(seed, max(own)))
            may.append(ends[0] + at * (ends[1] - ends[0]))
        here = _inside(region, may[0] - may[1])
        assert _inside(region, against) <= here + 1e-9
        assert here <= _inside(region, in_favour) + 1e-9


@given(first=sides, second=sides, region=regions)
def test_without_failed_cells_nothing_is_put_in_their_place(
    first: dict[int, float], second: dict[int, float], region: Region
) -> None:
    assert _paired(first, second).data(region).failed == {}


def test_the_cell_of_the_other_side_keeps_its_value() -> None:
    paired = _paired({0: 1.0, 1: 2.0}, {0: 0.5, 1: 0.6, 2: 0.1}, frozenset({2}), frozenset())
    against, in_favour = paired.data(Region.above(0.2)).failed[2]
    assert (against, in_favour) == (0.1 - 0.1, 2.0 - 0.1)  # seen: .1 to 2


def test_a_failed_cell_beside_a_number_is_put_beside_the_number() -> None:
    paired = Paired((Condition("a", {0: 1.0, 1: 3.0}, MAE, failed=frozenset({2})), Condition("2", {0: 2.0, 1: 2.0})))
    assert paired.data(Region.above(0.5)).failed == {2: (-1.0, 1.0)}
    against, in_favour = paired.data(Region.within(0.5)).failed[2]
    assert abs(against) == 1.0
    assert in_favour == 0.0  # an equality is best served by what lies between


BEHIND = {seed: np.random.default_rng(seed).normal(size=20) for seed in range(3)}


def _with_behind(first: dict[int, np.ndarray], second: dict[int, np.ndarray]) -> Paired:
    numbers = dict.fromkeys(range(3), 0.0)
    return Paired((Condition("a", numbers, MAE, first, 20), Condition("b", numbers, MSE, second, 20)))


def test_luck_is_of_the_differences_of_each_image() -> None:
    shared = _with_behind(BEHIND, BEHIND)
    assert shared.luck.variance == 0  # what both sides share is no luck of their difference
    assert shared.luck.kept == shared.images == 20
    moved = {seed: value + np.linspace(0, 9, 20) for seed, value in BEHIND.items()}
    assert _with_behind(moved, BEHIND).luck.images == pytest.approx(np.linspace(0, 9, 20).var(ddof=1) / 20)


def test_luck_is_of_the_seeds_that_have_values_on_both_sides() -> None:
    partly = _with_behind(BEHIND, {seed: BEHIND[seed] + 1.0 * np.arange(20) for seed in (0, 2)})
    assert partly.without_images == (1,)
    whole = Paired(tuple(replace(c, values={0: 0.0, 2: 0.0}) for c in partly.conditions))
    assert (whole.without_images, whole.luck) == ((), partly.luck)
    assert partly.luck.images > 0


def test_cells_with_other_numbers_of_kept_images_are_cut_to_those_that_all_have() -> None:
    other = {seed: BEHIND[seed] + np.arange(20) for seed in BEHIND}
    cut = _with_behind(BEHIND, other | {1: other[1][:12]})
    assert (cut.without_images, cut.images_kept) == ((), 12)
    short = {seed: values[:12] for seed, values in other.items()}
    assert cut.luck == _with_behind({seed: values[:12] for seed, values in BEHIND.items()}, short).luck


def test_a_cell_of_other_classifiers_than_most_is_left_out() -> None:
    two = {seed: np.stack([BEHIND[seed], BEHIND[seed] + 1]) for seed in range(3)}
    assert _with_behind(two, two | {2: BEHIND[2]}).without_images == (2,)


def test_luck_is_unknown_where_one_seed_alone_has_values() -> None:
    lost = _with_behind(BEHIND, {0: BEHIND[0]})
    assert (lost.luck, lost.without_images) == (NOTHING, (1, 2))
    assert _with_behind({}, {}).without_images == ()  # of no cell: the metric has none, or they were not kept
    beside = Paired(
        (Condition("a", dict.fromkeys(range(3), 0.0), MAE, BEHIND, 20), Condition("0", dict.fromkeys(range(3), 0.0)))
    )
    assert math.isfinite(beside.luck.variance)
    assert beside.luck.kept == 20  # a plain number has no images and needs none
