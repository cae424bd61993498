"""What all rows of the bench share, and the images that they train on, as a file that any program can read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae.errors import UserError

BATCH = 128
NETWORK = "784-400-20"
EPOCH = 60_000  # images of MNIST, which all times are scaled to
MNIST_FILES = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True)
class Setting:
    """dataset: its name. file: its images as bytes, (count, 28, 28). root: of torchvision's MNIST, where it is."""

    dataset: str
    file: Path
    root: Path | None
    count: int
    arms: int
    rounds: int
    device: str

    @property
    def steps(self) -> int:
        """Of an epoch, with the last batch kept."""
        return -(-self.count // BATCH)


def mnist_root(given: str | None) -> Path | None:
    """The folder that holds MNIST/raw: the one given, that of ABLATE_DATA, or ./data; None where it has no MNIST."""
    root = Path(given or os.environ.get("ABLATE_DATA") or "data").expanduser().absolute()
    there = all((root / "MNIST" / "raw" / name).is_file() for name in MNIST_FILES)
    if given and not there:
        raise UserError(f"--data-dir {given}: it does not hold MNIST/raw with the four files of MNIST, unpacked")
    return root if there else None


def write_images(folder: Path, count: int, root: Path | None) -> tuple[str, Path]:
    """(name, file) of the first training images of MNIST, or of drawn ones of its shape where there is no MNIST."""
    file = folder / "images.npy"
    if root is None:
        np.save(file, drawn(count))
        return "drawn images", file
    contents = np.fromfile(root / "MNIST" / "raw" / MNIST_FILES[0], np.uint8)
    images = contents[16:].reshape(-1, 28, 28)
    if count > len(images):
        raise UserError(f"--images {count}: MNIST has {len(images)} training images")
    np.save(file, images[:count])
    return "MNIST", file


def drawn(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Bright spots on a dark ground, three a picture, (count, 28, 28) bytes: something that can be learnt.

    >>> drawn(2).shape, int(drawn(2).max()) > 200
    ((2, 28, 28), True)
    """
    random, side = np.random.default_rng(0), np.arange(28)
    images = np.zeros((count, 28, 28))
    for _ in range(3):
        down, right = random.uniform(6, 22, (2, count, 1))
        spread = random.uniform(1.5, 3.5, (count, 1))
        rows, columns = (np.exp(-(((side - centre) / spread) ** 2) / 2) for centre in (down, right))  # (count, 28)
        images = np.maximum(images, rows[:, :, None] * columns[:, None, :])
    return (images * 255).round().astype(np.uint8)
