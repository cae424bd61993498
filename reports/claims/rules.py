"""What one value in a claims file may be: one of a list, text that is not blank, numbers above 0 that differ.

Nothing is converted: TOML tells 10 from "10". An error names the field and the value.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo

from vae.checks import finite_number
from vae.errors import UserError, closest, not_one_of


class Strict(BaseModel):
    """A table that holds no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def one_of(allowed: Collection[str]) -> BeforeValidator:
    """A value of a closed list."""

    def check(value: object, info: ValidationInfo) -> object:
        if value not in allowed:
            raise not_one_of(str(info.field_name), value, allowed)
        return value

    return BeforeValidator(check)


def _not_blank(value: str, info: ValidationInfo) -> str:
    if value and not value.strip():
        raise UserError(f"{info.field_name}={value!r} is blank; it must hold words. Was it still to be filled in?")
    return value


def _known_metric(value: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get("metrics")
    if value and known is not None and value not in known:
        raise UserError(
            f"{info.field_name}={value!r} is not in the catalogue; allowed: {sorted(known)}.{closest(value, known)}"
        )
    return value


def _not_negative(value: object, info: ValidationInfo) -> float:
    return float(finite_number(str(info.field_name), value, least=0))


def _share(value: object, info: ValidationInfo) -> float:
    share = float(finite_number(str(info.field_name), value, above=0))
    if share > 1:
        raise UserError(
            f"{info.field_name}={value!r} must be a share, at most 1. Was {share / 100:g} meant, {share:g} per cent?"
        )
    return share


def distinct(values: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
    """A value named twice would count twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise UserError(
            f"{info.field_name}={list(values)} holds {twice:g} twice; name each once. Was another number meant?"
        )
    return values


Text = Annotated[str, AfterValidator(_not_blank)]  # empty where the key is left out
MetricName = Annotated[str, AfterValidator(_known_metric)]  # any, where no names are given to check against
Share = Annotated[float, PlainValidator(_share)]
Inside = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)]  # of a range, ends left out
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NotNegative = Annotated[float, PlainValidator(_not_negative)]
