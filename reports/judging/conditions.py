"""One side of a comparison: its value at every seed, the values behind it, and the seeds at which it failed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from reports.claims.regions import Region
from reports.judging.decisions import Data
from reports.judging.luck import NOTHING, Added, added
from reports.judging.statistics import mean
from vae.arms import Arm

Array = NDArray[np.float64]
T = TypeVar("T", float, Array)


@dataclass(frozen=True)
class Condition:
    """One side. values: seed -> value. arms: those that it was read from; none for a plain number.

    behind: seed -> the values that the value is the mean of, by image and classifier, as `Cells.behind` gives them.
    images: how many images the value is the mean over; None where it is no mean over images. failed: seeds at which a
    cell failed. on_curve: the value is read off a curve over beta, between these arms.
    """

    label: str
    values: Mapping[int, float]
    arms: tuple[Arm, ...] = ()
    behind: Mapping[int, Array] = field(default_factory=dict)
    images: int | None = None
    failed: frozenset[int] = frozenset()
    on_curve: bool = False


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
        return {seed: _difference([c.values[seed] for c in self.conditions]) for seed in self.seeds}

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
        if len(self._behind) < 2:
            return NOTHING
        # Cells may have been measured with other numbers of kept images: the first ones are the same images.
        return added([values[..., : self.images_kept] for values in self._behind.values()], self.images)

    @cached_property
    def without_images(self) -> tuple[int, ...]:
        """The seeds whose difference has no values of single images behind it, where others have."""
        return tuple(seed for seed in self.seeds if seed not in self._behind) if any(self._sides_behind) else ()

    @property
    def images_kept(self) -> int:
        """Of how many images the values were kept, in every cell."""
        return min((values.shape[-1] for values in self._behind.values()), default=0)

    @property
    def _sides_behind(self) -> list[Mapping[int, Array]]:
        """The values behind each side; a plain number beside an arm has none, and adds nothing to the variance."""
        return [side.behind for side in self.conditions if side.arms]

    @cached_property
    def _behind(self) -> dict[int, Array]:
        """seed -> the differences of single images, (..., k); of the seeds that every side has, of as many classifiers
        as most."""
        rows = {}
        for seed in self.seeds:
            values = [behind[seed] for behind in self._sides_behind if seed in behind]
            if len(values) == len(self._sides_behind) and len({array.shape[:-1] for array in values}) == 1:
                kept = min(array.shape[-1] for array in values)
                rows[seed] = _difference([array[..., :kept] for array in values])
        usual = Counter(array.shape[:-1] for array in rows.values()).most_common(1)
        return {seed: array for seed, array in rows.items() if array.shape[:-1] == usual[0][0]}

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


UNPAIRED: Final = Paired()


def _difference(sides: Sequence[T]) -> T:
    """First minus second, or the only one."""
    return sides[0] - sides[1] if len(sides) > 1 else sides[0]


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
