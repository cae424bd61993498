"""What is wrong with a claims file, in one sentence per mistake: file, claim, key, value, what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reports.validation import sentence
from vae.errors import UserError

Loc = tuple[int | str, ...]
_UNKNOWN: Final = "unknown key {key!r} (= {value!r}); allowed: {allowed}"


def where(file: str, claim: object) -> str:
    """How a message begins.

    >>> where("mine.toml", "mae-acutance")
    "claims file mine.toml, claim 'mae-acutance'"
    """
    return f"claims file {file}, claim {claim!r}" if claim else f"claims file {file}, a claim without id"


class ClaimMistakes(UserError):
    """Everything that is wrong with claims files. lines: a sentence for each mistake."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(dict.fromkeys(lines))
        super().__init__("\n".join(self.lines))


def explain(
    error: ValidationError, *, file: str, data: Mapping[str, Any], keys: Mapping[str, Sequence[str]]
) -> ClaimMistakes:
    """The mistakes that pydantic found, one line each, in this project's words.

    data: the file as it was validated. keys: table -> the keys allowed in it.
    """
    lines = [
        f"{_address(detail['loc'], file, data)}: {_sentence(detail, keys)}"
        for detail in error.errors()
        # A list is also called too short where an item of it is faulty, which has a line of its own.
        if detail["type"] != "too_short" or detail["ctx"]["actual_length"] == len(detail["input"])
    ]
    return ClaimMistakes(lines)


def _address(loc: Loc, file: str, data: Mapping[str, Any]) -> str:
    """Where in the file: the claim by its id, the leg by its number where there are several, then the table."""
    if len(loc) > 1 and loc[0] == "margins" and loc[-1] != "[key]":
        return f"claims file {file}, [margins.{loc[1]}]"
    if loc[0] == "registration":
        return f"claims file {file}, [registration]"
    if loc[0] != "claim" or len(loc) < 2:
        return f"claims file {file}"
    claim = data["claim"][loc[1]]
    address = where(file, claim.get("id") if isinstance(claim, dict) else None)
    if len(loc) > 3 and loc[2] == "leg" and len(claim["leg"]) > 1:
        address += f", leg {int(loc[3]) + 1}"
    table = next((str(part) for part in loc[2:] if part in ("a", "b", "needs", "says")), "")
    return f"{address}, {table}" if table else address


def _sentence(detail: ErrorDetails, keys: Mapping[str, Sequence[str]]) -> str:
    loc = detail["loc"]
    key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
    if key == "leg" and detail["type"] in ("missing", "too_short"):
        return "legs are missing: give the comparison (metric, a and b, or check) in the claim, or [[claim.leg]] tables"
    if detail["type"] == "string_pattern_mismatch":
        return f"{key}={detail['input']!r} must be lower-case words joined by hyphens, such as 'mae-acutance'"
    table = next((str(part) for part in reversed(loc[:-1]) if part in keys), "")
    return sentence(detail, key=key, allowed=keys[table], unknown=_UNKNOWN, missing="{key} is missing")
