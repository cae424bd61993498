"""A folder of files that can be made again: each is whole or not there, whoever else writes it meanwhile."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vae.errors import UserError


def cache_folder(cache: str | Path) -> Path:
    """The folder, made where it is missing. Raises UserError where it cannot be used."""
    folder = Path(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cache={str(cache)!r} cannot be used as a folder: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cache={str(cache)!r} is read-only; name a folder that can be written")
    return folder


def user_cache() -> Path:
    """The folder in which everything is kept that is not asked to lie elsewhere: XDG's, else ~/.cache. Not made."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae-ablations"


def write_whole(path: Path, content: bytes) -> None:
    """Write under another name, then rename: whoever reads finds the whole file or none."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
