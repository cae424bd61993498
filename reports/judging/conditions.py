"""One side of a comparison: its value at every seed, the values behind it, and the seeds at which it failed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reports.claims.regions import Region
from reports.judging.decisions import Data
from reports.judging.luck import NOTHING, Added, added
from vae.arms import Arm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """One side. values: seed -> value. arms: those that it was read from; none for a plain number.

    behind: seed -> the values that the value is the mean of, by image and classifier, as `Cells.behind` gives them.
    images: how many images the value is the mean over; None where it is no mean over images. failed: seeds at which a
    cell failed.
    """

    label: str
    values: Mapping[int, float]
    arms: tuple[Arm, ...] = ()
    behind: Mapping[int, Array] = field(default_factory=dict)
    images: int | None = None
    failed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Paired:
    """One or two conditions, paired by seed. step: of the lattice that the values lie on; 0 for none."""

    conditions: tuple[Condition, ...] = ()
    step: float = 0.0

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds at which every condition has a value."""
        first, *others = [condition.values.keys() for condition in self.conditions] or [{}.keys()]
        return tuple(sorted(set(first).intersection(*others)))

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """seed -> first minus second, or the only one."""
        return {seed: self._difference([c.values[seed] for c in self.conditions]) for seed in self.seeds}

    @property
    def levels(self) -> dict[str, float]:
        """Condition -> its mean over the seeds; plain numbers are left out."""
        return {c.label: mean(c.values[seed] for seed in self.seeds) for c in self.conditions if c.arms and self.seeds}

    @property
    def images(self) -> int | None:
        """How many images the difference is the mean over."""
        return next((c.images for c in self.conditions if c.images is not None), None)

    @cached_property
    def luck(self) -> Added:
        """What images and classifiers add to the variance of the mean difference."""
        sides = [c for c in self.conditions if c.arms]
        if not all(seed in side.behind for side in sides for seed in self.seeds):
            return NOTHING
        shapes = {side.behind[seed].shape for side in sides for seed in self.seeds}
        if len(shapes) != 1:
            return NOTHING
        # A plain number beside an arm adds nothing to the variance.
        rows = [[side.behind[seed] for side in sides] for seed in self.seeds]
        return added([row[0] - row[1] if len(row) > 1 else row[0] for row in rows], self.images)

    def data(self, region: Region) -> Data:
        """What a decision is made from. region: where the claim says that the difference lies."""
        return Data(self.by_seed, self.luck, self.step, self._failed(region))

    def _failed(self, region: Region) -> dict[int, tuple[float, float]]:
        """The difference of each seed with a failed cell: what speaks most against the claim, and most for it.

        A failed cell may have any value from the least to the greatest that a cell of the comparison has; the other
        side keeps its own, or, where it has none, has any from its own least to its own greatest.
        """
        pool = [value for c in self.conditions if c.arms for value in c.values.values()]
        seeds = sorted({seed for c in self.conditions for seed in c.failed})
        if not pool or not self.by_seed:
            return {}
        extremes = {}
        for seed in seeds:
            ends = [_ends(c, seed, pool) for c in self.conditions]
            low, high = (ends[0][0] - ends[-1][1], ends[0][1] - ends[-1][0]) if len(ends) > 1 else ends[0]
            candidates = (low, high, min(max(_middle(region), low), high))
            against, *_, in_favour = sorted(candidates, key=lambda d: _towards(region, d))
            extremes[seed] = against, in_favour
        return extremes

    @staticmethod
    def _difference(sides: Sequence[float]) -> float:
        return sides[0] - sides[1] if len(sides) > 1 else sides[0]


UNPAIRED: Final = Paired()


def _ends(condition: Condition, seed: int, pool: Collection[float]) -> tuple[float, float]:
    """The least and the greatest value that a condition may have had at a seed."""
    if seed in condition.values and seed not in condition.failed:
        return (condition.values[seed],) * 2
    among = pool if seed in condition.failed else condition.values.values() or pool
    return min(among), max(among)


def _middle(region: Region) -> float:
    """The value furthest inside the region: of an equality its centre, else the infinite end."""
    if len(region.ends) == 2:
        return (region.low + region.high) / 2
    return region.high if math.isfinite(region.low) else region.low


def _towards(region: Region, difference: float) -> float:
    """How far inside the region a difference lies; negative outside."""
    return min(difference - region.low, region.high - difference)


def mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known)
