"""From the frame to paired differences: one number per seed for each comparison, with what a reader must know.

Cells are paired by seed, as `reports.judging.pairing` allows. Nothing is left out in silence: each condition carries
its counts. How a comparison is measured, its kind says: `MEASURES` holds one function for each way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

from reports.claims.checks import Finding, run_check
from reports.claims.kinds import FALLS, Measure
from reports.claims.model import LEAST_CURVE, Claim, Leg
from reports.claims.places import MATCHED
from reports.claims.selectors import Selector
from reports.judging.cells import Cells
from reports.judging.curves import Curve, curves_by_seed, matched
from reports.judging.decisions import Difference, analyse
from reports.judging.names import Side, selector_name
from reports.judging.pairing import pairing
from reports.judging.statistics import slope
from reports.judging.verdict import Count
from reports.numbers import listed, number, setting, which_seeds
from vae.arms import Arm, find, sum_twin
from vae.factors import same_value
from vae.metrics.latents import COLLAPSED

RATE_MATTERS: Final = 0.5  # nats per image: the margin of rates
_UNCHECKED: Final = "That the arms of a seed start alike could not be checked: init_hash or order_hash was not logged."
_WEIGHTS_DIFFER: Final = "the arms are of different models, so their initial weights differ"

# In the evidence too: the sentence of a claim of several comparisons is that of one of them.
_PAIRED_WITHOUT_WEIGHTS: Final = "Arms of different models are paired by seed and batch order; their weights differ."


@dataclass(frozen=True)
class Comparison:
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

    @cached_property
    def difference(self) -> Difference | None:
        """The paired differences, analysed; None where there is nothing to test."""
        return analyse(self.by_seed, self.leg.region, by_value=self.leg.kind.by_value) if self.by_seed else None

    @property
    def in_family(self) -> bool:
        """Whether its p belongs to the family: a counted comparison of a kind that is tested."""
        return self.leg.kind.in_family and self.counted


def measure(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Comparison]:
    """The comparisons of one leg at one place: one, or, for twins, one for every arm that the leg matches."""
    if not leg.kind.computed and leg.metric not in cells.columns:
        measured = [Comparison(leg, leg.metric, reason=f"the study did not measure {leg.metric}")]
    else:
        measured = MEASURES[leg.kind.measure](claim, leg, place, cells)
    return [_paired(one, cells) for one in measured]


def _of_arms(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Comparison]:
    if leg.twin:
        return _twins(leg, cells)
    if place == MATCHED:
        return [_at_equal_rate(claim, leg, cells)]
    if leg.b is not None and leg.b.tuned:
        return [_tuned(claim, leg, leg.b, cells)]
    return [_nominal(leg, cells)]


def _checked(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Comparison]:
    return [Comparison(leg, leg.check, finding=run_check(leg.check))]


def _paired(measured: Comparison, cells: Cells) -> Comparison:
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
    notes = measured.notes if pairs.checked else (*measured.notes, _UNCHECKED)
    caveats = (_WEIGHTS_DIFFER,) if pairs.weights_differ else ()
    notes += (_PAIRED_WITHOUT_WEIGHTS,) if pairs.weights_differ else ()
    return replace(measured, shared=pairs.shared, notes=notes, caveats=measured.caveats + caveats)


def _nominal(leg: Leg, cells: Cells) -> Comparison:
    arms: list[Arm] = []
    for selector in leg.selectors:
        matching = cells.matching(selector)
        if not matching:
            return _no_arm(leg, selector, cells)
        if matching[0] in arms:
            reason = f"a and b are one arm in this study, {cells.label(matching[0])}"
            return Comparison(leg, selector_name(selector, cells.base), reason=reason)
        arms.append(matching[0])
    return _pair(leg, cells, arms)


def _no_arm(leg: Leg, selector: Selector, cells: Cells) -> Comparison:
    name = selector_name(selector, cells.base)
    return Comparison(leg, name, reason=f"the study has no arm {name}")


def _pair(leg: Leg, cells: Cells, arms: Sequence[Arm]) -> Comparison:
    """One arm minus another, or one arm minus the leg's reference."""
    sides = tuple(Side(arm, cells.label(arm)) for arm in arms)
    measured = _subtracted(leg, [side.label for side in sides], [cells.values(arm, leg.metric) for arm in arms])
    notes, caveats = _rate_notes(cells, arms), _collapses(cells, arms)
    return replace(measured, pair=sides, read=tuple(arms), notes=notes, caveats=caveats)


