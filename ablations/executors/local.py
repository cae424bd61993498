"""Where a stack runs, and what it says while it does: an iterator of events.

A failure is data. A stack that raises is cut in two and each half is tried again, until the cells at fault stand
alone; they come out as failed results with their reason, and every other cell as if they had never been there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from ablations.evaluation import Evaluator, epoch_scores
from ablations.grid import Cell
from ablations.study import Study
from vae.datasets.load import ImageData
from vae.streams import fingerprint
from vae.training.fit import EpochRecord, batch_order, fit
from vae.training.stack import Stack

Pictures = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Preparing:
    """What all cells share is being set up, a classifier among it where none is kept; or it is done."""

    done: bool = False


@dataclass(frozen=True)
class EpochDone:
    """One more epoch of a stack. rows: the epoch's values of each cell; seconds: of the whole stack."""

    cells: tuple[Cell, ...]
    rows: tuple[dict[str, float], ...]
    epoch: int
    epochs: int
    seconds: float

    @property
    def seed(self) -> int:
        return self.cells[0].seed


@dataclass(frozen=True)
class Measuring:
    """One more cell of a trained stack is being measured."""

    cell: Cell
    left: int


@dataclass(frozen=True)
class CellResult:
    """A finished cell: what it measured, or why there is nothing to measure.

    metrics: catalogue name -> value, NaN where a metric does not exist for this cell. history: one mapping per
    epoch. seconds: of training, the stack's time shared evenly, and of measuring.
    """

    cell: Cell
    metrics: dict[str, float] = field(default_factory=dict)
    history: tuple[dict[str, float], ...] = ()
    pictures: Pictures = field(default_factory=dict)
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    train_seconds: float = 0.0
    measure_seconds: float = 0.0
    init_hash: str = ""
    order_hash: str = ""
    failure: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.failure)


Event = Preparing | EpochDone | Measuring | CellResult


@dataclass(frozen=True)
class Workshop:
    """What every stack of a study shares: the study, its images, the rulers and the device."""

    study: Study
    images: ImageData
    evaluator: Evaluator
    device: torch.device

    def new_stack(self, cells: Sequence[Cell]) -> Stack:
        return Stack.create(
            partial(self.study.model.build, self.images.image_shape, self.images.n_classes),
            [cell.objective for cell in cells],
            dataset=self.images.name,
            seed=cells[0].seed,
            device=self.device,
            dtype=self.study.training.dtype,
        )


def run_stacks(shop: Workshop, stacks: Sequence[Sequence[Cell]]) -> Iterator[Event]:
    """All stacks, one after the other, in this process."""
    for cells in stacks:
        yield from run_stack(shop, cells)


def run_stack(shop: Workshop, cells: Sequence[Cell]) -> Iterator[Event]:
    """Train and measure the cells of one stack; isolate the ones that make it raise."""
    left, reason = list(cells), ""
    try:
        for event in _train_and_measure(shop, cells):
            if isinstance(event, CellResult):
                left.remove(event.cell)
            yield event
    except (Exception, SystemExit) as error:  # a loss of one's own may do anything
        reason = _reason(error)
    # Only out here, where the error and its traceback are gone, is the failed stack's memory free for the next ones.
    if not reason:
        return
    _give_back(shop.device)
    if len(cells) == 1 and left:
        yield CellResult(left[0], failure=reason)
        return
    middle = (len(left) + 1) // 2
    for half in filter(None, (left[:middle], left[middle:])):
        yield from run_stack(shop, half)


def _give_back(device: torch.device) -> None:
    """The memory of a failed stack: what frames and errors that point at each other still hold, and a GPU's cache."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _train_and_measure(shop: Workshop, cells: Sequence[Cell]) -> Iterator[Event]:
    stack = shop.new_stack(cells)
    order_hash = fingerprint(batch_order(stack, 1, len(shop.images.train)))
    histories: list[list[dict[str, float]]] = [[] for _ in cells]
    started = perf_counter()
    for record in fit(stack, shop.images, shop.study.training):
        scores = epoch_scores(stack, shop.images, shop.study.evaluation.per_epoch_images)
        rows = tuple(_epoch_row(shop, stack, record, scores, arm) for arm in range(stack.arms))
        for history, row in zip(histories, rows):
            history.append(row)
        yield EpochDone(tuple(cells), rows, record.epoch, shop.study.training.epochs, record.seconds)
    seconds = (perf_counter() - started) / len(cells)
    for arm, cell in enumerate(cells):
        yield Measuring(cell, len(cells) - arm)
        common = {
            "history": tuple(histories[arm]),
            "train_seconds": seconds,
            "init_hash": stack.init_hash,
            "order_hash": order_hash,
        }
        if arm in stack.diverged:
            epoch, step = stack.diverged[arm]
            yield CellResult(cell, failure=f"diverged in epoch {epoch} at step {step}", **common)  # type: ignore[arg-type]
            continue
        yield _measured(shop, stack, arm, cell, common)


def _measured(shop: Workshop, stack: Stack, arm: int, cell: Cell, common: dict[str, Any]) -> CellResult:
    began = perf_counter()
    try:
        found = shop.evaluator.measure(stack.module(arm), cell.objective, cell.seed)
    except Exception as error:
        return CellResult(cell, failure=f"could not be measured: {_reason(error)}", **common)
    state = {name: value.detach().cpu().clone() for name, value in stack.state(arm).items()}
    return CellResult(
        cell,
        metrics=found.metrics,
        pictures=found.pictures,
        state=state,
        measure_seconds=perf_counter() - began,
        **common,
    )


def _epoch_row(
    shop: Workshop, stack: Stack, record: EpochRecord, scores: dict[str, torch.Tensor], arm: int
) -> dict[str, float]:
    beta_eff = stack.objectives[arm].effective_beta(
        batch=shop.study.training.batch_size, pixels=shop.images.pixels, latents=stack.latents
    )
    distortion, rate = float(record.distortion[arm]), float(record.rate[arm])
    return {
        "epoch": record.epoch,
        "train_loss": distortion + beta_eff * rate,
        "train_distortion": distortion,
        "train_rate": rate,
        **{f"test_{name}": float(values[arm]) for name, values in scores.items()},
        "seconds": record.seconds / stack.arms,
    }


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:400]
