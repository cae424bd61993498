"""Independent tasks side by side, one core each.

Arms do not depend on each other, so cores need not wait for each other inside a product: each takes tasks of its own
and its products run on one thread. On a machine that does other things too this is worth far more than it sounds: a
product shared among threads waits for the slowest of them, every time (measured in ablations/bench.md). Python's lock
does not get in the way, since torch lets go of it while it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

import torch

Result = TypeVar("Result")

CACHE_WHERE_UNKNOWN = 16 * 2**20
KEPT = 31 * 2**20  # of glibc's 32 MB, above which it never keeps anything


def cache_bytes() -> int:
    """The size of the cache that all cores share, or a modest guess where the system does not say."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or CACHE_WHERE_UNKNOWN
    except (ValueError, OSError, AttributeError):
        return CACHE_WHERE_UNKNOWN


def keep_freed_memory() -> None:
    """Stop the C library from handing freed tensors back to the system, to be fetched again at the next step.

    glibc returns what is large and free, by a threshold that rises to the size of what has been freed, up to 32 MB. So
    one tensor just below that is made and dropped, without touching its memory. A training step in float32 met 100 new
    pages before and meets none after; elsewhere nothing happens.
    """
    torch.empty(KEPT, dtype=torch.uint8)


def side_by_side(tasks: Sequence[Callable[[Event], Result]], most: int | None = None) -> list[Result]:
    """The results of all tasks, in their order. As many run at a time as torch has threads, sharing them evenly.

    A task is called with an event; when it is set the task's result is no longer wanted, because another one raised
    or a person interrupted, and it should return soon. What a task raises is raised here.
    most: threads that one task may have for its products.

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
        return [alone(task) for task in tasks] if workers == 1 else _pooled(alone, tasks, workers, stopped)
    finally:
        torch.set_num_threads(threads)


def _pooled(
    work: Callable[[Callable[[Event], Result]], Result],
    tasks: Sequence[Callable[[Event], Result]],
    workers: int,
    stopped: Event,
) -> list[Result]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="arms")
    try:
        running = [pool.submit(work, task) for task in tasks]
        wait(running, return_when=FIRST_EXCEPTION)
        for task in running:
            if task.done() and (error := task.exception()) is not None:
                raise error
        return [task.result() for task in running]
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
