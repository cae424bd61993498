"""Stacks in training, on disk: so that a process that is killed loses at most an epoch, or half a minute of epochs.

A file holds the arms of one stack (`vae.training.checkpoint`). An arm goes on only with the arms of its block, for
other blocks round otherwise in the last bits. Where some of them are not wanted any more, they train along as
passengers, and nothing of them is measured. A file goes when every cell in it is written, or is in a newer file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from ablations.executors.in_hand import InHand
from ablations.grid import Cell, hashed, identity, key
from ablations.setup import Setup
from vae.arms import Arm
from vae.metrics.catalogue import versions
from vae.training import checkpoint
from vae.training.blocks import Layout
from vae.training.checkpoint import Checkpoint, DamagedCheckpoint, SavedArm
from vae.training.fit import Resumed
from vae.training.stack import Stack

EVERY = 30.0  # seconds between two checkpoints of a stack, at least
FOLDER = "mlcheckpoints"
ENDING = ".safetensors"


def folder_of(uri: str, path: Path | None, study: str, cache: Path) -> Path:
    """Where the checkpoints of a study lie: beside an SQLite file, else in the user's cache. Makes nothing.

    uri: of the store. path: its file; None where it has none.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", study).strip(".") or "study"
    digest = sha256(f"{uri}\n{study}".encode()).hexdigest()[:12]
    base = cache / "checkpoints" if path is None else path.parent / FOLDER
    return base / f"{name}-{digest}"


@dataclass(frozen=True)
class Start:
    """Where a stack goes on. rows: which arms of the file are its own, in their order. layout: None to cut anew."""

    path: Path
    saved: Checkpoint
    rows: tuple[int, ...]
    layout: Layout | None

    @property
    def notes(self) -> list[Mapping[str, Any]]:
        """What was kept with each arm."""
        return [self.saved.arms[row].notes for row in self.rows]


@dataclass(frozen=True)
class Work:
    """A stack to train. cells: of each arm. passengers: the arms that train along. start: None for the beginning."""

    cells: tuple[Cell, ...]
    passengers: frozenset[int] = frozenset()
    start: Start | None = None

    @cached_property
    def wanted(self) -> tuple[int, ...]:
        """The arms whose cells are wanted."""
        return tuple(arm for arm in range(len(self.cells)) if arm not in self.passengers)

    @property
    def epoch(self) -> int:
        """The last that is finished."""
        return 0 if self.start is None else self.start.saved.epoch

    def part(self, arms: Sequence[int]) -> Work:
        """Some of the arms alone, without passengers, cut anew."""
        start = self.start
        if start is not None:
            start = Start(start.path, start.saved, tuple(start.rows[arm] for arm in arms), None)
        return Work(tuple(self.cells[arm] for arm in arms), start=start)


