"""Comparisons along beta: slopes of a metric, and conditions at equal rate, interpolated on curves over ln beta."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reports.claims.kinds import FALLS
from reports.claims.model import LEAST_CURVE, Claim, Leg
from reports.claims.selectors import Selector
from reports.judging.arm_pairs import no_arm
from reports.judging.cells import Cells
from reports.judging.comparison import Comparison, condition, subtracted
from reports.judging.conditions import Array, Condition, Paired
from reports.judging.curves import Curve, crossing, curves_by_seed, interpolated, matched
from reports.judging.names import Side, selector_name
from reports.judging.statistics import mean, slope
from reports.numbers import listed, number, setting, which_seeds, with_unit
from vae.arms import Arm
from vae.factors import same_value
from vae.metrics.catalogue import CATALOGUE
from vae.metrics.latents import COLLAPSED


def slopes(claim: Claim, leg: Leg, cells: Cells) -> Comparison:
    """Slope of the metric on ln beta, seed by seed, over the betas that the seed has."""
    selector = leg.a or Selector()
    arms, name = along_beta(claim, cells, selector), selector_name(selector, cells.base)
    if len(arms) < LEAST_CURVE:
        reason = f"a trend needs two betas or more; the study has {len(arms)} of {name}"
        return Comparison(leg, name, read=arms, reason=reason)
    values = {arm: cells.values(arm, leg.metric) for arm in arms}
    lines = {seed: [(arm.beta, values[arm][seed]) for arm in arms if seed in values[arm]] for seed in cells.seeds}
    lines = {seed: line for seed, line in lines.items() if len(line) >= LEAST_CURVE}
    found = {seed: slope([math.log(beta) for beta, _ in line], [y for _, y in line]) for seed, line in lines.items()}
    against = [seed for seed, line in lines.items() if _steps_against(leg, line)]
    unit = CATALOGUE[leg.metric].unit if leg.metric in CATALOGUE else ""
    opposite = f"opposite to the claim by more than {with_unit(setting(leg.margin or 0.0), unit)}"
    one = Condition(
        name,
        found,
        arms,
        _slopes_behind(cells, arms, leg.metric),
        _images(cells, arms, leg),
        _failed(cells, arms, leg.metric),
    )
    return Comparison(
        leg,
        label=f"slope of {leg.metric} on ln beta, {name}",
        pair=(_any_beta(selector, cells, arms),),
        read=arms,
        paired=Paired((one,)),
        levels={cells.label(arm): mean(at.values()) for arm, at in values.items() if at},
        notes=() if against or not lines else (f"{name}: in no seed does a step in beta go {opposite}.",),
        caveats=(f"but in {which_seeds(against)} a step in beta goes {opposite}",) if against else (),
    )


def _steps_against(leg: Leg, line: Sequence[tuple[float, float]]) -> bool:
    """Whether some step in beta goes opposite to the claim by more than the margin: a slope does not show it."""
    sign = 1 if leg.direction == FALLS else -1
    return any(sign * (after - before) > (leg.margin or 0.0) for (_, before), (_, after) in itertools.pairwise(line))


def _slopes_behind(cells: Cells, arms: Sequence[Arm], metric: str) -> dict[int, Array]:
    """seed -> the slope of each image's values on ln beta."""
    x = np.log([arm.beta for arm in arms])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return {seed: np.tensordot(weights, stacked, axes=1) for seed, stacked in _stacked(cells, arms, metric).items()}


def _stacked(cells: Cells, arms: Sequence[Arm], metric: str) -> dict[int, Array]:
    """seed -> the values behind all arms, (arms, ...), where every arm has them in one shape."""
    behind = [cells.behind(arm, metric) for arm in arms]
    seeds = set(behind[0]).intersection(*behind[1:]) if behind else set()
    rows = {seed: [of_arm[seed] for of_arm in behind] for seed in sorted(seeds)}
    return {seed: np.stack(arrays) for seed, arrays in rows.items() if len({array.shape for array in arrays}) == 1}


def _images(cells: Cells, arms: Sequence[Arm], leg: Leg) -> int | None:
    return next((count for arm in arms if (count := cells.images(arm, leg.metric)) is not None), None)


def _failed(cells: Cells, arms: Sequence[Arm], metric: str) -> frozenset[int]:
    return frozenset().union(*(cells.failed(arm, metric) for arm in arms))


