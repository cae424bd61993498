"""How values are written to MLflow and read back: params and tags are text, metrics are finite numbers.

MLflow stores NaN as 0 and infinity as the largest float, so neither is ever sent as a metric: they are named in a tag.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tracking.errors import TrackingError
from tracking.schema import EPOCH

TAG_LIMIT: Final = 5000  # characters; what the oldest servers take
_MORE: Final = "…"


def as_text(value: object) -> str:
    """A param's value as text: None is empty, true and false are in lower case, numbers keep every digit.

    >>> [as_text(value) for value in (0.1, 3, True, None, "mae")]
    ['0.1', '3', 'true', '', 'mae']
    """
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def as_number(name: str, value: object) -> float:
    """A metric's value as a float, NaN and infinity included. Raises TrackingError if it is not a number."""
    try:
        return float(value)  # type: ignore[arg-type]  # numpy and torch scalars too
    except (TypeError, ValueError) as error:
        raise TrackingError(f"metric {name!r}={value!r} is not a number.") from error


def part(values: Mapping[str, object]) -> tuple[dict[str, float], tuple[str, ...]]:
    """The finite values, and the names of the others.

    >>> part({"rate": 24.5, "psnr": float("inf"), "acutance": float("nan")})
    ({'rate': 24.5}, ('psnr', 'acutance'))
    """
    numbers = {name: as_number(name, value) for name, value in values.items()}
    finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
    return finite, tuple(name for name in numbers if name not in finite)


def join_names(names: Iterable[str]) -> str:
    """Names in one tag, cut between names if they do not fit into `TAG_LIMIT`, and then marked with '…'.

    >>> join_names(["rate", "ssim", "psnr"])
    'rate,ssim,psnr'
    """
    text = ",".join(names)
    if len(text) <= TAG_LIMIT:
        return text
    return text[: text.rfind(",", 0, TAG_LIMIT - 1) + 1] + _MORE


def split_names(text: str) -> tuple[tuple[str, ...], bool]:
    """The names in a tag, and whether they are all of them.

    >>> split_names("rate,ssim,…")
    (('rate', 'ssim'), False)
    """
    names = tuple(name for name in text.split(",") if name)
    return (names[:-1], False) if names[-1:] == (_MORE,) else (names, True)


def history_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Per-epoch values as compact JSON, NaN and infinity as strings.

    rows: one mapping per epoch, with `epoch` and any metrics. Raises TrackingError for a row without an epoch.

    >>> history_text([{"epoch": 1, "train_loss": 164.5}, {"epoch": 2, "train_loss": float("nan")}])
    '[{"epoch":1,"train_loss":164.5},{"epoch":2,"train_loss":"nan"}]'
    """
    plain = []
    for row in rows:
        numbers = {name: as_number(name, value) for name, value in row.items() if name != EPOCH}
        shown = {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}
        plain.append({EPOCH: epoch_of(row)} | shown)
    return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def history_of(text: str) -> tuple[dict[str, float], ...]:
    """The rows that `history_text` wrote: epochs whole, all other values floats."""
    return tuple(
        {name: int(value) if name == EPOCH else float(value) for name, value in row.items()} for row in json.loads(text)
    )


def epoch_of(row: Mapping[str, object]) -> int:
    """The epoch of a history row. Raises TrackingError if it has none, or one that is not a whole number >= 0."""
    value = row.get(EPOCH)
    if value is None or isinstance(value, bool) or (number := as_number(EPOCH, value)) != int(number) or number < 0:
        raise TrackingError(f"a history row needs a whole number {EPOCH!r}, and has {value!r}: {dict(row)}.")
    return int(number)
