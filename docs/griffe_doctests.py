"""Docstrings on the site: examples, which run as doctests, are shown as code, and each line of arguments by itself."""

from __future__ import annotations

import re
from typing import Any

import griffe

# From a first prompt to the next empty line.
EXAMPLE = re.compile(r"^>>> .*?(?=\n[ \t]*\n|\Z)", re.MULTILINE | re.DOTALL)


# Names of arguments at the start of a line, with a colon: "train, test: the two splits."
ARGUMENTS = re.compile(r"^([a-z_][A-Za-z_0-9]*(?:, [a-z_][A-Za-z_0-9]*)*): (?=\S)", re.MULTILINE)
ROLE = re.compile(r":\w+:(?=`)")


def as_markdown(text: str) -> str:
    """A docstring as the site's Markdown."""
    text = EXAMPLE.sub(lambda example: f"\n```pycon\n{example[0]}\n```\n", ROLE.sub("", text))
    prose, *blocks = re.split(r"(?=^```pycon$)", text, flags=re.MULTILINE)
    return "".join([ARGUMENTS.sub(r"\n*\1*: ", prose), *blocks])


class Doctests(griffe.Extension):
    """Changes every docstring once, as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
