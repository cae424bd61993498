"""Floors and ceilings: where an arm stands between a model without latents and the originals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.judging.cells import Cells
from reports.judging.floors import LEAST_SHARE, UNKNOWN, Floors, carries_nothing, share
from tests.claim_samples import arm, frame, references
from vae.arms import Arm

FLOOR = {"ssim": 0.2, "mse": 50.0, "legibility": 0.1, "foreground_recall": 0.985}
WITH_LABELS = {"ssim": 0.3, "mse": 40.0, "legibility": 0.985}
CEILING = {"ssim": 1.0, "mse": 0.0, "legibility": 0.99, "foreground_recall": 0.99}
FLOORS = Floors(references(floor=FLOOR, floor_with_labels=WITH_LABELS, ceiling=CEILING))
PLAIN, GIVEN_LABELS = Arm("mae"), Arm("mae", **{"model.conditional": True})
numbers = st.floats(-100, 100).map(lambda value: round(value, 3))


@given(floor=numbers, ceiling=numbers, at=st.floats(-2, 3), scale=st.sampled_from([-7.0, -1.0, 0.01, 3.0]))
def test_a_share_is_the_same_in_any_unit_and_direction(floor: float, ceiling: float, at: float, scale: float) -> None:
    if floor == ceiling:
        assert math.isnan(share(at, floor, ceiling))
        return
    value = floor + at * (ceiling - floor)
    assert share(floor, floor, ceiling) == 0
    assert share(ceiling, floor, ceiling) == 1
    assert share(value, floor, ceiling) == pytest.approx(at, abs=1e-6)
    there = share(scale * value + 5, scale * floor + 5, scale * ceiling + 5)
    assert there == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "floor", "ceiling"),
    [(0.5, None, 1.0), (0.5, 0.0, None), (math.nan, 0.0, 1.0), (math.inf, 0.0, 1.0), (0.5, 1.0, 1.0)],
)
def test_a_share_of_what_is_unknown_is_unknown(value: float, floor: float | None, ceiling: float | None) -> None:
    assert math.isnan(share(value, floor, ceiling))


@pytest.mark.parametrize(
    ("shares", "nothing"),
    [
        ({}, False),  # nothing known, nothing said
        ({"acutance": 0.0}, False),  # no metric of fidelity
        ({"ssim": math.nan}, False),
        ({"ssim": LEAST_SHARE - 1e-9}, True),
        ({"ssim": LEAST_SHARE}, False),
        ({"ssim": 0.0, "mse": -3.0, "mae": 0.01}, True),
        ({"ssim": 0.0, "mse": 0.06}, False),  # one metric of fidelity is enough
        ({"ssim": 0.0, "legibility": 0.9}, False),
    ],
)
def test_an_arm_carries_nothing_when_every_metric_of_fidelity_says_so(shares: dict[str, float], nothing: bool) -> None:
    assert carries_nothing(shares) == nothing


@given(st.dictionaries(st.sampled_from(["ssim", "mse", "mae", "legibility"]), st.floats(-1, 1), min_size=1))
def test_a_better_share_never_takes_an_arm_to_the_floor(shares: dict[str, float]) -> None:
    for metric in shares:
        better = shares | {metric: shares[metric] + 0.3}
        assert carries_nothing(shares) or not carries_nothing(better)


def test_legibility_of_a_model_that_is_given_the_label_counts_for_nothing() -> None:
    shares = {"ssim": 0.0, "legibility": 1.0}
    assert carries_nothing(shares, with_labels=True)
    assert not carries_nothing(shares, with_labels=False)
    assert not carries_nothing({"legibility": 0.0}, with_labels=True)  # nothing is left to say so


def test_a_model_that_is_given_the_labels_has_a_floor_with_labels() -> None:
    assert (FLOORS.floor(PLAIN, "ssim"), FLOORS.floor(GIVEN_LABELS, "ssim")) == (0.2, 0.3)
    assert FLOORS.floor(PLAIN, "acutance") is None
    assert (UNKNOWN.floor(PLAIN, "ssim"), UNKNOWN.ceiling("ssim")) == (None, None)


def _cells(ssim: float, mse: float, **columns: object) -> tuple[Cells, Arm]:
    values = {"ssim": [ssim - 0.1, ssim, ssim + 0.1], "mse": [mse] * 3, "legibility": [0.99] * 3}
    cells = Cells(frame(arm("mae-sum-1", values, **columns)))
    return cells, next(iter(cells.rows))


def test_an_arm_stands_where_the_mean_over_its_seeds_does() -> None:
    cells, one = _cells(ssim=0.6, mse=30.0)
    assert FLOORS.share(cells, one, "ssim") == pytest.approx(0.5)
    assert FLOORS.share(cells, one, "mse") == pytest.approx(0.4)
    assert math.isnan(FLOORS.share(cells, one, "psnr"))
    assert not FLOORS.at_floor(cells, one)


def test_a_conditional_arm_at_its_floor_is_so_although_it_is_legible() -> None:
    for columns, at_floor in (({}, False), ({"model.conditional": True}, True)):
        cells, one = _cells(ssim=0.31, mse=40.0, **columns)
        assert FLOORS.at_floor(cells, one) == at_floor
        assert not UNKNOWN.at_floor(cells, one)


@pytest.mark.parametrize(
    ("arm_", "metric", "margin", "says_nothing"),
    [
        (PLAIN, "legibility", 0.01, False),
        (PLAIN, "foreground_recall", 0.01, True),  # .985 of .99 is reached without latents
        (PLAIN, "foreground_recall", 0.001, False),  # a margin that still fits between
        (GIVEN_LABELS, "mse", 1.0, False),
        (PLAIN, "acutance", 0.5, False),  # no floor is known
        (PLAIN, "no_such_metric", 0.5, False),
    ],
)
def test_a_metric_says_nothing_where_a_model_without_latents_reaches_the_originals(
    arm_: Arm, metric: str, margin: float, says_nothing: bool
) -> None:
    why = FLOORS.says_nothing(arm_, metric, margin)
    assert bool(why) == says_nothing
    if why:
        assert "a model without latents reads 0.985, and the originals 0.99" in why


def test_samples_have_one_floor_whatever_the_model_is_given() -> None:
    both = Floors(references(floor={"kid": 0.5, "ssim": 0.2}, floor_with_labels={"kid": 0.1, "ssim": 0.3}))
    assert (both.floor(PLAIN, "kid"), both.floor(GIVEN_LABELS, "kid")) == (0.5, 0.5)
    assert (both.floor(PLAIN, "ssim"), both.floor(GIVEN_LABELS, "ssim")) == (0.2, 0.3)


def test_the_direction_of_a_metric_tells_which_way_the_ceiling_lies() -> None:
    past = Floors(references(floor={"mse": 5.0, "ssim": 0.9}, ceiling={"mse": 9.0, "ssim": 0.7}))
    assert past.says_nothing(PLAIN, "mse", 0.1)  # lower is better, and the floor is below the ceiling
    assert past.says_nothing(PLAIN, "ssim", 0.1)
    undirected = Floors(references(floor={"rate": 0.0}, ceiling={"rate": 0.0}))
    assert not undirected.says_nothing(PLAIN, "rate", 0.1)
