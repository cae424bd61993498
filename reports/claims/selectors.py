"""Arms, and the selectors with which a claims file names them.

An arm is a cell without its seed. A selector fixes some of an arm's fields and leaves the rest open:
`{loss = "mae", reduction = "sum", beta = 1}`. `beta_eff` may be given in place of beta: what the weight of KL is when
both terms are summed, whatever the reduction. `beta = "tuned"` means the beta at which the arm spends the rate of
the arm it is compared with; it is found by interpolation, and no such arm is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo, model_validator

from vae.errors import UserError, closest, not_one_of
from vae.losses import LOSSES
from vae.objectives import POSTERIORS, REDUCTIONS

EffectiveBeta = Callable[[str, float], float]  # (reduction, beta) -> beta_eff
USUAL_POSTERIOR: Final = "half-logvar"
_SAME: Final = 1e-9  # relative: two betas closer than this are one


@dataclass(frozen=True)
class Arm:
    """A cell without its seed.

    >>> Arm("mae", "sum", 1.0).label
    'mae-sum-b1'
    """

    loss: str
    reduction: str
    beta: float
    posterior: str = USUAL_POSTERIOR

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Arm:
        """The arm of a mapping or a frame's row with these fields; posterior may be absent."""
        given = fields.get("posterior")
        posterior = given if isinstance(given, str) and given else USUAL_POSTERIOR  # NaN in a frame's row
        return cls(str(fields["loss"]), str(fields["reduction"]), float(fields["beta"]), posterior)

    @property
    def label(self) -> str:
        """The short name that the frame carries."""
        tail = "" if self.posterior == USUAL_POSTERIOR else f"-{self.posterior}"
        return f"{self.loss}-{self.reduction}-b{self.beta:g}{tail}"

    def fields(self) -> dict[str, Any]:
        """The arm as a mapping, in the frame's names."""
        return {
            "loss": self.loss,
            "reduction": self.reduction,
            "beta": self.beta,
            "posterior": self.posterior,
        }


def same_beta(one: float, other: float) -> bool:
    """Whether two betas are one and the same, to rounding.

    >>> same_beta(3.92, 0.1 * 784 / 20)
    True
    """
    return math.isclose(one, other, rel_tol=_SAME)


def same_arm(one: Arm, other: Arm) -> bool:
    """Whether two arms are one and the same, their betas to rounding."""
    names = (one.loss, one.reduction, one.posterior) == (other.loss, other.reduction, other.posterior)
    return names and same_beta(one.beta, other.beta)


def find(arm: Arm, among: Iterable[Arm]) -> Arm | None:
    """The arm among these that is the same, or None."""
    return next((each for each in among if same_arm(arm, each)), None)


def sum_twin(arm: Arm, beta_eff: float) -> Arm:
    """The `sum` arm with the same objective: its beta is the other's effective beta (to 12 digits).

    >>> sum_twin(Arm("mse", "mean", 0.1), 0.1 * 784 / 20).label
    'mse-sum-b3.92'
    """
    return Arm(arm.loss, "sum", float(f"{beta_eff:.12g}"), arm.posterior)


def _member(allowed: Iterable[str]) -> Any:
    options = tuple(allowed)

    def check(value: object, info: ValidationInfo) -> object:
        own_loss = info.field_name == "loss" and isinstance(value, str) and ":" in value
        if value is None or own_loss or value in options:
            return value
        raise not_one_of(str(info.field_name), value, options)

    return BeforeValidator(check)


def not_negative(value: object, info: ValidationInfo) -> float | None:
    """A finite number, 0 or more, or None; anything else is an error that names the field."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise UserError(f"{info.field_name}={value!r} must be a finite number, 0 or more")


def _beta(value: object, info: ValidationInfo) -> float | Literal["tuned"] | None:
    if isinstance(value, str):
        if value == "tuned":
            return "tuned"
        raise UserError(f"beta={value!r} must be a number or 'tuned'.{closest(value, ['tuned'])}")
    return not_negative(value, info)


class Selector(BaseModel):
    """Which arms: fields left out are open, but for the posterior, which is the usual one.

    >>> s = Selector(loss="mae", reduction="sum", beta=1)
    >>> s.matches(Arm("mae", "sum", 1.0)), s.matches(Arm("mae", "mean", 1.0))
    (True, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Annotated[str | None, _member(LOSSES)] = None
    reduction: Annotated[str | None, _member(REDUCTIONS)] = None
    beta: Annotated[float | Literal["tuned"] | None, PlainValidator(_beta)] = None
    beta_eff: Annotated[float | None, PlainValidator(not_negative)] = None
    posterior: Annotated[str, _member(POSTERIORS)] = Field(default=USUAL_POSTERIOR)

    @model_validator(mode="after")
    def _one_weight(self) -> Selector:
        if self.beta is not None and self.beta_eff is not None:
            raise UserError(f"beta={self.beta!r} and beta_eff={self.beta_eff!r}: give one of them")
        return self

    @property
    def names_one(self) -> bool:
        """Whether this selector names one single arm."""
        weighed = self.beta is not None or self.beta_eff is not None
        return self.loss is not None and self.reduction is not None and weighed

    @property
    def tuned(self) -> bool:
        """Whether beta is to be found from the rate of the other arm."""
        return self.beta == "tuned"

    @property
    def _weight(self) -> tuple[str, float]:
        """The weight and its name; `beta` also where beta_eff is beta at every batch size and model."""
        if self.beta_eff is None:
            return "beta", float(self.beta or 0)
        recon, kl = REDUCTIONS[str(self.reduction)](2, 3, 5)  # any sizes, all different
        return ("beta" if recon == kl or self.beta_eff == 0 else "beta_eff"), self.beta_eff

    def same_as(self, other: Selector) -> bool:
        """Whether two selectors that name one arm each name the same one, where no study is needed to tell.

        An arm tuned to the rate of an arm on its own curve is that arm.

        >>> one = Selector(loss="mae", reduction="sum", beta=1)
        >>> one.same_as(Selector(loss="mae", reduction="sum", beta_eff=1))
        True
        """
        names = (self.loss, self.reduction, self.posterior) == (other.loss, other.reduction, other.posterior)
        if not names or self.tuned or other.tuned:
            return names
        (name, weight), (other_name, other_weight) = self._weight, other._weight
        return name == other_name and same_beta(weight, other_weight)

    def matches(self, arm: Arm, beta_eff: float | None = None) -> bool:
        """Whether an arm, of that effective beta where known, fits. A tuned beta fits every beta."""
        if arm.posterior != self.posterior or self.loss not in (None, arm.loss):
            return False
        if self.reduction not in (None, arm.reduction):
            return False
        if isinstance(self.beta, float) and not same_beta(self.beta, arm.beta):
            return False
        return self.beta_eff is None or (beta_eff is not None and same_beta(self.beta_eff, beta_eff))

    def arm(self, effective_beta: EffectiveBeta) -> Arm:
        """The one arm named. effective_beta: (reduction, beta) -> beta_eff, which is proportional to beta.

        Raises UserError where the selector leaves the loss, the reduction or the weight open.
        """
        if self.loss is None or self.reduction is None or not self.names_one or self.tuned:
            raise UserError(f"selector {self.model_dump(exclude_none=True)} does not name one arm")
        if self.beta_eff is None:
            return Arm(self.loss, self.reduction, float(self.beta or 0), self.posterior)
        beta = self.beta_eff / effective_beta(self.reduction, 1.0)
        return Arm(self.loss, self.reduction, beta, self.posterior)
