"""Finished cells on disk, from when they are measured until the tracker has them.

An entry is a folder: the files of the cell, and `cell.json` with its numbers and the SHA-256 of every file. It is
written beside, synchronised and renamed, so that it is whole or not there; sent; then removed. One key and measuring
key have one entry, so a cell is never there twice. An entry that is not what was written is renamed and named.

    mlspool/STUDY/                 beside an SQLite file, else in the user's cache folder
      KEY.MEASURES/                an entry
        cell.json  files/...
      KEY.MEASURES.damaged/        set aside: not what was written
      KEY.MEASURES.refused/        set aside: the tracker will not take it
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Final

from tracking.artifacts import Content
from tracking.dead_runs import is_dead, this_process
from tracking.errors import explained
from tracking.records import Packed
from tracking.schema import STATUS_DONE
from tracking.store import Store

FOLDER: Final = "mlspool"
_RECORD: Final = "cell.json"
_FILES: Final = "files"
_LOCK: Final = ".lock"
_FORMAT: Final = 1
_ASIDE: Final = ("damaged", "refused")


class DamagedEntry(ValueError):
    """An entry that is not what was written."""


@dataclass(frozen=True)
class Entry:
    """A cell in the spool. parent_id: the run of the invocation that finished it. process: which wrote it."""

    folder: Path
    study: str
    parent_id: str
    process: str
    cell: Packed

    @property
    def is_done(self) -> bool:
        """Whether it is a result, rather than a failure."""
        return self.cell.status == STATUS_DONE


class Spool:
    """The cells of one study that one store is still to be sent."""

    def __init__(self, folder: Path, study: str) -> None:
        self.folder, self.study = folder, study

    @classmethod
    def of(cls, store: Store, study: str, cache: Path) -> Spool:
        """Beside an SQLite file; for other stores in ``cache``, under a name of the address and the study. Makes
        nothing."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", study).strip(".") or "study"
        digest = sha256(f"{store.uri}\n{study}".encode()).hexdigest()[:12]
        base = cache / "spool" if store.path is None else store.path.parent / FOLDER
        return cls(base / f"{name}-{digest}", study)

    def put(self, cell: Packed, parent_id: str) -> Path:
        """Writes an entry and returns its folder, in 2 ms. Raises TrackingError where the disk refuses."""
        place = self.folder / _name(cell)
        draft = _draft(place)
        with explained(f"cell {cell.name!r} cannot be written to the spool {self.folder}"):
            shutil.rmtree(draft, ignore_errors=True)
            try:
                _write(draft, self.study, cell, parent_id)
                if place.exists():  # of a failure that was tried again
                    self.remove(place)
                os.rename(draft, place)
                _synchronise(self.folder)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        return place

    def entries(self, *, others: bool = True) -> Iterator[Path]:
        """The folders of the entries, oldest first. others: those of other living processes too, which send them."""
        with suppress(FileNotFoundError):
            places = [place for place in self.folder.iterdir() if place.is_dir() and _is_entry(place.name)]
            for place in sorted(places, key=lambda place: (_written_at(place), place.name)):
                if others or not _has_living_writer(place):
                    yield place

    def load(self, place: Path) -> Entry:
        """An entry, every file of it checked. Raises DamagedEntry."""
        return _load(place)

    def keys(self) -> dict[str, str]:
        """key -> measures of the done cells in the spool that are whole: nobody needs to train them."""
        found = {}
        for place in self.entries():
            with suppress(DamagedEntry):
                entry = self.load(place)
                if entry.is_done:
                    found[entry.cell.key] = entry.cell.measures
        return found

    def count(self) -> int:
        """How many entries there are, whoever wrote them."""
        return sum(1 for _ in self.entries())

    def set_aside(self, place: Path, why: str) -> Path:
        """Renames an entry that cannot be sent, so that it is not tried again. why: 'damaged' or 'refused'."""
        aside = place.with_name(f"{place.name}.{why}")
        shutil.rmtree(aside, ignore_errors=True)
        with explained(f"the spool's entry {place} cannot be renamed"):
            os.rename(place, aside)
        return aside

    def remove(self, place: Path) -> None:
        """Removes an entry that the tracker has: first its name, so that no process finds half of it."""
        old = _draft(place, "old.")
        shutil.rmtree(old, ignore_errors=True)
        with explained(f"the spool's entry {place} cannot be removed"):
            os.rename(place, old)
        shutil.rmtree(old, ignore_errors=True)

    def tidy(self) -> None:
        """Removes what killed processes left unfinished, and the folders where nothing is left."""
        with suppress(OSError):
            for draft in self.folder.glob(".*.*"):
                if not _is_alive(draft.name.rpartition(".")[2]):
                    shutil.rmtree(draft, ignore_errors=True)
            if {path.name for path in self.folder.iterdir()} <= {_LOCK}:
                (self.folder / _LOCK).unlink(missing_ok=True)
                self.folder.rmdir()
                self.folder.parent.rmdir()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time sends what others left."""
        from filelock import FileLock

        if not self.folder.exists():
            yield
            return
        with FileLock(self.folder / _LOCK):
            yield
        self.tidy()


def _write(draft: Path, study: str, cell: Packed, parent_id: str) -> None:
    digests = {}
    for path, content in cell.files.items():
        content = _bytes(content)
        digests[path] = sha256(content).hexdigest()
        _write_file(draft / _FILES / path, content)
    record = {field.name: getattr(cell, field.name) for field in fields(cell) if field.name != "files"}
    text = json.dumps(
        {
            "format": _FORMAT,
            "study": study,
            "parent_id": parent_id,
            "process": this_process(),
            "cell": record,
            "files": digests,
        },
        separators=(",", ":"),
        allow_nan=False,
    )
    _write_file(draft / _RECORD, f"{sha256(text.encode()).hexdigest()}\n{text}".encode())
    for folder in {(draft / _FILES / path).parent for path in cell.files} | {draft}:
        _synchronise(folder)


def _load(place: Path) -> Entry:
    try:
        digest, _, text = (place / _RECORD).read_text("utf-8").partition("\n")
        if sha256(text.encode()).hexdigest() != digest:
            raise DamagedEntry(f"{_RECORD} is not what was written")
        record = json.loads(text)
        files: dict[str, Content] = {}
        for path, written in record["files"].items():
            files[path] = place / _FILES / path
            if sha256((place / _FILES / path).read_bytes()).hexdigest() != written:
                raise DamagedEntry(f"{path} is not what was written")
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedEntry(getattr(error, "strerror", None) or "it is not text") from error
    if record["format"] != _FORMAT:
        raise DamagedEntry(f"it is of format {record['format']}, which this version does not read")
    values = record["cell"] | {"curves": [tuple(point) for point in record["cell"]["curves"]]}
    values["finals"] = [tuple(value) for value in record["cell"]["finals"]]
    return Entry(place, record["study"], record["parent_id"], record["process"], Packed(**values, files=files))


def _draft(place: Path, kind: str = "") -> Path:
    """A name for an entry that is not there yet, or no more; it says which process is at it."""
    return place.with_name(f".{place.name}.{kind}{os.getpid()}")


def _name(cell: Packed) -> str:
    """Folder of an entry: both keys, as they may stand in a file's name, and a digest that tells alike ones apart."""
    keys = f"{cell.key}.{cell.measures or cell.status}"
    return f"{re.sub(r'[^A-Za-z0-9_]+', '-', keys)[:60]}-{sha256(keys.encode()).hexdigest()[:12]}"


def _is_entry(name: str) -> bool:
    return not name.startswith(".") and name.rpartition(".")[2] not in _ASIDE


def _written_at(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except FileNotFoundError:  # another process has just sent it
        return 0


def _has_living_writer(place: Path) -> bool:
    """Whether another process, which lives, wrote the entry and sends it."""
    try:
        text = (place / _RECORD).read_text("utf-8").partition("\n")[2]
        process = str(json.loads(text)["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return process != this_process() and not is_dead(process)


def _is_alive(pid: str) -> bool:
    import psutil

    return pid.isdigit() and psutil.pid_exists(int(pid))


def _bytes(content: Content) -> bytes:
    if isinstance(content, Path):
        return content.read_bytes()
    return content.encode() if isinstance(content, str) else content


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _synchronise(folder: Path) -> None:
    """The names in a folder, for good; where the system cannot, a power cut may lose them, which is found by sums."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
