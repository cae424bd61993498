"""Data sets as tensors in memory: fixed splits, a digest of the contents, no randomness of any kind.

`load` takes four names (digits, mnist, fashion-mnist, kmnist) and, for a user's own images, a folder of pictures or
an .npz file (`vae.datasets.folder`, `vae.datasets.npz`). Everything is read once; training reads no file.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vae.datasets import download as downloads
from vae.datasets.folder import read_folder
from vae.datasets.npz import read_npz
from vae.datasets.pixels import Source, check_sides, digest, in_memory, recolour, resize, unit
from vae.datasets.request import NAMES, SETS, check_request
from vae.errors import UserError


@dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    """The images of a study, float32 in [0, 1]: grey (N, H, W) or colour (N, 3, H, W).

    name: the set's name; the base name of a folder or file.
    train, test: the two splits. Labels are (N,) int64, or None where the pictures have no classes.
    held_out: training images set aside to calibrate scales, not in `train`; may be empty.
    digest: sha256 over pixels, labels and shapes, 16 hex characters. 8-bit pictures are hashed as their 256 levels, so
        the digest is the same however the pictures were stored.
    training_digest: the same over the training images and their labels alone, which determine what is learnt.
    classes: the names of the labels 0, 1, ...; empty without labels.
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor | None
    test_labels: Tensor | None
    held_out: Tensor
    digest: str
    classes: tuple[str, ...] = ()
    held_out_labels: Tensor | None = None
    training_digest: str = ""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one image: (H, W), or (3, H, W)."""
        return tuple(self.train.shape[1:])

    @property
    def pixels(self) -> int:
        """Numbers in one image: H·W, or 3·H·W."""
        return math.prod(self.image_shape)

    @property
    def n_classes(self) -> int:
        """How many classes the labels count, 0 without labels."""
        if self.classes or self.train_labels is None:
            return len(self.classes)
        return int(self.train_labels.max()) + 1

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.image_shape))
        counts = f"train={len(self.train)}, test={len(self.test)}, held_out={len(self.held_out)}"
        return f"ImageData({self.name!r}, {shape}, {counts}, digest={self.digest!r})"


def load(
    name: str | Path,
    root: str | Path | None = None,
    *,
    train: int | None = None,
    test: int | None = None,
    held_out: int = 0,
    size: int | None = None,
    colour: bool = False,
    download: bool = True,
) -> ImageData:
    """Read a data set.

    name: 'digits', 'mnist', 'fashion-mnist', 'kmnist', or the path of a folder of pictures or of an .npz file.
    root: the folder that holds MNIST/raw and the like, as torchvision lays it out; None means the environment
        variable ABLATE_DATA, or else ./data.
    train, test: keep the first n images of a split; None keeps all.
    held_out: set aside the last n of the training images kept.
    size: resize to size × size pixels (7 to 1024), antialiased, sides scaled independently.
    colour: three channels; otherwise one, colour pictures turned grey by luma.
    download: whether a set that is missing may be downloaded.

    Raises UserError, in one sentence, for what cannot be read and for a limit that the set cannot meet.

    >>> load("digits", held_out=37)
    ImageData('digits', 8×8, train=1400, test=360, held_out=37, digest='cae6c2e7b07db850')
    >>> load("mnits")
    Traceback (most recent call last):
    vae.errors.UserError: dataset='mnits' is not one of [...], nor a folder ... Did you mean 'mnist'?
    """
    check_request(name, train=train, test=test, held_out=held_out, size=size)
    source = _source(name, root, size=size, colour=colour, download=download)
    n_train = _limit("train", train, source.n_train, f"{str(name)!r} has {source.n_train} training images")
    n_test = _limit("test", test, source.n_test, f"{str(name)!r} has {source.n_test} test images")
    if held_out >= n_train:
        raise UserError(f"held_out={held_out} leaves nothing to train on: there are {n_train} training images.")
    pixels = [resize(recolour(split, colour), size) for split in source.read(n_train, n_test)]
    _check_shapes(name, *pixels)
    return _assembled(_title(name), source, *pixels, cut=n_train - held_out)


def _assembled(title: str, source: Source, train: Tensor, test: Tensor, *, cut: int) -> ImageData:
    """Training images from `cut` on are held out."""
    labels = None if source.train_labels is None else source.train_labels[: len(train)]
    train_labels, held_out_labels = (None, None) if labels is None else (labels[:cut].clone(), labels[cut:])
    test_labels = None if source.test_labels is None else source.test_labels[: len(test)].clone()
    pixels = {"train": train[:cut], "held_out": train[cut:], "test": test}
    contents = digest({**pixels, "train_labels": train_labels, "test_labels": test_labels})
    trained_on = digest({"train": pixels["train"], "train_labels": train_labels})
    (images, held_out), classes = unit(train).tensor_split([cut]), source.classes
    labels_of = train_labels, test_labels
    return ImageData(title, images, unit(test), *labels_of, held_out, contents, classes, held_out_labels, trained_on)


def _source(name: str | Path, root: str | Path | None, *, size: int | None, colour: bool, download: bool) -> Source:
    if name == "digits":
        return _digits()
    if isinstance(name, str) and name in SETS:
        return downloads.read(name, root, download=download)
    path = Path(name).expanduser()
    if os.path.isdir(path) and str(name):
        return read_folder(path, size=size, colour=colour)
    return read_npz(path)


def _digits() -> Source:
    """scikit-learn's 1797 handwritten digits of 8×8 pixels, 0 to 16: 1437 to train, 360 to test.

    Ordered by a hash, which no library's random numbers can change. Every fifth digit of each class is for the
    test, so both splits have the same mix of classes.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    images = torch.from_numpy(bunch.images).to(torch.float32) / 16
    mixed = sorted(range(len(labels)), key=lambda i: hashlib.sha256(f"digits/{i}".encode()).digest())
    by_class = sorted(mixed, key=lambda i: int(labels[i]))  # stable, so mixed within a class
    for_test = set(by_class[::5])
    train = torch.tensor([i for i in mixed if i not in for_test])
    test = torch.tensor([i for i in mixed if i in for_test])
    classes = tuple(str(digit) for digit in range(10))
    return in_memory(images[train], images[test], labels[train], labels[test], classes)


def _title(name: str | Path) -> str:
    if name in NAMES:
        return str(name)
    path = Path(name).expanduser().resolve()
    return path.name if path.is_dir() else path.stem


def _limit(argument: str, wanted: int | None, available: int, fact: str) -> int:
    if wanted is not None and wanted > available:
        raise UserError(f"{argument}={wanted} is more than there are: {fact}.")
    return available if wanted is None else wanted


def _check_shapes(name: str | Path, train: Tensor, test: Tensor) -> None:
    for split in (train, test):
        check_sides(f"dataset={str(name)!r}", split.shape[-2], split.shape[-1])
    if train.shape[1:] != test.shape[1:]:
        (height, width), (other_height, other_width) = train.shape[-2:], test.shape[-2:]
        raise UserError(
            f"dataset={str(name)!r}: training pictures have {width}×{height} pixels (width×height) and test "
            f"pictures {other_width}×{other_height}: give a `size` to have them resized."
        )