class Checkpoints:
    """The checkpoints of one study. folder: None to keep none."""

    def __init__(
        self, setup: Setup, folder: Path | None = None, *, done: Collection[str] = (), every: float = EVERY
    ) -> None:
        """done: keys of cells that need no checkpoint. every: seconds between two checkpoints of a stack."""
        self._setup, self._folder, self._every = setup, folder, every
        self._settled, self._last = set(done), monotonic()
        self._files: dict[Path, Checkpoint] = {}
        self.in_hand = InHand(folder, done)

    def name(self, cell: Cell) -> str:
        """The key of a cell."""
        images = self._setup.images
        return key(cell, dataset=images.name, data_digest=images.training_digest)

    def owner(self, cell: Cell) -> str:
        """A hash of all that determines what is known of a cell in training: weights, history and points."""
        images, evaluation = self._setup.images, self._setup.study.evaluation
        return hashed(
            {
                "cell": identity(cell, dataset=images.name, data_digest=images.training_digest),
                "log_every": cell.arm.training.log_every,
                "evaluation": evaluation.model_dump(mode="json"),
                "images": images.digest,
                "metrics": versions(),
                "device": self._setup.device.type,
                "torch": str(torch.__version__),
            }
        )

    def read(self) -> Iterator[str]:
        """Read what there is, and yield a sentence for every file that cannot be used, which is removed."""
        for path in sorted(self._folder.glob(f"*{ENDING}")) if self._folder is not None else ():
            try:
                self._files[path] = checkpoint.read(path)
            except DamagedCheckpoint as error:
                yield _refused(path, error)
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
        self.tidy()

    def resume(self, cells: Sequence[Cell], limit: int) -> tuple[list[Work], list[Cell], list[str]]:
        """Cells of one shape and seed: stacks of at most ``limit`` arms that go on, the cells that begin, and a
        sentence for each file that is not theirs. Blocks are not cut, so a stack may be as wide as one."""
        latest: dict[Path, dict[int, Cell]] = {}
        begin, foreign = [], dict[Path, list[Cell]]()
        for cell in cells:
            place = self._latest(cell, foreign)
            if place is None:
                begin.append(cell)
            else:
                latest.setdefault(place[0], {})[place[1]] = cell
        works = [work for path, rows in latest.items() for work in self._works(path, rows, limit)]
        sentences = [
            f"{path.name} holds {len(theirs)} cells, {theirs[0].label} among them, under other settings, data or "
            f"versions: it is not used, and they are trained from their start"
            for path, theirs in foreign.items()
        ]
        return works, begin, sentences

    def parts(self, cells: Sequence[Cell]) -> tuple[list[Work], list[Cell]]:
        """The parts of stacks that were cut because they ended their process, and the other cells."""
        by_name = {self.name(cell): cell for cell in cells}
        works = []
        for begun in self.in_hand.stacks:
            part = [by_name[name] for name in begun.names if begun.cut and name in by_name]
            if part:
                works.append(self._part(part))
                for cell in part:
                    del by_name[self.name(cell)]
        return works, list(by_name.values())

    def _part(self, cells: Sequence[Cell]) -> Work:
        """A part that goes on where all its cells are in one file, and begins anew where they are not."""
        places = [self._latest(cell, {}) for cell in cells]
        paths = {place[0] for place in places if place is not None}
        if len(paths) != 1 or None in places:
            return Work(tuple(cells))
        saved, rows = self._files[paths.pop()], [place[1] for place in places if place is not None]
        layout = saved.layout.part(rows) if sorted(rows) == list(range(len(saved.arms))) else None
        in_order = sorted(zip(rows, cells), key=lambda pair: pair[0])
        path = places[0][0] if places[0] is not None else Path()
        start = Start(path, saved, tuple(row for row, _ in in_order), layout)
        return Work(tuple(cell for _, cell in in_order), start=start)

    def _latest(self, cell: Cell, foreign: dict[Path, list[Cell]]) -> tuple[Path, int] | None:
        """The file and the row in which a cell has got furthest."""
        name, owner, places = self.name(cell), self.owner(cell), []
        for path, saved in self._files.items():
            for row, arm in enumerate(saved.arms):
                if arm.name == name and not arm.notes.get("passenger"):
                    if arm.owner == owner:
                        places.append((saved.epoch, path, row))
                    else:
                        foreign.setdefault(path, []).append(cell)
        return max(places)[1:] if places else None

    def _works(self, path: Path, wanted: Mapping[int, Cell], limit: int) -> Iterator[Work]:
        """The stacks in which some rows of a file go on."""
        saved = self._files[path]
        finished = all(saved.epoch == cell.arm.training.epochs for cell in wanted.values())
        blocks = [block for block in saved.layout.blocks if not set(block).isdisjoint(wanted)]
        if finished:  # nothing is trained, so nobody need train along
            blocks = [(row,) for row in wanted]
        together: list[int] = []
        for block in blocks:
            if together and len(together) + len(block) > limit:
                yield self._work(path, tuple(sorted(together)), wanted, finished)
                together = []
            together += block
        yield self._work(path, tuple(sorted(together)), wanted, finished)

    def _work(self, path: Path, rows: tuple[int, ...], wanted: Mapping[int, Cell], finished: bool) -> Work:
        saved = self._files[path]
        layout = None if finished else saved.layout.part(rows)
        seed = next(iter(wanted.values())).seed
        cells = tuple(wanted[row] if row in wanted else _cell(saved.arms[row], seed) for row in rows)
        passengers = frozenset(i for i, row in enumerate(rows) if row not in wanted)
        return Work(cells, passengers, Start(path, saved, rows, layout))

    def load(self, start: Start, stack: Stack) -> Resumed:
        """Raises DamagedCheckpoint for a file that cannot be used, which is removed."""
        try:
            if start.saved.init_hash != stack.init_hash:
                raise DamagedCheckpoint("the model starts from other weights now")
            states = checkpoint.read_states(start.path, start.rows)
            _check(states, stack)
        except (DamagedCheckpoint, FileNotFoundError) as error:
            self._files.pop(start.path, None)
            start.path.unlink(missing_ok=True)
            raise DamagedCheckpoint(_refused(start.path, error)) from error
        diverged = {arm: when for arm, row in enumerate(start.rows) if (when := start.saved.arms[row].diverged)}
        return Resumed(start.saved.epoch, states, diverged, start.layout)

    def due(self, *, last: bool) -> bool:
        """Whether a checkpoint is to be written after this epoch. last: it is the last one of its stack."""
        return self._folder is not None and (last or monotonic() - self._last >= self._every)

    def write(
        self,
        work: Work,
        stack: Stack,
        epoch: int,
        layout: Layout,
        states: Sequence[Mapping[str, Tensor]],
        notes: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write the arms of a stack. notes: of each. Raises OSError."""
        if self._folder is None:
            return
        names = [self.name(cell) for cell in work.cells]
        arms = tuple(
            SavedArm(name, self.owner(cell), stack.diverged.get(arm), {**_described(cell), **notes[arm]})
            for arm, (name, cell) in enumerate(zip(names, work.cells))
        )
        saved, own = Checkpoint(epoch, stack.init_hash, layout, arms), [names[arm] for arm in work.wanted]
        path = self._folder / f"{hashed({'names': sorted(own)})}{ENDING}"
        checkpoint.write(path, saved, states)
        self._files[path], self._last = saved, monotonic()
        self.in_hand.begin(own, epoch)
        self.tidy()

    def finish(self, cells: Sequence[Cell]) -> None:
        """Their results are written: their checkpoints can go."""
        self._settled |= set(map(self.name, cells))
        self.tidy()

    def tidy(self) -> None:
        """Remove the files that nobody needs, and what killed processes left unfinished."""
        if self._folder is None:
            return
        furthest = {arm: place for place, arm in sorted((place, arm) for place, arms in self._held() for arm in arms)}
        for place, arms in self._held():
            if all(arm[0] in self._settled or furthest[arm] > place for arm in arms):
                place[1].unlink(missing_ok=True)
                del self._files[place[1]]
        with suppress(OSError):
            for draft in self._folder.glob(f".*{ENDING}.*"):
                if not _is_alive(draft.suffix[1:]):
                    draft.unlink(missing_ok=True)
            self._folder.rmdir()
            self._folder.parent.rmdir()

    def _held(self) -> list[tuple[tuple[int, Path], list[tuple[str, str]]]]:
        """(epoch, path) of each file, with the name and the owner of each of its arms but the passengers."""
        return [
            ((saved.epoch, path), [(arm.name, arm.owner) for arm in saved.arms if not arm.notes.get("passenger")])
            for path, saved in self._files.items()
        ]


def _described(cell: Cell) -> dict[str, Any]:
    """A cell as plain values, from which a passenger is made again."""
    return {"arm": dict(cell.arm.items), "label": cell.arm_label, "origin": cell.origin}


def _cell(saved: SavedArm, seed: int) -> Cell:
    return Cell(Arm.of(saved.notes["arm"], recorded=True), seed, str(saved.notes["origin"]), str(saved.notes["label"]))


def _check(states: Sequence[Mapping[str, Tensor]], stack: Stack) -> None:
    """Raises DamagedCheckpoint for states of another model."""
    names = {f"{kind}/{name}" for kind in ("weights", "first", "second", "steps") for name in stack.parameters}
    for state in states:
        shapes = {name: value.shape for name, value in state.items()}
        wrong = [
            name
            for name in names
            if shapes.get(name)
            != (() if name.startswith("steps/") else stack.parameters[name.partition("/")[2]].shape[1:])
        ]
        if wrong or shapes.keys() != names:
            raise DamagedCheckpoint("it holds the weights of another model")


def _refused(path: Path, error: Exception) -> str:
    why = "it is gone" if isinstance(error, FileNotFoundError) else str(error)
    return f"the checkpoint {path} cannot be used ({why}): its cells are trained from their start"


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True
