"""TOML as this project takes it: what no person writes, and what no program can hold, is refused in one sentence."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from vae.errors import UserError

DEEPEST: Final = 20  # tables and lists within each other; a study needs three, a claims file six
_LIMIT: Final = 2**63  # whole numbers of TOML have 64 bits


def parsed(text: str) -> dict[str, Any]:
    """The table of a text. Raises UserError, whose sentence goes on from the name of the file: "is not TOML: ...".

    >>> parsed("latents = 3")
    {'latents': 3}
    >>> parsed("latents = 9223372036854775808")
    Traceback (most recent call last):
    vae.errors.UserError: holds latents=9223372036854775808, which is beyond 64 bits
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # TOMLDecodeError; and int()'s own, for thousands of digits
        raise UserError(f"is not TOML: {error}") from None
    _check(table)
    return table


def _check(table: dict[str, Any]) -> None:
    """Level by level, since Python itself gives up on what is nested too deep."""
    level: list[tuple[str, Any]] = list(table.items())
    for _ in range(DEEPEST):
        for name, value in level:
            if isinstance(value, int) and not -_LIMIT <= value < _LIMIT:
                raise UserError(f"holds {name}={_digits(value)}, which is beyond 64 bits")
        level = [(inner, item) for name, value in level for inner, item in _items(name, value)]
        if not level:
            return
    raise _too_deep()


def _items(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{name}.{key}", item) for key, item in value.items()]
    return [(name, item) for item in value] if isinstance(value, list) else []


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # in hexadecimal, any number of digits can be read, and 4300 written
        return hex(value)


def _too_deep() -> UserError:
    return UserError(f"is nested too deep: tables and lists lie within each other more than {DEEPEST} times")
