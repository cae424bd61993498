"""A stack on disk, between two epochs: its arms, each with all that its training goes on from.

One file of the safetensors format for each stack. To read it, no code is run.

    N/weights/NAME  N/first/NAME  N/second/NAME  N/steps/NAME     of arm N: `vae.training.blocks.Block.states`
    sums                                                          CRC-32 of the description and of each arm's tensors
    the metadata                                                  the description: a `Checkpoint`

It is written beside, synchronised and renamed, so that it is whole or not there. Random streams are named by epoch
(`vae.streams`), so no state of a generator is in it.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vae.training.blocks import Layout

FORMAT: Final = 1
MISTAKES: Final = (KeyError, TypeError, ValueError, IndexError, OSError)
_DTYPES: Final = {torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16"}


class DamagedCheckpoint(ValueError):
    """A file that is not what was written; its message is the end of a sentence."""


@dataclass(frozen=True)
class SavedArm:
    """One arm of a checkpoint. name: what others call it. owner: names all that determines its numbers; other settings
    have another owner. diverged: as in `Stack`. notes: whatever the writer keeps with it, as plain values."""

    name: str
    owner: str
    diverged: tuple[int, int] | None
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """What a file says of a stack: the epoch that its arms have finished, their start, and how they were cut."""

    epoch: int
    init_hash: str
    layout: Layout
    arms: tuple[SavedArm, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Checkpoint:
        """Raises KeyError, TypeError or ValueError for a text that is none."""
        values = json.loads(text)
        layout = values["layout"]
        blocks = tuple(tuple(map(int, block)) for block in layout["blocks"])
        arms = tuple(
            SavedArm(
                str(arm["name"]),
                str(arm["owner"]),
                None if arm["diverged"] is None else (int(arm["diverged"][0]), int(arm["diverged"][1])),
                dict(arm["notes"]),
            )
            for arm in values["arms"]
        )
        if {arm for block in blocks for arm in block} != set(range(len(arms))):
            raise ValueError("blocks of other arms")
        cut = Layout(blocks, int(layout["threads"]), bool(layout["lone"]))
        return cls(int(values["epoch"]), str(values["init_hash"]), cut, arms)


def write(path: Path, checkpoint: Checkpoint, states: Sequence[Mapping[str, Tensor]]) -> None:
    """Write a file, in place of what was there. states: of each arm. Takes no memory beside one weight's on a GPU.
    Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            _write(file, checkpoint.to_json(), states)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _synchronise(path.parent)


def _write(file: BinaryIO, description: str, states: Sequence[Mapping[str, Tensor]]) -> None:
    count = len(states) + 1
    entries: dict[str, Any] = {"__metadata__": {"format": str(FORMAT), "checkpoint": description}}
    entries["sums"] = {"dtype": "I64", "shape": [count], "data_offsets": [0, 8 * count]}
    end = 8 * count
    for arm, state in enumerate(states):
        for name, value in state.items():
            start, end = end, end + value.nbytes
            dtype = _DTYPES[value.dtype]
            entries[f"{arm}/{name}"] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    file.write(struct.pack("<Q", len(header)) + header)
    data = file.tell()
    file.write(bytes(8 * count))  # of the sums, which are known at the end
    sums = [crc32(description.encode())]
    for state in states:
        sums.append(0)
        for content in map(_bytes, state.values()):
            sums[-1] = crc32(content, sums[-1])
            file.write(content)
    file.seek(data)
    file.write(struct.pack(f"<{count}q", *sums))


def read(path: Path) -> Checkpoint:
    """What a file says. Raises DamagedCheckpoint; FileNotFoundError where there is none."""
    with _opened(path) as file:
        return _described(file)


def read_states(path: Path, arms: Sequence[int]) -> list[dict[str, Tensor]]:
    """The states of some arms, on the CPU, checked. Raises DamagedCheckpoint; FileNotFoundError where there is none."""
    with _opened(path) as file:
        _described(file)
        sums, names = file.get_tensor("sums").tolist(), file.offset_keys()  # in the order in which they were written
        return [_state(file, arm, names, sums[arm + 1]) for arm in arms]


def _state(file: Any, arm: int, names: Sequence[str], written: int) -> dict[str, Tensor]:
    prefix = f"{arm}/"
    state = {name.removeprefix(prefix): file.get_tensor(name) for name in names if name.startswith(prefix)}
    total = 0
    for content in map(_bytes, state.values()):
        total = crc32(content, total)
    if total != written:
        raise DamagedCheckpoint("the weights are not those that were written")
    return state


def _described(file: Any) -> Checkpoint:
    metadata = file.metadata() or {}
    if metadata.get("format") != str(FORMAT):
        raise DamagedCheckpoint(f"it is not of format {FORMAT}")
    text = metadata["checkpoint"]
    checkpoint = Checkpoint.from_json(text)
    sums = file.get_tensor("sums").tolist()
    if len(sums) != len(checkpoint.arms) + 1 or sums[0] != crc32(text.encode()):
        raise DamagedCheckpoint("its description is not the one that was written")
    return checkpoint


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file, whose mistakes are DamagedCheckpoint."""
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, "pt") as file:
            yield file
    except DamagedCheckpoint:
        raise
    except SafetensorError as error:
        raise DamagedCheckpoint("it is not a whole file of the safetensors format") from error
    except MISTAKES as error:
        raise DamagedCheckpoint("it does not hold what a checkpoint holds") from error


def _bytes(value: Tensor) -> memoryview:
    """The memory of a tensor; a copy only where it is on a GPU, or strided."""
    flat = value.detach().cpu().contiguous().flatten()
    return memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]


def _synchronise(folder: Path) -> None:
    """The names in a folder, for good, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
