"""Errors that a person can make: one sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what a person gave: its message is shown as it is, without a traceback."""


def closest(value: object, allowed: Iterable[object]) -> str:
    """The likely intention, as the end of a message; empty where no value is similar.

    >>> closest("msee", ["bce", "mae", "mse"])
    " Did you mean 'mse'?"
    >>> closest("zebra", ["bce", "mae", "mse"])
    ''
    """
    near = difflib.get_close_matches(str(value), [str(option) for option in allowed], n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def not_one_of(name: str, value: object, allowed: Iterable[object]) -> UserError:
    """The error for a value outside a closed list.

    >>> str(not_one_of("loss", "msee", ["bce", "mae", "mse"]))
    "loss='msee' is not one of ['bce', 'mae', 'mse']. Did you mean 'mse'?"
    """
    options = list(allowed)
    return UserError(f"{name}={value!r} is not one of {options}.{closest(value, options)}")
