"""A user's own images: a folder of pictures, split by name.

A hash of its name decides whether a picture is for the test, and its place in the order. So adding pictures never moves
another one from training to test, and the first n pictures are a fair sample of all classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from vae.datasets.pixels import FILTER, Source, check_sides
from vae.datasets.request import MIN_SIDE
from vae.errors import UserError

Array = NDArray[np.uint8]

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
TEST_SHARE = 0.15  # of a folder's pictures
SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
TRANSPARENT = frozenset({"LA", "PA", "RGBA", "RGBa"})


class Listing(NamedTuple):
    """The pictures of a folder: two splits in their order, and the pictures of each class, if there are subfolders."""

    train: list[Path]
    test: list[Path]
    classes: dict[str, list[Path]]


def read_folder(folder: Path, *, size: int | None = None, colour: bool = False) -> Source:
    """Pictures in a folder, or in its subfolders, which then are the classes (in the order of their names).

    Pixels are uint8, grey (N, H, W) or colour (N, 3, H, W), resized to size × size where a size is given; see
    `picture` for how one file is read. Hidden files, and subfolders of subfolders, are passed over.

    Raises UserError for a folder without pictures or with only one, for pictures both at the top and in subfolders,
    for an empty split, and, when the source is read, for a picture that cannot be read and for pictures of different
    sizes where no `size` is given.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     for i in range(20):
    ...         Image.new("L", (9, 8), i).save(f"{place}/{i}.png")
    ...     source = read_folder(Path(place))
    ...     train, test = source.read(source.n_train, source.n_test)
    >>> train.shape, test.shape
    (torch.Size([16, 8, 9]), torch.Size([4, 8, 9]))
    """
    train, test, classes = find(folder)
    labels = {path: label for label, name in enumerate(classes) for path in classes[name]}

    def read(n_train: int, n_test: int) -> tuple[Tensor, Tensor]:
        pixels = _read_all(train[:n_train] + test[:n_test], size=size, colour=colour)
        return pixels[:n_train], pixels[n_train:]

    known = [torch.tensor([labels[path] for path in part]) if labels else None for part in (train, test)]
    return Source(len(train), len(test), read, known[0], known[1], tuple(classes))


def find(folder: Path) -> Listing:
    """The pictures of a folder, split and ordered by name; no picture is opened. UserError as for `read_folder`."""
    try:
        loose, subfolders = _listed(folder)
        classes = {sub.name: files for sub in subfolders if (files := _listed(sub)[0])}
    except OSError as error:
        raise _refused(folder, f"cannot be listed ({error.strerror})") from error
    _check_layout(folder, loose, classes)
    names = {path.relative_to(folder).as_posix(): path for path in chain(loose, *classes.values())}
    ordered = sorted(names, key=lambda name: (_hash(name), name))
    train, test = ([names[name] for name in ordered if in_test(name) is tested] for tested in (False, True))
    _check_splits(folder, train, test)
    return Listing(train, test, classes)


def in_test(name: str) -> bool:
    """Whether a picture belongs to the test split, from its name relative to the folder and nothing else.

    >>> in_test("cats/1.png"), in_test("cats/2.png")
    (True, False)
    """
    return int.from_bytes(_hash(name)[:8], "big") < TEST_SHARE * 2**64


def _hash(name: str) -> bytes:
    """Of the name's composed form, because some file systems store the same name decomposed."""
    return hashlib.sha256(unicodedata.normalize("NFC", name).encode(errors="surrogateescape")).digest()


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures and subfolders directly in a folder, by name; links back to the folder or above it are not followed."""
    pictures, subfolders = [], []
    above = {folder.resolve(), *folder.resolve().parents}
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            if not (path.is_symlink() and path.resolve() in above):
                subfolders.append(path)
        elif path.suffix.lower() in SUFFIXES and (path.is_symlink() or os.path.isfile(path)):
            pictures.append(path)
    return pictures, subfolders


def _check_layout(folder: Path, loose: Sequence[Path], classes: Mapping[str, Sequence[Path]]) -> None:
    if loose and classes:
        inside = next(iter(classes.values()))[0]
        raise _refused(
            folder,
            f"has pictures at its top ({loose[0].name!r}) and in subfolders "
            f"({inside.relative_to(folder).as_posix()!r}): subfolders are classes, so put every picture into one, "
            "or all of them at the top.",
        )
    if not loose and not classes:
        raise _refused(
            folder,
            f"holds no pictures: looked for {', '.join(sorted(SUFFIXES))} in the folder and in its subfolders, "
            "one level deep.",
        )
    if classes and SPLIT_NAMES.issuperset(name.lower() for name in classes):
        raise _refused(
            folder,
            f"has the subfolders {sorted(classes)}, which would be read as classes: pictures are split by a hash of "
            "their names, so put them together, or save your own split as an .npz file with `train` and `test`.",
        )


def _check_splits(folder: Path, train: Sequence[Path], test: Sequence[Path]) -> None:
    count = len(train) + len(test)
    if count == 1:
        raise _refused(folder, f"holds one picture ({(*train, *test)[0].name!r}): there is nothing to learn from it.")
    if not train or not test:
        missing = "training" if test else "test"
        raise _refused(
            folder,
            f"holds {count} pictures, none of which falls into the {missing} split ({TEST_SHARE:.0%} are for the "
            "test, by a hash of their names): add pictures (40 are nearly always enough), or save your own split "
            "as an .npz file with `train` and `test`.",
        )


def _refused(folder: Path, why: str) -> UserError:
    return UserError(f"dataset='{folder}' {why}")


def _read_all(paths: Sequence[Path], *, size: int | None, colour: bool) -> Tensor:
    """Pixels of many pictures, (N, H, W) or (N, 3, H, W) uint8. In threads: Pillow decodes outside Python's lock."""
    first = picture(paths[0], size=size, colour=colour)
    check_sides(f"'{paths[0]}'", *first.shape[:2])
    out = np.empty((len(paths), *first.shape), dtype=np.uint8)  # (N, H, W), or (N, H, W, 3)
    with _strict(), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for i, pixels in enumerate(pool.map(lambda path: _picture(path, size=size, colour=colour), paths)):
            if pixels.shape != first.shape:
                raise UserError(
                    f"'{paths[0]}' has {first.shape[1]}×{first.shape[0]} pixels (width×height) and '{paths[i]}' has "
                    f"{pixels.shape[1]}×{pixels.shape[0]}: give a `size` to have all pictures resized."
                )
            out[i] = pixels
    images = torch.from_numpy(out)
    return images.permute(0, 3, 1, 2) if colour else images


