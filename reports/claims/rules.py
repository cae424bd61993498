"""What one value in a claims file may be: one of a list, text that says something, numbers above 0 that differ.

Nothing is converted: TOML tells 10 from "10". An error names the field and the value.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from vae.errors import UserError, not_one_of


def one_of(allowed: Collection[str]) -> BeforeValidator:
    """A value of a closed list."""

    def check(value: object, info: ValidationInfo) -> object:
        if value not in allowed:
            raise not_one_of(str(info.field_name), value, allowed)
        return value

    return BeforeValidator(check)


def _said(value: str, info: ValidationInfo) -> str:
    """Text that is given must say something."""
    if value and not value.strip():
        raise UserError(f"{info.field_name}={value!r} is blank; it must hold words. Was it still to be filled in?")
    return value


Text = Annotated[str, AfterValidator(_said)]  # empty where the key is left out
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


def distinct(values: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
    """A value named twice would count twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise UserError(
            f"{info.field_name}={list(values)} holds {twice:g} twice; name each once. Was another number meant?"
        )
    return values
