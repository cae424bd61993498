"""Errors that a person can make: one sentence that names the argument, the value and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 400  # characters of a message
_SHOWN: Final = 60  # of a value in a message that would be longer, at least
SUGGESTION: Final = "Did you mean"
# What a message is likely to quote: text in quotation marks, a list or table without another in it, one long word.
_VALUES: Final = (r"'[^'\n]*'", r'"[^"\n]*"', r"\S+", r"\[[^\[\]\n]*\]", r"\{[^{}\n]*\}")


class UserError(ValueError):
    """A mistake in what a person gave: its message is shown as it is, without a traceback.

    One of more than `LONGEST` characters is shortened.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(str(message)))


def shortened(message: str, longest: int = LONGEST) -> str:
    """A message of at most that many characters: long values lose their middle, then the message does.

    Of several lines, a mistake each, as many are kept as there is room for; then the last says how many there are.

    >>> shortened(f"name='{'x' * 9000}' must be 1 to 100 printable characters", longest=110)
    "name='xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' must be 1 to 100 printable characters"
    >>> len(shortened("no " * 9000)), shortened("short")
    (400, 'short')
    """
    if len(message) <= longest:
        return message
    first, *others = message.split("\n")
    if others:
        return _lines([first, *others], longest)
    for pattern in _VALUES:
        message = _shorter_values(message, pattern, longest)
    return _without_middle(message, longest)


def _shorter_values(message: str, pattern: str, longest: int) -> str:
    """The message with values of that pattern cut, the longest first, each as little as is needed.

    What is suggested stays whole: it is there to be copied.
    """
    before = message.partition(SUGGESTION)[0]
    for value in sorted({match[0] for match in re.finditer(pattern, before)}, key=len, reverse=True):
        excess = len(message) - longest
        if excess > 0 and len(value) > _SHOWN:
            message = message.replace(value, _without_middle(value, max(_SHOWN, len(value) - excess)))
    return message


def _lines(lines: list[str], longest: int) -> str:
    last = f"... {len(lines)} mistakes in all"
    kept = [shortened(lines[0], longest - len(last) - 1)]
    for line in lines[1:]:
        if len("\n".join([*kept, line, last])) > longest:
            break
        kept.append(line)
    return "\n".join(kept if len(kept) == len(lines) else [*kept, last])


def _without_middle(text: str, longest: int) -> str:
    """The text with dots in place of its middle, where it is longer.

    >>> _without_middle("0123456789", 7)
    '01...89'
    """
    if len(text) <= longest:
        return text
    kept = longest - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


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
