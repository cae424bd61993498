"""What is printed while a study runs: plain lines where the output is not a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ablations import progress
from ablations.executors.events import CellResult, EpochDone, Event, Measuring, Preparing
from ablations.grid import Cell
from ablations.progress import Display, Pace
from vae import Arm

CELLS = tuple(Cell(Arm(beta=beta), 3) for beta in (1, 2))
ROWS = ({"epoch": 1.0}, {"epoch": 1.0})


def lines_of(monkeypatch: pytest.MonkeyPatch, *events: Event) -> list[str]:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    console = Console(file=io.StringIO(), width=200)
    with Display(console, len(CELLS)) as display:
        for event in events:
            display(event)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_each_kind_of_event_is_a_plain_line_and_a_failure_is_printed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(
        monkeypatch,
        Preparing(),
        Preparing(done=True),
        EpochDone(CELLS, ROWS, 2, 5, 0.1),
        EpochDone(CELLS[:1], ROWS[:1], 3, 5, 0.1),
        Measuring(CELLS[0]),
        CellResult(CELLS[0], failure="it [bold]broke[/bold]"),
    )
    starts = [
        "  preparing: ",
        "  0/2 cells done; seed 3: 2 cells side by side, epoch 2/5; ",
        "  0/2 cells done; seed 3: 1 cell, epoch 3/5; ",
        "  0/2 cells done; measuring bce-sum-b1-s3; ",
        "  failed: bce-sum-b1-s3 — it [bold]broke[/bold]",
        "  1/2 cells done; seed 3: writing; ",
    ]
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts)), lines


def test_time_left_does_not_count_what_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    pace = Pace(2)
    clock[0] = 100.0  # a classifier was trained
    pace.note(Preparing(done=True))
    clock[0] = 110.0
    pace.note(EpochDone(CELLS, ROWS, 5, 5, 10.0))
    assert pace.share == pytest.approx(2 / 2.5)
    assert pace.left == "2.5 s"
    for cell in CELLS:
        pace.note(CellResult(cell))
    assert (pace.share, pace.finished, pace.failed) == (1.0, 2, 0)
