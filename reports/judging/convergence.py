"""The course of training: how an effect stood at several points of it, and whether it still moves.

Effects shrink, and some turn round, as training goes on. So cells are measured at points of training (a quarter, half,
all), at each on the same test images. A comparison is *settled* when over the last step between points
neither its effect nor the value of either side (of a trend, of any arm) moved by more than the margin, and when as much
again would not take the effect across an end of the region that the claim names. Whether it has settled is not known
where some seed of it was not measured at both points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from reports.claims.kinds import Measure
from reports.claims.model import Claim, Leg
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison
from reports.judging.conditions import Paired
from reports.judging.decisions import Family, decide_with_failures
from reports.judging.differences import measure
from reports.judging.floors import Floors
from reports.judging.statistics import estimate, mean
from reports.judging.verdict import INSUFFICIENT, AtEpoch
from reports.numbers import counted, finite
from tracking import schema
from vae.arms import Arm
from vae.factors import factors


@dataclass(frozen=True)
class Point:
    """One point of training. share: of all epochs. cells: as they were measured there."""

    share: float
    cells: Cells


@dataclass(frozen=True)
class Course:
    """A comparison over training. moved: how far the effect moved over the last step; sides_moved: how far that side
    which moved most; settled: as above. None where that is not known.

    words: epochs, as text -> the word that this point alone would give; the end is left to the verdict.
    """

    points: tuple[AtEpoch, ...] = ()
    moved: float | None = None
    sides_moved: float | None = None
    settled: bool | None = None
    words: Mapping[str, str] = field(default_factory=dict)


def points_of(
    frame: pd.DataFrame, history: pd.DataFrame | None, planned: pd.DataFrame | None, base: Arm | None
) -> tuple[Point, ...]:
    """The points of training at which the cells of a frame were measured, earliest first; none where they were not.

    history: columns key, epoch, metric, value. Of cells with different numbers of points, the last points go together.
    """
    if history is None or history.empty or "key" not in frame.columns:
        return ()
    rows = history[history["metric"].str.startswith(schema.POINT)]
    rows = rows[rows["key"].isin(frame["key"])]
    if rows.empty:
        return ()
    last = rows.groupby("key")["epoch"].transform("max")
    place = rows.groupby("key")["epoch"].rank(method="dense", ascending=False)  # 1: the end
    rows = rows.assign(place=place, share=rows["epoch"] / last, metric=rows["metric"].str.removeprefix(schema.POINT))
    return tuple(
        Point(float(at["share"].mean()), Cells(_frame_at(frame, at), planned, base))
        for _, at in sorted(rows.groupby("place"), reverse=True)
    )


def _frame_at(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The frame with the values of one point in place of the final ones."""
    values = rows.pivot_table(index="key", columns="metric", values="value").reindex(frame["key"])
    columns = {name: values[name].to_numpy() for name in values.columns}
    settings = {*factors(), *schema.NUMBERS}  # numbers that are no metrics
    metrics = [name for name in frame.columns if frame[name].dtype.kind in "fiu" and name not in settings]
    return frame.drop(columns=[name for name in metrics if name not in columns]).assign(**columns)


Key = tuple[int, str]  # place of a leg in its claim, and the label of the comparison
AtPoints = tuple[tuple[Point, Mapping[Key, Comparison]], ...]


def comparisons_at(points: Iterable[Point], claim: Claim, legs: Sequence[Leg], place: str, floors: Floors) -> AtPoints:
    """Every comparison of these legs at every point."""
    return tuple(
        (
            point,
            {
                (i, one.label): one
                for i, leg in enumerate(legs)
                if not leg.kind.computed  # which no training changes
                for one in measure(claim, leg, place, point.cells, floors)
            },
        )
        for point in points
    )


def course(
    measured: Comparison, key: Key, at_points: AtPoints, alpha: float, family: Family, *, ranks: bool = False
) -> Course:
    """How a comparison stood at each point. alpha, family, ranks: of the words that these points would give."""
    known = [(point, at[key]) for point, at in at_points if key in at and at[key].by_seed]
    if not known:
        return Course()
    points = tuple(_at(point, one, measured.read) for point, one in known)
    words = {}
    for point, (_, one) in list(zip(points, known))[:-1]:
        name = counted(point.epochs, "epoch") if point.epochs else f"{point.share:.0%} of training"
        if one.blocked:
            words[name] = INSUFFICIENT
        elif one.difference is not None:
            words[name] = decide_with_failures(one.difference.tested, alpha, family, ranks=ranks).word
    if len(known) < 2:
        return Course(points, words=words)
    before, after = known[-2][1], known[-1][1]
    if not measured.by_seed.keys() == before.by_seed.keys() == after.by_seed.keys():
        return Course(points, words=words)  # a seed that was not followed may be the one that moves
    moved = mean(after.by_seed[seed] - before.by_seed[seed] for seed in after.by_seed)
    sides_moved = max(_sides_moved(before, after), key=abs)
    allowed = measured.leg.margin or _half_width(after.paired)
    effect, region = mean(after.by_seed.values()), measured.leg.region
    # As much again, as with twice the training, would take the effect across an end of the region.
    crosses = bool(region.holds(effect)) != bool(region.holds(effect + moved))
    settled = max(abs(moved), abs(sides_moved)) <= allowed and not crosses
    return Course(points, moved, sides_moved, settled, words)


def _at(point: Point, one: Comparison, arms: Sequence[Arm]) -> AtEpoch:
    found = estimate(list(one.by_seed.values()))
    epochs = {round(point.share * point.cells.epochs(arm)) for arm in arms}
    low, high = finite(found.low), finite(found.high)
    return AtEpoch(point.share, epochs.pop() if len(epochs) == 1 else None, found.mean, low, high, found.n)


def _sides_moved(before: Comparison, after: Comparison) -> list[float]:
    """How far each side moved; of a trend, each of its arms: a slope can stand still while all its arms move."""
    if after.leg.kind.measure is Measure.SLOPE:
        return [after.means[name] - before.means[name] for name in after.means.keys() & before.means.keys()]
    sides = [(c.values, d.values) for c, d in zip(before.paired.conditions, after.paired.conditions) if d.arms]
    return [mean(now[seed] - then[seed] for seed in after.by_seed) for then, now in sides]


def _half_width(paired: Paired) -> float:
    """Where the margin is 0: half the width of the effect's interval. What moves less counts as still."""
    found = estimate(list(paired.by_seed.values()))
    return 0.0 if found.high != found.high else found.high - found.mean