def along_beta(claim: Claim, cells: Cells, selector: Selector) -> tuple[Arm, ...]:
    """The arms that differ from a selector's in beta alone, at every beta above 0, in order of beta.

    Those of the grid and of the claim's own betas: a twin trained for another comparison lies as near to a
    neighbour as 3.92 to 4, where the slope between the two is noise.
    """
    arms = sorted((arm for arm in cells.matching(selector.at_any_beta) if arm.beta > 0), key=lambda arm: arm.beta)
    own = [arm for arm in arms if cells.of_grid(arm) or any(same_value(arm.beta, beta) for beta in claim.betas)]
    return tuple(own if len(own) >= LEAST_CURVE else arms)


def curves(leg: Leg, cells: Cells, arms: Sequence[Arm]) -> dict[int, Curve]:
    """seed -> curve of the metric over beta; seeds with fewer than two betas have none."""
    rows = []
    for arm in arms:
        values, rates = cells.values(arm, leg.metric), cells.values(arm, "rate")
        rows += [(seed, arm.beta, rates[seed], values[seed]) for seed in values.keys() & rates.keys()]
    return curves_by_seed(rows)


def _behind_at(cells: Cells, leg: Leg, arms: Sequence[Arm], log_betas: Mapping[int, Array]) -> dict[int, Array]:
    """seed -> the values behind a curve, interpolated at the seed's ln betas and averaged over these."""
    log_beta = np.log([arm.beta for arm in arms])
    return {
        seed: interpolated(log_beta, stacked, log_betas[seed]).mean(axis=0)
        for seed, stacked in _stacked(cells, arms, leg.metric).items()
        if seed in log_betas
    }


def at_equal_rate(claim: Claim, leg: Leg, cells: Cells) -> Comparison:
    """Two conditions, each on its curve over beta, at the rates that both spend."""
    arms = [along_beta(claim, cells, selector) for selector in leg.selectors]
    of_side = [curves(leg, cells, on_curve) for on_curve in arms]
    names = [selector_name(selector, cells.base, weight=False) for selector in leg.selectors]
    pairs, rates = matched(of_side[0], of_side[-1], claim.rates, shares=claim.shares)
    conditions = []
    for i, on_curve in enumerate(arms):
        log_betas = {seed: np.log(of_side[i][seed].beta_at(rates)) for seed in pairs}
        behind = _behind_at(cells, leg, on_curve, log_betas)
        values = {seed: pair[i] for seed, pair in pairs.items()}
        failed = _failed(cells, on_curve, leg.metric)
        near = _around(on_curve, log_betas)
        images = _images(cells, on_curve, leg)
        conditions.append(Condition(names[i], values, near, behind, images, failed, on_curve=True))
    measured = replace(subtracted(leg, conditions), read=tuple(itertools.chain(*arms)), rates=rates)
    if not pairs:
        return replace(measured, reason=f"{listed(names)} share none of the rates {_asked(claim)} in every seed")
    skipped = [setting(rate) for rate in claim.rates if rate not in rates]
    note = f"Not compared at {listed(skipped)} nats: not every curve reaches them."
    sides = tuple(_any_beta(selector, cells, on_curve) for selector, on_curve in zip(leg.selectors, arms))
    return replace(measured, pair=sides, notes=(note,) if skipped else ())


def _around(arms: tuple[Arm, ...], log_betas: Mapping[int, Array]) -> tuple[Arm, ...]:
    """The arms next to any of these ln betas, on either side: what a value is read between. All, where none is read."""
    log_beta = np.log([arm.beta for arm in arms])
    wanted = {i for at in log_betas.values() for x in np.atleast_1d(at) for i in _neighbours(log_beta, float(x))}
    return tuple(arm for i, arm in enumerate(arms) if i in wanted) or arms


def _neighbours(log_beta: Array, x: float) -> tuple[int, int]:
    above = int(np.clip(np.searchsorted(log_beta, x), 1, len(log_beta) - 1))
    return above - 1, above


def _asked(claim: Claim) -> str:
    if not claim.shares:
        return f"{listed([setting(rate) for rate in claim.rates])} nats"
    return f"at {listed([setting(share) for share in claim.shares])} of their common range"


