"""What an executor is, and the events that it yields.

An executor trains and measures cells somewhere, and decides how many fit its machine. The driver is given one, reads
its events, and alone writes to the tracking store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ablations.grid import Cell

Arrays = dict[str, np.ndarray[Any, Any]]
State = Mapping[str, Tensor]  # the weights of one model, by name


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
    """One more trained cell is being measured."""

    cell: Cell


@dataclass(frozen=True)
class Trained:
    """What training gives besides the weights.

    history: one mapping per epoch; at a point of training with all metrics, named point/<metric>. hashes: init_hash,
    order_hash and noise_hash, by which arms of a seed are known to share their initial weights, batch order and noise.
    seconds: the stack's time, shared evenly, without measuring.
    """

    history: tuple[Mapping[str, float], ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class CellResult:
    """A finished cell: what it measured, or why there is nothing to measure.

    metrics: catalogue name -> value, NaN where a metric does not exist for this cell. per_image: the values behind
    them, as `ablations.evaluation.Measurement` has them. state: its weights. seconds: of measuring, at points of
    training too. last: of its stack, whose checkpoint goes when the next event is asked for.
    """

    cell: Cell
    metrics: dict[str, float] = field(default_factory=dict)
    pictures: Arrays = field(default_factory=dict)
    per_image: Arrays = field(default_factory=dict)
    state: State = field(default_factory=dict)
    trained: Trained = Trained()
    seconds: float = 0.0
    failure: str = ""
    last: bool = False

    @property
    def failed(self) -> bool:
        return bool(self.failure)


@dataclass(frozen=True)
class Notice:
    """A sentence for the person who waits: something is not as expected, and the run goes on."""

    text: str


Event = Preparing | EpochDone | Measuring | CellResult | Notice


@dataclass(frozen=True)
class KeptWeights:
    """A trained cell that is to be measured again. load: reads its weights; it may raise."""

    cell: Cell
    load: Callable[[], State]
    trained: Trained


class Executor(Protocol):
    """Where cells are trained and measured. A failure is an event, never an exception."""

    def prepare(self) -> None:
        """Set up what all cells share."""
        ...

    def train(self, cells: Sequence[Cell]) -> Iterator[Event]:
        """Train and measure the cells, in stacks that fit the machine."""
        ...

    def measure(self, kept: Iterable[KeptWeights]) -> Iterator[Event]:
        """Measure weights that are kept, and train nothing."""
        ...
