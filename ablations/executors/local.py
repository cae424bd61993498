"""Stacks one after the other, in this process.

After some epochs, the points of training, every cell of a stack is measured on a part of the test images.

A failure is data. A stack that raises is cut in two and each half is tried again, until the cells at fault stand
alone; they become failed results with their reason, and the results of all other cells are as without them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter

import torch

from ablations.evaluation import epoch_scores, measuring_bytes, point_bytes
from ablations.executors.events import CellResult, EpochDone, Event, KeptWeights, Trained
from ablations.executors.measuring import Finished, Measurer, at_once, reason_of, state_of
from ablations.grid import Cell, evenly, shapes
from ablations.setup import Setup
from vae.arms import Arm
from vae.streams import fingerprint
from vae.training.fit import EpochRecord, batch_order, epoch_noise, fit
from vae.training.memory import arms_that_fit
from vae.training.stack import Stack

# A stack this wide keeps the processor busy; wider ones only take memory and delay the first results.
WIDEST = 48


class Local:
    """An executor in this process; see `ablations.executors.events.Executor`."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._measurer = setup, Measurer(setup)

    def prepare(self) -> None:
        self._setup.evaluator.prepare()

    def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
        for stack in self.stacks(cells):
            yield from self._run(stack)

    def stacks(self, cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
        """The cells as stacks that fit the machine's memory: of one seed, and of one shape.

        Raises UserError where not even one arm of a shape fits.
        """
        limits: dict[object, int] = {}
        stacks: list[tuple[Cell, ...]] = []
        for group in shapes(cells):
            arm = group[0].arm
            if arm.shape not in limits:
                limits[arm.shape] = min(self._arms_that_fit(arm), WIDEST)
            stacks += evenly(group, limits[arm.shape])
        return stacks

    def _arms_that_fit(self, arm: Arm) -> int:
        setup, template = self._setup, self._setup.model(arm)
        study = template, setup.images, setup.study.evaluation, setup.device
        return arms_that_fit(
            template,
            setup.images,
            arm.training,
            device=setup.device,
            measuring=at_once(setup.device) * measuring_bytes(*study),
            between=at_once(setup.device) * point_bytes(*study),
        )

    def _run(self, cells: Sequence[Cell]) -> Iterator[Event]:
        """Train and measure the cells of one stack; isolate the ones that make it raise."""
        remaining, reason = list(cells), ""
        try:
            for event in self._train_and_measure(cells):
                if isinstance(event, CellResult):
                    remaining.remove(event.cell)
                yield event
        except (Exception, SystemExit) as error:  # a user's own loss may do anything
            reason = reason_of(error)
        # Only here, after the error and its traceback are gone, can the memory of the failed stack be freed.
        if not reason:
            return
        _free_memory(self._setup.device)
        if len(cells) == 1 and remaining:
            yield CellResult(remaining[0], failure=reason)
            return
        middle = (len(remaining) + 1) // 2
        for half in filter(None, (remaining[:middle], remaining[middle:])):
            yield from self._run(half)

    def _train_and_measure(self, cells: Sequence[Cell]) -> Iterator[Event]:
        setup, evaluation = self._setup, self._setup.study.evaluation
        stack, training = setup.new_stack(cells), cells[0].arm.training
        hashes, points = shared_hashes(stack, len(setup.images.train)), self._measurer.points(training.epochs)
        histories: list[list[dict[str, float]]] = [[] for _ in cells]
        started, at_points = perf_counter(), 0.0
        for record in fit(stack, setup.images):
            scores = epoch_scores(stack, setup.images, evaluation.per_epoch_images)
            rows = tuple(_epoch_row(stack, setup.images.pixels, record, scores, arm) for arm in range(len(stack)))
            if record.epoch in points:
                began = perf_counter()
                yield from self._measurer.point(stack, cells, rows)
                at_points += perf_counter() - began
            for history, row in zip(histories, rows):
                history.append(row)
            yield EpochDone(tuple(cells), rows, record.epoch, training.epochs, record.seconds)
        seconds = (perf_counter() - started - at_points) / len(cells)
        trained = [Trained(tuple(history), hashes, seconds) for history in histories]
        for arm, (epoch, step) in stack.diverged.items():
            failure = f"diverged in epoch {epoch} at step {step}"
            yield CellResult(cells[arm], trained=trained[arm], failure=failure)
        whole = [arm for arm in range(len(cells)) if arm not in stack.diverged]
        finished = (Finished(cells[arm], state_of(stack, arm), trained[arm]) for arm in whole)
        for event in self._measurer.measure(finished):
            if isinstance(event, CellResult):
                event = replace(self._measurer.with_end(event), seconds=event.seconds + at_points / len(cells))
            yield event

    def measure(self, kept: Iterable[KeptWeights]) -> Iterator[Event]:
        yield from self._measurer.kept(kept)


def shared_hashes(stack: Stack, count: int) -> dict[str, str]:
    """What arms of a seed share, hashed: initial weights, and the order and the noise of the first epoch.

    count: training images.
    """
    return {
        "init_hash": stack.init_hash,
        "order_hash": fingerprint(batch_order(stack, 1, count)),
        "noise_hash": fingerprint(epoch_noise(stack, 1, count)),
    }


def _free_memory(device: torch.device) -> None:
    """Free what frames and errors that refer to each other still hold of a failed stack, and a GPU's cache."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _epoch_row(
    stack: Stack, pixels: int, record: EpochRecord, scores: dict[str, torch.Tensor], arm: int
) -> dict[str, float]:
    distortion, rate = float(record.distortion[arm]), float(record.rate[arm])
    return {
        "epoch": record.epoch,
        "train_loss": distortion + stack.arms[arm].effective_beta(pixels) * rate,
        "train_distortion": distortion,
        "train_rate": rate,
        **{f"test_{name}": float(values[arm]) for name, values in scores.items()},
        "seconds": record.seconds / len(stack),
    }
