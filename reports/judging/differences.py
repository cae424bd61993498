"""From the frame to paired differences: one number per seed for each comparison, with what a reader must know.

Cells are paired by seed, and only where the seed means the same thing in every arm: equal initial weights and equal
batch order, by their logged hashes. Nothing is left out in silence: each condition carries its counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from reports.claims.model import LEAST_CURVE, Claim, Leg
from reports.claims.selectors import Arm, Selector, find, same_beta, sum_twin
from reports.judging.cells import COLLAPSED, Cells
from reports.judging.curves import Curve, matched
from reports.judging.statistics import slopes
from reports.judging.verdict import MATCHED, Count
from reports.numbers import listed, number, setting, which_seeds

RATE_MATTERS: Final = 0.5  # nats per image: the margin of rates
Pairs = Mapping[int, tuple[float, float]]  # seed -> (first, second)


@dataclass(frozen=True)
class Measured:
    """One comparison, measured: seed -> paired difference, and what goes beside it.

    pair: the arms compared, first minus second (one arm where it is compared with a number, or along beta); beta is
    NaN where a whole curve stands for it. read: the arms whose cells were read. levels: name -> mean over the seeds
    used. rates: nats, of a comparison at equal rate. counted: whether it bears on its claim. caveats: what the
    sentence itself must say, as clauses. reason: why there is nothing to test; then by_seed is empty.
    """

    leg: Leg
    label: str
    pair: tuple[Arm, ...] = ()
    read: tuple[Arm, ...] = ()
    by_seed: Mapping[int, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    counts: tuple[Count, ...] = ()
    notes: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    counted: bool = True
    reason: str = ""


def measure(claim: Claim, leg: Leg, place: str, cells: Cells) -> list[Measured]:
    """The comparisons of one leg at one place: one, or, for twins, one for every arm that the leg matches."""
    if leg.metric not in cells.columns:
        found = [Measured(leg, leg.metric, reason=f"the study did not measure {leg.metric}")]
    elif leg.twin:
        found = _twins(leg, cells)
    elif place == MATCHED:
        found = [_at_equal_rate(claim, leg, cells)]
    elif leg.kind == "trend":
        found = [_trend(claim, leg, cells)]
    elif leg.b is not None and leg.b.tuned:
        found = [_tuned(claim, leg, cells)]
    else:
        found = [_nominal(leg, cells)]
    return [_finished(each, cells) for each in found]


def _finished(found: Measured, cells: Cells) -> Measured:
    """With its counts, and refused where cells of one seed did not start alike."""
    found = replace(
        found,
        counted=found.counted and found.leg.counted,
        counts=tuple(cells.count(arm, found.leg.metric) for arm in dict.fromkeys(found.read)),
    )
    if len(found.read) < 2 or not found.by_seed:
        return found
    seen = {seed: set(cells.hashes(found.read, seed)) for seed in found.by_seed}
    differ = [seed for seed, hashes in seen.items() if len(hashes) > 1]
    if differ:
        reason = (
            f"the cells of {which_seeds(differ)} cannot be paired: init_hash or order_hash differs between the arms, "
            "so the seed does not mean the same initial weights and batch order in each"
        )
        return replace(found, by_seed={}, levels={}, reason=reason)
    if any("" in hashes for each in seen.values() for hashes in each):
        note = "That the arms of a seed start alike could not be checked: init_hash or order_hash was not logged."
        return replace(found, notes=(*found.notes, note))
    return found


def _nominal(leg: Leg, cells: Cells) -> Measured:
    arms = []
    for selector in leg.selectors:
        matching = cells.matching(selector)
        if not matching:
            return Measured(leg, _name(selector), reason=f"the study has no arm {_name(selector)}")
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
    found = _found(leg, [arm.label for arm in arms], pairs)
    return replace(found, pair=arms, read=arms, notes=_rate_notes(cells, arms), caveats=_collapses(cells, arms))


def _found(leg: Leg, names: Sequence[str], pairs: Pairs) -> Measured:
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
    found = [_with_twin(leg, cells, arm) for arm in cells.matching(selector) if arm.reduction != "sum"]
    if not any(each.counted for each in found):
        why = "every one is collapsed, and so equal whatever the weight" if found else "the study has none"
        reason = f"no arm {_name(selector)} to compare with its ‘sum’ twin: {why}"
        found.append(Measured(leg, _name(selector), reason=reason))
    return found


def _with_twin(leg: Leg, cells: Cells, arm: Arm) -> Measured:
    beta_eff = cells.beta_eff(arm)
    twin = None if beta_eff is None else find(sum_twin(arm, beta_eff), cells.rows)
    if twin is None:
        reason = f"the study has no ‘sum’ arm with the beta_eff of {arm.label}"
        return Measured(leg, arm.label, (arm,), (arm,), reason=reason)
    pair = _pair(leg, cells, arm, twin)
    if not (cells.collapsed(arm) and cells.collapsed(twin)):
        return pair
    note = f"Both collapsed (rate below {setting(COLLAPSED)} nat), so equal whatever the weight: shown, not counted."
    return replace(pair, counted=False, notes=(note,), caveats=())


def _trend(claim: Claim, leg: Leg, cells: Cells) -> Measured:
    """Slope of the metric on ln beta, seed by seed, over the betas that the seed has."""
    selector = leg.a or Selector()
    arms = _along_beta(claim, cells, selector)
    if len(arms) < LEAST_CURVE:
        reason = f"a trend needs two betas or more; the study has {len(arms)} of {_name(selector)}"
        return Measured(leg, _name(selector), read=arms, reason=reason)
    values = {arm: cells.values(arm, leg.metric) for arm in arms}
    lines = {seed: [(arm.beta, values[arm][seed]) for arm in arms if seed in values[arm]] for seed in cells.seeds}
    lines = {seed: line for seed, line in lines.items() if len(line) >= LEAST_CURVE}
    against = _against_the_trend(leg, lines)
    other_way = f"the other way by more than {setting(leg.margin or 0.0)}"
    return Measured(
        leg,
        label=f"slope of {leg.metric} on ln beta, {_name(selector)}",
        pair=(_at_any_beta(selector),),
        read=arms,
        by_seed={seed: _slope(line) for seed, line in lines.items()},
        levels={arm.label: math.fsum(seen.values()) / len(seen) for arm, seen in values.items() if seen},
        notes=() if against or not lines else (f"{_name(selector)}: in no seed does a step in beta go {other_way}.",),
        caveats=(f"but in {which_seeds(against)} a step in beta goes {other_way}",) if against else (),
    )


def _slope(line: Sequence[tuple[float, float]]) -> float:
    beta, value = zip(*line)
    return float(slopes([math.log(each) for each in beta], value))


def _against_the_trend(leg: Leg, lines: Mapping[int, Sequence[tuple[float, float]]]) -> list[int]:
    """A slope is not monotony: the seeds in which some step goes the other way by more than the margin."""
    sign = 1 if leg.direction == "falls" else -1
    steps = {seed: [sign * (b[1] - a[1]) for a, b in itertools.pairwise(line)] for seed, line in lines.items()}
    return [seed for seed, found in steps.items() if max(found) > (leg.margin or 0.0)]


def _along_beta(claim: Claim, cells: Cells, selector: Selector) -> tuple[Arm, ...]:
    """The arms of a selector at every beta above 0, in order of beta.

    Those of the grid and of the claim's own betas: a twin trained for another comparison lies as near to a
    neighbour as 3.92 to 4, where the slope between the two is noise.
    """
    everywhere = selector.model_copy(update={"beta": None, "beta_eff": None})
    arms = sorted((arm for arm in cells.matching(everywhere) if arm.beta > 0), key=lambda arm: arm.beta)
    own = [arm for arm in arms if cells.of_grid(arm) or any(same_beta(arm.beta, beta) for beta in claim.betas)]
    return tuple(own if len(own) >= LEAST_CURVE else arms)


def _curves(leg: Leg, cells: Cells, arms: Sequence[Arm]) -> dict[int, Curve]:
    """seed -> curve of the metric over beta; seeds with fewer than two betas have none."""
    points: dict[int, list[tuple[float, float, float]]] = {}
    for arm in arms:
        values, rates = cells.values(arm, leg.metric), cells.values(arm, "rate")
        for seed in values.keys() & rates.keys():
            points.setdefault(seed, []).append((arm.beta, rates[seed], values[seed]))
    return {seed: Curve.through(line) for seed, line in points.items() if len(line) >= LEAST_CURVE}


def _at_equal_rate(claim: Claim, leg: Leg, cells: Cells) -> Measured:
    arms = [_along_beta(claim, cells, selector) for selector in leg.selectors]
    curves = [_curves(leg, cells, each) for each in arms]
    names = [_name(selector, weight=False) for selector in leg.selectors]
    pairs, rates = matched(curves[0], curves[-1], claim.rates)
    if leg.b is None:
        pairs = {seed: (value, _reference(leg)) for seed, (value, _) in pairs.items()}
    found = replace(_found(leg, names, pairs), read=tuple(itertools.chain(*arms)), rates=rates)
    if not pairs:
        asked = listed([setting(rate) for rate in claim.rates])
        return replace(found, reason=f"{listed(names)} share none of the rates {asked} nats in every seed")
    skipped = [setting(rate) for rate in claim.rates if rate not in rates]
    note = f"Not compared at {listed(skipped)} nats: not every curve reaches them."
    ends = tuple(_at_any_beta(selector) for selector in leg.selectors)
    return replace(found, pair=ends, notes=(note,) if skipped else ())


def _tuned(claim: Claim, leg: Leg, cells: Cells) -> Measured:
    """An arm against another whose beta is set, seed by seed, so that both spend the same rate."""
    first, second = leg.a or Selector(), leg.b or Selector()
    mine, arms = cells.matching(first)[:1], _along_beta(claim, cells, second)
    if not mine:
        return Measured(leg, _name(first), reason=f"the study has no arm {_name(first)}")
    values, rates = cells.values(mine[0], leg.metric), cells.values(mine[0], "rate")
    curves = _curves(leg, cells, arms)
    reached: dict[int, tuple[float, float]] = {}  # seed -> (tuned beta, its value)
    for seed in sorted(values.keys() & rates.keys() & curves.keys()):
        spent = [rates[seed]]
        reached[seed] = float(curves[seed].beta_at(spent)[0]), float(curves[seed].at(spent)[0])
    reached = {seed: each for seed, each in reached.items() if math.isfinite(each[1])}
    curve = _name(second, weight=False)
    names = [mine[0].label, f"{curve} tuned to the same rate"]
    found = _found(leg, names, {seed: (values[seed], value) for seed, (_, value) in reached.items()})
    found = replace(found, pair=(mine[0], _at_any_beta(second)), read=(*mine, *arms))
    if not reached:
        return replace(found, reason=f"no beta of {curve} spends the rate of {mine[0].label}")
    betas, lost = [beta for beta, _ in reached.values()], len(values) - len(reached)
    note = f"The beta at which {curve} spends the rate of {names[0]} lies between "
    note += f"{number(min(betas), 3)} and {number(max(betas), 3)}"
    return replace(found, notes=(f"{note}; {lost} seeds reach no such rate." if lost else f"{note}.",))


def _reference(leg: Leg) -> float:
    return 0.0 if leg.reference is None else float(leg.reference)


def _at_any_beta(selector: Selector) -> Arm:
    return Arm(str(selector.loss), str(selector.reduction), math.nan, selector.posterior)


def _name(selector: Selector, *, weight: bool = True) -> str:
    """A selector as a short name: the fields it fixes."""
    beta = f"b{selector.beta:g}" if isinstance(selector.beta, float) else ""
    beta_eff = f"beta_eff{selector.beta_eff:g}" if selector.beta_eff is not None else ""
    posterior = "" if selector.posterior == Selector().posterior else selector.posterior
    parts = (selector.loss, selector.reduction, *((beta, beta_eff) if weight else ()), posterior)
    return "-".join(part for part in parts if part) or "any"


def _collapses(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """What an arm does that is collapsed, it does without its latents."""
    rates = {arm.label: rate for arm in arms if (rate := cells.rate(arm)) is not None and cells.collapsed(arm)}
    return tuple(f"{label} is collapsed, at a rate of {number(rate, 2)} nats" for label, rate in rates.items())


def _rate_notes(cells: Cells, arms: Sequence[Arm]) -> tuple[str, ...]:
    """A comparison at one setting is one of the rates too."""
    rates = {arm.label: rate for arm in arms if (rate := cells.rate(arm)) is not None}
    notes = []
    if len(rates) == 2 and len({arm.loss for arm in arms}) == 2:
        (one, first), (other, second) = rates.items()
        if abs(first - second) > RATE_MATTERS:
            spent = f"{one} spends {number(first, 1)} nats and {other} {number(second, 1)}"
            notes.append(f"Not at equal rate: {spent}, so the difference mixes the loss with the rate.")
    return tuple(notes)
