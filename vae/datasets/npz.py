"""A user's own images in an .npz file: arrays `train` and `test`, and their labels if there are any.

Nothing is unpickled, and nothing is guessed: an array that might mean two things is refused with its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from torch import Tensor

from vae.datasets.pixels import Source, in_memory, snap
from vae.errors import UserError, closest
from vae.ranges import ROUNDING

Array = NDArray[Any]

IMAGES = ("train", "test")
LABELS = ("train_labels", "test_labels")


def read_npz(path: Path) -> Source:
    """Arrays `train` and `test`, with `train_labels` and `test_labels` or neither.

    Images are (N, H, W), (N, H, W, 3) or (N, 3, H, W), one channel also as (N, H, W, 1) or (N, 1, H, W); uint8, or
    floats in [0, 1]. Labels are (N,) whole numbers from 0 up. Raises UserError naming the array for anything else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = Path(place, "pictures.npz")
    ...     np.savez(file, train=np.zeros((5, 9, 8, 3), np.uint8), test=np.eye(7)[None])
    ...     source = read_npz(file)
    >>> [tuple(split.shape) for split in source.read(5, 1)]
    [(5, 3, 9, 8), (1, 7, 7)]
    """
    arrays = _arrays(path)
    train, test = (_images(path, key, arrays[key]) for key in IMAGES)
    if len(train) < 2:
        raise _refused(path, "train", "holds one image: there is nothing to learn from it")
    if LABELS[0] not in arrays:
        return in_memory(train, test, None, None, ())
    train_labels = _labels(path, "train_labels", arrays["train_labels"], len(train))
    test_labels = _labels(path, "test_labels", arrays["test_labels"], len(test))
    highest, key = max((int(labels.max()), key) for key, labels in zip(LABELS, (train_labels, test_labels)))
    if highest >= len(train):
        why = f"counts up to {highest} with only {len(train)} training images: number the classes from 0 up"
        raise _refused(path, key, why)
    return in_memory(train, test, train_labels, test_labels, tuple(str(label) for label in range(highest + 1)))


def _arrays(path: Path) -> dict[str, Array]:
    """The arrays that are used; others are left unread."""
    try:
        file = path.open("rb")  # not by numpy, which leaves a damaged one open
    except OSError as error:
        raise UserError(f"dataset='{path}' cannot be opened ({error.strerror}).") from error
    with file:
        try:
            stored = np.load(file, allow_pickle=False)
        except Exception:  # numpy and zipfile raise almost anything on a damaged file
            stored = None
        if not isinstance(stored, NpzFile):
            raise UserError(
                f"dataset='{path}' is not an .npz file: give a folder of pictures, or arrays saved by numpy.savez."
            )
        with stored:
            _check_keys(path, stored.files)
            return {key: _array(path, stored, key) for key in (*IMAGES, *LABELS) if key in stored.files}


def _array(path: Path, stored: Mapping[str, Any], key: str) -> Array:
    try:
        return np.asarray(stored[key])
    except Exception as error:  # as above
        if "allow_pickle" in str(error):
            why = "holds Python objects, which are not loaded: are all its images of one size?"
        else:
            why = f"cannot be read ({error or type(error).__name__})"
        raise _refused(path, key, why) from error


def _check_keys(path: Path, keys: Sequence[str]) -> None:
    """Both splits, and labels for both or neither. A name close to a missing one is refused."""
    absent = [key for key in (*IMAGES, *LABELS) if key not in keys]
    if absent and absent[0] in IMAGES:
        raise _refused(path, absent[0], f"is missing: the file holds {sorted(keys)}")
    for key in sorted({*keys} - {*IMAGES, *LABELS}):
        if near := closest(key, absent):
            raise _refused(path, key, f"is not a name that is read.{near}")
    if len(absent) == 1:
        there = next(key for key in LABELS if key in keys)
        raise _refused(path, absent[0], f"is missing, but {there!r} is there: give labels for both splits or for none")


def _images(path: Path, key: str, array: Array) -> Tensor:
    """Grey (N, H, W) or colour (N, 3, H, W); uint8 levels, or float32 between them."""
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise _refused(path, key, f"has dtype {array.dtype}: give uint8 from 0 to 255, or floats in [0, 1]")
    array = _planes(path, key, array)
    if not array.size:
        raise _refused(path, key, f"has shape {array.shape}, which holds no pixels")
    if array.dtype == np.uint8:
        if array.max() == 1:
            raise _refused(path, key, "is uint8 with no level above 1 of 255: save pictures of 0 and 1 as floats")
        return torch.from_numpy(np.array(array))
    low, high = array.min(), array.max()
    if not np.isfinite(low + high):
        raise _refused(path, key, "holds values that are NaN or infinite")
    if low < -ROUNDING or high > 1 + ROUNDING:
        likely = ": divide it by 255, or save it as uint8" if low >= 0 and high <= 255 else ""
        raise _refused(path, key, f"runs from {low:g} to {high:g}, floats must be in [0, 1]{likely}")
    return snap(torch.from_numpy(array.astype(np.float32).clip(0, 1)))


def _planes(path: Path, key: str, array: Array) -> Array:
    """(N, H, W), or (N, 3, H, W) with the channels moved to the front."""
    if array.ndim == 3:
        return array
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array if array.shape[1] == 3 else array[:, 0]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return np.moveaxis(array, 3, 1) if array.shape[3] == 3 else array[..., 0]
    likely = " (flat rows must be reshaped to pictures)" if array.ndim == 2 else ""
    raise _refused(path, key, f"has shape {array.shape}: images are (N, H, W), (N, H, W, 3) or (N, 3, H, W){likely}")


def _labels(path: Path, key: str, array: Array, count: int) -> Tensor:
    """(N,) int64, from 0 up."""
    if array.dtype.kind not in "iu":
        raise _refused(path, key, f"has dtype {array.dtype}: labels are whole numbers from 0 up")
    if array.shape != (count,):
        raise _refused(path, key, f"has shape {array.shape}, but there are {count} images: labels are ({count},)")
    if array.min() < 0:
        raise _refused(path, key, f"goes down to {array.min()}: labels count from 0 up")
    return torch.from_numpy(np.clip(array, None, np.iinfo(np.int64).max).astype(np.int64))


def _refused(path: Path, key: str, why: str) -> UserError:
    return UserError(f"dataset='{path}': {key!r} {why}")
