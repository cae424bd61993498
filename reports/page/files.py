"""Files are written under another name and then renamed, so that no reader opens an unfinished one."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from vae.errors import UserError


def made(folder: Path) -> Path:
    """The folder, made where it is missing. Raises UserError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write(path: Path, content: str | bytes) -> None:
    """Write beside, then rename. Text is UTF-8. Raises UserError where the folder cannot be written to."""
    beside = path.with_name(f"{path.name}.tmp")
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(beside, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def csv(table: pd.DataFrame) -> str:
    """A table as CSV text, its numbers in full precision."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def copy(source: Path, folder: Path) -> None:
    """Every file below `source` to the same place below `folder`, each as by `write`. Others there stay as they are."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = folder / path.relative_to(source)
            made(place.parent)
            write(place, path.read_bytes())


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"out: {str(path)!r} cannot be written: {error.strerror or error}.")
