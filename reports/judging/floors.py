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
FIDELITY: Final = ("ssim", "mse", "mae", "legibility")


def share(value: float, floor: float | None, ceiling: float | None) -> float:
    """Where a value stands: 0 at the floor, 1 at the ceiling; NaN where either is unknown, or no room lies between.

    >>> share(0.5, floor=0.0, ceiling=1.0), share(40.0, floor=50.0, ceiling=0.0)
    (0.5, 0.2)
    """
    if floor is None or ceiling is None or not math.isfinite(value) or floor == ceiling:
        return math.nan
    return (value - floor) / (ceiling - floor)


def conditional(arm: Arm) -> bool:
    """Whether the arm's model is given the labels."""
    return bool(arm.get("model.conditional"))


def carries_nothing(shares: Mapping[str, float], *, with_labels: bool = False) -> bool:
    """Whether an arm is at the floor, from its shares by metric; False where no metric of fidelity has one.

    with_labels: the model is given the labels, so that legibility says nothing of its latents.

    >>> carries_nothing({"ssim": 0.01, "mse": -0.2}), carries_nothing({"ssim": 0.01, "legibility": 0.8})
    (True, False)
    """
    known = [
        shares[metric]
        for metric in FIDELITY
        if math.isfinite(shares.get(metric, math.nan)) and not (with_labels and metric == "legibility")
    ]
    return bool(known) and max(known) < LEAST_SHARE


@dataclass(frozen=True)
class Floors:
    """Floors and ceilings of a study. Without references nothing is known, and no arm is at the floor."""

    references: References | None = None

    def floor(self, arm: Arm, metric: str) -> float | None:
        """The value of a model without latents, given the labels where the arm is."""
        return None if self.references is None else self.references.floor_of(metric, conditional(arm))

    def ceiling(self, metric: str) -> float | None:
        """The value of the original images."""
        return None if self.references is None else self.references.ceiling.get(metric)

    def share(self, cells: Cells, arm: Arm, metric: str) -> float:
        """Where an arm's mean over its seeds stands; NaN where that is not known."""
        return share(cells.mean(arm, metric), self.floor(arm, metric), self.ceiling(metric))

    def carries_nothing(self, arm: Arm, means: Mapping[str, float]) -> bool:
        """Whether an arm is at the floor. means: metric -> mean over its seeds."""
        shares = {
            metric: share(means[metric], self.floor(arm, metric), self.ceiling(metric))
            for metric in FIDELITY
            if metric in means
        }
        return carries_nothing(shares, with_labels=conditional(arm))

    def at_floor(self, cells: Cells, arm: Arm) -> bool:
        """The same, from the arm's cells."""
        return self.carries_nothing(arm, {metric: cells.mean(arm, metric) for metric in FIDELITY})

    def says_nothing(self, arm: Arm, metric: str, margin: float) -> str:
        """Why a metric says nothing of an arm's latents: a model without them reaches the ceiling. Else empty."""
        floor, ceiling = self.floor(arm, metric), self.ceiling(metric)
        entry = CATALOGUE.get(metric)
        if entry is not None and entry.by_classifier and entry.where == "reconstructions" and conditional(arm):
            return f"{entry.label} says nothing of the latents of a model that is given the labels"
        if floor is None or ceiling is None or entry is None or entry.direction not in ("higher", "lower"):
            return ""
        left = (ceiling - floor) * (1 if entry.direction == "higher" else -1)
        if left > margin:
            return ""
        given = " that is given the labels" if conditional(arm) else ""
        return (
            f"{entry.label} says nothing of the latents here: a model without latents{given} reads {number(floor, 3)}, "
            f"and the originals {number(ceiling, 3)}"
        )


UNKNOWN: Final = Floors()
