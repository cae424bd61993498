"""From the frame to paired differences: one number per seed for each comparison, with what a reader must know.

Cells are paired by seed, as `reports.judging.pairing` allows. Nothing is left out in silence: each condition carries
its counts. How a comparison is measured, its kind says: `MEASURES` holds one function for each way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from reports.claims.checks import Finding, run_check
from reports.claims.kinds import FALLS, Measure
from reports.claims.model import LEAST_CURVE, Claim, Leg
from reports.claims.places import MATCHED
from reports.claims.selectors import Selector
from reports.judging.cells import Cells
from reports.judging.curves import Curve, curves_by_seed, matched
from reports.judging.names import Side, selector_name
from reports.judging.pairing import pairing
from reports.judging.statistics import slopes
from reports.judging.verdict import Count
from reports.numbers import listed, number, setting, which_seeds
from vae.arms import Arm, find, sum_twin
from vae.factors import same_value
from vae.metrics.latents import COLLAPSED

RATE_MATTERS: Final = 0.5  # nats per image: the margin of rates
Pairs = Mapping[int, tuple[float, float]]  # seed -> (first, second)


@dataclass(frozen=True)
class Measured:
    """One comparison, measured: seed -> paired difference, and what goes beside it.

    pair: the sides compared, first minus second (one side where it is compared with a number, or along beta). read:
    the arms whose cells were read. levels: name -> mean over the seeds used. rates: nats, of a comparison at equal
    rate. counted: whether it bears on its claim. caveats: what the sentence itself must say, as clauses. reason: why
    there is nothing to test; then by_seed is empty. shared: what the arms of a seed have in common. finding: of a
    check, which reads no cell.
    """

    leg: Leg
    label: str
    pair: tuple[Side, ...] = ()
    read: tuple[Arm, ...] = ()
    by_seed: Mapping[int, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    counts: tuple[Count, ...] = ()
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    shared: tuple[str, ...] = ()
    counted: bool = True
    reason: str = ""
    finding: Finding | None = None


def measure(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Measured]:
    """The comparisons of one leg at one place: one, or, for twins, one for every arm that the leg matches."""
    if not leg.kind.computed and leg.metric not in cells.columns:
        measured = [Measured(leg, leg.metric, reason=f"the study did not measure {leg.metric}")]
    else:
        measured = MEASURES[leg.kind.measure](claim, leg, place, cells)
    return [_paired(one, cells) for one in measured]


def _of_arms(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Measured]:
    if leg.twin:
        return _twins(leg, cells)
    if place == MATCHED:
        return [_at_equal_rate(claim, leg, cells)]
    if leg.b is not None and leg.b.tuned:
        return [_tuned(claim, leg, cells)]
    return [_nominal(leg, cells)]


def _checked(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Measured]:
    return [Measured(leg, leg.check, finding=run_check(leg.check))]


def _paired(measured: Measured, cells: Cells) -> Measured:
    """With its counts and what its arms share, and refused where cells of one seed cannot be paired."""
    measured = replace(
        measured,
        counted=measured.counted and measured.leg.counted,
        counts=tuple(cells.count(arm, measured.leg.metric) for arm in dict.fromkeys(measured.read)),
    )
    if len(measured.read) < 2 or not measured.by_seed:
        return measured
    pairs = pairing(measured.read, measured.by_seed, cells)
    if pairs.broken:
        reason = (
            f"the cells of {which_seeds(pairs.broken)} cannot be paired: init_hash or order_hash differs between the "
            "arms, so the seed does not mean the same initial weights and batch order in each"
        )
        return replace(measured, by_seed={}, levels={}, reason=reason)
    unchecked = "That the arms of a seed start alike could not be checked: init_hash or order_hash was not logged."
    differ = "the arms are of different models, so their initial weights differ"
    return replace(
        measured,
        shared=pairs.shared,
        notes=(*measured.notes, *(() if pairs.checked else (unchecked,))),
        caveats=(*measured.caveats, *((differ,) if pairs.weights_differ else ())),
    )


def _nominal(leg: Leg, cells: Cells) -> Measured:
    arms: list[Arm] = []
    for selector in leg.selectors:
        name, matching = selector_name(selector, cells.base), cells.matching(selector)
        if not matching:
            return Measured(leg, name, reason=f"the study has no arm {name}")
        if matching[0] in arms:
            return Measured(leg, name, reason=f"a and b are one arm in this study, {cells.label(matching[0])}")
        arms.append(matching[0])
    return _pair(leg, cells, *arms)


def _pair(leg: Leg, cells: Cells, first: Arm, second: Arm | None = None) -> Measured:
    """One arm minus another, or minus the leg's reference."""
    a = cells.values(first, leg.metric)
    arms = (first,) if second is None else (first, second)
    if second is None:
        pairs = {seed: (value, _reference(leg)) for seed, value in a.items()}
    else:
        b = cells.values(second, leg.metric)
        pairs = {seed: (a[seed], b[seed]) for seed in a.keys() & b.keys()}
    measured = _subtracted(leg, [cells.label(arm) for arm in arms], pairs)
    sides = tuple(Side(arm, cells.label(arm)) for arm in arms)
    return replace(measured, pair=sides, read=arms, notes=_rate_notes(cells, arms), caveats=_collapses(cells, arms))


