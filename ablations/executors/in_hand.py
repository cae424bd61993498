"""A note of the stacks in hand, on disk: which were begun by a process that then ended without a word.

A stack that ends in any orderly way, by an error or an interruption too, is taken off the note. So whatever a process
finds there killed an earlier one, or was killed with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vae.cache import write_whole

FILE = "in-hand.json"


@dataclass(frozen=True)
class Begun:
    """A stack. names: of its cells, sorted. epoch: the last that it had finished. times: how often it was begun there.
    cut: it is a part of a stack that was cut because it ended its process too often."""

    names: tuple[str, ...]
    epoch: int
    times: int
    cut: bool = False


class InHand:
    """The note of one study. Without a folder nothing is noted."""

    def __init__(self, folder: Path | None, done: Collection[str] = ()) -> None:
        """done: names of cells that are finished. A stack that has finished some has got on, and counts no times."""
        self._path = None if folder is None else folder / FILE
        self.stacks = [begun for begun in self._read() if not set(begun.names) & set(done)]
        self.stacks += [
            Begun(left, 0, 0, True)
            for begun in self._read()
            if begun.cut and (left := tuple(name for name in begun.names if name not in done)) and left != begun.names
        ]

    def times(self, names: Collection[str], epoch: int) -> int:
        """How often a stack was begun at that epoch, and did not end."""
        begun = self._of(names)
        return begun.times if begun is not None and begun.epoch == epoch else 0

    def begin(self, names: Collection[str], epoch: int) -> None:
        """A stack is begun, or has got as far as that epoch and goes on."""
        before = self._of(names)
        times = self.times(names, epoch) + 1
        self._replace(names, [Begun(tuple(sorted(names)), epoch, times, before is not None and before.cut)])

    def cut(self, names: Collection[str], parts: Iterable[Collection[str]]) -> None:
        """A stack is to be trained in these parts, which have not been begun."""
        self._replace(names, [Begun(tuple(sorted(part)), 0, 0, True) for part in parts])

    def end(self, names: Collection[str]) -> None:
        """A stack has ended in an orderly way."""
        self._replace(names, [])

    def _of(self, names: Collection[str]) -> Begun | None:
        return next((begun for begun in self.stacks if begun.names == tuple(sorted(names))), None)

    def _replace(self, names: Collection[str], by: list[Begun]) -> None:
        others = [begun for begun in self.stacks if begun.names != tuple(sorted(names))]
        self.stacks = [*others, *by]
        if self._path is None:
            return
        with suppress(OSError):  # a full disk: the note is not worth a stack
            if not self.stacks:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps([asdict(begun) for begun in self.stacks]).encode())

    def _read(self) -> list[Begun]:
        """What is noted; nothing where the note cannot be read."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            entries = [] if self._path is None else json.loads(self._path.read_text("utf-8"))
            stacks = [Begun(**entry) for entry in entries]
            return [
                replace(begun, names=tuple(map(str, begun.names)), epoch=int(begun.epoch), times=int(begun.times))
                for begun in stacks
            ]
        return []
