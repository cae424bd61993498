"""Calls of a tracker that is away for a while: which errors pass by themselves, and how long to wait for it.

MLflow's client has retries of its own, for HTTP only. They send a POST again without knowing whether the first was
carried out, wait up to minutes, and cannot be hurried; while ours are at work they are switched off.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeVar

from tracking.errors import TrackingError, first_line

T = TypeVar("T")

PATIENCE: Final = 60.0  # seconds without one answer, after which a tracker is gone; PATIENCE_VARIABLE sets another
PATIENCE_VARIABLE: Final = "ABLATE_TRACKER_PATIENCE"
FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 10.0
_REQUEST: Final = 30  # seconds for one request: longer than a slow server takes, shorter than the patience

# A disk that is full or away may have room again; a missing file will not come back.
_PASSING: Final = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH),
}
_STATUSES: Final = {401, 403, 408, 425, 429}  # besides all from 500 up: rights and quotas come back too


class GaveUp(TrackingError):
    """The tracker has not answered for as long as it was waited for."""


class Retries:
    """Calls, each tried again while its errors are of the kind that passes, after waits that grow from .2 s to 10 s.

    patience: seconds since the last answer after which `GaveUp` is raised; None waits for ever.
    trouble: why the last call has had no answer yet; empty once one has come.
    """

    def __init__(self, patience: float | None = None) -> None:
        self.trouble = ""
        self._patience = patience
        self._answered = monotonic()
        self._hurried = threading.Event()

    def call(self, work: Callable[[], T], again: Callable[[], T] | None = None) -> T:
        """What ``work`` returns. again: what to do in its place after a failure, where it may have been carried out."""
        wait, task = FIRST_WAIT, work
        while True:
            try:
                result = task()
            except Exception as error:
                if not passes(error):
                    raise
                task = again or work
                self.trouble = first_line(error)
                if self._left() <= 0:
                    raise GaveUp(f"the tracker did not answer: {self.trouble}") from error
            else:
                self.trouble, self._answered = "", monotonic()
                return result
            self._pause(min(wait, max(0.0, self._left())))
            wait = min(2 * wait, LONGEST_WAIT)

    def wait_for_ever(self) -> None:
        """From now on, until `hurry`."""
        self._patience = None

    def hurry(self, patience: float) -> None:
        """From now on, wait for an answer no longer than these seconds, and end a wait that is under way."""
        self._patience, self._answered = patience, monotonic()
        self._hurried.set()

    @property
    def silent_for(self) -> float:
        """Seconds since the last answer, or since `hurry`."""
        return monotonic() - self._answered

    def _left(self) -> float:
        return float("inf") if self._patience is None else self._patience - self.silent_for

    def _pause(self, seconds: float) -> None:
        if self._hurried.wait(seconds):
            self._hurried.clear()


def once() -> Retries:
    """Calls that are tried once."""
    return Retries(patience=0.0)


def patience() -> float:
    """Seconds to wait at the end of a run for a tracker that does not answer: 60, or what the environment says.

    Raises TrackingError for what is not a number of seconds >= 0.
    """
    text = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        seconds = float(text or PATIENCE)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise TrackingError(f"{PATIENCE_VARIABLE}={text!r} is not a number of seconds >= 0, such as 60.")
    return seconds


def passes(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, may be gone when the same is tried again.

    >>> passes(OSError(28, "No space left on device")), passes(FileNotFoundError(2, "No such file"))
    (True, False)
    >>> passes(ValueError("metric 'rate?' holds a question mark"))
    False
    """
    seen: BaseException | None = error
    while seen is not None:
        if (verdict := _passes(seen)) is not None:
            return verdict
        seen = seen.__cause__
    return False


def _passes(error: BaseException) -> bool | None:
    """Whether this error passes; None where only its cause can tell."""
    library, name = type(error).__module__.split(".")[0], type(error).__name__
    if library == "sqlalchemy":
        return name in ("OperationalError", "InterfaceError", "InternalError", "TimeoutError")
    if library == "requests":
        status = getattr(getattr(error, "response", None), "status_code", None)
        return status is None or _is_passing(status)
    if library == "mlflow":
        return _is_passing(error.get_http_status_code())  # type: ignore[attr-defined]  # of every MlflowException
    if isinstance(error, OSError):
        return error.errno in _PASSING or isinstance(error, TimeoutError | ConnectionError)
    return None


def _is_passing(status: int) -> bool:
    return status >= 500 or status in _STATUSES


@contextmanager
def without_mlflows_own() -> Iterator[None]:
    """No retries by MLflow's client, and no request longer than 30 s, unless the user has set them otherwise.

    For a whole run: its settings are variables of the process.
    """
    ours = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_REQUEST)}
    added = [name for name in ours if name not in os.environ]
    os.environ.update({name: ours[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
