"""Checks of numbers that a person gives: each returns the value as it is, or raises one sentence that names it."""

from __future__ import annotations

import math
from typing import TypeGuard

from vae.errors import UserError


def is_whole(value: object, *, least: int) -> TypeGuard[int]:
    """Whether value is an int, `least` or more. True does not count as 1, nor 2.0 as 2.

    >>> is_whole(2, least=1), is_whole(2.0, least=1), is_whole(True, least=1)
    (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def whole_number(name: str, value: object, *, least: int) -> int:
    """The value, if it is a whole number, `least` or more. Raises UserError otherwise.

    >>> whole_number("epochs", 3, least=1)
    3
    >>> whole_number("epochs", 0, least=1)
    Traceback (most recent call last):
    vae.errors.UserError: epochs=0 must be a whole number, 1 or more
    """
    if is_whole(value, least=least):
        return value
    raise UserError(f"{name}={value!r} must be a whole number, {least} or more")


def finite_number(name: str, value: object, *, least: float | None = None, above: float | None = None) -> float:
    """The value, if it is a finite number, `least` or more, or greater than `above`. Raises UserError otherwise.

    An int stays an int.

    >>> finite_number("beta", 4, least=0)
    4
    >>> finite_number("learning_rate", 0, above=0)
    Traceback (most recent call last):
    vae.errors.UserError: learning_rate=0 must be a finite number, above 0
    """
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (least is None or value >= least)
        and (above is None or value > above)
    ):
        return value
    limits = [f"{least} or more"] * (least is not None) + [f"above {above}"] * (above is not None)
    raise UserError(", ".join([f"{name}={value!r} must be a finite number", *limits]))
