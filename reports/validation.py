"""What pydantic found wrong with a file, as sentences of this project: the one translator, for every kind of file.

    for detail in error.errors():
        sentence(detail, key="training.epoch", allowed=["epochs", "batch_size"])

An error that was raised by a check of ours passes through as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from pydantic_core import ErrorDetails

from vae.errors import closest

_FLAGS: Final = {"true": ("true", "yes", "on", "1"), "false": ("false", "no", "off", "0")}
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


def sentence(
    detail: ErrorDetails,
    *,
    key: str,
    allowed: Sequence[str] = (),
    unknown: str = "the key {key!r} is not known; known here: {allowed}",
    missing: str = "the key {key!r} is missing",
) -> str:
    """One mistake as one sentence: the key, the value, what is allowed and what was likely meant.

    key: what the sentence calls the place of the mistake, such as `training.epoch`. allowed: the keys of its table.
    unknown, missing: how a key is told that the file does not know, or lacks; templates of key, value and allowed.

    >>> sentence({"type": "missing", "loc": ("a", "id"), "msg": "Field required", "input": {}}, key="a.id")
    "the key 'a.id' is missing"
    """
    kind, value = detail["type"], detail["input"]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "extra_forbidden":
        problem = unknown.format(key=key, value=value, allowed=list(allowed))
        return f"{problem}.{closest(detail['loc'][-1], allowed)}"
    if kind == "missing":
        return missing.format(key=key)
    shown = "NaN" if isinstance(value, float) and math.isnan(value) else repr(value)
    message = detail["msg"]
    return f"{key}={shown}: {message[:1].lower()}{message[1:]}{_meant(kind, value)}"


def _meant(kind: str, value: object) -> str:
    """What text in place of a number, or of true and false, stands for, as the tail of a message.

    >>> _meant("bool_type", "yes"), _meant("float_type", "10"), _meant("float_type", "ten")
    ('. Did you mean true?', '. Did you mean 10?', '')
    """
    text = str(value).strip().lower()
    if kind == "bool_type":
        meant = next((word for word, texts in _FLAGS.items() if text in texts), "true or false")
        return f". Did you mean {meant}?"
    return f". Did you mean {text}?" if kind in ("float_type", "int_type") and _NUMBER.fullmatch(text) else ""
