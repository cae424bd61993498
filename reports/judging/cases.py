"""A claim at one place as comparisons, each measured and tested, or found by a check: what a verdict is made from."""

from __future__ import annotations

from dataclasses import dataclass

from reports.claims.checks import Finding, run_check
from reports.claims.model import COMPUTED_KINDS, Claim, Leg
from reports.judging.cells import Cells
from reports.judging.decisions import Ps, Trial, trial
from reports.judging.differences import Measured, measure
from reports.judging.statistics import Region
from reports.judging.verdict import COMPUTED


@dataclass(frozen=True)
class Part:
    """One comparison of a claim at a place: measured and tested, or found by a check."""

    leg: Leg
    measured: Measured | None = None
    trial: Trial | None = None
    finding: Finding | None = None

    @property
    def in_family(self) -> bool:
        """Whether its p belongs to the family: a counted comparison that is tested, not computed or looked up."""
        return self.finding is None and self.leg.kind != "anchor" and (self.measured is None or self.measured.counted)


@dataclass(frozen=True)
class Case:
    """A claim at one place."""

    claim: Claim
    place: str
    parts: tuple[Part, ...]

    def tested(self, least: int) -> tuple[Ps, ...]:
        """The p of the comparisons that decide and have seeds enough."""
        mine = [part.trial for part in self.parts if part.in_family]
        return tuple(trial.base for trial in mine if trial is not None and trial.base.n >= least)

    def family_p(self, least: int) -> tuple[float, float] | None:
        """p_in and p_out of the whole, as `reports.judging.decisions` says; None where nothing could be tested."""
        tested = self.tested(least)
        if not tested:
            return None
        complete = len(tested) == sum(part.in_family for part in self.parts)
        p_in = max(ps.p_in for ps in tested) if complete else 1.0  # what is missing cannot support
        return p_in, min(1.0, len(tested) * min(ps.p_out for ps in tested))


def places_of(claim: Claim) -> tuple[str, ...]:
    """Where the claim is judged: its places, or `computed` where no cell bears on it."""
    computed = all(leg.kind in COMPUTED_KINDS for leg in claim.legs)
    return (COMPUTED,) if computed else tuple(dict.fromkeys(claim.places))


def case_of(claim: Claim, place: str, cells: Cells) -> Case:
    """The claim at that place: every comparison measured and tested, every check run."""
    parts: list[Part] = []
    for leg in claim.legs:
        if leg.kind in COMPUTED_KINDS:
            parts.append(Part(leg, finding=run_check(leg.check)))
        else:
            parts += [_tried(found) for found in measure(claim, leg, place, cells)]
    return Case(claim, place, tuple(parts))


def _tried(found: Measured) -> Part:
    if not found.by_seed:
        return Part(found.leg, found)
    by_value = found.leg.kind == "anchor"
    return Part(found.leg, found, trial(found.by_seed, region_of(found.leg), by_value=by_value))


def region_of(leg: Leg) -> Region:
    """Where the leg says that the effect lies; of an anchor, the distance from the published number."""
    kind = {"trend": "greater" if leg.direction == "rises" else "less", "anchor": "equivalent"}.get(leg.kind, leg.kind)
    return Region.of(kind, float(leg.margin or 0))
