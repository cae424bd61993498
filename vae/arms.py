"""Arms: what is compared. An arm is a value of every factor (`vae.factors`); a cell is an arm and a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import Any

from vae.errors import UserError, not_one_of
from vae.factors import Factor, Scope, Value, factor, factors, no_option, same_value
from vae.objectives import REDUCTIONS, effective_beta
from vae.training.settings import Training

NAMED = ("loss", "reduction", "beta")  # the factors that the label of every arm shows


@dataclass(frozen=True, init=False, repr=False)
class Arm:
    """A value of every factor that its model family has. What is not given has its default.

    Factors have their names in a study's grid; as a keyword, the part after the dot is enough.

    >>> arm = Arm("mae", beta=2, latents=5)
    >>> arm.beta, arm["model.latents"], arm["training.learning_rate"]
    (2.0, 5, 0.001)
    >>> arm.label(), arm.label(base=Arm(latents=5))
    ('mae-sum-b2-latents5', 'mae-sum-b2')
    >>> Arm("bce", beta=-1)
    Traceback (most recent call last):
    vae.errors.UserError: beta=-1 must be a finite number, 0 or more
    """

    items: tuple[tuple[str, Value], ...]

    def __init__(self, loss: str = "bce", **settings: Any) -> None:
        self._set({"loss": loss, **_named(settings)})

    def _set(self, given: Mapping[str, Any], *, recorded: bool = False) -> None:
        known = factors()
        unknown = next((name for name in given if name not in known), None)
        if unknown is not None:
            raise _unknown(unknown, given)
        family = known["model.family"].check(given.get("model.family", known["model.family"].default))
        foreign = next((name for name in given if not known[name].applies(family)), None)
        if foreign is not None:
            raise no_option(known[foreign].key, str(family))
        applying = [factor for factor in known.values() if factor.applies(family)]
        items = tuple((factor.name, _value(factor, given, family, recorded)) for factor in applying)
        object.__setattr__(self, "items", items)

    @classmethod
    def of(cls, settings: Mapping[str, Any], *, recorded: bool = False) -> Arm:
        """The arm of a mapping from factors' names to values.

        recorded: the values were checked when they were recorded, and are not checked again: a report on a user's own
        loss does not need to import it.
        """
        arm = cls.__new__(cls)
        arm._set(settings, recorded=recorded)
        return arm

    @cached_property
    def settings(self) -> Mapping[str, Value]:
        """Factor -> value, in the order of the registry."""
        return MappingProxyType(dict(self.items))

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def get(self, name: str) -> Any:
        """The value of a factor; None where the arm's family has no such factor."""
        return self.settings.get(name)

    def __repr__(self) -> str:
        return f"Arm({self.label()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Arm.of, recorded=True), (dict(self.items),)

    @property
    def loss(self) -> str:
        return str(self["loss"])

    @property
    def reduction(self) -> str:
        return str(self["reduction"])

    @property
    def beta(self) -> float:
        return float(self["beta"])

    @property
    def posterior(self) -> str:
        return str(self["posterior"])

    @cached_property
    def training(self) -> Training:
        """The training factors as one typed value."""
        values: dict[str, Any] = {name.removeprefix("training."): value for name, value in self.items}
        return Training(**{field.name: values[field.name] for field in fields(Training)})

    @cached_property
    def shape(self) -> tuple[tuple[str, Value], ...]:
        """The factors of scope `shape`: arms that agree in these train in one stack."""
        known = factors()
        return tuple((name, value) for name, value in self.items if known[name].scope is Scope.SHAPE)

    @cached_property
    def model(self) -> tuple[tuple[str, Value], ...]:
        """The model factors: arms of a seed that agree in these start from the same weights."""
        return tuple((name, value) for name, value in self.items if name.startswith("model."))

    def replace(self, changes: Mapping[str, Any] = MappingProxyType({}), /, **settings: Any) -> Arm:
        """The arm with other values of some factors. Options that another family does not have are dropped.

        >>> Arm(hidden=(30,)).replace(family="conv")["model.channels"]
        (32, 64)
        """
        given = {**changes, **_named(settings)}
        known, family = factors(), given.get("model.family", self["model.family"])
        kept = {name: value for name, value in self.items if known[name].applies(family)}
        # A recorded arm may name a loss that cannot be imported now: only what changes is checked.
        checked = {name: known[name].check(value) if name in known else value for name, value in given.items()}
        return Arm.of({**kept, **checked}, recorded=True)

    def label(self, base: Arm | None = None) -> str:
        """A short name: loss, reduction, beta, and whatever else differs from the base (by default, the defaults).

        An option that the base's family does not have is shown where it differs from its default.
        """
        known, other = factors(), base or default_arm()
        usual = {name: known[name].default_in(self["model.family"]) for name in self.settings} | dict(other.items)
        further = [name for name, value in self.items if name not in NAMED and not same_value(value, usual[name])]
        return "-".join(known[name].label(self[name]) for name in (*NAMED, *further))

    def effective_beta(self, pixels: int) -> float:
        """The weight of KL when both terms are summed, for images of that many pixels; see `vae.objectives`."""
        batch, latents = int(self["training.batch_size"]), int(self["model.latents"])
        return effective_beta(self.reduction, self.beta, batch=batch, pixels=pixels, latents=latents)


