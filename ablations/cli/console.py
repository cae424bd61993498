"""Where commands print: text for a person, JSON for a program, errors beside both. NO_COLOR is honoured by Rich."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

WIDE = 120  # columns from which tables show everything; in a narrower terminal no name is folded

# In a terminal, lines are broken between words. Output that is not a terminal is for programs: one line stays one line.
_IN_TERMINAL = sys.stdout.isatty()
out = Console(highlight=False, soft_wrap=not _IN_TERMINAL, emoji=False, width=None if _IN_TERMINAL else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """A line as it is: an address or a path in it is never broken, and nothing of it is read as markup."""
    out.print(text, markup=False, soft_wrap=True)


@contextmanager
def muted(*reasons: bool) -> Iterator[None]:
    """Without text on the standard output, where any of the reasons holds. Errors are printed all the same."""
    before, out.quiet = out.quiet, out.quiet or any(reasons)
    try:
        yield
    finally:
        out.quiet = before


def print_json(content: Mapping[str, Any]) -> None:
    """One JSON object on the standard output; NaN and infinity are null.

    >>> print_json({"cells": 2, "seconds_left": math.nan})
    {
     "cells": 2,
     "seconds_left": null
    }
    """
    print(json.dumps(_plain(content), indent=1, ensure_ascii=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
