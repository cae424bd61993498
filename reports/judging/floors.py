"""Where an arm stands between a model without latents and the original images, and which arms carry nothing.

The floor of a metric is what a model without latents reads: the mean or the median training image in place of every
reconstruction and sample (of each class, for models that are given the labels). Its ceiling is what the originals read.
An arm is *at the floor* when, by every metric of fidelity, it has gone less than `LEAST_SHARE` of the way from one to
the other: its pictures show nothing of their originals, however sharp they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reports.claims.references import References
from reports.judging.cells import Cells
from reports.numbers import number
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE

LEAST_SHARE: Final = 0.05
FIDELITY: Final = ("ssim", "mse", "mae", "legibility")  # legibility says nothing of a model that is given the labels
_CONDITIONAL: Final = "model.conditional"


def share(value: float, floor: float | None, ceiling: float | None) -> float:
    """Where a value stands: 0 at the floor, 1 at the ceiling; NaN where either is unknown, or no room lies between.

    >>> share(0.5, floor=0.0, ceiling=1.0), share(40.0, floor=50.0, ceiling=0.0)
    (0.5, 0.2)
    """
    if floor is None or ceiling is None or not math.isfinite(value) or floor == ceiling:
        return math.nan
    return (value - floor) / (ceiling - floor)


def carries_nothing(shares: Mapping[str, float], *, conditional: bool = False) -> bool:
    """Whether an arm is at the floor, from its shares by metric; False where no metric of fidelity has one.

    >>> carries_nothing({"ssim": 0.01, "mse": -0.2}), carries_nothing({"ssim": 0.01, "legibility": 0.8})
    (True, False)
    """
    known = [
        shares[metric]
        for metric in FIDELITY
        if math.isfinite(shares.get(metric, math.nan)) and not (conditional and metric == "legibility")
    ]
    return bool(known) and max(known) < LEAST_SHARE


@dataclass(frozen=True)
class Floors:
    """Floors and ceilings of a study. Without references nothing is known, and no arm is at the floor."""

    references: References | None = None

    def floor(self, arm: Arm, metric: str) -> float | None:
        """The value of a model without latents, given the labels where the arm is."""
        if self.references is None:
            return None
        of_mode = self.references.floor_with_labels if arm.get(_CONDITIONAL) else self.references.floor
        return of_mode.get(metric)

    def ceiling(self, metric: str) -> float | None:
        """The value of the original images."""
        return None if self.references is None else self.references.ceiling.get(metric)

    def share(self, cells: Cells, arm: Arm, metric: str) -> float:
        """Where an arm's mean over its seeds stands."""
        values = list(cells.values(arm, metric).values())
        mean = math.fsum(values) / len(values) if values else math.nan
        return share(mean, self.floor(arm, metric), self.ceiling(metric))

    def at_floor(self, cells: Cells, arm: Arm) -> bool:
        """Whether an arm carries nothing."""
        shares = {metric: self.share(cells, arm, metric) for metric in FIDELITY}
        return carries_nothing(shares, conditional=bool(arm.get(_CONDITIONAL)))

    def says_nothing(self, arm: Arm, metric: str, margin: float) -> str:
        """Why a metric says nothing of an arm's latents: a model without them reaches the ceiling. Else empty."""
        floor, ceiling = self.floor(arm, metric), self.ceiling(metric)
        entry = CATALOGUE.get(metric)
        if floor is None or ceiling is None or entry is None or entry.direction not in ("higher", "lower"):
            return ""
        left = (ceiling - floor) * (1 if entry.direction == "higher" else -1)
        if left > margin:
            return ""
        given = " that is given the labels" if arm.get(_CONDITIONAL) else ""
        return (
            f"{entry.label} says nothing of the latents here: a model without latents{given} reads {number(floor, 3)}, "
            f"and the originals {number(ceiling, 3)}"
        )


UNKNOWN: Final = Floors()
