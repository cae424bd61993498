"""What may be asked of a data set: its name, how many images, of which size. Imports no torch, and reads no image.

So a mistake in a study is reported at once. Whether a set holds so many images is seen when it is read
(`vae.datasets.load`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from vae.checks import is_whole
from vae.errors import UserError, closest

# The name that a user types -> torchvision's class, whose name is also that of the folder below the root.
SETS: Final[Mapping[str, str]] = MappingProxyType(
    {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
)
NAMES: Final = ("digits", *SETS)
MIN_SIDE: Final = 7  # the smallest window that SSIM is measured with
MAX_SIDE: Final = 1024  # a larger one is a mistake, or photographs that were never resized: both would fill the memory


def check_request(
    name: str | Path,
    *,
    train: int | None = None,
    test: int | None = None,
    held_out: int = 0,
    size: int | None = None,
    colour: bool = False,
) -> None:
    """Refuse what no data set can give. The arguments are those of `vae.datasets.load.load`. Raises UserError.

    >>> check_request("mnits")
    Traceback (most recent call last):
    vae.errors.UserError: dataset='mnits' is not one of [...], nor a folder ... Did you mean 'mnist'?
    """
    for argument, value, least in (("train", train, 1), ("test", test, 1), ("held_out", held_out, 0)):
        if value is not None and not is_whole(value, least=least):
            raise UserError(f"{argument}={value!r} is not a number of images: give a whole number from {least} up.")
    if size is not None and not (is_whole(size, least=MIN_SIDE) and size <= MAX_SIDE):
        raise UserError(f"size={size!r} is not a side in pixels: give a whole number, {MIN_SIDE} to {MAX_SIDE}.")
    _check_name(name)


def _check_name(name: str | Path) -> None:
    """A set that is known by name, or a folder or file that is there."""
    path = Path(name).expanduser()
    if name in NAMES or (os.path.isdir(path) and str(name)) or os.path.isfile(path):
        return
    if isinstance(name, Path) or os.path.basename(name) != name or path.suffix:
        raise UserError(f"dataset={str(name)!r}: there is no such folder or file (looked at '{path.absolute()}').")
    raise UserError(
        f"dataset={name!r} is not one of {list(NAMES)}, nor a folder or .npz file in the working folder."
        f"{closest(name.lower().replace('_', '-'), NAMES)}"
    )