@cache
def default_arm() -> Arm:
    """The arm whose factors all have their defaults."""
    return Arm()


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the full names of their factors."""
    return {factor(name).name: value for name, value in settings.items()}


def _value(factor: Factor, given: Mapping[str, Any], family: object, recorded: bool) -> Value:
    if factor.name not in given:
        return factor.default_in(family)
    return factor.canonical(given[factor.name]) if recorded else factor.check(given[factor.name])


def _unknown(name: str, given: Mapping[str, Any]) -> UserError:
    if name.startswith("model."):
        return no_option(name.removeprefix("model."), str(given.get("model.family", factors()["model.family"].default)))
    return not_one_of("factor", name, factors())


def same_arm(one: Arm, other: Arm) -> bool:
    """Whether all settings of two arms are equal, numbers to rounding."""
    return one == other or (
        one.settings.keys() == other.settings.keys()
        and all(same_value(value, other[name]) for name, value in one.items)
    )


def find(arm: Arm, among: Iterable[Arm]) -> Arm | None:
    """The arm among these that is the same, or None."""
    return next((candidate for candidate in among if same_arm(arm, candidate)), None)


def sum_twin(arm: Arm, beta_eff: float) -> Arm:
    """The `sum` arm with the same objective: its beta is the other's effective beta (to 12 digits).

    >>> sum_twin(Arm("mse", reduction="mean", beta=0.1), 0.1 * 784 / 20).label()
    'mse-sum-b3.92'
    """
    return arm.replace(reduction="sum", beta=float(f"{beta_eff:.12g}"))


def varied(arms: Iterable[Arm]) -> tuple[str, ...]:
    """The factors in which these arms differ, in the order of the registry.

    >>> varied([Arm(beta=1), Arm(beta=2, learning_rate=3e-4)])
    ('beta', 'training.learning_rate')
    """
    arms = list(arms)
    return tuple(name for name in factors() if len({arm.get(name) for arm in arms}) > 1)


def same_objective(beta_eff: Mapping[Arm, float]) -> list[tuple[Arm, ...]]:
    """Groups of arms whose objectives are equal up to one factor for all steps, and that differ in nothing else.

    They have equal beta_eff, and are equal in everything but reduction and beta. Where a factor of the loss, or the
    size of the last batch, changes what is learnt, the reductions must also agree in that (`_scaling`).

    >>> arms = [Arm(beta=2), Arm(reduction="batch-mean", beta=2), Arm()]
    >>> [[arm.label() for arm in group] for group in same_objective({arm: arm.effective_beta(9) for arm in arms})]
    [['bce-sum-b2', 'bce-batch-mean-b2']]
    """
    groups: dict[object, list[tuple[Arm, list[Arm]]]] = {}  # what `_scaling` gives -> (twin, the arms that have it)
    for arm, weight in beta_eff.items():
        twin, alike = sum_twin(arm, weight), groups.setdefault(_scaling(arm), [])
        group = next((members for other, members in alike if same_arm(twin, other)), None)
        if group is None:
            alike.append((twin, [arm]))
        else:
            group.append(arm)
    return [tuple(members) for alike in groups.values() for _, members in alike if len(members) > 1]


def _scaling(arm: Arm) -> tuple[object, ...]:
    """What must agree, besides beta_eff, for the objectives of two arms to be equal up to one factor for all steps.

    Where a smaller last batch is kept: how the divisor of each term grows with the number of images. Under `sum` the
    gradient of that batch is smaller, under `mean` it is not, and under `mean-recon` that batch has a smaller beta_eff.
    Where weights decay: the reduction, because the decay is added to the gradient of the loss as it is.
    """
    batch_size, kept = arm["training.batch_size"], arm["training.last_batch"] == "keep"
    divisors = REDUCTIONS[arm.reduction](batch_size, 1, 1) if kept else None
    return divisors, arm.reduction if arm["training.weight_decay"] else None
