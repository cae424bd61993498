"""Docstrings on the site: their examples, which run as doctests, are shown as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

# From a first prompt to the next empty line.
EXAMPLE = re.compile(r"^>>> .*?(?=\n[ \t]*\n|\Z)", re.MULTILINE | re.DOTALL)


def with_fences(text: str) -> str:
    """The text with each example in a block of code."""
    return EXAMPLE.sub(lambda example: f"\n```pycon\n{example[0]}\n```\n", text)


class Doctests(griffe.Extension):
    """Changes every docstring once, as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = with_fences(obj.docstring.value)
