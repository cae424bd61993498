"""Independent tasks side by side: order, shares of the threads, and a quick end when one fails or a person stops."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Event, Timer, current_thread, main_thread

import pytest
import torch

from vae.training.threads import cache_bytes, side_by_side

LONGEST_WAIT = 20.0  # seconds after which a task that nobody stopped gives up


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    assert side_by_side([lambda stopped, n=n: n for n in range(7)]) == list(range(7))
    assert side_by_side([]) == []


def test_tasks_share_the_threads_and_give_them_back(threads: int) -> None:
    assert side_by_side([lambda stopped: torch.get_num_threads()] * 5) == [1] * 5
    assert side_by_side([lambda stopped: torch.get_num_threads()]) == [threads]
    assert torch.get_num_threads() == threads


def test_a_task_may_be_held_to_fewer_threads(threads: int) -> None:
    assert side_by_side([lambda stopped: torch.get_num_threads()], most=1) == [1]
    assert side_by_side([lambda stopped: torch.get_num_threads()] * 2, most=1) == [1, 1]
    assert torch.get_num_threads() == threads


def test_one_task_stays_in_this_thread() -> None:
    assert side_by_side([lambda stopped: current_thread()]) == [current_thread()]


@pytest.mark.usefixtures("two_threads")
def test_what_a_task_raises_is_raised_and_stops_the_others() -> None:
    outlived = Event()

    def failing(stopped: Event) -> None:
        raise ZeroDivisionError("task 1")

    def waiting(stopped: Event) -> None:
        if not stopped.wait(LONGEST_WAIT):
            outlived.set()

    with pytest.raises(ZeroDivisionError, match="task 1"):
        side_by_side([waiting, failing, waiting, waiting])
    assert not outlived.is_set()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_interrupt_stops_all_tasks() -> None:
    outlived = Event()

    def waiting(stopped: Event) -> None:
        if not stopped.wait(LONGEST_WAIT):
            outlived.set()

    # A shell lets what it starts in the background ignore the signal, and Python then leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = Timer(0.2, signal.pthread_kill, (main_thread().ident, signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side([waiting] * 4)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not outlived.is_set()
    assert torch.get_num_threads() == 2


def test_the_cache_is_of_a_plausible_size() -> None:
    assert 2**20 <= cache_bytes() <= 2**32


def test_making_and_dropping_tensors_of_megabytes_does_not_grow_the_process() -> None:
    """In a process whose C library has come to keep what is freed; without handing back, this grew by 500 MB."""
    code = """
import sys, torch
from pathlib import Path
from vae.training.threads import give_back_freed_memory

def used():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

torch.empty(31 * 2**20, dtype=torch.uint8)  # freed: from now on the library keeps pieces of up to this size
kept, x = [], torch.rand(64, 12288)
for step in range(24):
    kept.append(sum((x * k).sigmoid_().square().sum(-1) + torch.log1p(x).sum(-1) for k in range(4)))
    give_back_freed_memory()
    before = used() if step == 3 else before if step > 3 else 0
print(used() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50 * 2**20
