"""What one claim is: its words, its comparisons, and what each kind of comparison needs.

    greater, less, equivalent   a metric and an arm `a`, against one of: an arm `b`, `twin = true` (the `sum` arm of
                                equal beta_eff, for every arm that `a` matches), or a number `reference`
    trend                       a metric, arms `a` with beta left open, `direction = "falls"` or `"rises"`
    anchor                      a metric, one arm `a`, a published number `reference`
    identity, fact              `check`: the name of a computation in `reports.claims.checks`

All but the last need a margin with its reason. A mistake is a UserError that names the key and the value.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainValidator,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reports.claims.checks import CHECKS
from reports.claims.comparability import refusal
from reports.claims.rules import Positive, Text, distinct, one_of
from reports.claims.selectors import Selector, not_negative
from reports.judging.verdict import MATCHED, NOMINAL
from vae.errors import UserError, closest, not_one_of

COMPARISONS: Final = ("greater", "less", "equivalent")
COMPUTED_KINDS: Final = ("identity", "fact")
KINDS: Final = (*COMPARISONS, "trend", "identity", "anchor", "fact")
DIRECTIONS: Final = ("falls", "rises")
CLAIM_PLACES: Final = (NOMINAL, MATCHED)
RATES: Final = (10.0, 15.0, 20.0, 25.0, 30.0)  # nats per image
BETAS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # trained where a curve is needed and the grid has none
LEAST_CURVE: Final = 2  # fewest betas that make a curve


def check_metric(metric: str, info: ValidationInfo, *, name: str) -> None:
    """Refuse a metric outside the names that the file is checked against, where there are such names."""
    known = (info.context or {}).get("metrics")
    if known is not None and metric not in known:
        raise UserError(f"{name}={metric!r} is not in the catalogue; allowed: {sorted(known)}.{closest(metric, known)}")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Says(_Strict):
    """A clause that opens the sentence of a verdict, where the numbers alone would not say it."""

    supported: str = ""
    refuted: str = ""
    inconclusive: str = ""


class Leg(_Strict):
    """One comparison. See the module's text for what each kind needs."""

    kind: Annotated[str, one_of(KINDS)]
    label: Text = ""
    metric: str = ""
    a: Selector | None = None
    b: Selector | None = None
    twin: StrictBool = False
    reference: Annotated[FiniteFloat | None, Field(strict=True)] = None
    direction: Annotated[str, one_of(("", *DIRECTIONS))] = ""
    margin: Annotated[float | None, PlainValidator(not_negative)] = None
    reason: Text = ""
    check: Annotated[str, one_of(("", *CHECKS))] = ""
    counted: StrictBool = True
    says: Says = Says()

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str, info: ValidationInfo) -> str:
        if value:
            check_metric(value, info, name="metric")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Leg:
        if self.kind in COMPUTED_KINDS:
            self._needs("check")
            self._has_no("metric", "a", "b", "reference", "margin", "direction", "reason", "twin")
            return self
        self._has_no("check")
        self._needs("metric", "a", "margin", "reason")
        if self.kind == "trend":
            self._trend()
        elif self.kind == "anchor":
            self._needs("reference")
            self._has_no("b", "direction", "twin")
        else:
            self._comparison()
        if self.kind in ("equivalent", "anchor") and self.margin == 0:
            raise UserError(f"margin=0 leaves no room for kind={self.kind!r}: give the least difference that matters")
        self._arms()
        return self

    def _needs(self, *keys: str) -> None:
        for key in keys:
            if _absent(getattr(self, key)):
                hint = f" (or a table [margins.{self.metric}])" if key in ("margin", "reason") else ""
                raise UserError(f"{key} is missing: kind={self.kind!r} needs it{hint}")

    def _has_no(self, *keys: str) -> None:
        for key in keys:
            if not _absent(getattr(self, key)):
                raise UserError(
                    f"{key}={_shown(getattr(self, key))} has no meaning for kind={self.kind!r}; leave it out"
                )

    def _trend(self) -> None:
        self._needs("direction")
        self._has_no("b", "reference", "twin")
        if self.a and (self.a.beta is not None or self.a.beta_eff is not None or not self.a.loss):
            raise UserError(
                f"a={_shown(self.a)}: a trend runs over beta, so name loss and reduction and leave beta open"
            )

    def _comparison(self) -> None:
        self._has_no("direction")
        against = [key for key in ("b", "twin", "reference") if not _absent(getattr(self, key))]
        if len(against) != 1:
            found = " and ".join(against) or "none"
            raise UserError(f"{found} given: kind={self.kind!r} needs exactly one of 'b', 'twin', 'reference'")
        if self.twin and self.a and self.a.reduction == "sum":
            raise UserError(
                "a.reduction='sum' with twin=true: a ‘sum’ arm is its own twin; name another reduction, such as 'mean'"
            )
        if self.a and self.b:
            reason = refusal(self.metric, [str(self.a.loss), str(self.b.loss)])
            if reason:
                raise UserError(f"metric={self.metric!r} is refused: {reason}")

    def _arms(self) -> None:
        if self.a and self.a.tuned:
            raise UserError("a.beta='tuned': only b can be tuned, to the rate of a")
        if self.kind == "trend":
            open_one = None if self.a and self.a.reduction else self.a
        else:
            open_one = next((s for s in (self.a, self.b) if s and not s.names_one and not self.twin), None)
        if open_one is not None:
            raise UserError(f"selector {_shown(open_one)} must name one arm: loss, reduction and beta (or beta_eff)")
        if self.a and self.b and self.a.same_as(self.b):
            also = "" if self.a == self.b else f", also written b={_shown(self.b)}"
            raise UserError(
                f"a and b both name {_shown(self.a)}{also}: there is nothing to compare. "
                "Was another loss, reduction, posterior or beta meant for b?"
            )

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors given, `a` first."""
        return tuple(each for each in (self.a, self.b) if each is not None)

    def wordless(self) -> Leg:
        """What is compared, without the words beside it and whether it counts."""
        return self.model_copy(update={"label": "", "reason": "", "says": Says(), "counted": True})


class Claim(_Strict):
    """A sentence to be judged. rates, betas: of matched-rate comparisons, nats and weights of KL."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    quote: Annotated[Text, Field(min_length=1)]
    kind: Annotated[str, one_of(KINDS)]
    places: Annotated[tuple[Literal["nominal", "matched-rate"], ...], Field(min_length=1)] = (NOMINAL,)
    expect: str = ""
    notes: tuple[str, ...] = ()
    needs: tuple[Selector, ...] = ()
    rates: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(distinct)] = RATES
    betas: Annotated[tuple[Positive, ...], Field(min_length=LEAST_CURVE), AfterValidator(distinct)] = BETAS
    legs: Annotated[tuple[Leg, ...], Field(alias="leg", min_length=1)]

    @field_validator("places", mode="before")
    @classmethod
    def _known_places(cls, value: object) -> object:
        for place in value if isinstance(value, (list, tuple)) else ():
            if place not in CLAIM_PLACES:
                raise not_one_of("places", place, CLAIM_PLACES)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if not any(leg.counted for leg in self.legs):
            raise UserError("every leg has counted=false: nothing would decide the claim")
        made = [leg.wordless() for leg in self.legs]
        twice = next((i for i, leg in enumerate(made) if leg in made[:i]), None)
        if twice is not None:
            raise UserError(
                f"leg {twice + 1} repeats an earlier one: a comparison made twice would count twice. "
                f"Was another metric or arm meant than {made[twice].model_dump(exclude_defaults=True)}?"
            )
        vague = next((each for each in self.needs if not each.names_one or each.tuned), None)
        if vague is not None:
            raise UserError(f"needs {_shown(vague)} must name one arm to train: loss, reduction and beta (or beta_eff)")
        if MATCHED in self.places:
            for leg in self.legs:
                _matchable(leg)
        return self


def _matchable(leg: Leg) -> None:
    """Refuse, at equal rate, what equal rate makes empty."""
    curves = {(each.loss, each.reduction, each.posterior) for each in leg.selectors}
    if any(each.beta == 0 or each.beta_eff == 0 for each in leg.selectors):
        raise UserError("places='matched-rate': beta=0 has no logarithm, in which curves are drawn; name one above 0")
    if leg.metric == "rate":
        raise UserError("places='matched-rate': metric='rate' is equal by construction there")
    if leg.kind not in COMPARISONS:
        raise UserError(f"places='matched-rate' has no meaning for kind={leg.kind!r}")
    if leg.twin or any(each.tuned for each in leg.selectors):
        raise UserError("places='matched-rate': arms that are twins or tuned are compared at 'nominal'")
    if leg.b is not None and len(curves) == 1:
        raise UserError("places='matched-rate': a and b differ in beta alone, so they lie on one curve")


def _absent(value: object) -> bool:
    return value is None or value is False or value == ""  # the number 0 is there


def _shown(value: object) -> str:
    return str(value.model_dump(exclude_none=True)) if isinstance(value, BaseModel) else repr(value)
