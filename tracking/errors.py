"""What goes wrong between a study and its store, as one sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

# Up to the last "@" of the word: an address whose password holds one is read so by whoever reads it at all.
_PASSWORD = re.compile(r"(//[^:/@\s]*:)\S+@")
_PASSWORD_OPTION = re.compile(
    r"((?:^|[?&;\s])(?:ssl)?(?:password|passwd|passphrase|pwd|token)=)[^&;\s'\"]+", re.IGNORECASE
)
_LIMIT = 300  # characters of a foreign message; beyond that it is a page of SQL


class TrackingError(ValueError):
    """The store cannot be used, or what it holds cannot be trusted. Its message is shown without a traceback."""


def hide_password(text: str) -> str:
    """The same text with the password of every address in it replaced by three stars.

    A password may hold any sign but white space, "@" and "/" among them; it may also be given as an option.

    >>> hide_password("postgresql://ada:s@cr/t@db/lab"), hide_password("postgresql://db/lab?user=ada&password=secret")
    ('postgresql://ada:***@db/lab', 'postgresql://db/lab?user=ada&password=***')
    >>> hide_password("http://127.0.0.1:5000 is not ada@db")
    'http://127.0.0.1:5000 is not ada@db'
    """
    named = re.sub(_PASSWORD_OPTION, r"\1***", text)
    return re.sub(_PASSWORD, r"\1***@", named)


def first_line(error: BaseException) -> str:
    """The first line of a foreign error, without passwords and short enough to read.

    >>> first_line(RuntimeError("(sqlite3.OperationalError) database is locked" + chr(10) + "[SQL: SELECT 1]"))
    'database is locked'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shorten(hide_password(re.sub(r"^\([\w.]+\) ", "", lines[0].strip())), _LIMIT)


def shorten(text: str, limit: int) -> str:
    """The text, with what is beyond that many characters cut off, and marked.

    >>> shorten("diverged at epoch 3", 9)
    'diverged…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def remedy(error: BaseException) -> str:
    """What helps against a damaged database, as the end of a message; empty for any other error.

    >>> remedy(OSError("database disk image is malformed"))[:30]
    '. The database is damaged: abl'
    """
    if not re.search(r"malformed|file is not a database|disk I/O error", str(error)):
        return ""
    return ". The database is damaged: ablate rebuild moves it aside and makes it anew from the records of its runs"


@contextmanager
def explained(failure: str) -> Iterator[None]:
    """Turns an error of MLflow or the disk into a TrackingError that begins with ``failure``; others pass as they are.

    >>> with explained("The history of cell mae-sum-b1-s3 cannot be written"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    tracking.errors.TrackingError: The history of cell mae-sum-b1-s3 cannot be written: [Errno 28] No space left ...
    """
    try:
        yield
    except Exception as error:
        library = type(error).__module__.split(".")[0]
        if not isinstance(error, OSError) and library not in ("mlflow", "sqlalchemy", "sqlite3"):
            raise
        raise TrackingError(f"{failure}: {first_line(error)}{remedy(error)}") from error
