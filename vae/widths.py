"""The widths of layers, as an option of a model family: what is usual, and what is allowed. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from vae.checks import whole_number
from vae.errors import UserError

# Defaults of the families' options: of the functions in `vae.families` and of the classes in `vae.models` alike.
HIDDEN: Final = (400,)  # the notes' encoder
CHANNELS: Final = (32, 64)


def checked_widths(name: str, values: Sequence[int]) -> list[int]:
    """The widths, if there is at least one and each is a whole number, 1 or more. Raises UserError otherwise.

    >>> checked_widths("hidden", ())
    Traceback (most recent call last):
    vae.errors.UserError: hidden=() must list at least one layer's width, such as hidden=(64,)
    """
    if isinstance(values, int) or not values:
        raise UserError(f"{name}={values!r} must list at least one layer's width, such as {name}=(64,)")
    return [whole_number(name, value, least=1) for value in values]


Widths = Annotated[Sequence[int], checked_widths]
