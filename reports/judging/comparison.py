"""One comparison of a claim, measured: its paired differences, and what a reader must know beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from reports.claims.checks import Finding
from reports.claims.model import Leg
from reports.judging.cells import Cells
from reports.judging.conditions import UNPAIRED, Condition, Paired
from reports.judging.decisions import Data, Difference, analyse
from reports.judging.names import Side
from reports.judging.verdict import Count
from reports.numbers import setting
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE

_STEPS: Final[Mapping[str, float]] = {"whole": 1.0}


@dataclass(frozen=True)
class Comparison:
    """One comparison, measured.

    pair: the sides compared, first minus second (one side where it is compared with a number, or along beta). read:
    the arms whose cells were read. paired: their values, seed by seed. levels: name -> mean over the seeds used.
    rates: nats, of a comparison at equal rate. counted: whether it bears on its claim. caveats: what the sentence
    itself must say, as clauses. reason: why there is nothing to test; then nothing is paired. blocked: why what was
    measured cannot be judged. won_by: the arm that wins the metric by construction. at_floor: labels of the arms that
    carry nothing. shared: what the arms of a seed have in common. finding: of a check, which reads no cell.
    """

    leg: Leg
    label: str
    pair: tuple[Side, ...] = ()
    read: tuple[Arm, ...] = ()
    paired: Paired = UNPAIRED
    levels: Mapping[str, float] | None = None
    counts: tuple[Count, ...] = ()
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    shared: tuple[str, ...] = ()
    counted: bool = True
    reason: str = ""
    blocked: str = ""
    won_by: str = ""
    at_floor: tuple[str, ...] = ()
    finding: Finding | None = None

    @property
    def by_seed(self) -> Mapping[int, float]:
        """seed -> difference."""
        return {} if self.reason else self.paired.by_seed

    @property
    def means(self) -> Mapping[str, float]:
        """Name -> mean over the seeds used."""
        if self.reason:
            return {}
        return self.paired.levels if self.levels is None else self.levels

    @cached_property
    def data(self) -> Data:
        """What a decision is made from."""
        return self.paired.data(self.leg.region)

    @cached_property
    def difference(self) -> Difference | None:
        """The paired differences, analysed; None where there is nothing to test."""
        return analyse(self.data, self.leg.region, by_value=self.leg.kind.by_value) if self.by_seed else None

    @property
    def in_family(self) -> bool:
        """Whether its p belongs to the family: a counted comparison that is tested and can be judged."""
        return self.leg.kind.in_family and self.counted and not self.blocked


def condition(cells: Cells, arm: Arm, metric: str) -> Condition:
    """An arm as one side of a comparison."""
    behind, images = cells.behind(arm, metric), cells.images(arm, metric)
    return Condition(cells.label(arm), cells.values(arm, metric), (arm,), behind, images, cells.failed(arm, metric))


def subtracted(leg: Leg, conditions: Sequence[Condition]) -> Comparison:
    """The differences, seed by seed, of two conditions, or of one and the leg's reference."""
    sides = list(conditions)
    if len(sides) == 1:
        reference = leg.reference or 0.0
        sides.append(Condition(setting(reference), dict.fromkeys(sides[0].values, reference)))
    return Comparison(leg, f"{sides[0].label} − {sides[1].label}", paired=Paired(tuple(sides), _step(leg, sides)))


def _step(leg: Leg, conditions: Sequence[Condition]) -> float:
    """The step of the lattice on which differences of single arms lie; 0 for none."""
    lattice = CATALOGUE[leg.metric].lattice if leg.metric in CATALOGUE else ""
    if any(side.on_curve for side in conditions):
        return 0.0
    if lattice != "images":
        return _STEPS.get(lattice, 0.0)
    side = conditions[0]
    classifiers = max((len(np.atleast_2d(values)) for values in side.behind.values()), default=1)
    return 1 / (side.images * classifiers) if side.images else 0.0