def picture(path: Path, *, size: int | None = None, colour: bool = False) -> Array:
    """One picture file as uint8, grey (H, W) or colour (H, W, 3).

    Turned upright as its EXIF states; the first frame of an animation; transparency laid on black; 16-bit grey scaled
    to 8; palettes and CMYK turned into colours; colours turned grey by luma. With a `size`, the whole picture is
    resized to size × size, antialiased.

    Raises UserError, naming the file, for one that cannot be read, has a side below 7 pixels, or is large enough to
    be a decompression bomb.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Image.new("RGBA", (20, 10), (255, 255, 255, 128)).save(f"{place}/half.png")
    ...     half = picture(Path(place, "half.png"))
    >>> half.shape, int(half.max())
    ((10, 20), 128)
    """
    with _strict():
        return _picture(path, size=size, colour=colour)


@contextlib.contextmanager
def _strict() -> Iterator[None]:
    """Inside the block, Pillow's warning of a decompression bomb is an error, and its other warnings are not shown.
    Filters belong to the process, so they are set around the threads and not inside them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _picture(path: Path, *, size: int | None, colour: bool) -> Array:
    try:
        with Image.open(path) as opened:
            return _pixels(opened, path, size=size, colour=colour)
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(
            f"'{path}' has more pixels than Pillow opens without risk ({Image.MAX_IMAGE_PIXELS:,}): it may be a "
            "decompression bomb; make it smaller, or take it away."
        ) from error
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        raise UserError(f"'{path}' cannot be read as a picture ({error or type(error).__name__}).") from error


def _pixels(opened: Image.Image, path: Path, *, size: int | None, colour: bool) -> Array:
    if min(opened.size) < MIN_SIDE:
        width, height = opened.size
        raise UserError(f"'{path}' has {width}×{height} pixels: each side must be at least {MIN_SIDE}.")
    if size is not None:
        opened.draft(None, (2 * size, 2 * size))  # a photograph need not be decoded in full to be made small
    ImageOps.exif_transpose(opened, in_place=True)
    flat = _flat(opened, path).convert("RGB" if colour else "L")
    return np.asarray(flat if size is None else flat.resize((size, size), FILTER))


def _flat(image: Image.Image, path: Path) -> Image.Image:
    """8 bits a channel, nothing transparent."""
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise UserError(f"'{path}' has pixels of more than 16 bits: save it with 8 or 16.")
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise UserError(f"'{path}' has floating-point pixels, whose range is unknown: save it with 8 or 16 bits.")
    if image.mode in TRANSPARENT or "transparency" in image.info:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA"))
    return image
