"""From cells to paired differences: how each comparison of a claim is measured, paired and gated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from reports.claims.checks import run_check
from reports.claims.kinds import Measure
from reports.claims.model import Claim, Leg
from reports.claims.places import MATCHED
from reports.judging.along_beta import at_equal_rate, crossings, slopes, tuned_to_rate
from reports.judging.arm_pairs import nominal, twins
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison
from reports.judging.floors import UNKNOWN, Floors
from reports.judging.gates import gated
from reports.judging.pairing import pairing
from reports.judging.verdict import Count
from reports.numbers import which_seeds

_UNCHECKED: Final = "That the arms of a seed start alike could not be checked: init_hash or order_hash was not logged."
_WEIGHTS_DIFFER: Final = "the arms are of different models, so their initial weights differ"

# In the evidence too: the sentence of a claim of several comparisons is that of one of them.
_PAIRED_WITHOUT_WEIGHTS: Final = "Arms of different models are paired by seed and batch order; their weights differ."


def measure(claim: Claim, leg: Leg, place: str, cells: Cells, floors: Floors = UNKNOWN) -> list[Comparison]:
    """The comparisons of one leg at one place: one, or, for twins, one for every arm that the leg matches."""
    if not leg.kind.computed and leg.metric not in cells.columns:
        measured = [Comparison(leg, leg.metric, reason=f"the study did not measure {leg.metric}")]
    else:
        measured = MEASURES[leg.kind.measure](claim, leg, place, cells, floors)
    return [gated(_paired(one, cells), cells, floors) for one in measured]


def _of_arms(claim: Claim, leg: Leg, place: str, cells: Cells, floors: Floors) -> list[Comparison]:
    if leg.twin:
        return twins(leg, cells, floors)
    if place == MATCHED:
        return [at_equal_rate(claim, leg, cells)]
    if leg.b is not None and leg.b.tuned:
        return [tuned_to_rate(claim, leg, leg.b, cells)]
    return [nominal(leg, cells)]


def _slope(claim: Claim, leg: Leg, place: str, cells: Cells, floors: Floors) -> list[Comparison]:
    return [slopes(claim, leg, cells)]


def _crossing(claim: Claim, leg: Leg, place: str, cells: Cells, floors: Floors) -> list[Comparison]:
    return [crossings(leg, cells)]


def _checked(claim: Claim, leg: Leg, place: str, cells: Cells, floors: Floors) -> list[Comparison]:
    return [Comparison(leg, leg.check, finding=run_check(leg.check))]


def _paired(measured: Comparison, cells: Cells) -> Comparison:
    """With its counts and what its arms share, and refused where cells of one seed cannot be paired."""
    counts = tuple(cells.count(arm, measured.leg.metric) for arm in dict.fromkeys(measured.read))
    measured = replace(
        measured,
        counted=measured.counted and measured.leg.counted,
        counts=counts,
        caveats=(*measured.caveats, *_not_yet(counts, measured)),
    )
    if len(measured.read) < 2 or not measured.by_seed:
        return measured
    pairs = pairing(measured.read, measured.by_seed, cells)
    if pairs.broken:
        reason = (
            f"the cells of {which_seeds(pairs.broken)} cannot be paired: init_hash or order_hash differs between the "
            "arms, so the seed does not mean the same initial weights and batch order in each"
        )
        return replace(measured, reason=reason)
    notes = measured.notes if pairs.checked else (*measured.notes, _UNCHECKED)
    caveats = (_WEIGHTS_DIFFER,) if pairs.weights_differ else ()
    notes += (_PAIRED_WITHOUT_WEIGHTS,) if pairs.weights_differ else ()
    return replace(measured, shared=pairs.shared, notes=notes, caveats=measured.caveats + caveats)


def _not_yet(counts: Sequence[Count], measured: Comparison) -> tuple[str, ...]:
    """That cells of the plan have no result yet, so that the seeds are fewer than were asked for."""
    if not measured.by_seed or not any(count.missing for count in counts):
        return ()
    asked = max(count.done + count.failed + count.missing for count in counts)
    return (f"{len(measured.by_seed)} of the {asked} seeds planned are in",)


MEASURES: Final[Mapping[Measure, Callable[[Claim, Leg, str, Cells, Floors], list[Comparison]]]] = MappingProxyType(
    {Measure.ARMS: _of_arms, Measure.SLOPE: _slope, Measure.CROSSING: _crossing, Measure.CHECK: _checked}
)