def _subtracted(leg: Leg, names: Sequence[str], pairs: Pairs) -> Measured:
    """The differences of these pairs; one name where the second of each pair is the leg's reference."""
    sides = list(zip(*pairs.values())) if pairs else []
    second = names[1] if len(names) > 1 else setting(_reference(leg))
    return Measured(
        leg,
        label=f"{names[0]} − {second}",
        by_seed={seed: pairs[seed][0] - pairs[seed][1] for seed in sorted(pairs)},
        levels={name: math.fsum(side) / len(side) for name, side in zip(names, sides)},
    )


def _twins(leg: Leg, cells: Cells) -> list[Measured]:
    """Every arm that the leg matches against its `sum` twin; pairs that are both collapsed do not count."""
    selector = leg.a or Selector()
    pairs = [_with_twin(leg, cells, arm) for arm in cells.matching(selector) if arm.reduction != "sum"]
    if not any(pair.counted for pair in pairs):
        name = selector_name(selector, cells.base)
        why = "every one is collapsed, and so equal whatever the weight" if pairs else "the study has none"
        pairs.append(Measured(leg, name, reason=f"no arm {name} to compare with its ‘sum’ twin: {why}"))
    return pairs


def _with_twin(leg: Leg, cells: Cells, arm: Arm) -> Measured:
    beta_eff, label = cells.beta_eff(arm), cells.label(arm)
    twin = None if beta_eff is None else find(sum_twin(arm, beta_eff), cells.rows)
    if twin is None:
        reason = f"the study has no ‘sum’ arm with the beta_eff of {label}"
        return Measured(leg, label, (Side(arm, label),), (arm,), reason=reason)
    pair = _pair(leg, cells, arm, twin)
    if not (cells.collapsed(arm) and cells.collapsed(twin)):
        return pair
    note = f"Both collapsed (rate below {setting(COLLAPSED)} nat), so equal whatever the weight: shown, not counted."
    return replace(pair, counted=False, notes=(note,), caveats=())


def _slope(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Measured]:
    """Slope of the metric on ln beta, seed by seed, over the betas that the seed has."""
    selector = leg.a or Selector()
    arms, name = _along_beta(claim, cells, selector), selector_name(selector, cells.base)
    if len(arms) < LEAST_CURVE:
        reason = f"a trend needs two betas or more; the study has {len(arms)} of {name}"
        return [Measured(leg, name, read=arms, reason=reason)]
    values = {arm: cells.values(arm, leg.metric) for arm in arms}
    lines = {seed: [(arm.beta, values[arm][seed]) for arm in arms if seed in values[arm]] for seed in cells.seeds}
    lines = {seed: line for seed, line in lines.items() if len(line) >= LEAST_CURVE}
    against = _against_the_trend(leg, lines)
    opposite = f"opposite to the claim by more than {setting(leg.margin or 0.0)}"
    measured = Measured(
        leg,
        label=f"slope of {leg.metric} on ln beta, {name}",
        pair=(_any_beta(selector, cells, arms),),
        read=arms,
        by_seed={seed: _slope_of(line) for seed, line in lines.items()},
        levels={cells.label(arm): math.fsum(at.values()) / len(at) for arm, at in values.items() if at},
        notes=() if against or not lines else (f"{name}: in no seed does a step in beta go {opposite}.",),
        caveats=(f"but in {which_seeds(against)} a step in beta goes {opposite}",) if against else (),
    )
    return [measured]


def _slope_of(line: Sequence[tuple[float, float]]) -> float:
    betas, values = zip(*line)
    return float(slopes([math.log(beta) for beta in betas], values))


def _against_the_trend(leg: Leg, lines: Mapping[int, Sequence[tuple[float, float]]]) -> list[int]:
    """A slope is not monotony: the seeds in which some step goes opposite to the claim by more than the margin."""
    sign = 1 if leg.direction == FALLS else -1
    steps = {seed: [sign * (b[1] - a[1]) for a, b in itertools.pairwise(line)] for seed, line in lines.items()}
    return [seed for seed, of_seed in steps.items() if max(of_seed) > (leg.margin or 0.0)]


def _along_beta(claim: Claim, cells: Cells, selector: Selector) -> tuple[Arm, ...]:
    """The arms that differ from a selector's in beta alone, at every beta above 0, in order of beta.

    Those of the grid and of the claim's own betas: a twin trained for another comparison lies as near to a
    neighbour as 3.92 to 4, where the slope between the two is noise.
    """
    arms = sorted((arm for arm in cells.matching(selector.at_any_beta) if arm.beta > 0), key=lambda arm: arm.beta)
    own = [arm for arm in arms if cells.of_grid(arm) or any(same_value(arm.beta, beta) for beta in claim.betas)]
    return tuple(own if len(own) >= LEAST_CURVE else arms)


