"""Signals that ask the process to end: the first is an interruption, which lets a run close; the second ends at once.

Ending at once is safe at any moment: a cell is in the spool and in the store as a whole, or not at all.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

SENTENCE = "Interrupted. What is finished is kept; the same command goes on from there."
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

_received: list[int] = []


def install() -> None:
    """SIGTERM and SIGHUP end like Ctrl-C. One that is ignored, as SIGHUP is under nohup, stays so."""
    for name in NAMES:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def exit_code() -> int:
    """128 and the first signal, as a shell has it: 130, 143 or 129."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def _interrupt(number: int, _: FrameType | None) -> None:
    _received.append(number)
    if len(_received) > 1:
        os.write(2, f"{SENTENCE}\n".encode())
        os._exit(exit_code())
    raise KeyboardInterrupt
