"""What must hold before a comparison is judged: something to compare, a metric that sees it, no winner by construction.

1. Floors. Two arms that carry nothing are not equal, they are nothing: *insufficient*. One of two is judged by metrics
   of fidelity and of the latents; a metric that never looks at the original (acutance, ink, the sharpness of samples)
   credits no such arm: blank pictures may be sharp. Nor does a classifier credit one that is given the labels. Of a
   side that is read off a curve, the arms next to what is read are asked; of a trend, all its arms.
2. Blind metrics. Where a model without latents reaches the value of the originals, a metric says nothing of the
   latents; nor does legibility of a model that is given the labels.
3. Images. Where values of single images are lost, so is what other test images would give.
4. Objectives. Where one arm minimises the metric and the other does not, it wins by construction: shown, never counted.
   So too the trend of a loss's own distortion over beta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.claims.comparability import FIRST, by_construction_along_beta, winner, winner_at_equal_rate
from reports.claims.kinds import Measure
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison
from reports.judging.conditions import Condition
from reports.judging.floors import Floors, conditional
from reports.numbers import counted, listed, sentence_case
from vae.arms import Arm
from vae.metrics.catalogue import CATALOGUE


def gated(measured: Comparison, cells: Cells, floors: Floors) -> Comparison:
    """The comparison with what stands against judging it."""
    if not measured.by_seed:
        return measured
    measured = _past_lost_images(_past_blind_metrics(_past_floors(measured, cells, floors), floors))
    return _past_objectives(measured, cells)


def _past_floors(measured: Comparison, cells: Cells, floors: Floors) -> Comparison:
    sides = _sides(measured)
    empty = [[arm for arm in side.arms if floors.at_floor(cells, arm)] for side in sides]
    if not any(empty):
        return measured
    names = dict.fromkeys(name for side, arms in zip(sides, empty) for name in _names(side, arms, cells))
    measured = replace(measured, at_floor=tuple(names))
    entry = CATALOGUE.get(measured.leg.metric)
    sees = entry.sees if entry is not None else "original"
    if all(len(arms) == len(side.arms) for side, arms in zip(sides, empty)):
        if len(sides) == 1 and sees == "latents" and measured.leg.kind.at_floor_too:
            return measured
        both = "both carry nothing" if len(sides) > 1 else "it carries nothing"
        return _blocked(measured, f"{both}: {_no_better(measured.at_floor)}")
    if entry is not None and sees == "picture":
        why = f"{entry.label} does not use the original, so it cannot credit such an arm"
        return _blocked(measured, f"{_no_better(measured.at_floor)}, and {why}")
    by_labels = entry is not None and entry.by_classifier and entry.where == "samples"
    if entry is not None and by_labels and any(conditional(arm) for arms in empty for arm in arms):
        why = f"{entry.label} can be had from the labels that the model is given"
        return _blocked(measured, f"{_no_better(measured.at_floor)}, and {why}")
    caveats = [_caveat(side, arms, sees) for side, arms in zip(sides, empty)]
    return replace(measured, caveats=(*measured.caveats, *filter(None, caveats)))


def _names(side: Condition, arms: Sequence[Arm], cells: Cells) -> list[str]:
    """What a reader knows the arms at the floor by: the side itself, or, of a side of many arms, those of them."""
    return [side.label] * len(arms) if len(side.arms) == 1 else [cells.label(arm) for arm in arms]


def _caveat(side: Condition, empty: Sequence[Arm], sees: str) -> str:
    """What the sentence must say of a side of which some arms carry nothing."""
    if not empty:
        return ""
    if len(side.arms) == 1:
        return _no_better([side.label])
    if sees == "latents":  # a rate that falls to nothing is what such a side is read for
        return ""
    where = "next to these rates" if side.on_curve else "along beta"
    of_them = f"{len(empty)} of the {len(side.arms)} arms of {side.label} {where}"
    return f"{of_them} {'is' if len(empty) == 1 else 'are'} no better than a model without latents"


def _no_better(labels: Sequence[str]) -> str:
    return f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} no better than a model without latents"


def _past_blind_metrics(measured: Comparison, floors: Floors) -> Comparison:
    if measured.blocked:
        return measured
    leg = measured.leg
    arms = [arm for side in _sides(measured) for arm in side.arms]
    why = next((why for arm in arms if (why := floors.says_nothing(arm, leg.metric, leg.margin or 0.0))), "")
    return _blocked(measured, why) if why else measured


def _past_lost_images(measured: Comparison) -> Comparison:
    """Where values of single images are lost, the luck of the images is known from the other seeds, or not at all."""
    paired = measured.paired
    lost, seeds = len(paired.without_images), len(paired.seeds)
    if lost:
        missing = f"the values of single images are missing in {lost} of {counted(seeds, 'seed')}"
        if seeds - lost < 2:
            return _blocked(measured, f"{missing}, so that what other test images would give is not known")
        measured = _noted(measured, f"{sentence_case(missing)}: what images add to the interval is from the others.")
    if paired.luck.kept is not None and paired.luck.kept < paired.images_kept / 2:
        few = f"Only {paired.luck.kept} of {counted(paired.images_kept, 'image')} have a value in every cell"
        measured = _noted(measured, f"{few}: what images add to the interval is from these.")
    return measured


def _past_objectives(measured: Comparison, cells: Cells) -> Comparison:
    sides = _sides(measured)
    if measured.leg.kind.measure is Measure.SLOPE and sides:
        why = by_construction_along_beta(measured.leg.metric, sides[0].arms[0])
        return replace(_blocked(measured, why), counted=False) if why else measured
    if len(sides) != 2:
        return measured
    first, second = (side.arms[0] for side in sides)
    if any(side.on_curve for side in sides):  # at one rate
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


def _noted(measured: Comparison, note: str) -> Comparison:
    return replace(measured, notes=(*measured.notes, note))


def _sides(measured: Comparison) -> list[Condition]:
    return [side for side in measured.paired.conditions if side.arms]
