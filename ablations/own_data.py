"""What a person's own images are like, before a study uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from ablations.starting import LARGEST_SIDE, SMALLER_SIDE
from reports.numbers import counted
from vae.datasets.facts import grey_levels, light_ground
from vae.datasets.load import ImageData, load
from vae.errors import UserError


def images_for(data: str, root: Path | None, *, size: int | None, colour: bool) -> tuple[ImageData, int | None]:
    """The images, and the side that they were resized to: as asked, or where they are large or differ in size."""
    try:
        images = load(data, root, size=size, colour=colour)
    except UserError as error:
        if size is not None or "give a `size`" not in str(error):
            raise
        size = SMALLER_SIDE
        return load(data, root, size=size, colour=colour), size
    if size is None and max(images.image_shape[-2:]) > LARGEST_SIDE:
        size = SMALLER_SIDE
        images = load(data, root, size=size, colour=colour)
    return images, size


def facts_of(images: ImageData) -> Iterator[str]:
    """Sentences on the images.

    >>> for line in facts_of(load("digits")):
    ...     print(line)
    digits: 1,437 training and 360 test images of 8×8
    10 classes: 0 (142), 1 (146), 2 (141), 3 (147), 4 (144), 5 (146), 6 (145), 7 (143), 8 (139), 9 (144) training images
    17 grey levels on a dark ground; the mean pixel is 0.31
    digest 326a98b5c8b367f8, by which cells know their images
    """
    shape = "×".join(map(str, images.image_shape))
    yield f"{images.name}: {len(images.train):,} training and {len(images.test):,} test images of {shape}"
    if images.train_labels is None:
        yield "no labels: metrics that need classes are left out, and models cannot be conditional"
    else:
        counts = torch.bincount(images.train_labels, minlength=images.n_classes).tolist()
        names = images.classes or tuple(map(str, range(len(counts))))
        shown = ", ".join(f"{name} ({count:,})" for name, count in zip(names[:20], counts))
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        yield f"{counted(len(names), 'class', 'classes')}: {shown}{more} training images"
    ground = "light" if light_ground(images.train) else "dark"
    yield f"{grey_levels(images.train)} grey levels on a {ground} ground; the mean pixel is {images.train.mean():.2f}"
    yield f"digest {images.digest}, by which cells know their images"
