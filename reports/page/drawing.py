"""Figures drawn by two processes: this one, and a helper that is a second Python.

A helper is not a fork: this process has threads (of BLAS, of the tracker), whose locks a fork would copy. It imports
what it needs while this process reads the store. A figure is drawn by a function of a module from its arguments alone,
so both processes draw the same bytes; what a helper could not draw, this process draws.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final, Literal

from matplotlib.figure import Figure

from reports.page.canvas import png, svg

# With the modules that draw, imported while nothing is asked.
_SERVE: Final = "import sys; sys.path[:] = {path!r}; from reports.page import drawing, report_figures; drawing.serve()"
_PIXELS_PER_INCH: Final = 96  # of CSS


@dataclass(frozen=True)
class Picture:
    """A figure as the bytes of a file. width: CSS pixels at its own size."""

    content: bytes
    width: int


@dataclass(frozen=True)
class Drawing:
    """A figure that is yet to be drawn: a function of a module, and what it is called with. kind: of the file."""

    function: Callable[..., Figure]
    arguments: tuple[Any, ...]
    kind: Literal["svg", "png"] = "svg"

    def picture(self) -> Picture:
        """Draw it."""
        figure = self.function(*self.arguments)
        content = svg(figure).encode() if self.kind == "svg" else png(figure)
        return Picture(content, round(figure.get_figwidth() * _PIXELS_PER_INCH))


class Helper:
    """A second process that draws. As a context manager it ends with the context; it never fails: it may only stop
    helping."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _SERVE.format(path=sys.path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def picture(self, drawing: Drawing) -> Picture | None:
        """The picture; None where the helper could not draw it."""
        asked, answer = self._process.stdin, self._process.stdout
        if asked is None or answer is None:  # for the type: both are pipes
            return None
        try:
            pickle.dump(drawing, asked)
            asked.flush()
            picture = pickle.load(answer)
        except (OSError, EOFError, pickle.PickleError, AttributeError, TypeError, ValueError):
            return None
        return picture if isinstance(picture, Picture) else None


def helper_wanted(cells: int, least: int = 100) -> bool:
    """Whether a second process pays: a report of many cells, on a machine with a second core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cells >= least and cores > 1


def pictures_of(drawings: Sequence[Drawing], helper: Helper | None = None) -> list[Picture]:
    """The pictures of these drawings, in their order: this process draws from the front, the helper from the end."""
    pictures: dict[int, Picture] = {}
    waiting = deque(range(len(drawings)))

    def help_from_the_end() -> None:
        while helper is not None:
            try:
                place = waiting.pop()
            except IndexError:
                return
            picture = helper.picture(drawings[place])
            if picture is None:
                waiting.append(place)
                return
            pictures[place] = picture

    beside = threading.Thread(target=help_from_the_end, daemon=True)
    beside.start()
    while len(pictures) < len(drawings):
        try:
            place = waiting.popleft()
        except IndexError:
            beside.join()
            continue
        pictures[place] = drawings[place].picture()
    beside.join()
    return [pictures[place] for place in range(len(drawings))]


def serve() -> None:
    """What a helper runs: a drawing in, its picture out, until nothing comes in."""
    asked, answer = sys.stdin.buffer, _own(sys.stdout.buffer)
    while True:
        try:
            drawing = pickle.load(asked)
        except EOFError:
            return
        pickle.dump(drawing.picture(), answer)
        answer.flush()


def _own(stream: IO[bytes]) -> IO[bytes]:
    """The stream for answers alone: what libraries print goes to stderr."""
    own = os.fdopen(os.dup(stream.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), stream.fileno())
    return own