def tuned_to_rate(claim: Claim, leg: Leg, tuned: Selector, cells: Cells) -> Comparison:
    """An arm against another whose beta is set, seed by seed, so that both spend the same rate."""
    named = leg.a or Selector()
    matching, arms = cells.matching(named), along_beta(claim, cells, tuned)
    if not matching:
        return no_arm(leg, named, cells)
    side, curve = Side(matching[0], cells.label(matching[0])), selector_name(tuned, cells.base, weight=False)
    first, rates, of_curve = (
        condition(cells, side.arm, leg.metric),
        cells.values(side.arm, "rate"),
        curves(leg, cells, arms),
    )
    at_rate = {
        seed: float(of_curve[seed].at([rates[seed]])[0])
        for seed in first.values.keys() & rates.keys() & of_curve.keys()
    }
    reached = {seed: value for seed, value in at_rate.items() if math.isfinite(value)}
    betas = {seed: of_curve[seed].beta_at([rates[seed]]) for seed in reached}
    behind = _behind_at(cells, leg, arms, {seed: np.log(beta) for seed, beta in betas.items()})
    name = f"{curve} tuned to the same rate"
    near = _around(arms, {seed: np.log(beta) for seed, beta in betas.items()})
    failed = _failed(cells, arms, leg.metric)
    second = Condition(name, reached, near, behind, _images(cells, arms, leg), failed, on_curve=True)
    measured = replace(subtracted(leg, [first, second]), read=(side.arm, *arms))
    if not reached:
        return replace(measured, pair=(side,), reason=f"no beta of {curve} spends the rate of {side.label}")
    least, greatest = (float(end(beta[0] for beta in betas.values())) for end in (min, max))
    between, lost = f"{number(least, 3)} and {number(greatest, 3)}", len(first.values) - len(reached)
    note = f"The beta at which {curve} spends the rate of {side.label} lies between {between}"
    note += f"; {lost} seeds reach no such rate." if lost else "."
    return replace(measured, pair=(side, _any_beta(tuned, cells, arms)), notes=(note,))


def crossings(leg: Leg, cells: Cells) -> Comparison:
    """ln of the beta at which the rate falls to the threshold of collapse, seed by seed, minus that of the prediction.

    A seed whose rate crosses it at no beta of the study has no value, and counts as a failed one.
    """
    selector = leg.a or Selector()
    arms, name = _all_along_beta(cells, selector), selector_name(selector, cells.base, weight=False)
    rates = {arm: cells.values(arm, "rate") for arm in arms}
    seeds = sorted({seed for of_arm in rates.values() for seed in of_arm})
    at = {
        seed: crossing([(arm.beta, rates[arm][seed]) for arm in arms if seed in rates[arm]], COLLAPSED)
        for seed in seeds
    }
    crossed = {seed: math.log(beta) for seed, beta in at.items() if math.isfinite(beta) and beta > 0}
    reference = math.log(leg.reference or 1.0)
    lost = frozenset(at.keys() - crossed.keys())
    conditions = (
        Condition(name, crossed, arms, failed=lost | _failed(cells, arms, leg.metric)),
        Condition(setting(leg.reference or 1.0), dict.fromkeys(seeds, reference)),
    )
    label = f"beta at which {name} collapses − {setting(leg.reference or 1.0)}"
    measured = Comparison(leg, label, (_any_beta(selector, cells, arms),), arms, Paired(conditions)) if arms else None
    if measured is None or not crossed:
        where = f"between {setting(arms[0].beta)} and {setting(arms[-1].beta)}" if arms else "of the study"
        return Comparison(
            leg, name, read=arms, reason=f"the rate of {name} falls to {setting(COLLAPSED)} nat at no beta {where}"
        )
    levels = {name: math.exp(mean(crossed.values()))}
    note = f"In {which_seeds(sorted(lost))} the rate crosses {setting(COLLAPSED)} nat at no beta of the study."
    return replace(measured, levels=levels, notes=(note,) if lost else ())


def _all_along_beta(cells: Cells, selector: Selector) -> tuple[Arm, ...]:
    matching = (arm for arm in cells.matching(selector.at_any_beta) if arm.beta > 0)
    return tuple(sorted(matching, key=lambda arm: arm.beta))


def _any_beta(selector: Selector, cells: Cells, arms: Sequence[Arm]) -> Side:
    return Side(arms[0], selector_name(selector, cells.base, weight=False), any_beta=True)
