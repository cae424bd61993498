"""What a person sees while a study runs: a live bar in a terminal, plain lines everywhere else."""

from __future__ import annotations

from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from ablations.executors.events import CellResult, EpochDone, Event, Measuring, Notice, Preparing
from reports.numbers import duration

LINE_EVERY = 10.0  # seconds between plain lines: enough to see life, little enough to read later


class Pace:
    """How much of a run is done, counted in cell-epochs, with measuring a cell worth ``MEASURE`` of its training."""

    MEASURE = 0.25

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.finished = self.failed = 0
        self._partial, self._began = 0.0, monotonic()

    def note(self, event: Event) -> None:
        match event:
            case EpochDone():
                self._partial = len(event.cells) * event.epoch / event.epochs
            case CellResult():
                self.finished += 1
                self.failed += event.failed
                self._partial = max(0.0, self._partial - 1)
            case Preparing():
                self._began = monotonic()  # setting up comes once, so it says nothing of the time per cell

    @property
    def share(self) -> float:
        """Of the whole run, in [0, 1]."""
        done = self.finished * (1 + self.MEASURE) + self._partial
        return min(1.0, done / max(self.cells * (1 + self.MEASURE), 1e-9))

    @property
    def left(self) -> str:
        elapsed = monotonic() - self._began
        return duration(elapsed / self.share - elapsed) if self.share > 0.005 else "..."

    @property
    def elapsed(self) -> str:
        return duration(monotonic() - self._began)


class Display:
    """A listener that draws. Use as a context manager."""

    def __init__(self, console: Console, cells: int) -> None:
        self._console, self._pace = console, Pace(cells)
        self._last = monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[what]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("cells · {task.fields[left]} left"),
            console=console,
            transient=True,
            disable=not (console.is_terminal and cells),
        )
        self._task = self._bar.add_task("", total=cells, what="starting", left="...")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        self._pace.note(event)
        if isinstance(event, Notice):
            self._console.print(f"  note: {event.text}", markup=False, highlight=False)
        if event == Preparing(done=True) or isinstance(event, Notice):
            return
        if isinstance(event, CellResult) and event.failed:
            self._console.print(f"  failed: {event.cell.label} — {event.failure}", markup=False, highlight=False)
        if not self._bar.disable:
            self._bar.update(self._task, completed=self._pace.finished, what=self._what(event), left=self._pace.left)
        elif event == Preparing() or monotonic() - self._last >= LINE_EVERY:
            self._last = monotonic()
            self._console.print(self._line(event), markup=False, highlight=False)

    def _what(self, event: Event) -> str:
        match event:
            case Preparing():
                return "preparing: the originals' sharpness, and classifiers that read them unless they are kept"
            case EpochDone():
                cells = "1 cell" if len(event.cells) == 1 else f"{len(event.cells)} cells side by side"
                return f"seed {event.seed}: {cells}, epoch {event.epoch}/{event.epochs}"
            case Measuring():
                return f"measuring {event.cell.label}"
            case CellResult():
                return f"seed {event.cell.seed}: writing"
            case Notice():
                return event.text

    def _line(self, event: Event) -> str:
        if isinstance(event, Preparing):
            return f"  {self._what(event)}"
        pace = self._pace
        return f"  {pace.finished}/{pace.cells} cells done; {self._what(event)}; {pace.elapsed} gone, {pace.left} left"