def _curves(leg: Leg, cells: Cells, arms: Sequence[Arm]) -> dict[int, Curve]:
    """seed -> curve of the metric over beta; seeds with fewer than two betas have none."""
    rows = []
    for arm in arms:
        values, rates = cells.values(arm, leg.metric), cells.values(arm, "rate")
        rows += [(seed, arm.beta, rates[seed], values[seed]) for seed in values.keys() & rates.keys()]
    return curves_by_seed(rows)


def _at_equal_rate(claim: Claim, leg: Leg, cells: Cells) -> Measured:
    arms = [_along_beta(claim, cells, selector) for selector in leg.selectors]
    curves = [_curves(leg, cells, on_curve) for on_curve in arms]
    names = [selector_name(selector, cells.base, weight=False) for selector in leg.selectors]
    pairs, rates = matched(curves[0], curves[-1], claim.rates)
    if leg.b is None:
        pairs = {seed: (value, _reference(leg)) for seed, (value, _) in pairs.items()}
    measured = replace(_subtracted(leg, names, pairs), read=tuple(itertools.chain(*arms)), rates=rates)
    if not pairs:
        asked = listed([setting(rate) for rate in claim.rates])
        return replace(measured, reason=f"{listed(names)} share none of the rates {asked} nats in every seed")
    skipped = [setting(rate) for rate in claim.rates if rate not in rates]
    note = f"Not compared at {listed(skipped)} nats: not every curve reaches them."
    ends = tuple(_any_beta(selector, cells, on_curve) for selector, on_curve in zip(leg.selectors, arms))
    return replace(measured, pair=ends, notes=(note,) if skipped else ())


def _tuned(claim: Claim, leg: Leg, cells: Cells) -> Measured:
    """An arm against another whose beta is set, seed by seed, so that both spend the same rate."""
    first, second = leg.a or Selector(), leg.b or Selector()
    matching, arms = cells.matching(first), _along_beta(claim, cells, second)
    if not matching:
        name = selector_name(first, cells.base)
        return Measured(leg, name, reason=f"the study has no arm {name}")
    arm, label = matching[0], cells.label(matching[0])
    values, rates = cells.values(arm, leg.metric), cells.values(arm, "rate")
    reached = _at_rates(_curves(leg, cells, arms), {seed: rates[seed] for seed in values.keys() & rates.keys()})
    curve = selector_name(second, cells.base, weight=False)
    names = [label, f"{curve} tuned to the same rate"]
    measured = _subtracted(leg, names, {seed: (values[seed], value) for seed, (_, value) in reached.items()})
    measured = replace(measured, read=(arm, *arms))
    if not reached:
        return replace(measured, pair=(Side(arm, label),), reason=f"no beta of {curve} spends the rate of {label}")
    betas, lost = [beta for beta, _ in reached.values()], len(values) - len(reached)
    note = f"The beta at which {curve} spends the rate of {label} lies between "
    note += f"{number(min(betas), 3)} and {number(max(betas), 3)}"
    note += f"; {lost} seeds reach no such rate." if lost else "."
    return replace(measured, pair=(Side(arm, label), _any_beta(second, cells, arms)), notes=(note,))


def _at_rates(curves: Mapping[int, Curve], rates: Mapping[int, float]) -> dict[int, tuple[float, float]]:
    """seed -> (the beta at which its curve spends its rate, the metric there), where the curve reaches it."""
    at = {
        seed: (float(curves[seed].beta_at([rate])[0]), float(curves[seed].at([rate])[0]))
        for seed, rate in sorted(rates.items())
        if seed in curves
    }
    return {seed: point for seed, point in at.items() if math.isfinite(point[1])}


def _reference(leg: Leg) -> float:
    return 0.0 if leg.reference is None else float(leg.reference)


def _any_beta(selector: Selector, cells: Cells, arms: Sequence[Arm]) -> Side:
    return Side(arms[0], selector_name(selector, cells.base, weight=False), any_beta=True)


def _collapses(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """What an arm does that is collapsed, it does without its latents."""
    rates = {cells.label(arm): rate for arm in arms if (rate := cells.rate(arm)) is not None and cells.collapsed(arm)}
    return tuple(f"{label} is collapsed, at a rate of {number(rate, 2)} nats" for label, rate in rates.items())


def _rate_notes(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """A comparison of losses at one setting is one of the rates too."""
    rates = {cells.label(arm): rate for arm in arms if (rate := cells.rate(arm)) is not None}
    if len(rates) < 2 or len({arm.loss for arm in arms}) < 2:
        return ()
    (one, first), (other, second) = rates.items()
    if abs(first - second) <= RATE_MATTERS:
        return ()
    spent = f"{one} spends {number(first, 1)} nats and {other} {number(second, 1)}"
    return (f"Not at equal rate: {spent}, so the difference mixes the loss with the rate.",)


Measuring = Callable[[Claim, Leg, str, Cells], list[Measured]]
MEASURES: Final[Mapping[Measure, Measuring]] = MappingProxyType(
    {Measure.ARMS: _of_arms, Measure.SLOPE: _slope, Measure.CHECK: _checked}
)
