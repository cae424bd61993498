"""What goes wrong between a study and its store, as one sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_LIMIT = 300  # characters of a foreign message; beyond that it is a page of SQL


class TrackingError(ValueError):
    """The store cannot be used, or what it holds cannot be trusted. Its message is shown without a traceback."""


def hide_password(text: str) -> str:
    """The same text with the password of every address in it replaced by three stars.

    >>> hide_password("postgresql://ada:secret@db/lab")
    'postgresql://ada:***@db/lab'
    """
    return re.sub(r"(//[^:/@\s]*):[^@/\s]+@", r"\1:***@", text)


def first_line(error: BaseException) -> str:
    """The first line of a foreign error, without passwords and short enough to read.

    >>> first_line(RuntimeError("(sqlite3.OperationalError) database is locked" + chr(10) + "[SQL: SELECT 1]"))
    'database is locked'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = hide_password(re.sub(r"^\([\w.]+\) ", "", lines[0].strip()))
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"


@contextmanager
def explained(failure: str) -> Iterator[None]:
    """Turns what MLflow or the disk throws into a TrackingError that begins with ``failure``.

    Raises TrackingError from the original. Errors of our own, and of anything else, pass as they are.

    >>> with explained("The history of cell mae-sum-b1-s3 cannot be written"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    tracking.errors.TrackingError: The history of cell mae-sum-b1-s3 cannot be written: [Errno 28] No space left ...
    """
    try:
        yield
    except OSError as error:
        raise TrackingError(f"{failure}: {first_line(error)}") from error
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("mlflow", "sqlalchemy", "sqlite3"):
            raise
        raise TrackingError(f"{failure}: {first_line(error)}") from error
