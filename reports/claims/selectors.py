"""Selectors: how a claims file names arms, by any factor (`vae.factors`).

    a = { loss = "mae", beta = 1, "model.latents" = 2 }

A selector fixes some factors. Of those that it leaves out, loss, reduction and beta are open, and every other has the
value of the study's base; an option that the base's family lacks has that of the grid (`reports.claims.families`).
`beta_eff`, in place of beta, is the weight of KL when both terms are summed, whatever the reduction. `beta = "tuned"`
is the beta at which the arm spends the rate of the arm that it is compared with; it is found by interpolation, and no
such arm is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final

from vae.arms import Arm
from vae.checks import finite_number
from vae.errors import UserError, closest
from vae.factors import Value, factor, factors, no_option, same_value
from vae.objectives import effective_beta

EffectiveBeta = Callable[[Arm], float]
TUNED: Final = "tuned"
BETA_EFF: Final = "beta_eff"
OPEN: Final = ("loss", "reduction", "beta")  # factors that are open where they are left out


@dataclass(frozen=True)
class Selector:
    """Which arms. items: the factors that are fixed, in the order of the registry; beta may be `TUNED`.

    >>> one = Selector.of({"loss": "mae", "beta": 1, "model": {"latents": 2}})
    >>> one.matches(Arm("mae", latents=2), Arm()), one.matches(Arm("mae"), Arm())
    (True, False)
    >>> Selector.of({"loss": "mae", "beta": "tunned"})
    Traceback (most recent call last):
    vae.errors.UserError: beta='tunned' must be a number or 'tuned'. Did you mean 'tuned'?
    """

    items: tuple[tuple[str, Value], ...] = ()
    beta_eff: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Selector:
        """The selector of a mapping from factors' names to values; tables may be nested. Raises UserError."""
        flat = dict(_flat(given))
        allowed = [*factors(), BETA_EFF]
        unknown = next((name for name in flat if name not in allowed), None)
        if unknown is not None:
            raise UserError(
                f"unknown key {unknown!r} (= {flat[unknown]!r}); allowed: {allowed}.{closest(unknown, allowed)}"
            )
        settings = {name: _checked(name, flat[name]) for name in factors() if name in flat}
        family = settings.get("model.family")
        foreign = next((name for name in settings if family and not factor(name).applies(family)), None)
        if foreign is not None:
            raise no_option(factor(foreign).key, str(family))
        weight = float(finite_number(BETA_EFF, flat[BETA_EFF], least=0)) if BETA_EFF in flat else None
        if weight is not None and "beta" in settings:
            raise UserError(f"beta={settings['beta']!r} and beta_eff={weight!r}: give one of them")
        return cls(tuple(settings.items()), weight)

    @cached_property
    def settings(self) -> Mapping[str, Value]:
        """Factor -> value, of the factors that are fixed."""
        return MappingProxyType(dict(self.items))

    def to_dict(self) -> dict[str, Any]:
        """The mapping that `of` reads back, for JSON and for messages."""
        return {**self.settings, **({} if self.beta_eff is None else {BETA_EFF: self.beta_eff})}

    @property
    def loss(self) -> Any:
        """The loss; None where it is open."""
        return self.settings.get("loss")

    @property
    def reduction(self) -> Any:
        """The reduction; None where it is open."""
        return self.settings.get("reduction")

    @property
    def beta(self) -> Any:
        """The number; None where it is open or tuned."""
        return None if self.tuned else self.settings.get("beta")

    @property
    def tuned(self) -> bool:
        """Whether beta is to be found from the rate of the other arm."""
        return self.settings.get("beta") == TUNED

    @property
    def names_one(self) -> bool:
        """Whether this selector names one arm, tuned or not."""
        return self.loss is not None and ("beta" in self.settings or self.beta_eff is not None)

    @property
    def at_any_beta(self) -> Selector:
        """The same with beta left open: the curve on which the arm lies."""
        return replace(self, items=tuple(item for item in self.items if item[0] != "beta"), beta_eff=None)

    def same_as(self, other: Selector) -> bool:
        """Whether two selectors that name one arm each name the same one in every study.

        An arm tuned to the rate of an arm on its own curve is that arm.

        >>> one = Selector.of({"loss": "mae", "reduction": "sum", "beta": 1})
        >>> one.same_as(Selector.of({"loss": "mae", "reduction": "sum", "beta_eff": 1}))
        True
        """
        if self.at_any_beta != other.at_any_beta:
            return False
        return self.tuned or other.tuned or same_value(self._some_beta_eff(), other._some_beta_eff())

    def _some_beta_eff(self) -> float:
        """The weight of both terms summed, at sizes that no study has: what is equal there is equal at every size."""
        if self.beta_eff is not None:
            return self.beta_eff
        return effective_beta(self.reduction or "sum", self.beta, batch=7, pixels=11, latents=13)

    @lru_cache(maxsize=1024)  # noqa: B019 - a selector is a value: equal ones share an entry
    def on(self, base: Arm) -> Arm:
        """The base with what the selector fixes; a tuned beta is left at the base's.

        Raises UserError for an option that the family of the base does not have.
        """
        return base.replace({name: value for name, value in self.items if value != TUNED})

    def matches(self, arm: Arm, base: Arm, beta_eff: float | None = None) -> bool:
        """Whether an arm, of that effective beta where known, fits. A tuned beta fits every beta."""
        wanted = self.on(base)
        if wanted.settings.keys() != arm.settings.keys():
            return False
        left_open = {name for name in OPEN if self.settings.get(name) in (None, TUNED)}
        if not all(same_value(wanted[name], value) for name, value in arm.items if name not in left_open):
            return False
        return self.beta_eff is None or (beta_eff is not None and same_value(self.beta_eff, beta_eff))

    def arm(self, base: Arm, effective_beta: EffectiveBeta) -> Arm:
        """The one arm named, by a selector that names one. effective_beta: arm -> beta_eff, proportional to beta."""
        arm = self.on(base)
        return arm if self.beta_eff is None else arm.replace(beta=self.beta_eff / effective_beta(arm.replace(beta=1.0)))


def _flat(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted names."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _checked(name: str, value: Any) -> Value:
    if name == "beta" and isinstance(value, str):
        if value != TUNED:
            raise UserError(f"beta={value!r} must be a number or 'tuned'.{closest(value, [TUNED])}")
        return TUNED
    return factor(name).check(value)