def _subtracted(leg: Leg, names: Sequence[str], values: Sequence[Mapping[int, float]]) -> Comparison:
    """The differences, seed by seed, of two conditions, or of one and the leg's reference. values: seed -> value."""
    reference = leg.reference or 0.0
    first, second = (*values, dict.fromkeys(values[0], reference))[:2]
    seeds = sorted(first.keys() & second.keys())
    return Comparison(
        leg,
        label=" − ".join((*names, setting(reference))[:2]),
        by_seed={seed: first[seed] - second[seed] for seed in seeds},
        levels={name: _mean([of_seed[seed] for seed in seeds]) for name, of_seed in zip(names, values) if seeds},
    )


def _twins(leg: Leg, cells: Cells) -> list[Comparison]:
    """Every arm that the leg matches against its `sum` twin; pairs that are both collapsed do not count."""
    selector = leg.a or Selector()
    pairs = [_with_twin(leg, cells, arm) for arm in cells.matching(selector) if arm.reduction != "sum"]
    if not any(pair.counted for pair in pairs):
        name = selector_name(selector, cells.base)
        why = "every one is collapsed, and so equal whatever the weight" if pairs else "the study has none"
        pairs.append(Comparison(leg, name, reason=f"no arm {name} to compare with its ‘sum’ twin: {why}"))
    return pairs


def _with_twin(leg: Leg, cells: Cells, arm: Arm) -> Comparison:
    beta_eff, label = cells.beta_eff(arm), cells.label(arm)
    twin = None if beta_eff is None else find(sum_twin(arm, beta_eff), cells.rows)
    if twin is None:
        reason = f"the study has no ‘sum’ arm with the beta_eff of {label}"
        return Comparison(leg, label, (Side(arm, label),), (arm,), reason=reason)
    pair = _pair(leg, cells, (arm, twin))
    if not (cells.collapsed(arm) and cells.collapsed(twin)):
        return pair
    note = f"Both collapsed (rate below {setting(COLLAPSED)} nat), so equal whatever the weight: shown, not counted."
    return replace(pair, counted=False, notes=(note,), caveats=())


def _slope(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Comparison]:
    """Slope of the metric on ln beta, seed by seed, over the betas that the seed has."""
    selector = leg.a or Selector()
    arms, name = _along_beta(claim, cells, selector), selector_name(selector, cells.base)
    if len(arms) < LEAST_CURVE:
        reason = f"a trend needs two betas or more; the study has {len(arms)} of {name}"
        return [Comparison(leg, name, read=arms, reason=reason)]
    values = {arm: cells.values(arm, leg.metric) for arm in arms}
    lines = {seed: [(arm.beta, values[arm][seed]) for arm in arms if seed in values[arm]] for seed in cells.seeds}
    lines = {seed: line for seed, line in lines.items() if len(line) >= LEAST_CURVE}
    slopes = {seed: slope([math.log(beta) for beta, _ in line], [y for _, y in line]) for seed, line in lines.items()}
    against = [seed for seed, line in lines.items() if _steps_against(leg, line)]
    opposite = f"opposite to the claim by more than {setting(leg.margin or 0.0)}"
    measured = Comparison(
        leg,
        label=f"slope of {leg.metric} on ln beta, {name}",
        pair=(_any_beta(selector, cells, arms),),
        read=arms,
        by_seed=slopes,
        levels={cells.label(arm): _mean(at.values()) for arm, at in values.items() if at},
        notes=() if against or not lines else (f"{name}: in no seed does a step in beta go {opposite}.",),
        caveats=(f"but in {which_seeds(against)} a step in beta goes {opposite}",) if against else (),
    )
    return [measured]


def _steps_against(leg: Leg, line: Sequence[tuple[float, float]]) -> bool:
    """Whether some step in beta goes opposite to the claim by more than the margin: a slope does not show it."""
    sign = 1 if leg.direction == FALLS else -1
    return any(sign * (after - before) > (leg.margin or 0.0) for (_, before), (_, after) in itertools.pairwise(line))


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


