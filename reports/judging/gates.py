"""What must hold before a comparison is judged at all: something to compare, a metric that looks, no winner from birth.

1. Floors. Two arms that carry nothing are not equal, they are nothing: *insufficient*. One of two is judged by metrics
   of fidelity and of the latents; a metric that never looks at the original (acutance, ink, the sharpness of samples)
   credits no such arm, blank pictures may be ever so sharp.
2. Blind metrics. Where a model without latents reaches the value of the originals, a metric says nothing of the
   latents: legibility of a model that is given the label.
3. Objectives. Where one arm minimises the metric and the other does not, it wins by construction: shown, never counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.claims.comparability import FIRST, winner, winner_at_equal_rate
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison
from reports.judging.conditions import Condition
from reports.judging.floors import Floors
from reports.numbers import listed
from vae.metrics.catalogue import CATALOGUE


def gated(measured: Comparison, cells: Cells, floors: Floors) -> Comparison:
    """The comparison with what stands against judging it."""
    if not measured.by_seed:
        return measured
    return _past_objectives(_past_blind_metrics(_past_floors(measured, cells, floors), floors), cells)


def _past_floors(measured: Comparison, cells: Cells, floors: Floors) -> Comparison:
    sides = _sides(measured)
    empty = [side for side in sides if all(floors.at_floor(cells, arm) for arm in side.arms)]
    if not empty:
        return measured
    labels = tuple(side.label for side in empty)
    measured = replace(measured, at_floor=labels)
    entry = CATALOGUE.get(measured.leg.metric)
    sees = entry.sees if entry is not None else "original"
    if len(empty) == len(sides):
        if len(sides) == 1 and sees == "latents" and measured.leg.kind.at_floor_too:
            return measured
        both = "both carry nothing" if len(sides) > 1 else "it carries nothing"
        return _blocked(measured, f"{both}: {_no_better(labels)}")
    if sees == "picture":
        label = entry.label if entry is not None else measured.leg.metric
        return _blocked(
            measured, f"{_no_better(labels)}, and {label} never looks at the original: it credits no such arm"
        )
    return replace(measured, caveats=(*measured.caveats, _no_better(labels)))


def _no_better(labels: Sequence[str]) -> str:
    return f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} no better than a model without latents"


def _past_blind_metrics(measured: Comparison, floors: Floors) -> Comparison:
    if measured.blocked:
        return measured
    leg = measured.leg
    arms = [arm for side in _sides(measured) for arm in side.arms]
    why = next((why for arm in arms if (why := floors.says_nothing(arm, leg.metric, leg.margin or 0.0))), "")
    return _blocked(measured, why) if why else measured


def _past_objectives(measured: Comparison, cells: Cells) -> Comparison:
    sides = _sides(measured)
    if len(sides) != 2:
        return measured
    first, second = (side.arms[0] for side in sides)
    if any(len(side.arms) > 1 for side in sides):  # read off a curve over beta, at one rate
        won = winner_at_equal_rate(measured.leg.metric, first, second)
    else:
        won = winner(measured.leg.metric, first, second, cells.beta_eff(first), cells.beta_eff(second))
    if not won:
        return measured
    label = sides[0 if won == FIRST else 1].label
    entry = CATALOGUE[measured.leg.metric]
    why = f"{label} is trained on {entry.label} and wins it by construction"
    return replace(_blocked(measured, why), counted=False, won_by=label)


def _blocked(measured: Comparison, why: str) -> Comparison:
    return replace(measured, blocked=measured.blocked or why)


def _sides(measured: Comparison) -> list[Condition]:
    return [side for side in measured.paired.conditions if side.arms]
