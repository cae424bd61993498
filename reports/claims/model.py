"""What one claim is: its words and its comparisons. What a comparison needs, its kind says (`reports.claims.kinds`).

A mistake is a UserError that names the key and the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reports.claims.check_names import CHECK_NAMES
from reports.claims.comparability import refusal
from reports.claims.kinds import DIRECTIONS, KINDS, Kind, Measure
from reports.claims.margins import RANGES, check_form, check_range
from reports.claims.places import CLAIM_PLACES, MATCHED, NOMINAL
from reports.claims.predictions import PREDICTIONS, check_predicted
from reports.claims.regions import Region
from reports.claims.rules import Inside, MetricName, NotNegative, Positive, Share, Strict, Text, distinct, one_of
from reports.claims.selectors import Selector
from vae.arms import Arm
from vae.errors import UserError, not_one_of

RATES: Final = (10.0, 15.0, 20.0, 25.0, 30.0)  # nats per image
BETAS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # trained where a curve is needed and the grid has none
LEAST_CURVE: Final = 2  # fewest betas that make a curve


def _kind(value: object) -> Kind:
    if not isinstance(value, str) or value not in KINDS:
        raise not_one_of("kind", value, KINDS)
    return KINDS[value]


def _selector(value: object, info: ValidationInfo) -> Selector:
    if not isinstance(value, Mapping):
        raise UserError(f"{info.field_name}={value!r} must be a table such as {{ loss = 'mae', beta = 1 }}")
    return Selector.of(value)


KindByName = Annotated[Kind, PlainValidator(_kind), PlainSerializer(lambda kind: kind.name)]
Select = Annotated[Selector, PlainValidator(_selector), PlainSerializer(Selector.to_dict)]
Place = Annotated[str, one_of(CLAIM_PLACES)]


class Says(Strict):
    """A clause that opens the sentence of a verdict, where the numbers alone would not say it."""

    supported: str = ""
    refuted: str = ""
    inconclusive: str = ""


class Leg(Strict):
    """One comparison. Without `twin`, an arm whose reduction is left out is a `sum` arm.

    share, of: the margin as a share of a range (`reports.claims.margins`); `reports.claims.resolve` adds the margin in
    units, and the reference of a prediction. reading: which sense of the claim's words the leg belongs to.
    """

    kind: KindByName
    label: Text = ""
    metric: MetricName = ""
    a: Select | None = None
    b: Select | None = None
    twin: StrictBool = False
    reference: Annotated[FiniteFloat | None, Field(strict=True)] = None
    direction: Annotated[str, one_of(("", *DIRECTIONS))] = ""
    margin: NotNegative | None = None
    share: Share | None = None
    of: Annotated[str, one_of(("", *RANGES))] = ""
    reason: Text = ""
    prediction: Annotated[str, one_of(("", *PREDICTIONS))] = ""
    reading: Text = ""
    check: Annotated[str, one_of(("", *CHECK_NAMES))] = ""
    counted: StrictBool = True
    says: Says = Says()

    @model_validator(mode="before")
    @classmethod
    def _spelt_out(cls, given: Any) -> Any:
        """With the reductions that are left out, and the kind that its prediction is judged as."""
        if not isinstance(given, Mapping):
            return given
        full = dict(given)
        prediction = PREDICTIONS.get(str(full.get("prediction")))
        if prediction is not None and full.get("kind") in {known.kind for known in PREDICTIONS.values()}:
            full["kind"] = prediction.kind
        if not full.get("twin"):
            full |= {key: _summed(full[key]) for key in ("a", "b") if key in full}
        return full

    @model_validator(mode="after")
    def _complete(self) -> Leg:
        self._check_keys()
        if not self.kind.computed:
            self._check_arms()
        return self

    def _check_keys(self) -> None:
        """Refuse what the kind forbids, and what it needs and lacks."""
        kind = f"kind={self.kind.name!r}"
        given = {key for key, value in self if value is not None and value is not False and value != ""}  # 0 is given
        given |= {"margin"} & set(self.kind.needs) if self.share is not None else set()
        lacking = next((key for key in self.kind.needs if key not in given), None)
        if lacking is not None:
            hint = f" (or a table [margins.{self.metric}])" if lacking in ("margin", "reason") else ""
            raise UserError(f"{lacking} is missing: {kind} needs it{hint}")
        idle = next((key for key in self.kind.forbids if key in given), None)
        if idle is not None:
            raise UserError(f"{idle}={_shown(getattr(self, idle))} has no meaning for {kind}; leave it out")
        chosen = [key for key in self.kind.one_of if key in given]
        if self.kind.one_of and len(chosen) != 1:
            choice = ", ".join(map(repr, self.kind.one_of))
            raise UserError(f"{' and '.join(chosen) or 'none'} given: {kind} needs exactly one of {choice}")
        self._check_margin()
        if self.margin == 0 and not self.kind.zero_margin:
            raise UserError(f"margin=0 leaves no room for {kind}: give the least difference that matters")

    def _check_margin(self) -> None:
        resolved = self.share is not None and self.margin is not None  # as logged: the margin is the share, in units
        check_form(None if resolved else self.margin, self.share, self.of)
        if self.share is not None and self.kind.measure is Measure.CROSSING:
            raise UserError(
                f"share={self.share:g} of {self.of!r}: prediction={self.prediction!r} is compared in ln beta, of which "
                "no range is known; write margin = 0.22 for a quarter more or less"
            )
        if self.of:
            check_range(self.of, self.metric, predicted=bool(self.prediction))

    def _check_arms(self) -> None:
        a = self.a or Selector()
        if self.prediction:
            check_predicted(self.prediction, self.metric, a)
            return
        if self.twin and a.reduction == "sum":
            raise UserError(
                "a.reduction='sum' with twin=true: a ‘sum’ arm is its own twin; name another reduction, such as 'mean'"
            )
        if a.tuned:
            raise UserError("a.beta='tuned': only b can be tuned, to the rate of a")
        if self.kind.measure is Measure.SLOPE:
            if a.loss is None or a != a.at_any_beta:
                raise UserError(f"a={_shown(a)}: a trend runs over beta, so name a loss and leave beta open")
            return
        vague = next((s for s in self.selectors if not s.names_one and not self.twin), None)
        if vague is not None:
            raise UserError(f"selector {_shown(vague)} must name one arm: loss and beta (or beta_eff)")
        if self.b is not None:
            self._check_pair(a, self.b)

    def _check_pair(self, a: Selector, b: Selector) -> None:
        reason = refusal(self.metric, [str(a.loss), str(b.loss)])
        if reason and self.counted:
            raise UserError(f"metric={self.metric!r} is refused: {reason} With counted=false it is shown all the same.")
        if a.same_as(b):
            also = "" if a == b else f", also written b={_shown(b)}"
            raise UserError(
                f"a and b both name {_shown(a)}{also}: there is nothing to compare. "
                "Was another loss, reduction, posterior or beta meant for b?"
            )

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors given, `a` first."""
        return tuple(selector for selector in (self.a, self.b) if selector is not None)

    @property
    def resolved(self) -> bool:
        """Whether its margin is in units, and its reference a number, as far as it needs them."""
        return (self.share is None or self.margin is not None) and (not self.prediction or self.reference is not None)

    @property
    def region(self) -> Region:
        """Where the effect is to lie. Raises UserError where the margin is a share that has no units yet."""
        if not self.resolved:
            what = f"share={self.share:g} of {self.of!r}" if self.margin is None else f"prediction={self.prediction!r}"
            raise UserError(
                f"{self.label or self.metric}: {what} is no number yet; resolve the claims with the study's references"
            )
        return self.kind.region(self.margin or 0.0, self.direction)


