"""Comparisons of arms at the settings that a claim names: two arms, an arm and a number, an arm and its `sum` twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from reports.claims.model import Leg
from reports.claims.selectors import Selector
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison, condition, subtracted
from reports.judging.floors import Floors
from reports.judging.names import Side, selector_name
from reports.numbers import number, setting
from vae.arms import Arm, find, sum_twin
from vae.metrics.latents import COLLAPSED

RATE_MATTERS: Final = 0.5  # nats per image: a smaller difference of rate is not mentioned


def nominal(leg: Leg, cells: Cells) -> Comparison:
    """The arms that the selectors name."""
    arms: list[Arm] = []
    for selector in leg.selectors:
        matching = cells.matching(selector)
        if not matching:
            return no_arm(leg, selector, cells)
        if matching[0] in arms:
            reason = f"a and b are one arm in this study, {cells.label(matching[0])}"
            return Comparison(leg, selector_name(selector, cells.base), reason=reason)
        arms.append(matching[0])
    return _pair(leg, cells, arms)


def no_arm(leg: Leg, selector: Selector, cells: Cells) -> Comparison:
    """The comparison that lacks an arm."""
    name = selector_name(selector, cells.base)
    return Comparison(leg, name, reason=f"the study has no arm {name}")


def _pair(leg: Leg, cells: Cells, arms: Sequence[Arm]) -> Comparison:
    """One arm minus another, or one arm minus the leg's reference."""
    measured = subtracted(leg, [condition(cells, arm, leg.metric) for arm in arms])
    sides = tuple(Side(arm, cells.label(arm)) for arm in arms)
    return replace(measured, pair=sides, read=tuple(arms), caveats=(*_rates(cells, arms), *_collapses(cells, arms)))


def twins(leg: Leg, cells: Cells, floors: Floors) -> list[Comparison]:
    """Every arm that the leg matches against its `sum` twin; pairs that both carry nothing do not count."""
    selector = leg.a or Selector()
    pairs = [_with_twin(leg, cells, arm, floors) for arm in cells.matching(selector) if arm.reduction != "sum"]
    if not any(pair.counted for pair in pairs):
        name = selector_name(selector, cells.base)
        why = "every pair carries nothing, and so is equal whatever the weight" if pairs else "the study has none"
        pairs.append(Comparison(leg, name, reason=f"no arm {name} to compare with its ‘sum’ twin: {why}"))
    return pairs


def _with_twin(leg: Leg, cells: Cells, arm: Arm, floors: Floors) -> Comparison:
    beta_eff, label = cells.beta_eff(arm), cells.label(arm)
    twin = None if beta_eff is None else find(sum_twin(arm, beta_eff), cells.rows)
    if twin is None:
        reason = f"the study has no ‘sum’ arm with the beta_eff of {label}"
        return Comparison(leg, label, (Side(arm, label),), (arm,), reason=reason)
    pair = _pair(leg, cells, (arm, twin))
    if cells.collapsed(arm) and cells.collapsed(twin):
        why = f"both are collapsed (rate below {setting(COLLAPSED)} nat), and so equal whatever the weight"
    elif floors.at_floor(cells, arm) and floors.at_floor(cells, twin):
        why = "both are no better than a model without latents, and so equal whatever the weight"
    else:
        return pair
    return replace(pair, counted=False, blocked=why, notes=(), caveats=())


def _collapses(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """What an arm does that is collapsed, it does without its latents."""
    rates = {cells.label(arm): cells.rate(arm) for arm in arms if cells.collapsed(arm)}
    return tuple(f"{label} is collapsed, at a rate of {number(rate, 2)} nats" for label, rate in rates.items())


def _rates(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """That arms of different losses, compared at one setting, also differ in rate."""
    rates = {arm: cells.rate(arm) for arm in arms if not math.isnan(cells.rate(arm))}
    if len({arm.loss for arm in rates}) < 2 or max(rates.values()) - min(rates.values()) <= RATE_MATTERS:
        return ()
    (one, first), (other, second) = ((cells.label(arm), number(rate, 1)) for arm, rate in rates.items())
    return (f"{one} spends {first} nats and {other} {second}, so this mixes the loss with the rate",)
