"""Kinds of claims. A kind is a value: what a comparison of the kind needs, how it is measured, its region, its words.

    greater, less, equivalent   a metric and an arm `a`, against one of: an arm `b`, `twin = true` (the `sum` arm of
                                equal beta_eff, for every arm that `a` matches), or a number `reference`
    trend                       a metric, arms `a` with beta left open, `direction = "falls"` or `"rises"`
    anchor                      a metric, one arm `a`, a published number `reference`
    identity, fact              `check`: the name of a computation in `reports.claims.checks`

All but the last two need a margin with its reason. A new kind is one entry of `KINDS` here, and its words in
`reports.claims.words` where none of those fit. One that is measured in a way of its own is also a `Measure`, and an
entry in the table of `reports.judging.differences`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, Protocol

from reports.claims import words
from reports.claims.places import CLAIM_PLACES, NOMINAL
from reports.claims.regions import Region
from reports.claims.words import Words

FALLS: Final = "falls"
DIRECTIONS: Final = (FALLS, "rises")


class Measure(Enum):
    """How a comparison is measured."""

    ARMS = auto()  # two arms, paired by seed, or one arm beside a number
    SLOPE = auto()  # slope over ln beta, seed by seed
    CHECK = auto()  # by code: no cell is read


class Margined(Protocol):
    """What the region of a comparison depends on."""

    @property
    def margin(self) -> float | None: ...

    @property
    def direction(self) -> str: ...


@dataclass(frozen=True)
class Kind:
    """A kind of claim.

    needs, forbids: keys of a comparison that must, or must not, be given; one_of: of these exactly one must.
    region: the comparison -> where the effect is to lie. places: where it may be judged. zero_margin: whether 0 is a
    margin. by_value: decided by the side of the margin on which the mean lies, whatever the number of seeds.
    """

    name: str
    needs: tuple[str, ...]
    forbids: tuple[str, ...]
    measure: Measure
    region: Callable[[Margined], Region]
    words: Words
    one_of: tuple[str, ...] = ()
    places: tuple[str, ...] = (NOMINAL,)
    zero_margin: bool = True
    by_value: bool = False

    @property
    def computed(self) -> bool:
        """Whether code finds it when the report is made, from no cell."""
        return self.measure is Measure.CHECK

    @property
    def in_family(self) -> bool:
        """Whether its p belongs to the family that Holm's adjustment runs over: only tests have one."""
        return not self.computed and not self.by_value

    def axis(self, label: str, unit: str, reference: float | None = None) -> str:
        """The words on the axis of an effect. label, unit: of the metric.

        >>> KINDS["trend"].axis("rate", "nats"), KINDS["anchor"].axis("−ELBO", "nats", 105.6)
        ('slope of rate on ln β (nats)', '−ELBO − 105.6 (nats)')
        """
        return self.words.axis(label, unit, reference)


def _above(leg: Margined) -> Region:
    return Region.above(leg.margin or 0.0)


def _below(leg: Margined) -> Region:
    return Region.below(leg.margin or 0.0)


def _within(leg: Margined) -> Region:
    """Of an anchor: of the distance from the published number."""
    return Region.within(leg.margin or 0.0)


def _along(leg: Margined) -> Region:
    return _below(leg) if leg.direction == FALLS else _above(leg)


def _everywhere(leg: Margined) -> Region:
    return Region()


_MEASURED: Final = ("metric", "a", "margin", "reason")
_AGAINST: Final = ("b", "twin", "reference")
_EXCESS: Final = Words(words.difference, words.excess, words.difference_axis)
_EQUALITY: Final = Words(words.change, words.equality, words.difference_axis)
_SLOPE: Final = Words(words.slope, words.excess, words.slope_axis)


def _comparison(name: str, region: Callable[[Margined], Region], wording: Words, *, zero_margin: bool = True) -> Kind:
    forbids = ("check", "direction")
    return Kind(
        name, _MEASURED, forbids, Measure.ARMS, region, wording, _AGAINST, places=CLAIM_PLACES, zero_margin=zero_margin
    )


def _computed(name: str) -> Kind:
    forbids = ("metric", "a", "b", "reference", "margin", "direction", "reason", "twin")
    return Kind(name, ("check",), forbids, Measure.CHECK, _everywhere, _EXCESS)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _comparison("greater", _above, _EXCESS),
            _comparison("less", _below, _EXCESS),
            _comparison("equivalent", _within, _EQUALITY, zero_margin=False),
            Kind(
                "trend",
                needs=(*_MEASURED, "direction"),
                forbids=("check", *_AGAINST),
                measure=Measure.SLOPE,
                region=_along,
                words=_SLOPE,
            ),
            Kind(
                "anchor",
                needs=(*_MEASURED, "reference"),
                forbids=("check", "b", "direction", "twin"),
                measure=Measure.ARMS,
                region=_within,
                words=_EQUALITY,
                zero_margin=False,
                by_value=True,
            ),
            _computed("identity"),
            _computed("fact"),
        )
    }
)