class Claim(Strict):
    """A sentence to be judged.

    rates, shares, betas: of matched-rate comparisons. Rates in nats, or shares of the rates that all curves reach, one
    of the two; betas are weights of KL, trained where a curve is needed.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    quote: Annotated[Text, Field(min_length=1)]
    kind: KindByName
    places: Annotated[tuple[Place, ...], Field(min_length=1)] = (NOMINAL,)
    expect: str = ""
    notes: tuple[str, ...] = ()
    needs: tuple[Select, ...] = ()
    rates: Annotated[tuple[Positive, ...], AfterValidator(distinct)] = RATES
    shares: Annotated[tuple[Inside, ...], AfterValidator(distinct)] = ()
    betas: Annotated[tuple[Positive, ...], Field(min_length=LEAST_CURVE), AfterValidator(distinct)] = BETAS
    legs: Annotated[tuple[Leg, ...], Field(alias="leg", min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _rates_or_shares(cls, given: Any) -> Any:
        return {"rates": (), **given} if isinstance(given, Mapping) and given.get("shares") else given

    @field_validator("needs", mode="before")
    @classmethod
    def _needs_sum_arms(cls, value: object) -> object:
        return [_summed(selector) for selector in value] if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if not any(leg.counted for leg in self.legs):
            raise UserError("every leg has counted=false: nothing would decide the claim")
        wordless = {"label": "", "reason": "", "says": Says(), "counted": True}
        made = [leg.model_copy(update=wordless) for leg in self.legs]
        twice = next((i for i, leg in enumerate(made) if leg in made[:i]), None)
        if twice is not None:
            raise UserError(
                f"leg {twice + 1} repeats an earlier one: a comparison made twice would count twice. "
                f"Was another metric or arm meant than {made[twice].model_dump(exclude_defaults=True)}?"
            )
        vague = next((selector for selector in self.needs if not selector.names_one or selector.tuned), None)
        if vague is not None:
            raise UserError(f"needs {_shown(vague)} must name one arm to train: loss and beta (or beta_eff)")
        if bool(self.rates) == bool(self.shares):
            raise UserError(
                f"rates={list(self.rates)} and shares={list(self.shares)}: give one, rates in nats or shares of the "
                "rates that all curves reach"
            )
        self._check_readings()
        for leg in self.legs:
            _check_places(leg, self.places)
        return self

    def _check_readings(self) -> None:
        """Every leg belongs to a reading or none does; each reading has a leg that decides it."""
        if len(self.readings) > 1 and "" in self.readings:
            without = next(i for i, leg in enumerate(self.legs) if not leg.reading)
            named = [reading for reading in self.readings if reading]
            raise UserError(
                f"leg {without + 1} has no reading, and others have: name its reading, such as {named[0]!r}"
            )
        for reading in self.readings:
            if not any(leg.counted for leg in self.legs if leg.reading == reading):
                raise UserError(f"reading={reading!r}: every leg of it has counted=false; nothing would decide it")

    @property
    def readings(self) -> tuple[str, ...]:
        """The readings of the claim in their order; ("",) where it has but one sense."""
        return tuple(dict.fromkeys(leg.reading for leg in self.legs))


def check_base(claims: Iterable[Claim], base: Arm) -> None:
    """Refuse claims that select by an option which the models of a study with this base do not have."""
    for claim in claims:
        for selector in (*claim.needs, *(selector for leg in claim.legs for selector in leg.selectors)):
            try:
                selector.on(base)
            except UserError as error:
                raise UserError(f"claim {claim.id!r} cannot be judged on this study: {error}") from None


def _check_places(leg: Leg, places: tuple[str, ...]) -> None:
    """Refuse a place where the kind has no meaning and, at equal rate, what equal rate makes empty."""
    foreign = next((place for place in places if place not in leg.kind.places), None)
    if foreign is not None:
        raise UserError(f"places={foreign!r} has no meaning for kind={leg.kind.name!r}")
    if MATCHED not in places:
        return
    here = f"places={MATCHED!r}"
    if any(0 in (selector.beta, selector.beta_eff) for selector in leg.selectors):
        raise UserError(f"{here}: beta=0 has no logarithm, in which curves are drawn; name one above 0")
    if leg.metric == "rate":
        raise UserError(f"{here}: metric='rate' is equal by construction there")
    if leg.twin or any(selector.tuned for selector in leg.selectors):
        raise UserError(f"{here}: arms that are twins or tuned are compared at {NOMINAL!r}")
    if leg.a is not None and leg.b is not None and leg.a.at_any_beta == leg.b.at_any_beta:
        raise UserError(f"{here}: a and b differ in beta alone, so they lie on one curve")


def _summed(selector: object) -> object:
    """A selector as it is written, of a `sum` arm where no reduction is given."""
    return {"reduction": "sum", **selector} if isinstance(selector, Mapping) else selector


def _shown(value: object) -> str:
    return str(value.to_dict()) if isinstance(value, Selector) else repr(value)
