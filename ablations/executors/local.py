"""Stacks one after the other, in this process.

After some epochs, the points of training, every cell of a stack is measured on a part of the test images.

A failure is data. A stack that raises is cut in two and each half is tried again, until the cells at fault stand
alone; they become failed results with their reason, and the results of all other cells are as without them. So is a
stack that has ended its process twice. One that takes too long fails as a whole.

A process that is killed loses at most an epoch of the stack in hand, or half a minute of shorter epochs.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

import torch

from ablations.evaluation import epoch_scores, measuring_bytes, point_bytes
from ablations.executors.checkpoints import Checkpoints, Work
from ablations.executors.events import CellResult, EpochDone, Event, KeptWeights, Notice, Trained
from ablations.executors.measuring import Finished, Measurer, at_once, reason_of, state_of
from ablations.grid import Cell, evenly, shapes
from ablations.setup import Setup
from vae.arms import Arm
from vae.streams import fingerprint
from vae.training.checkpoint import DamagedCheckpoint
from vae.training.fit import EpochRecord, Fitting, batch_order, epoch_noise
from vae.training.memory import arms_that_fit
from vae.training.stack import Stack
from vae.training.threads import TookTooLong

# A stack this wide keeps the processor busy; wider ones only take memory and delay the first results.
WIDEST = 48
# Times that a stack may have been begun by a process that then ended without a word.
MOST_TIMES = 2


class Local:
    """An executor in this process; see `ablations.executors.events.Executor`.

    A cell is written before the next event is asked for: its checkpoint goes then.
    """

    def __init__(self, setup: Setup, checkpoints: Checkpoints | None = None) -> None:
        self._setup, self._measurer = setup, Measurer(setup)
        self._checkpoints = checkpoints or Checkpoints(setup)
        self._limits: dict[object, int] = {}

    def prepare(self) -> None:
        self._setup.evaluator.prepare()

    def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
        yield from map(Notice, self._checkpoints.read())
        cut, rest = self._checkpoints.parts(cells)
        begin: list[Cell] = []
        for group in shapes(rest):
            works, fresh, sentences = self._checkpoints.resume(group, self._limit(group[0].arm))
            yield from map(Notice, sentences)
            cut += works
            begin += fresh
        for work in [*cut, *map(Work, self.stacks(begin))]:
            yield from self._run(work)

    def stacks(self, cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
        """The cells as stacks that fit the machine's memory: of one seed, and of one shape.

        Raises UserError where not even one arm of a shape fits.
        """
        return [part for group in shapes(cells) for part in evenly(group, self._limit(group[0].arm))]

    def _limit(self, arm: Arm) -> int:
        """The most arms of that shape in one stack."""
        if arm.shape not in self._limits:
            self._limits[arm.shape] = min(self._arms_that_fit(arm), WIDEST)
        return self._limits[arm.shape]

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

    def _run(self, work: Work) -> Iterator[Event]:
        """Train and measure the cells of one stack; isolate the ones that make it raise, or end the process."""
        cells, in_hand = [work.cells[arm] for arm in work.wanted], self._checkpoints.in_hand
        names = list(map(self._checkpoints.name, cells))
        times = in_hand.times(names, work.epoch)
        if times >= MOST_TIMES and len(work.cells) == 1:
            in_hand.end(names)
            yield CellResult(cells[0], failure=_ended_process(times, work.epoch))
            self._checkpoints.finish(cells)
            return
        if times >= MOST_TIMES:
            halves = [half for half in (work.wanted[: -(-len(cells) // 2)], work.wanted[-(-len(cells) // 2) :]) if half]
            parts = [work.part(half) for half in halves]
            in_hand.cut(names, [list(map(self._checkpoints.name, part.cells)) for part in parts])
            yield Notice(_cut_sentence(cells, times))
        else:
            in_hand.begin(names, work.epoch)
            try:
                parts = yield from self._attempt(work, cells)
            finally:  # an interruption is no fault of the stack
                in_hand.end(names)
                self._checkpoints.tidy()
        for part in parts:
            yield from self._run(part)

    def _attempt(self, work: Work, cells: Sequence[Cell]) -> Generator[Event, None, list[Work]]:
        """Train and measure a stack. Returns the parts that are to be tried again, from their beginning."""
        remaining, reason, late, damaged = list(cells), "", False, ""
        try:
            for event in self._train_and_measure(work):
                if not isinstance(event, CellResult):
                    yield event
                    continue
                yield replace(event, last=remaining == [event.cell])
                remaining.remove(event.cell)
                self._checkpoints.finish([event.cell])
        except DamagedCheckpoint as error:
            damaged = str(error)
        except TookTooLong:
            late, reason = True, _too_long(self._setup.study.max_minutes)
        except (Exception, SystemExit) as error:  # a user's own loss may do anything
            reason = reason_of(error)
        # Only here, after the error and its traceback are gone, can the memory of the failed stack be freed.
        if damaged:
            yield Notice(damaged)
            return [Work(tuple(cells))]
        if not reason:
            return []
        _free_memory(self._setup.device)
        if late or (len(work.cells) == 1 and remaining):
            for cell in remaining:
                yield CellResult(cell, failure=reason)
            return []
        middle = (len(remaining) + 1) // 2
        return [Work(tuple(half)) for half in (remaining[:middle], remaining[middle:]) if half]

    def _train_and_measure(self, work: Work) -> Iterator[Event]:
        setup, stack = self._setup, self._setup.new_stack(work.cells)
        notes = [_Notes.of(note) for note in work.start.notes] if work.start else [_Notes() for _ in work.cells]
        hashes = shared_hashes(stack, len(setup.images.train))
        yield from self._train(work, stack, notes)
        trained = [Trained(tuple(note.history), hashes, note.seconds) for note in notes]
        for arm in filter(stack.diverged.__contains__, work.wanted):
            epoch, step = stack.diverged[arm]
            failure = f"diverged in epoch {epoch} at step {step}"
            yield CellResult(work.cells[arm], trained=trained[arm], failure=failure)
        whole = [arm for arm in work.wanted if arm not in stack.diverged]
        finished = (Finished(work.cells[arm], state_of(stack, arm), trained[arm]) for arm in whole)
        at_points = {work.cells[arm]: notes[arm].at_points for arm in whole}
        for event in self._measurer.measure(finished):
            if isinstance(event, CellResult):
                event = replace(self._measurer.with_end(event), seconds=event.seconds + at_points[event.cell])
            yield event

    def _train(self, work: Work, stack: Stack, notes: Sequence[_Notes]) -> Iterator[Event]:
        """Train the stack to its end, and write down in the notes of each arm what it gives."""
        setup, training, began = self._setup, stack.training, perf_counter()
        points, minutes = self._measurer.points(training.epochs), setup.study.max_minutes
        before = max(note.seconds * len(notes) for note in notes)
        resumed = self._checkpoints.load(work.start, stack) if work.start else None
        left = None if minutes is None else 60 * minutes - before
        fitting = Fitting(stack, setup.images, resumed, seconds=left)
        for epoch in range(work.epoch):  # so that whoever listens hears of all epochs
            yield _epoch_done(work, notes, epoch, training.epochs)
        for record in fitting.epochs():
            rows = self._rows(stack, record, lone=fitting.layout.lone)
            at_points = 0.0
            if record.epoch in points:
                at = perf_counter()
                yield from self._measurer.point(stack, work.cells, rows, work.wanted)
                at_points = perf_counter() - at
            for note, row in zip(notes, rows):
                note.add(row, perf_counter() - began, at_points, len(notes))
            began = perf_counter()
            if self._checkpoints.due(last=record.epoch == training.epochs):
                yield from self._keep(work, stack, fitting, record.epoch, notes)
            yield _epoch_done(work, notes, record.epoch - 1, training.epochs)

    def _rows(self, stack: Stack, record: EpochRecord, *, lone: bool) -> tuple[dict[str, float], ...]:
        """An epoch of each arm. lone: the stack always had this one arm; else one arm that is left is scored with a
        copy of it beside, as it was with others: the product of a single arm rounds otherwise."""
        scored = stack if lone or len(stack) > 1 else stack.select([0, 0])
        scores = epoch_scores(scored, self._setup.images, self._setup.study.evaluation.per_epoch_images)
        pixels = self._setup.images.pixels
        return tuple(_epoch_row(stack, pixels, record, scores, arm) for arm in range(len(stack)))

    def _keep(self, work: Work, stack: Stack, fitting: Fitting, epoch: int, notes: Sequence[_Notes]) -> Iterator[Event]:
        kept = [{**asdict(note), "passenger": arm in work.passengers} for arm, note in enumerate(notes)]
        try:
            self._checkpoints.write(work, stack, epoch, fitting.layout, fitting.states(), kept)
        except OSError as error:
            yield Notice(
                f"no checkpoint of epoch {epoch} can be written ({error.strerror}): training goes on, and a kill would "
                f"lose more of it"
            )

    def measure(self, kept: Iterable[KeptWeights]) -> Iterator[Event]:
        yield from self._measurer.kept(kept)


@dataclass
class _Notes:
    """What training has given of one arm so far. seconds: its share of the time, without points; at_points: of them."""

    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    at_points: float = 0.0

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> _Notes:
        return cls(list(kept["history"]), float(kept["seconds"]), float(kept["at_points"]))

    def add(self, row: dict[str, float], seconds: float, at_points: float, arms: int) -> None:
        """One more epoch. seconds: of the whole stack, points included."""
        self.history.append(row)
        self.seconds += (seconds - at_points) / arms
        self.at_points += at_points / arms


def _epoch_done(work: Work, notes: Sequence[_Notes], epoch: int, epochs: int) -> EpochDone:
    """The event of an epoch, from 0. Of a passenger nobody hears."""
    rows = [note.history[epoch] for note in notes]
    wanted = tuple(rows[arm] for arm in work.wanted)
    seconds = sum(row["seconds"] for row in rows)
    return EpochDone(tuple(work.cells[arm] for arm in work.wanted), wanted, epoch + 1, epochs, seconds)


def _ended_process(times: int, epoch: int) -> str:
    return (
        f"its process ended without a word {times} times while it was trained by itself, each time after "
        f"epoch {epoch}: something kills the process, such as a lack of memory or a loss of one's own that ends it"
    )


def _cut_sentence(cells: Sequence[Cell], times: int) -> str:
    return (
        f"the stack of {len(cells)} cells with {cells[0].label} was begun {times} times by processes that ended "
        f"without a word: it is trained in parts, to find the cell at fault"
    )


def _too_long(minutes: float | None) -> str:
    return f"its stack was not trained within max_minutes={minutes:g}; raise it, and training goes on where it stopped"


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
