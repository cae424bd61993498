"""Where the claims of a file were registered before the run, outside this suite.

    [registration]
    where = "https://osf.io/abcde"
    when = "2026-11-20"

It is no part of a claim nor of the claims' hash: what is registered is the hash.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationInfo

from reports.claims.rules import Strict, Text
from vae.errors import UserError


def _date(value: Any, info: ValidationInfo) -> date:
    """A date, as TOML's own or as text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and len(value) == len("2026-11-20"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise UserError(f"{info.field_name}={str(value)!r} must be a date: year, month and day, such as '2026-11-20'")


class Registration(Strict):
    """where: an address, or words that lead there. when: the day. file: the claims file's name, known when read."""

    where: Annotated[Text, Field(min_length=1)]
    when: Annotated[date, PlainValidator(_date)]
    file: str = ""
