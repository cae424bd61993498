"""The pictures of the first screen: the same test images as every loss returns them, at one beta and at one rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from reports.numbers import number, setting
from reports.page.base import at_base
from reports.page.evidence import Evidence
from reports.page.pictures import ORIGINALS, Strip, first_cells, strip

_NOMINAL: Final = 1.0  # the beta of the paper
_IMAGES: Final = 6  # in a strip, so that each is large enough to be seen
_MOST_APART: Final = 0.5  # of the rate that is to be equal: an arm farther away is not shown as one of equal rate


@dataclass(frozen=True)
class Group:
    """Strips under one heading, such as "at β = 1"."""

    title: str
    strips: tuple[Strip, ...]


def first_pictures(evidence: Evidence) -> tuple[Group, ...]:
    """The originals, each loss at beta 1, and each loss where its rate is that of the first loss at beta 1.

    Arms are those of reduction `sum` at the study's base; beta 1 gives way to the base's where no arm has it. At equal
    rate, the arm nearest in rate stands for each loss, with its rate beside it. Empty without pictures.
    """
    cells = at_base(evidence.done, evidence.base)
    cells = cells[cells["reduction"] == "sum"]
    shown = [cell for cell in first_cells(cells, evidence.pictures) if _images(evidence, cell) is not None]
    beta = _NOMINAL if any(cell["beta"] == _NOMINAL for cell in shown) else evidence.base.beta
    nominal = [cell for cell in shown if cell["beta"] == beta]
    if not nominal:
        return ()
    originals = evidence.pictures[nominal[0]["key"]][ORIGINALS]
    shown = [cell for cell in shown if np.array_equal(evidence.pictures[cell["key"]][ORIGINALS], originals)]
    rates = _rates(cells)
    groups = [
        Group("", (Strip(ORIGINALS, "", strip(originals[:_IMAGES])),)),
        Group(f"at β = {setting(beta)}", tuple(_strip(evidence, cell, rates) for cell in nominal)),
    ]
    alike = _nearest(shown, rates, rates.get(nominal[0]["arm"], np.nan))
    if len(alike) > 1:
        strips = tuple(_strip(evidence, cell, rates, beta=True) for cell in alike)
        groups.append(Group(f"at the rate of {nominal[0]['loss'].upper()} there, or near it", strips))
    return tuple(groups)


def _rates(cells: pd.DataFrame) -> dict[str, float]:
    """Arm -> its mean rate over seeds, nats per image."""
    if "rate" not in cells.columns:
        return {}
    return {str(arm): float(rate) for arm, rate in cells.groupby("arm")["rate"].mean().items()}


def _images(evidence: Evidence, cell: dict[str, Any]) -> np.ndarray[Any, Any] | None:
    arrays = evidence.pictures[cell["key"]]
    return arrays.get("reconstructions") if ORIGINALS in arrays else None


def _nearest(cells: list[dict[str, Any]], rates: dict[str, float], rate: float) -> list[dict[str, Any]]:
    """Of each loss, the cell of the arm whose rate is nearest to this one, where one is near."""
    nearest: dict[str, dict[str, Any]] = {}
    for cell in sorted(cells, key=lambda cell: abs(rates.get(cell["arm"], np.inf) - rate)):
        if abs(rates.get(cell["arm"], np.inf) - rate) <= _MOST_APART * rate:
            nearest.setdefault(str(cell["loss"]), cell)
    losses = dict.fromkeys(str(cell["loss"]) for cell in cells)
    return [nearest[loss] for loss in losses if loss in nearest]


def _strip(evidence: Evidence, cell: dict[str, Any], rates: dict[str, float], *, beta: bool = False) -> Strip:
    images = _images(evidence, cell)
    at = [f"β = {setting(cell['beta'])}"] if beta else []
    rate = rates.get(cell["arm"])
    notes = [*at, *([f"{number(rate, 1)} nats"] if rate is not None else [])]
    return Strip(str(cell["arm"]), str(cell["loss"]), strip(np.asarray(images)[:_IMAGES]), ", ".join(notes))
