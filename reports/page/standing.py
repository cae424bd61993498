"""Where the arms of a study stand between a model without latents and the original images, as the report shows it.

Floors, ceilings and the rule for "no better than a model without latents" are those of `reports.judging.floors`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from reports.judging.cells import Cells
from reports.judging.floors import FIDELITY, LEAST_SHARE, Floors
from reports.judging.statistics import mean
from reports.numbers import counted, listed, number
from reports.page.evidence import Evidence
from reports.page.layout import described
from vae.arms import Arm

FLOOR: Final = "model without latents"
FLOOR_WITH_LABELS: Final = "model without latents, given the labels"
CEILING: Final = "originals"
HISTOGRAM: Final = "histogram of each pixel"
AT_FLOOR: Final = f"no better than a {FLOOR}"
AT_FLOOR_HERE: Final = "at the floor"  # where there is no place for more: the caption says what it means
UNKNOWN: Final = (
    "Floor and ceiling are not known: this run did not log what a model without latents and the originals read. So it "
    "is not known whether an arm carries anything of the images."
)
_CONDITIONAL: Final = "model.conditional"
_MOST_NAMED: Final = 5
_RANKED: Final = ("higher", "lower")  # where more of the way from floor to ceiling is better


@dataclass(frozen=True)
class Standing:
    """The done cells of a study, and the floors and ceilings that are known of its images."""

    cells: Cells
    floors: Floors

    @classmethod
    def of(cls, evidence: Evidence) -> Standing:
        return cls(Cells(evidence.done, base=evidence.base), Floors(evidence.references))

    @property
    def known(self) -> bool:
        return self.floors.references is not None

    @cached_property
    def at_floor(self) -> tuple[str, ...]:
        """The labels of the arms that carry nothing, in the order of the frame."""
        return tuple(self.cells.label(arm) for arm in self.cells.rows if self.floors.at_floor(self.cells, arm))

    def share(self, label: str, metric: str) -> float | None:
        """How far from floor to ceiling an arm's mean lies; None where it is not known, or where more is not better."""
        arm = self.arms.get(label)
        if arm is None or described(metric).direction not in _RANKED:
            return None
        share = self.floors.share(self.cells, arm, metric)
        return share if math.isfinite(share) else None

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """Label -> arm."""
        return {self.cells.label(arm): arm for arm in self.cells.rows}

    @property
    def rows(self) -> dict[str, Mapping[str, float]]:
        """The references that stand as rows in the table of arms: name -> metric -> value."""
        known = self.floors.references
        if known is None:
            return {}
        given = {bool(arm.get(_CONDITIONAL)) for arm in self.cells.rows}
        rows = {
            FLOOR: known.floor if False in given or not known.floor_with_labels else {},
            FLOOR_WITH_LABELS: known.floor_with_labels if True in given else {},
            HISTOGRAM: known.histogram,
            CEILING: known.ceiling,
        }
        return {name: values for name, values in rows.items() if values}

    @cached_property
    def failing(self) -> dict[str, str]:
        """The likelihoods by which a histogram of each pixel beats every arm: metric -> a sentence."""
        known = self.floors.references
        sentences = {}
        for metric, value in ({} if known is None else known.histogram).items():
            means = [mean(values.values()) for arm in self.cells.rows if (values := self.cells.values(arm, metric))]
            lower = described(metric).direction != "higher"
            best = (min if lower else max)(means, default=math.nan)
            if math.isfinite(value) and (value < best if lower else value > best):
                sentences[metric] = (
                    f"{described(metric).label} fails as a measure here: a {HISTOGRAM}, which takes no account of how "
                    f"pixels go together, reads {number(value, 3)}, and the best arm {number(best, 3)}."
                )
        return sentences

    @property
    def sentence(self) -> str:
        """How many arms carry nothing; empty where that is not known."""
        read = [arm for arm in self.cells.rows if any(math.isfinite(share) for share in self._fidelity(arm))]
        if not read:
            return ""
        if not self.at_floor:
            return f"No arm is at the floor: each is better than a {FLOOR} by at least one metric of fidelity."
        count = len(self.at_floor)
        which = f": {listed(self.at_floor)}" if count <= _MOST_NAMED else ""
        return (
            f"{count} of {counted(len(read), 'arm')} {'is' if count == 1 else 'are'} at the floor{which}. By every "
            f"metric of fidelity such an arm has gone less than {100 * LEAST_SHARE:g} % of the way from a {FLOOR} to "
            "the originals, and it counts as carrying nothing."
        )

    def _fidelity(self, arm: Arm) -> list[float]:
        return [self.floors.share(self.cells, arm, metric) for metric in FIDELITY]


def with_standing(means: pd.DataFrame, standing: Standing) -> pd.DataFrame:
    """The means with the columns floor, ceiling, share and at_floor; as they are where nothing is known."""
    if not standing.known:
        return means
    pairs = list(zip(means["arm"], means["metric"]))
    return means.assign(
        floor=_column(standing.floors.floor(standing.arms[arm], metric) for arm, metric in pairs),
        ceiling=_column(standing.floors.ceiling(metric) for _, metric in pairs),
        share=_column(standing.floors.share(standing.cells, standing.arms[arm], metric) for arm, metric in pairs),
        at_floor=[arm in standing.at_floor for arm, _ in pairs],
    )


def _column(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
