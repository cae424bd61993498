"""MNIST and two sets of the same format, read from torchvision's files, and downloaded where they are missing.

torchvision has the addresses and checksums, and reads the files. Downloads are made here: without output, with a limit
on how long a mirror may send nothing, and nothing is written before all files of a set have arrived whole.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import torch
from torch import Tensor

from vae.datasets.pixels import Source, in_memory
from vae.datasets.request import SETS
from vae.errors import UserError

# The same four files and sizes in bytes for each set: 60,000 and 10,000 pictures of 28×28 behind a header.
FILES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
# MD5 of MNIST's pictures, by which they are known wherever they lie.
MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
}
ENVIRONMENT = "ABLATE_DATA"
TIMEOUT = 5.0  # seconds without one byte after which a mirror is given up
INSTALL = "pip install torch==2.14.1 torchvision==0.29.2"


def data_root(root: str | Path | None = None) -> Path:
    """The folder that holds the sets: `root`, or else ABLATE_DATA, or else ./data."""
    return Path(root or os.environ.get(ENVIRONMENT) or "data").expanduser()


def read(name: str, root: str | Path | None = None, *, download: bool = True) -> Source:
    """One of `SETS` from torchvision's layout, <root>/MNIST/raw/train-images-idx3-ubyte and so on.

    Pixels are uint8, (60000, 28, 28) and (10000, 28, 28). Raises UserError where files are missing and cannot be
    fetched, where one is damaged, and where torchvision does not fit torch.
    """
    home = data_root(root)
    folder = home / SETS[name] / "raw"
    if home.exists() and not home.is_dir():
        raise UserError(f"--data-dir '{home}' is a file, not the folder that holds {SETS[name]}/.")
    try:
        if not _complete(folder):
            _fetch(name, folder, download=download)
    except (OSError, HTTPException) as error:
        raise _missing(name, home, _reason(error)) from error
    for file in MNIST:
        _check_whose(name, folder / file, (folder / file).read_bytes())
    (train, train_labels), (test, test_labels) = (_split(name, home, train=part) for part in (True, False))
    classes = tuple(label.partition(" - ")[0] for label in _torchvision(name).classes)  # '0' of MNIST's '0 - zero'
    return in_memory(train, test, train_labels, test_labels, classes)


def _complete(folder: Path) -> bool:
    """Whether all four files are there. A file that is there and not whole is refused, never overwritten."""
    for file, size in FILES.items():
        path = folder / file
        if path.is_file() and path.stat().st_size != size:
            raise _damaged(path, f"it has {path.stat().st_size:,} bytes instead of {size:,}")
    return all((folder / file).is_file() for file in FILES)


def _check_whose(name: str, path: Path, content: bytes) -> None:
    """Refuse MNIST's pictures under another name: results would be told of images that nobody has seen."""
    if name != "mnist" and path.name in MNIST and _whole(content, MNIST[path.name]):
        raise UserError(
            f"'{path.absolute()}' holds MNIST's pictures, not those of {SETS[name]}: put the four files of "
            f"{SETS[name]} there, or name dataset='mnist' and keep MNIST's in MNIST/raw."
        )


def _split(name: str, home: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """Pixels (N, 28, 28) uint8 and labels (N,) int64 of one split."""
    dataset = _torchvision(name)
    folder = home / SETS[name] / "raw"
    try:
        part = dataset(home, train=train)
        pixels, labels = part.data, part.targets.to(torch.int64)
    except (OSError, AssertionError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise _damaged(folder, f"torchvision cannot read it: {_reason(error)}") from error
    if pixels.shape != (len(labels), 28, 28) or not bool(((labels >= 0) & (labels <= 9)).all()):
        raise _damaged(folder, "its pictures and labels do not fit each other")
    return pixels, labels


def _torchvision(name: str) -> Any:
    """torchvision's class of a set, imported here because that takes seconds, which `digits` need not wait for."""
    try:
        from torchvision import datasets
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        raise UserError(
            f"This torchvision was built for another torch than the {torch.__version__} installed here "
            f"({error}): install a pair that fits, for example `{INSTALL}`."
        ) from error
    return getattr(datasets, SETS[name])


def _fetch(name: str, folder: Path, *, download: bool) -> None:
    """Download the files of one set, all or none. Archives that are already in the folder are used.

    Raises OSError where one is neither there nor to be downloaded, and UserError for another set's.
    """
    dataset = _torchvision(name)
    contents = {}
    for archive, md5 in dataset.resources:
        kept = folder / archive
        file = archive.removesuffix(".gz")
        content = _unpacked(kept) if kept.is_file() else b""
        if len(content) != FILES[file]:
            if not download:
                raise OSError("downloading is switched off")
            content = gzip.decompress(_download(archive, md5, dataset.mirrors))
        _check_whose(name, folder / file, content)
        contents[file] = content
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        incoming = folder / f".{file}.{os.getpid()}"
        try:
            incoming.write_bytes(contents[file])
            incoming.replace(folder / file)
        finally:
            incoming.unlink(missing_ok=True)


def _unpacked(archive: Path) -> bytes:
    """The content of a .gz file, whoever packed it; nothing where it is damaged."""
    try:
        return gzip.decompress(archive.read_bytes())
    except (OSError, EOFError, zlib.error):
        return b""


def _download(archive: str, md5: str, mirrors: Sequence[str]) -> bytes:
    """The archive from the first mirror that has it; the error of the last if none has."""
    failure: Exception = OSError("no mirror is known")
    for mirror in mirrors:
        try:
            with urlopen(mirror + archive, timeout=TIMEOUT) as response:
                packed: bytes = response.read()
            if _whole(packed, md5):
                return packed
            failure = OSError(f"{mirror}{archive} is not whole")
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it holds the connection open
            failure = error
    raise failure


def _whole(packed: bytes, md5: str) -> bool:
    return hashlib.md5(packed, usedforsecurity=False).hexdigest() == md5


def _missing(name: str, home: Path, reason: str) -> UserError:
    kind = SETS[name]
    absolute = home.absolute()
    likely = [place for place in absolute.parents[:2] if (place / kind / "raw").is_dir()]
    hint = f" Did you mean --data-dir {str(likely[0])!r}?" if likely else ""
    return UserError(
        f"dataset={name!r} is not in '{absolute / kind / 'raw'}' and could not be downloaded ({reason}): put "
        f"{', '.join(FILES)} there, or name the folder that holds {kind}/ with --data-dir or {ENVIRONMENT}.{hint}"
    )


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"'{path.absolute()}' is damaged ({why}): delete it, then run again to have it downloaded.")


def _reason(error: BaseException) -> str:
    """What went wrong, on one line and without urllib's own words."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason.removeprefix("<urlopen error ").removesuffix(">")
