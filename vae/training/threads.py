"""Independent tasks side by side, one core each.

Arms do not depend on each other: each core takes tasks of its own, and its products run on one thread. A product shared
among threads waits for the slowest of them, every time (measured in ablations/bench/bench.md). Torch releases Python's
lock while it computes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from threading import Event, Thread
from time import monotonic
from typing import TypeVar

import torch

Result = TypeVar("Result")

CACHE_WHERE_UNKNOWN = 16 * 2**20
PATIENCE = 5.0  # seconds that a task has to heed its event before its thread is left behind


def cache_bytes() -> int:
    """The size of the cache that all cores share, or an assumed one where the system does not give it."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or CACHE_WHERE_UNKNOWN
    except (ValueError, OSError, AttributeError):
        return CACHE_WHERE_UNKNOWN


def give_back_freed_memory() -> None:
    """Let the C library return what is free to the system, in about 4 ms; where it is not glibc, nothing happens.

    glibc (seen with 2.36) does not reuse the space of a freed tensor of a few megabytes for an equal one: a process
    grew by 25 MB with every 64 pictures of 3×64×64 that it scored.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


class TookTooLong(RuntimeError):
    """Tasks have not ended within the time that they may take."""


def side_by_side(
    tasks: Sequence[Callable[[Event], Result]], most: int | None = None, until: float | None = None
) -> list[Result]:
    """The results of all tasks, in their order. As many run at a time as torch has threads, sharing them evenly.

    A task is called with an event. When it is set, the task should return soon: its result is not needed any more,
    because another one raised or a person interrupted. What a task raises is raised here.
    most: threads that one task may have for its products. until: the moment of `time.monotonic` after which TookTooLong
    is raised; a task that does not heed its event is left behind in its thread.

    >>> side_by_side([lambda stopped, n=n: n * n for n in range(3)])
    [0, 1, 4]
    """
    threads = torch.get_num_threads()
    workers = max(1, min(threads, len(tasks)))
    share = min(threads // workers, most or threads)
    stopped = Event()

    def alone(task: Callable[[Event], Result]) -> Result:
        torch.set_num_threads(share)  # of this thread; and of all later ones, hence the end of this function
        return task(stopped)

    try:
        if workers == 1 and until is None:
            return [alone(task) for task in tasks]
        return _in_threads([partial(alone, task) for task in tasks], workers, stopped, until)
    finally:
        torch.set_num_threads(threads)


def _in_threads(
    tasks: Sequence[Callable[[], Result]], workers: int, stopped: Event, until: float | None
) -> list[Result]:
    running: list[Future[Result]] = [Future() for _ in tasks]
    waiting = deque(zip(tasks, running))
    # Not a pool of the library: the interpreter waits for its threads when it ends, and one of these may never end.
    pool = [Thread(target=_work, args=(waiting,), name=f"arms-{i}", daemon=True) for i in range(workers)]
    for thread in pool:
        thread.start()
    try:
        wait(running, None if until is None else max(0.0, until - monotonic()), return_when=FIRST_EXCEPTION)
        for task in filter(Future.done, running):
            task.result()  # raises what the task raised
        if not all(map(Future.done, running)):
            raise TookTooLong("training has not ended in the time that it may take")
        return [task.result() for task in running]
    finally:
        stopped.set()
        waiting.clear()
        for thread in pool:
            thread.join(None if until is None else max(0.0, until - monotonic()) + PATIENCE)


def _work(waiting: deque[tuple[Callable[[], Result], Future[Result]]]) -> None:
    """Do one task after the other until none waits."""
    while waiting:
        try:
            task, future = waiting.popleft()
        except IndexError:  # another thread took it
            return
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)
