"""Kinds of claims. A kind is a value: what a comparison of the kind needs, how it is measured, its region, its words.

    greater, less, equivalent   a metric and an arm `a`, against one of: an arm `b`, `twin = true` (the `sum` arm of
                                equal beta_eff, for every arm that `a` matches), or a number `reference`
    trend                       a metric, arms `a` with beta left open, `direction = "falls"` or `"rises"`
    anchor                      a metric, one arm `a`, a published number `reference`
    predicted                   one arm `a` and a `prediction`, whose number is computed from the training images (see
                                `reports.claims.predictions`); one that predicts a beta is of kind `predicted-beta`
    identity, fact              `check`: the name of a computation in `reports.claims.checks`

All but the last two need a margin with its reason: `margin` in the metric's units, or `share` and `of`
(`reports.claims.margins`); of `predicted-beta`, in ln beta. A new kind is one entry of `KINDS` here, and its words in
`reports.claims.words` where none of those fit. One that is measured in a way of its own is also a `Measure`, and an
entry in the table of `reports.judging.differences`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from operator import add
from types import MappingProxyType
from typing import Final

from reports.claims import words
from reports.claims.places import CLAIM_PLACES, NOMINAL
from reports.claims.regions import Region
from reports.claims.words import EffectText, Numbers

FALLS: Final = "falls"
DIRECTIONS: Final = (FALLS, "rises")
_MEASURED: Final = ("metric", "a", "margin", "reason")
_AGAINST: Final = ("b", "twin", "reference")
_PREDICTED: Final = ("prediction",)


class Measure(Enum):
    """How a comparison is measured."""

    ARMS = auto()  # two arms, paired by seed, or one arm beside a number
    SLOPE = auto()  # slope over ln beta, seed by seed
    CROSSING = auto()  # ln of the beta at which the rate falls to the threshold of collapse, seed by seed
    CHECK = auto()  # by code: no cell is read


@dataclass(frozen=True)
class Kind:
    """A kind of claim.

    needs, forbids: keys of a comparison that must, or must not, be given; one_of: of these exactly one must.
    region: (margin, direction) -> where the effect is to lie. places: where it may be judged. zero_margin: whether 0 is
    a margin. by_value: decided by the side of the margin on which the mean lies, whatever the number of seeds.
    effect: its numbers in words; consequence: (effect, supported) -> the answer, without its full stop. axis: (label
    of the metric, its unit, reference) -> the words on the axis of an effect. level: (reference, effect) -> where an
    arm stands that is compared with a number. unit: of its effects and margins; None where it is the metric's.
    """

    name: str
    needs: tuple[str, ...]
    forbids: tuple[str, ...]
    region: Callable[[float, str], Region]
    measure: Measure = Measure.ARMS
    one_of: tuple[str, ...] = ()
    places: tuple[str, ...] = (NOMINAL,)
    zero_margin: bool = True
    by_value: bool = False
    at_floor_too: bool = False  # of the latents: an arm that carries nothing may be what is claimed
    effect: Callable[[EffectText], Numbers] = words.difference
    consequence: Callable[[EffectText, bool], str] = words.excess
    axis: Callable[[str, str, float | None], str] = words.difference_axis
    level: Callable[[float, float], float] = add
    unit: str | None = None

    @property
    def computed(self) -> bool:
        """Whether code finds it when the report is made, from no cell."""
        return self.measure is Measure.CHECK

    @property
    def in_family(self) -> bool:
        """Whether its p belongs to the family that Holm's adjustment runs over: only tests have one."""
        return not self.computed and not self.by_value


_GREATER: Final = Kind(
    "greater",
    needs=_MEASURED,
    forbids=("check", "direction", *_PREDICTED),
    region=lambda margin, _: Region.above(margin),
    one_of=_AGAINST,
    places=CLAIM_PLACES,
)
_EQUIVALENT: Final = replace(
    _GREATER,
    name="equivalent",
    region=lambda margin, _: Region.within(margin),
    zero_margin=False,
    effect=words.change,
    consequence=words.equality,
)
_OF_PREDICTION: Final = replace(
    _EQUIVALENT,
    name="predicted",
    needs=(*_MEASURED, *_PREDICTED),
    forbids=("check", "b", "direction", "twin"),
    one_of=(),
    places=(NOMINAL,),
    at_floor_too=True,
    effect=words.predicted,
    consequence=words.nearness,
)
_FACT: Final = Kind(
    "fact",
    needs=("check",),
    forbids=("metric", "a", "b", "reference", "margin", "direction", "reason", "twin", "share", "of", *_PREDICTED),
    region=lambda margin, direction: Region(),
    measure=Measure.CHECK,
)
_ALL: Final = (
    _GREATER,
    replace(_GREATER, name="less", region=lambda margin, _: Region.below(margin)),
    _EQUIVALENT,
    Kind(
        "trend",
        needs=(*_MEASURED, "direction"),
        forbids=("check", *_AGAINST, *_PREDICTED),
        region=lambda margin, direction: Region.below(margin) if direction == FALLS else Region.above(margin),
        measure=Measure.SLOPE,
        effect=words.slope,
        axis=words.slope_axis,
    ),
    replace(
        _EQUIVALENT,
        name="anchor",
        needs=(*_MEASURED, "reference"),
        forbids=("check", "b", "direction", "twin", *_PREDICTED),
        one_of=(),
        places=(NOMINAL,),
        by_value=True,
    ),
    _OF_PREDICTION,
    replace(
        _OF_PREDICTION,
        name="predicted-beta",
        measure=Measure.CROSSING,
        effect=words.predicted_beta,
        consequence=words.nearness_in_logs,
        axis=words.predicted_beta_axis,
        level=lambda reference, effect: reference * math.exp(effect),
        unit="1",  # of ln beta
    ),
    replace(_FACT, name="identity"),
    _FACT,
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _ALL})
