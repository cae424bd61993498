"""Claims on models of another family than the study's base: which options they mean where they name none.

The base has no value of an option that its family lacks. What the grid has holds there, as it does for the base: the
default of the family, or the first value of the grid where the default is not in it. Done when a study is planned,
before margins are resolved; the selectors then name these options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reports.claims.model import Claim, Leg
from reports.claims.selectors import Selector
from vae.arms import Arm
from vae.factors import Value, factors, same_value


def with_options(claims: Sequence[Claim], *, arms: Sequence[Arm], base: Arm) -> tuple[Claim, ...]:
    """The claims, with such options of other families filled in.

    arms: those of the study's grid. Selectors of the base's family, and of a family that the grid lacks, stay as they
    are.

    >>> from reports.claims.load import parse_claims
    >>> pair = {"a": {"loss": "mae", "beta": 1, "model.family": "conv"}, "b": {"loss": "mae", "beta": 1}}
    >>> table = {"id": "x", "quote": "x", "kind": "less", "metric": "rate", "margin": 1, "reason": "x", **pair}
    >>> arms = [Arm("mae"), Arm("mae", family="conv", channels=(4, 8))]
    >>> with_options(parse_claims({"claim": [table]}, file="x"), arms=arms, base=Arm())[0].legs[0].a.to_dict()
    {'loss': 'mae', 'reduction': 'sum', 'beta': 1.0, 'model.family': 'conv', 'model.channels': (4, 8)}
    """
    return tuple(_claim(claim, arms, base) for claim in claims)


def _claim(claim: Claim, arms: Sequence[Arm], base: Arm) -> Claim:
    legs = tuple(_leg(leg, arms, base) for leg in claim.legs)
    needs = tuple(_selector(selector, arms, base) for selector in claim.needs)
    return claim.model_copy(update={"legs": legs, "needs": needs})


def _leg(leg: Leg, arms: Sequence[Arm], base: Arm) -> Leg:
    selectors = {name: _selector(one, arms, base) for name in ("a", "b") if (one := getattr(leg, name)) is not None}
    return leg.model_copy(update=selectors)


def _selector(selector: Selector, arms: Sequence[Arm], base: Arm) -> Selector:
    family = selector.settings.get("model.family", base["model.family"])
    missing = _options(family, arms, base)
    settings = {**missing, **selector.settings}
    return replace(selector, items=tuple((name, settings[name]) for name in factors() if name in settings))


def _options(family: Value, arms: Sequence[Arm], base: Arm) -> dict[str, Value]:
    """Option -> its value, where the grid's models of that family do not have the default."""
    of_family = [arm for arm in arms if arm["model.family"] == family]
    chosen: dict[str, Value] = {}
    for name, one in factors().items():
        if of_family and one.applies(family) and not one.applies(base["model.family"]):
            values = [arm[name] for arm in of_family]
            if not any(same_value(one.default_in(family), value) for value in values):
                chosen[name] = values[0]
    return chosen