def _at_equal_rate(claim: Claim, leg: Leg, cells: Cells) -> Comparison:
    arms = [_along_beta(claim, cells, selector) for selector in leg.selectors]
    curves = [_curves(leg, cells, on_curve) for on_curve in arms]
    names = [selector_name(selector, cells.base, weight=False) for selector in leg.selectors]
    pairs, rates = matched(curves[0], curves[-1], claim.rates)
    values = [{seed: pair[i] for seed, pair in pairs.items()} for i in range(len(arms))]
    measured = replace(_subtracted(leg, names, values), read=tuple(itertools.chain(*arms)), rates=rates)
    if not pairs:
        asked = listed([setting(rate) for rate in claim.rates])
        return replace(measured, reason=f"{listed(names)} share none of the rates {asked} nats in every seed")
    skipped = [setting(rate) for rate in claim.rates if rate not in rates]
    note = f"Not compared at {listed(skipped)} nats: not every curve reaches them."
    sides = tuple(_any_beta(selector, cells, on_curve) for selector, on_curve in zip(leg.selectors, arms))
    return replace(measured, pair=sides, notes=(note,) if skipped else ())


def _tuned(claim: Claim, leg: Leg, tuned: Selector, cells: Cells) -> Comparison:
    """An arm against another whose beta is set, seed by seed, so that both spend the same rate."""
    named = leg.a or Selector()
    matching, arms = cells.matching(named), _along_beta(claim, cells, tuned)
    if not matching:
        return _no_arm(leg, named, cells)
    side, curve = Side(matching[0], cells.label(matching[0])), selector_name(tuned, cells.base, weight=False)
    values, rates = cells.values(side.arm, leg.metric), cells.values(side.arm, "rate")
    curves = _curves(leg, cells, arms)
    at_rate = {seed: float(curves[seed].at([rates[seed]])[0]) for seed in values.keys() & rates.keys() & curves.keys()}
    reached = {seed: value for seed, value in at_rate.items() if math.isfinite(value)}
    measured = _subtracted(leg, [side.label, f"{curve} tuned to the same rate"], [values, reached])
    measured = replace(measured, read=(side.arm, *arms))
    if not reached:
        return replace(measured, pair=(side,), reason=f"no beta of {curve} spends the rate of {side.label}")
    betas = [float(curves[seed].beta_at([rates[seed]])[0]) for seed in reached]
    between, lost = f"{number(min(betas), 3)} and {number(max(betas), 3)}", len(values) - len(reached)
    note = f"The beta at which {curve} spends the rate of {side.label} lies between {between}"
    note += f"; {lost} seeds reach no such rate." if lost else "."
    return replace(measured, pair=(side, _any_beta(tuned, cells, arms)), notes=(note,))


def _mean(values: Collection[float]) -> float:
    return math.fsum(values) / len(values)


def _any_beta(selector: Selector, cells: Cells, arms: Sequence[Arm]) -> Side:
    return Side(arms[0], selector_name(selector, cells.base, weight=False), any_beta=True)


def _collapses(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """What an arm does that is collapsed, it does without its latents."""
    rates = {cells.label(arm): cells.rate(arm) for arm in arms if cells.collapsed(arm)}
    return tuple(f"{label} is collapsed, at a rate of {number(rate, 2)} nats" for label, rate in rates.items())


def _rate_notes(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """That arms of different losses, compared at one setting, also differ in rate."""
    rates = {arm: cells.rate(arm) for arm in arms if not math.isnan(cells.rate(arm))}
    if len({arm.loss for arm in rates}) < 2 or max(rates.values()) - min(rates.values()) <= RATE_MATTERS:
        return ()
    (one, first), (other, second) = ((cells.label(arm), number(rate, 1)) for arm, rate in rates.items())
    spent = f"{one} spends {first} nats and {other} {second}"
    return (f"Not at equal rate: {spent}, so the difference mixes the loss with the rate.",)


MEASURES: Final[Mapping[Measure, Callable[[Claim, Leg, str, Cells], list[Comparison]]]] = MappingProxyType(
    {Measure.ARMS: _of_arms, Measure.SLOPE: _slope, Measure.CHECK: _checked}
)
