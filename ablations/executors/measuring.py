"""Trained cells measured side by side, a core each.

The tensors of one cell are small: two cores that share its products wait for each other more than they gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TypeVar

import torch
from torch import nn

from ablations.evaluation import Evaluator
from ablations.executors.events import CellResult, Event, KeptWeights, Measuring, State, Trained
from ablations.grid import Cell
from ablations.setup import Setup
from vae.training.stack import Stack
from vae.training.threads import side_by_side

Item = TypeVar("Item")
Result = TypeVar("Result")


def at_once(device: torch.device) -> int:
    """How many cells are measured at a time."""
    return torch.get_num_threads() if device.type == "cpu" else 1


@dataclass(frozen=True)
class Finished:
    """A trained cell that is to be measured."""

    cell: Cell
    state: State
    trained: Trained


class Measurer:
    """Measures the cells of a study on its device. A failure to measure is a failed result, never an exception."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @property
    def _evaluator(self) -> Evaluator:
        return self._setup.evaluator

    def points(self, epochs: int) -> tuple[int, ...]:
        """The epochs after which cells are measured in training; without the last where the final measurement is it."""
        every = self._setup.study.evaluation.point_epochs(epochs)
        return every[:-1] if self._evaluator.ends_as_measured else every

    def point(
        self, stack: Stack, cells: Sequence[Cell], rows: Sequence[dict[str, float]], arms: Sequence[int]
    ) -> Iterator[Event]:
        """Put all metrics of these arms in the middle of training, on a part of the test images, into their rows.

        What cannot be measured, and what has diverged, is left out: the cell itself is no worse for it.
        """

        def measured(model: nn.Module, cell: Cell) -> dict[str, float]:
            try:
                return self._evaluator.point(model, cell.arm, cell.seed)
            except (Exception, SystemExit):
                return {}

        for some in self._at_once(arm for arm in arms if arm not in stack.diverged):
            yield from (Measuring(cells[arm]) for arm in some)
            models = [self._setup.loaded(cells[arm].arm, state_of(stack, arm)) for arm in some]
            found = measured_side_by_side([partial(measured, model, cells[arm]) for arm, model in zip(some, models)])
            for arm, metrics in zip(some, found):
                rows[arm].update(metrics)

    def kept(self, kept: Iterable[KeptWeights]) -> Iterator[Event]:
        """Measure weights that are kept. They are read one after the other, as they are needed."""
        for some in self._at_once(kept):
            finished = []
            for weights in some:
                try:
                    finished.append(Finished(weights.cell, weights.load(), weights.trained))
                except Exception as error:
                    yield Measuring(weights.cell)
                    yield CellResult(weights.cell, trained=weights.trained, failure=reason_of(error))
            yield from self.measure(finished)

    def with_end(self, result: CellResult) -> CellResult:
        """A cell that was just trained, with its final metrics as the last point of training where they are that.

        Kept weights keep the history that they have: its other points may be of other versions of the metrics.
        """
        if result.failed or not result.trained.history or not self._evaluator.ends_as_measured:
            return result
        *earlier, last = result.trained.history
        end = {**last, **self._evaluator.end_point(result.metrics)}
        return replace(result, trained=replace(result.trained, history=(*earlier, end)))

    def measure(self, finished: Iterable[Finished]) -> Iterator[Event]:
        """Measure trained cells. The seconds of each are its share of the time, since they share the cores."""
        for some in self._at_once(finished):
            yield from (Measuring(one.cell) for one in some)
            began = perf_counter()
            models = [self._model(one) for one in some]  # not side by side: building one borrows the ambient generator
            results = measured_side_by_side([partial(self._measured, one, model) for one, model in zip(some, models)])
            seconds = (perf_counter() - began) / len(some)
            yield from (result if result.failed else replace(result, seconds=seconds) for result in results)

    def _at_once(self, items: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
        """As many at a time as are measured side by side."""
        rest = iter(items)
        while some := tuple(islice(rest, at_once(self._setup.device))):
            yield some

    def _model(self, finished: Finished) -> nn.Module | str:
        """The model with its weights, or why there is none."""
        try:
            return self._setup.loaded(finished.cell.arm, finished.state)
        except Exception as error:
            return reason_of(error)

    def _measured(self, finished: Finished, model: nn.Module | str) -> CellResult:
        cell, state, trained = finished.cell, finished.state, finished.trained
        try:
            if isinstance(model, str):
                return _unmeasured(finished, model)
            measured = self._evaluator.measure(model, cell.arm, cell.seed)
        except Exception as error:
            return _unmeasured(finished, reason_of(error))
        return CellResult(cell, measured.metrics, measured.pictures, measured.per_image, state=state, trained=trained)


def _unmeasured(finished: Finished, reason: str) -> CellResult:
    failure = f"could not be measured: {reason}"
    return CellResult(finished.cell, state=finished.state, trained=finished.trained, failure=failure)


def measured_side_by_side(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """The results of short tasks, which need not watch for an interruption.

    Each has one thread, also where it is alone: so its numbers do not depend on what is measured beside it.
    """

    def one(task: Callable[[], Result], _: object) -> Result:
        return task()

    return side_by_side([partial(one, task) for task in tasks], most=1)


def state_of(stack: Stack, arm: int) -> State:
    """The weights of an arm, copied."""
    return {name: value.detach().cpu().clone() for name, value in stack.state(arm).items()}


def reason_of(error: BaseException) -> str:
    """The first line of an error, with its type."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:400]
